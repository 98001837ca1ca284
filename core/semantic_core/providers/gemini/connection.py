from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Never

import httpx2
import orjson

from semantic_core.domain.errors import (
    KeyringNotSerializableError,
    ProviderProtocolError,
    SemanticCoreError,
)
from semantic_core.domain.uninterrupted import uninterrupted
from semantic_core.providers.wire.access import Access
from semantic_core.providers.wire.guarded_http import GuardedHttp, trusting_nobody

if TYPE_CHECKING:
    from google import genai

# The SDK's default, v1, is not documented to serve batches.
API_VERSION = "v1beta"


class Connection:
    """One key at one endpoint. Knows paths and JSON, and nothing of jobs."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._open()

    # copy and pickle come through here.
    def __reduce_ex__(self, protocol: object) -> Never:
        raise KeyringNotSerializableError(
            "A connection to the provider cannot be pickled or copied: it holds a key. Build it "
            "where it is used."
        )

    def _open(self) -> None:
        self._sdk: genai.Client | None = None
        # The HTTP client, too, imports what it needs only where it is built.
        self._http = uninterrupted(lambda: GuardedHttp(self.access))
        # Last: an interrupt before it must not leave a child on its parent's socket.
        self._pid = os.getpid()

    @property
    def http(self) -> GuardedHttp:
        """The HTTP client; a new one after a fork.

        Two processes on one socket would read each other's answers.
        """
        if os.getpid() != self._pid:
            self._open()
        return self._http

    @property
    def sdk(self) -> genai.Client:
        """The official SDK on this connection: one version, no retries, our timeout."""
        http = self.http
        if self._sdk is None:
            self._sdk = uninterrupted(lambda: self._build_sdk(http))
        return self._sdk

    def _build_sdk(self, http: GuardedHttp) -> genai.Client:
        # Most of a second to import, which a search by keyword should not pay.
        from google import genai  # noqa: PLC0415

        return genai.Client(
            # What it sends gets the key from the connection: its own errors cannot show it.
            api_key="added-by-the-connection",
            # An environment variable could turn it into a client of another product.
            vertexai=False,
            http_options=genai.types.HttpOptions(
                base_url=self.access.url,
                api_version=API_VERSION,
                timeout=round(self.access.timeout * 1000),
                httpx_client=http,
                # For its own clients, which are never used.
                async_client_args={"verify": trusting_nobody(), "ssl": trusting_nobody()},
            ),
        )

    def request(self, method: str, path: str) -> dict[str, Any]:
        """Send one request; return the JSON object it is answered with, {} if there is none."""
        return self.dated_request(method, path)[0]

    def dated_request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], float | None]:
        """As `request`; and when the provider answered, by its own clock.

        That is the ``Date`` header, in epoch seconds; None where there is no readable one.
        """
        response = self.http.request(method, self.url_of(path), params=query)
        return _body_of(response), _date_of(response)

    def post(self, path: str, body: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        return _body_of(
            self.http.post(
                self.url_of(path),
                content=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
                timeout=timeout,
            )
        )

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
        if self._sdk is not None:
            self._sdk.close()
        self.http.close()

    def url_of(self, path: str) -> str:
        """Return the URL of a resource, such as ``batches/...``."""
        return f"{self.access.url}/{API_VERSION}/{path}"


def _body_of(response: httpx2.Response) -> dict[str, Any]:
    if not response.content:
        return {}
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise ProviderProtocolError("The provider's answer is not JSON.") from error
    if not isinstance(answer, dict):
        raise ProviderProtocolError("The provider's answer is not a JSON object.")
    return answer


def _date_of(response: httpx2.Response) -> float | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None


@contextmanager
def sdk_errors(what: str) -> Iterator[None]:
    """Turn what the SDK itself finds wrong with an answer into a `ProviderProtocolError`.

    What the connection found wrong passes through, and so does an interrupt.
    """
    try:
        yield
    except SemanticCoreError:
        raise
    # The SDK lets anything out that a malformed answer makes its parsers raise.
    except Exception as error:
        raise ProviderProtocolError(
            f"The provider's answer to {what} cannot be read ({type(error).__name__})."
        ) from error
