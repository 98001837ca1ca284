"""A key that nothing shows by accident."""

import hashlib
import hmac
from typing import Never

from semantic_core.domain.errors import KeyringNotSerializableError

MASK = "'***'"


class Secret:
    """A key that no repr, copy, pickle or walk over attributes shows by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key. It must not stay in a variable of code that can fail."""
        return self._value

    def fingerprint(self, salt: str) -> str:
        """Return a name for the key that does not give it away: hex HMAC-SHA256."""
        return hmac.new(salt.encode(), self._value.encode(), hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return MASK

    def __reduce_ex__(self, protocol: object) -> Never:
        raise KeyringNotSerializableError
