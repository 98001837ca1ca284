"""Whose key a request bears."""

from __future__ import annotations

import hashlib

from batch_emulator.config import EmulatorConfig
from batch_emulator.replies import ApiError, invalid_key
from batch_emulator.state import State


def fingerprint_of(key: str) -> str:
    """Return what stands for a key in the state file, which never holds the key itself."""
    return hashlib.sha256(f"semcore emulator:{key}".encode()).hexdigest()


class Projects:
    """Maps API keys to projects, and knows which keys are revoked."""

    def __init__(self, state: State, config: EmulatorConfig) -> None:
        self._state = state
        self._config = config

    def name_of(self, key: str) -> str:
        """Return the project a key belongs to, whether or not it is valid."""
        return self._config.projects.get(key) or f"project-{fingerprint_of(key)[:12]}"

    def admit(self, key: str | None) -> str:
        """Return the project that a request is charged to.

        Raises:
            ApiError: 403 without a key or with a blocked one, 400 with an invalid one.
        """
        if not key:
            raise ApiError(
                403,
                "Method doesn't allow unregistered callers (callers without established "
                "identity). Please use API Key or other form of API consumer identity to call "
                "this API.",
            )
        revoked = self._state.row(
            "SELECT code FROM revoked_keys WHERE fingerprint = ?", (fingerprint_of(key),)
        )
        if revoked is not None and revoked["code"] != 400:
            raise ApiError(revoked["code"], "Your API key was reported as leaked or is blocked.")
        is_unknown = self._config.refuse_unknown_keys and key not in self._config.projects
        if revoked is not None or is_unknown or any(character.isspace() for character in key):
            raise invalid_key()
        return self.name_of(key)

    def revoke(self, key: str, *, code: int = 400) -> None:
        """Refuse a key from now on: 400 as one deleted, 403 as one blocked."""
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO revoked_keys (fingerprint, code) VALUES (?, ?) "
                "ON CONFLICT (fingerprint) DO UPDATE SET code = excluded.code",
                (fingerprint_of(key), code),
            )

    def restore(self, key: str) -> None:
        """Accept a revoked key again."""
        with self._state.transaction() as connection:
            connection.execute(
                "DELETE FROM revoked_keys WHERE fingerprint = ?", (fingerprint_of(key),)
            )
