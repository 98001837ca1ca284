"""One key at one server: what every connection to a provider is made of."""

from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import ProviderError
from semantic_core.providers.wire.secret import Secret


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
