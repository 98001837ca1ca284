import os
import warnings
from collections.abc import Mapping
from typing import Never, Self

from semantic_core.domain.errors import (
    InvalidKeyError,
    KeyringNotSerializableError,
    MissingBatchKeyError,
    MissingDefaultKeyError,
)
from semantic_core.providers.wire.access import MASK, Secret

BATCH_KEY_VARIABLE = "GEMINI_BATCH_API_KEY"

# In the order in which they are looked up; the SDK reads the second one as well.
DEFAULT_KEY_VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

ONE_KEY = (
    "The default key and the batch key are the same: live calls and batch jobs are billed to one "
    "project and share its quota. Use the key of a second project to keep them apart."
)


class GoogleKeyring:
    """Holds the key for live calls and the key that batch jobs are billed to.

    Immutable, and masked wherever it is printed. It cannot be pickled or copied, so that no
    key ends up in a file. A missing key is not an error until something needs it.

    Args:
        default_key: embeds queries, and documents of ``mode="sync"``.
        batch_key: submits and reads batch jobs. Only this one does: batching is billed
            separately, so it never falls back to the default key.

    Raises:
        InvalidKeyError: a key is not a string, is blank, or holds white space.
    """

    __slots__ = ("_batch_key", "_default_key")

    _default_key: str | None
    _batch_key: str | None

    def __init__(self, default_key: str | None = None, batch_key: str | None = None) -> None:
        problem = _problem(default_key, "The default key") or _problem(batch_key, "The batch key")
        if problem is not None:
            # A traceback with variables would show them.
            del default_key, batch_key
            raise InvalidKeyError(problem)
        object.__setattr__(self, "_default_key", default_key)
        object.__setattr__(self, "_batch_key", batch_key)
        if self.is_one_key:
            warnings.warn(ONE_KEY, UserWarning, stacklevel=2)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``GEMINI_API_KEY`` (or ``GOOGLE_API_KEY``) and ``GEMINI_BATCH_API_KEY``.

        An empty variable counts as absent.

        Args:
            environ: where to look; the process environment by default.

        Raises:
            InvalidKeyError: a variable holds what cannot be a key.
        """
        environ = os.environ if environ is None else environ
        problem = _problem_in(environ)
        if problem is not None:
            del environ
            raise InvalidKeyError(problem)
        found = [environ[name] for name in DEFAULT_KEY_VARIABLES if environ.get(name)]
        return cls(
            default_key=found[0] if found else None,
            batch_key=environ.get(BATCH_KEY_VARIABLE) or None,
        )

    @property
    def is_one_key(self) -> bool:
        """Whether one key is for live calls and batch jobs."""
        return self.live_available and self._default_key == self._batch_key

    @property
    def live_available(self) -> bool:
        """Whether there is a key for live calls."""
        return self._default_key is not None

    @property
    def batch_available(self) -> bool:
        """Whether there is a key for batch jobs."""
        return self._batch_key is not None

    def get_default_key(self) -> str:
        """Return the key for live calls, or raise `MissingDefaultKeyError`."""
        if self._default_key is None:
            raise MissingDefaultKeyError
        return self._default_key

    def get_batch_key(self) -> str:
        """Return the key for batch jobs, or raise `MissingBatchKeyError`: never the default key."""
        if self._batch_key is None:
            raise MissingBatchKeyError
        return self._batch_key

    def __repr__(self) -> str:
        default = MASK if self.live_available else None
        batch = MASK if self.batch_available else None
        return f"GoogleKeyring(default_key={default}, batch_key={batch})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"A GoogleKeyring cannot be changed: {name}. Build a new one.")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"A GoogleKeyring cannot be changed: {name}. Build a new one.")

    # copy and pickle come through the first; some serializers ask for the second.
    def __reduce_ex__(self, protocol: object) -> Never:
        raise KeyringNotSerializableError

    def __getstate__(self) -> Never:
        raise KeyringNotSerializableError


def check_key(key: object, *, what: str) -> Secret:
    """Return a key that can be sent in a header, or raise `InvalidKeyError`.

    Neither the error nor its traceback show the key itself.
    """
    problem = _problem(key, what)
    if problem is None:
        return Secret(str(key))
    del key
    raise InvalidKeyError(problem)


def _problem_in(environ: Mapping[str, str]) -> str | None:
    """Return what is wrong with a key of the environment that would be used, or None."""
    names = [name for name in DEFAULT_KEY_VARIABLES if environ.get(name)][:1]
    for name in [*names, BATCH_KEY_VARIABLE]:
        if problem := _problem(environ.get(name) or None, f"The key in {name}"):
            return problem
    return None


def _problem(key: object, what: str) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str):
        return f"{what} is of type {type(key).__name__}, not a string."
    if not key.strip():
        return f"{what} is blank. Copy it again from Google AI Studio."
    if not (key.isascii() and key.isprintable() and " " not in key):
        return (
            f"{what} holds white space or a character no key has. Copy it again from Google AI "
            "Studio."
        )
    return None
