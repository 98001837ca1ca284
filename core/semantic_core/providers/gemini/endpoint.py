"""The address of the Gemini API: Google itself, or a replacement such as the emulator."""

import ipaddress
import math
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import InvalidEndpointError
from semantic_core.providers.gemini.failures import KEY_HEADER, refusal_of
from semantic_core.providers.wire.access import Access, Secret

GOOGLE_URL = "https://generativelanguage.googleapis.com"

# The SDK's own variable.
BASE_URL_VARIABLE = "GOOGLE_GEMINI_BASE_URL"

# The provenance of what Google itself embedded.
GOOGLE = "google"

_GOOGLE_HOST = "generativelanguage.googleapis.com"

_DEFAULT_PORTS = {"https": 443, "http": 80}

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The server that is sent the keys and the texts.

    The key goes to ``https`` only, or to ``http`` on this machine. Proxies of the environment
    (``HTTPS_PROXY``, ``NO_PROXY``) are used, except for ``http`` on this machine.

    Attributes:
        base_url: scheme, host and port, without a path. If absent, what the environment names
            in ``GOOGLE_GEMINI_BASE_URL`` when the object is built, or else Google.
        timeout: seconds to wait for a connection, and for each piece of an answer.

    Raises:
        InvalidEndpointError: the URL or the timeout cannot be used.
    """

    base_url: str | None = None
    timeout: float = 60.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout) and 0 < self.timeout <= 3600):
            raise InvalidEndpointError(
                f"Endpoint.timeout is {self.timeout}. Give seconds above 0, up to an hour."
            )
        given = self.base_url or os.environ.get(BASE_URL_VARIABLE) or GOOGLE_URL
        object.__setattr__(self, "base_url", _checked(given))

    @property
    def url(self) -> str:
        """The base URL in use, without a trailing slash."""
        return str(self.base_url)

    def access(
        self,
        key: Secret,
        *,
        key_name: str,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
    ) -> Access:
        """Return what a connection is made of: this server, and whose key it is sent."""
        return Access(
            url=self.url,
            timeout=self.timeout,
            key=key,
            key_header=KEY_HEADER,
            key_name=key_name,
            refusal=refusal_of,
            clock=clock,
            transport=transport,
        )

    @property
    def provenance(self) -> str:
        """Names whose vectors these are: ``google``, or ``endpoint:<host>``.

        Without the port: an emulator keeps its name from one run to the next. This machine has
        one name, however it is spelled.
        """
        host = str(urlsplit(self.url).hostname)
        if host == _GOOGLE_HOST:
            return GOOGLE
        return f"endpoint:{'localhost' if _is_loopback(host) else host}"


def way_back_to(provenance: str) -> str:
    """Return how a user goes back to the endpoint of that provenance, as half a sentence."""
    if provenance == GOOGLE:
        return f"unset {BASE_URL_VARIABLE}, and pass no --base-url"
    return (
        f"set {BASE_URL_VARIABLE} to its address, or pass it as --base-url or "
        "Endpoint(base_url=...)"
    )


def _checked(url: str) -> str:
    """Return a base URL in one spelling, or raise where the key must not be sent there."""
    # urlsplit drops tabs and line ends silently.
    if any(character.isspace() or not character.isprintable() for character in url):
        raise _refusal("it holds white space")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refusal("it is not a URL") from error
    has_user = parts.username is not None or parts.password is not None
    has_path = parts.path not in ("", "/")
    is_open = parts.scheme == "http" and not _is_loopback(host)
    for is_wrong, reason in (
        (parts.scheme not in _DEFAULT_PORTS, "its scheme is not https"),
        (has_user, "it holds a user name or password"),
        (
            not _HOST_NAME.fullmatch(host) and _as_address(host) is None,
            "its host is missing or malformed",
        ),
        (port == 0, "port 0 cannot be reached"),
        (parts.query or parts.fragment, "it holds a query or a fragment"),
        (has_path, "it holds a path; the API version and the rest are added by themselves"),
        (is_open, f"http would send the key to {host} in the clear; use https"),
    ):
        if is_wrong:
            raise _refusal(reason)
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown_host}{shown_port}"


def _is_loopback(host: str) -> bool:
    address = _as_address(host)
    return host == "localhost" if address is None else address.is_loopback


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(reason: str) -> InvalidEndpointError:
    # The URL itself stays out of the message: it may hold a password.
    return InvalidEndpointError(
        f"The base_url (or {BASE_URL_VARIABLE}) cannot be used: {reason}. Use https://host, or "
        "http:// for a loopback address only."
    )
