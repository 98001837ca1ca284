"""The HTTP client for one endpoint: what it never does, and how it hides the key."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx2

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import (
    ProviderProtocolError,
    ProviderUnavailableError,
    SemanticCoreError,
)
from semantic_core.providers.wire.access import Access, Secret, origin_of

T = TypeVar("T")

# A hundred vectors of 3,072 numbers are 8 MB; a page of a hundred jobs is less.
LARGEST_ANSWER = 16 << 20

# What parsing an answer makes of it: such vectors are 307,200 numbers, such a page a few thousand
# objects. Sixteen million bytes of "[]," would be 400 MB of lists.
_MOST_VALUES = 1_000_000
_MOST_OBJECTS = 100_000

LONGEST_ANSWER = 300.0

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


class GuardedHttp(httpx2.Client):
    """An HTTP client for one endpoint, which raises only errors of `semantic_core.domain.errors`.

    It sends nothing to any other host, whatever an answer says; follows no redirect; repeats
    nothing by itself; asks for no compression and takes none, so that a size is a size; and
    reads answers of bounded size in bounded time. It alone knows the key: it adds it to what is
    sent, hides it in what comes back (providers do quote keys: "Consumer 'api_key:...' has been
    suspended"), and no error, cause or traceback that it raises leads to it.
    """

    def __init__(self, access: Access) -> None:
        super().__init__(
            timeout=access.timeout,
            transport=access.transport,
            follow_redirects=False,
            headers={"Accept-Encoding": "identity"},
            # A proxy has no business between us and this machine, and would see the key.
            trust_env=not access.is_local,
            verify=trusting_nobody() if access.is_local else True,
        )
        self._access = access

    def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request once; raise `ProviderError` for any answer but success, or none."""
        self._check_target(request.url)
        options["follow_redirects"] = False
        response = _without_key(
            lambda: self._exchange(request, options, is_streamed=stream), self._access.key
        )
        response.request = request
        return response

    def _exchange(
        self, request: httpx2.Request, options: dict[str, Any], *, is_streamed: bool
    ) -> httpx2.Response:
        keyed = httpx2.Request(
            request.method,
            request.url,
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        # Only here: whatever else holds the request, such as an error, must not show it.
        keyed.headers[self._access.key_header] = self._access.key.reveal()
        response = super().send(keyed, stream=True, **options)
        try:
            self._check_answer(response)
            if not is_streamed:
                self.bound(response, size=LARGEST_ANSWER, seconds=LONGEST_ANSWER)
                _check_parts(response.read())
        except BaseException:
            response.close()
            raise
        return response

    def bound(self, response: httpx2.Response, *, size: int, seconds: float) -> None:
        """Let reading the body fail once it is larger or takes longer than that."""
        if not isinstance(response.stream, httpx2.SyncByteStream):
            raise TypeError(f"{type(response.stream).__name__} cannot be read synchronously.")
        response.stream = _BoundedStream(
            response.stream,
            key=self._access.key,
            size=size,
            # Monotonic: a clock that is set meanwhile ends no answer, and keeps none alive.
            deadline=self._access.clock.monotonic() + seconds,
            clock=self._access.clock,
        )

    def _check_target(self, url: httpx2.URL) -> None:
        if origin_of(url) != self._access.origin:
            raise ProviderProtocolError(
                f"The provider pointed to {url.scheme}://{url.host}, which is not the endpoint in "
                "use. Nothing was sent there."
            )

    def _check_answer(self, response: httpx2.Response) -> None:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise ProviderProtocolError(
                "The provider's answer is compressed, which was not asked for."
            )
        if not response.is_success:
            self.bound(response, size=LARGEST_ANSWER, seconds=LONGEST_ANSWER)
            _check_parts(response.read())
        if refusal := self._access.refusal(response, self._access.key_name):
            raise refusal


def _check_parts(body: bytes) -> None:
    """Check that parsing an answer cannot fill the memory."""
    objects = body.count(b"[") + body.count(b"{")
    if objects > _MOST_OBJECTS or body.count(b",") > _MOST_VALUES:
        raise ProviderProtocolError(
            f"The provider's answer has more than {_MOST_VALUES:,} values or {_MOST_OBJECTS:,} "
            "objects. Nothing of it was used."
        )


class _BoundedStream(httpx2.SyncByteStream):
    """Reads so much, for so long, and hides the key."""

    def __init__(
        self,
        stream: httpx2.SyncByteStream,
        *,
        key: Secret,
        size: int,
        deadline: float,
        clock: Clock,
    ) -> None:
        self._stream = stream
        self._key = key
        self._held = b""
        self._size = size
        self._deadline = deadline
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        total = 0
        chunks = iter(self._stream)
        while (chunk := _without_key(lambda: next(chunks, None), self._key)) is not None:
            total += len(chunk)
            if total > self._size:
                raise ProviderProtocolError(
                    f"The provider's answer has more than {self._size:,} bytes. Nothing of it was "
                    "used."
                )
            if self._clock.monotonic() > self._deadline:
                raise ProviderUnavailableError(
                    "The provider's answer comes too slowly. Nothing is lost; try again later."
                )
            if shown := self._hidden(chunk):
                yield shown
        if self._held:
            yield self._held

    def _hidden(self, chunk: bytes) -> bytes:
        """Return what may be shown so far, in as many bytes; the start of a key is held back."""
        key = self._key.reveal().encode()
        data = (self._held + chunk).replace(key, b"*" * len(key))
        held = next(
            n for n in range(min(len(key) - 1, len(data)), -1, -1) if data.endswith(key[:n])
        )
        self._held = data[len(data) - held :]
        return data[: len(data) - held]

    def close(self) -> None:
        self._stream.close()
        # What it read from still holds the request.
        self._stream = httpx2.ByteStream(b"")


def _without_key(do: Callable[[], T], key: Secret) -> T:
    """Do something with the network; let no error that comes of it lead to the key.

    Below here are requests with the key, in the variables of each frame of a traceback and in the
    attributes of each cause. So an error leaves without either, an interrupt too.
    """
    try:
        return do()
    except BaseException as error:  # noqa: BLE001  # raised again, outside of its own context
        failure = _bare(error, key)
    raise failure


def _bare(error: BaseException, key: Secret) -> BaseException:
    if isinstance(error, httpx2.HTTPError):
        typed = unreachable(error)
        typed.__cause__ = type(error)(str(error).replace(key.reveal(), "***"))
        return typed
    if not isinstance(error, SemanticCoreError):
        error.__cause__ = None
        if key.reveal() in repr(error.args):
            error.args = (str(error).replace(key.reveal(), "***"),)
    error.__context__ = None
    return error.with_traceback(None)


def unreachable(error: httpx2.HTTPError) -> ProviderUnavailableError:
    """Return the error for a request that got no complete answer."""
    kind = type(error).__name__
    if isinstance(error, _NEVER_SENT):
        return ProviderUnavailableError(
            f"The provider{_place(error)} cannot be reached ({kind}). Nothing was sent, so this "
            "cost nothing, and nothing is lost; check the network and try again.",
            was_sent=False,
        )
    return ProviderUnavailableError(
        f"The connection to the provider{_place(error)} failed ({kind}). Nothing is lost; try "
        "again later."
    )


def _place(error: httpx2.HTTPError) -> str:
    """Return where the request went; a base_url that leads nowhere should show."""
    try:
        url = error.request.url
    except RuntimeError:
        # It broke before there was a request.
        return ""
    return f" at {url.host}:{url.port}" if url.port else f" at {url.host}"


def trusting_nobody() -> ssl.SSLContext:
    """Return a TLS context that accepts no server, for where none is ever asked.

    Loading the usual certificates takes a twentieth of a second, each time.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
