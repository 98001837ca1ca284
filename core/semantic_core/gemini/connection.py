"""The one HTTP client under the SDK and under our own calls, and what it never does."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Never

import httpx2
import orjson

from semantic_core.clock import Clock
from semantic_core.errors import (
    KeyringNotSerializableError,
    ProviderProtocolError,
    ProviderUnavailableError,
    SemanticCoreError,
)
from semantic_core.gemini.endpoint import Endpoint
from semantic_core.gemini.failures import KEY_HEADER, refusal_of, unreachable
from semantic_core.keyring import check_key
from semantic_core.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from google import genai

# The SDK's default, v1, is not documented to serve batches.
API_VERSION = "v1beta"

# A hundred vectors of 3,072 numbers are 8 MB; a page of a hundred jobs is less.
LARGEST_ANSWER = 64 << 20

LONGEST_ANSWER = 300.0


class GuardedHttp(httpx2.Client):
    """An HTTP client for one endpoint, which raises only errors of `semantic_core.errors`.

    It sends nothing to any other host, whatever an answer says; follows no redirect; repeats
    nothing by itself; asks for no compression and takes none, so that a size is a size; and
    reads answers of bounded size in bounded time.

    Args:
        endpoint: where requests may go.
        clock: bounds how long an answer may take in all.
        transport: sends the requests; the network by default.
        key_name: what errors call the key that is sent.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        key_name: str = "key",
    ) -> None:
        super().__init__(
            timeout=endpoint.timeout,
            transport=transport,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            # A proxy has no business between us and this machine, and would see the key.
            trust_env=not endpoint.is_local,
            verify=_trusting_nobody() if endpoint.is_local else True,
        )
        self._origin = endpoint.origin
        self._clock = clock
        self._key_name = key_name

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request once.

        Raises:
            ProviderError: any answer but success, or none.
        """
        self._check_target(request.url)
        options["follow_redirects"] = False
        try:
            response = super().send(request, stream=True, **options)
            try:
                self._check_answer(response)
                if not stream:
                    self.bound(response, size=LARGEST_ANSWER, seconds=LONGEST_ANSWER)
                    response.read()
            except BaseException:
                response.close()
                raise
        except httpx2.HTTPError as error:
            raise unreachable(error) from error
        return response

    def bound(self, response: httpx2.Response, *, size: int, seconds: float) -> None:
        """Let reading the body fail once it is larger or takes longer than that."""
        if not isinstance(response.stream, httpx2.SyncByteStream):
            raise TypeError(f"{type(response.stream).__name__} cannot be read synchronously.")
        response.stream = _BoundedStream(
            response.stream, size=size, deadline=self._clock.now() + seconds, clock=self._clock
        )

    def _check_target(self, url: httpx2.URL) -> None:
        port = url.port or {"https": 443, "http": 80}.get(url.scheme)
        if (url.scheme, url.host, port) != self._origin:
            raise ProviderProtocolError(
                f"The provider pointed to {url.scheme}://{url.host}, which is not the endpoint in "
                "use. Nothing was sent there."
            )

    def _check_answer(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise ProviderProtocolError(
                f"The provider's answer is compressed ({encoding!r:.40}), which was not asked for."
            )
        if not response.is_success:
            self.bound(response, size=LARGEST_ANSWER, seconds=LONGEST_ANSWER)
            response.read()
            raise refusal_of(response, key=self._key_name)
        # Without this header the SDK would sleep and send the piece again by itself.
        is_upload = response.request.headers.get("x-goog-upload-command", "start") != "start"
        if is_upload and "x-goog-upload-status" not in response.headers:
            raise ProviderUnavailableError("The provider did not say whether it took the upload.")


class _BoundedStream(httpx2.SyncByteStream):
    def __init__(
        self, stream: httpx2.SyncByteStream, *, size: int, deadline: float, clock: Clock
    ) -> None:
        self._stream = stream
        self._size = size
        self._deadline = deadline
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        for chunk in self._stream:
            total += len(chunk)
            if total > self._size:
                raise ProviderProtocolError(
                    f"The provider's answer has more than {self._size:,} bytes. Nothing of it was "
                    "used."
                )
            if self._clock.now() > self._deadline:
                raise ProviderUnavailableError(
                    "The provider's answer comes too slowly. Nothing is lost; try again later."
                )
            yield chunk

    def close(self) -> None:
        self._stream.close()


class Connection:
    """One key at one endpoint. Knows paths and JSON, and nothing of jobs.

    Args:
        api_key: sent as a header, to the endpoint only.
        endpoint: where requests go.
        clock: bounds how long an answer may take.
        transport: sends the requests; the network by default.
        key_name: what errors call the key, since a user has two.

    Raises:
        InvalidKeyError: the key cannot be sent.
    """

    def __init__(
        self,
        api_key: str,
        *,
        endpoint: Endpoint,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        key_name: str = "key",
    ) -> None:
        # What no header can hold would be shown by the error that says so.
        check_key(api_key, what="The API key")
        self._api_key = api_key
        self._endpoint = endpoint
        self._clock = clock
        self._transport = transport
        self._key_name = key_name
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
        self._http = uninterrupted(
            lambda: GuardedHttp(
                self._endpoint,
                clock=self._clock,
                transport=self._transport,
                key_name=self._key_name,
            )
        )
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
            api_key=self._api_key,
            # An environment variable could turn it into a client of another product.
            vertexai=False,
            http_options=genai.types.HttpOptions(
                base_url=self._endpoint.url,
                api_version=API_VERSION,
                timeout=round(self._endpoint.timeout * 1000),
                httpx_client=http,
                # For its own clients, which are never used.
                async_client_args={"verify": _trusting_nobody(), "ssl": _trusting_nobody()},
            ),
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Send one request and return the JSON object it is answered with; {} if there is none.

        Raises:
            ProviderError: any answer but success, or none.
        """
        response = self.http.request(
            method, self._url(path), params=query, headers={KEY_HEADER: self._api_key}
        )
        if not response.content:
            return {}
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise ProviderProtocolError("The provider's answer is no JSON.") from error
        if not isinstance(answer, dict):
            raise ProviderProtocolError("The provider's answer is no JSON object.")
        return answer

    @contextmanager
    def stream(self, path: str, *, query: Mapping[str, str]) -> Iterator[httpx2.Response]:
        """Open an answer whose body the block reads by itself.

        Raises:
            ProviderError: any answer but success, or none; or the body breaks off in the block.
        """
        request = self.http.build_request(
            "GET", self._url(path), params=query, headers={KEY_HEADER: self._api_key}
        )
        response = self.http.send(request, stream=True)
        try:
            yield response
        except httpx2.HTTPError as error:
            raise unreachable(error) from error
        finally:
            response.close()

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
        if self._sdk is not None:
            self._sdk.close()
        self.http.close()

    def _url(self, path: str) -> str:
        return f"{self._endpoint.url}/{API_VERSION}/{path}"


def _trusting_nobody() -> ssl.SSLContext:
    """Return a TLS context that accepts no server.

    For where none is ever asked: loading the usual certificates takes a twentieth of a second,
    each time.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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
