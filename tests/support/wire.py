"""A transport that answers by script and remembers what was sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from semantic_core.domain.clock import Clock
from semantic_core.providers.gemini import Endpoint
from semantic_core.providers.gemini.connection import Connection
from semantic_core.providers.port import BatchProvider
from semantic_core.providers.types import RemoteJob
from semantic_core.providers.wire.access import Secret

Answer = httpx2.Response | BaseException | Callable[[httpx2.Request], httpx2.Response]


@dataclass(frozen=True)
class Sent:
    """One request as it left us. Header names are in lower case."""

    method: str
    url: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedTransport(httpx2.BaseTransport):
    """Gives one answer after the other; a request too many fails the test."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.sent: list[Sent] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(
            Sent(
                method=request.method,
                url=str(request.url),
                path=request.url.path,
                query=dict(request.url.params),
                headers=dict(request.headers),
                body=b"".join(request.stream),
            )
        )
        if not self._answers:
            raise AssertionError(f"Nothing scripted for {request.method} {request.url}.")
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, httpx2.Response) else answer(request)

    @property
    def left(self) -> int:
        """How many answers were not asked for."""
        return len(self._answers)


def answer(body: Any = None, *, code: int = 200, **headers: str) -> httpx2.Response:
    """Build an answer: JSON from an object, or the bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return httpx2.Response(
        code,
        headers={
            "content-length": str(len(content)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        # As from the network: it is not there before it is read.
        stream=httpx2.ByteStream(content),
    )


def refusal(code: int, status: str, message: str, *details: dict[str, Any]) -> httpx2.Response:
    """Build an error in Google's form."""
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return answer({"error": error}, code=code)


class Chunks(httpx2.SyncByteStream):
    """A body that comes in pieces, may break off, and tells when it was closed."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self._chunks = chunks
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.is_closed = True


def connect_to(
    endpoint: Endpoint, key: Secret, *, clock: Clock, transport: httpx2.BaseTransport | None = None
) -> Connection:
    """Open a connection; errors call its key "key"."""
    return Connection(endpoint.access(key, key_name="key", clock=clock, transport=transport))


def jobs_named(client: BatchProvider, name: str) -> list[RemoteJob]:
    """Return all jobs of exactly this name."""
    return [job for job in client.jobs(name).jobs if job.display_name == name]
