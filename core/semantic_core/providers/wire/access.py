"""One key at one server: what every connection to a provider is made of."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Never

import httpx2

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import KeyringNotSerializableError, ProviderError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One key at one server, the only one that is sent anything.

    Attributes:
        timeout: seconds to wait for a connection, and for each piece of an answer.
        key_name: what errors call it: a user may have several.
        refusal: what is wrong with an answer, or None; asked for each, and the body of one that
            is not 2xx has been read.
        clock: bounds how long an answer may take in all, and waits between tries.
        transport: sends the requests; the network by default.
    """

    url: str
    timeout: float
    key: Secret
    key_header: str
    key_name: str
    refusal: Callable[[httpx2.Response, str], ProviderError | None]
    clock: Clock
    transport: httpx2.BaseTransport | None = None

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Scheme, host and port: what every request must go to."""
        return origin_of(httpx2.URL(self.url))

    @property
    def is_local(self) -> bool:
        """Whether it is plain ``http``, which only a server on this machine is asked by."""
        return self.origin[0] == "http"


def origin_of(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"https": 443, "http": 80}.get(url.scheme)
