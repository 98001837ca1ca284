"""HTTP responses: good ones, refusals, and those that a fault wants."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from batch_emulator.effects import Bomb, CallEffect, Garbage, Reply
from batch_emulator.replies import ApiError
from batch_emulator.service import Answer

_JSON = "application/json; charset=UTF-8"
_BOMB_PIECE = bytes(1 << 20)
_GZIP = 16 + zlib.MAX_WBITS
_REPLY_WORDS = {
    400: "Request contains an invalid argument.",
    401: "Request had invalid authentication credentials.",
    403: "The caller does not have permission.",
    404: "Requested entity was not found.",
    409: "Requested entity already exists.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "An internal error has occurred. Please retry.",
    502: "Bad Gateway",
    503: "The service is currently unavailable.",
    504: "The request timed out. Please try again.",
}


class DroppedError(Exception):
    """The connection is to be closed without an answer."""


def success_of(answer: Answer) -> Response:
    """Return the response to a call that was served and sends no file."""
    content = (
        b"" if answer.body is None else orjson.dumps(answer.body, option=orjson.OPT_SERIALIZE_NUMPY)
    )
    return Response(content, headers=dict(answer.headers), media_type=_JSON)


def refusal_of(error: ApiError, *, is_upload: bool = False) -> Response:
    """Return the response to a call that is refused; `is_upload`: of a chunk."""
    # Without this header the SDK would send the chunk again, and again.
    headers = {"X-Goog-Upload-Status": "final"} if is_upload else {}
    return Response(orjson.dumps(error.body()), error.code, headers, media_type=_JSON)


def faulty_answer(effect: CallEffect) -> Response:
    """Return the answer a fault wants.

    Raises:
        DroppedError: it wants none.
    """
    if isinstance(effect, Garbage):
        return Response(effect.body, media_type=effect.content_type)
    if not isinstance(effect, Reply):
        raise DroppedError
    message = effect.message or _REPLY_WORDS.get(effect.code, "Unknown error.")
    if effect.as_text:
        return Response(message, effect.code, media_type="text/plain")
    details: list[dict[str, Any]] = []
    if effect.code == 429:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [
                    {
                        "description": "Learn more about Gemini API quotas",
                        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                    }
                ],
            }
        )
    if effect.retry_delay is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{effect.retry_delay:g}s",
            }
        )
    error = ApiError(effect.code, message, status=effect.status, details=details)
    wait = effect.retry_after
    headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
    return Response(orjson.dumps(error.body()), effect.code, headers, media_type=_JSON)


def first_bytes(content: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Yield so many bytes of a content."""
    for part in content:
        if count <= 0:
            return
        yield part[:count]
        count -= len(part)


def zeros(effect: Bomb) -> Iterator[bytes]:
    """Yield a bomb's body."""
    pieces = range(0, effect.size, len(_BOMB_PIECE))
    if not effect.compressed:
        for start in pieces:
            yield _BOMB_PIECE[: effect.size - start]
        return
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    for start in pieces:
        yield packer.compress(_BOMB_PIECE[: effect.size - start])
    yield packer.flush()


class CutResponse(StreamingResponse):
    """Writes to the connection itself, since no server framework sends a broken answer.

    Args:
        content: what is sent before the connection is closed.
        transport: the connection, or None if the client has left.
        headers: headers of the broken answer.
    """

    def __init__(
        self,
        content: Iterator[bytes],
        *,
        transport: asyncio.Transport | None,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, media_type="application/jsonl")
        self._transport = transport
        self._lines = [f"{name}: {value}" for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the broken answer."""
        del scope, send
        if self._transport is None:
            return
        head = ["HTTP/1.1 200 OK", "Content-Type: application/jsonl", "Connection: close"]
        self._transport.write("\r\n".join([*head, *self._lines, "", ""]).encode())
        iterator: AsyncIterator[Any] = aiter(self.body_iterator)
        async for part in iterator:
            self._transport.write(part)
        self._transport.close()
        await until_disconnected(receive)


async def until_disconnected(receive: Receive) -> None:
    """Wait for the connection to be gone, so that the server does not answer on its own."""
    while (await receive())["type"] != "http.disconnect":
        pass
