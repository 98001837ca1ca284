"""The wire: routes, keys, faults, and answers as HTTP. An ASGI application."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from batch_emulator.effects import (
    CALL_EFFECTS,
    Bomb,
    CallEffect,
    CutDownload,
    CutUpload,
    Delay,
    Drop,
    Garbage,
    Misdate,
    Redirect,
    Reply,
)
from batch_emulator.journal import Operation, ViolationKind
from batch_emulator.messages import camel_name
from batch_emulator.replies import ApiError
from batch_emulator.responses import (
    CutResponse,
    DroppedError,
    faulty_answer,
    first_bytes,
    refusal_of,
    success_of,
    until_disconnected,
    zeros,
)
from batch_emulator.service import Call, Service

_VERSION = r"/(?:v1|v1beta|v1alpha)"
_ID = r"(?P<name>[^/:]+)"
_ROUTES = [
    (method, re.compile(pattern), operation)
    for method, pattern, operation in (
        ("POST", rf"/upload{_VERSION}/files", Operation.UPLOAD_START),
        ("GET", rf"{_VERSION}/files", Operation.FILE_LIST),
        ("GET", rf"(?:/download)?{_VERSION}/files/{_ID}:download", Operation.DOWNLOAD),
        ("GET", rf"{_VERSION}/files/{_ID}", Operation.FILE_GET),
        ("DELETE", rf"{_VERSION}/files/{_ID}", Operation.FILE_DELETE),
        ("POST", rf"{_VERSION}/models/{_ID}:asyncBatchEmbedContent", Operation.CREATE),
        ("POST", rf"{_VERSION}/models/{_ID}:batchEmbedContents", Operation.EMBED),
        ("GET", rf"{_VERSION}/batches", Operation.LIST),
        ("GET", rf"{_VERSION}/batches/{_ID}", Operation.GET),
        ("DELETE", rf"{_VERSION}/batches/{_ID}", Operation.DELETE),
        ("POST", rf"{_VERSION}/batches/{_ID}:cancel", Operation.CANCEL),
    )
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    operation: Operation
    name: str


class Application:
    """Serves the API.

    Args:
        service: what it does.
        transports: open connections by the client's address, for faults that break them.
        stopping: set when the server stops, so that no delay outlives it.
    """

    def __init__(
        self,
        service: Service,
        *,
        transports: dict[tuple[str, int], asyncio.Transport],
        stopping: asyncio.Event,
    ) -> None:
        self._service = service
        self._transports = transports
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        route = _find_route(request)
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        number = await run_in_threadpool(self._log, request, route, key)
        journal = self._service.journal
        try:
            response = await self._respond(request, route, key, number)
        except ClientDisconnect:
            return
        except DroppedError:
            await run_in_threadpool(journal.close_request, number, "dropped")
            transport = self._transport(request)
            if transport is not None:
                transport.abort()
            await until_disconnected(receive)
            return
        await run_in_threadpool(journal.close_request, number, str(response.status_code))
        await response(scope, receive, send)

    async def _respond(
        self, request: Request, route: _Route | None, key: str | None, number: int
    ) -> Response:
        # All of it, whatever the answer: an unread body would break the connection.
        body = await self._read(request, route, number)
        try:
            response = await self._serve(request, route, key, number, body)
        except ApiError as error:
            is_upload = route is not None and route.operation is Operation.UPLOAD
            response = refusal_of(error, is_upload=is_upload)
        await run_in_threadpool(self._date, response, route, number)
        return response

    def _date(self, response: Response, route: _Route | None, number: int) -> None:
        """Say when the answer is given, unless a fault says another time or none."""
        operation = None if route is None else route.operation
        effects = self._service.faults.take(
            (Misdate,), subject=f"request {number}", names=(), operation=operation
        )
        shift = effects[0].seconds if effects else 0.0
        if shift is not None:
            now = self._service.clock.now() + shift
            response.headers["Date"] = formatdate(now, usegmt=True)

    async def _read(self, request: Request, route: _Route | None, number: int) -> bytes:
        """Read the body.

        Raises:
            DroppedError: a fault cuts an upload.
        """
        limit = None
        if route is not None and route.operation is Operation.UPLOAD:
            limit = await run_in_threadpool(self._upload_limit, route.name, number)
        body = bytearray()
        async for part in request.stream():
            body += part
            if limit is not None and len(body) >= limit:
                break
        if limit is not None:
            raise DroppedError
        return bytes(body)

    def _upload_limit(self, upload_id: str, number: int) -> int | None:
        cuts = self._service.faults.take(
            (CutUpload,),
            subject=f"request {number}",
            names=self._service.names_of_upload(upload_id),
            operation=Operation.UPLOAD,
        )
        return min((one.at for one in cuts), default=None)

    def _log(self, request: Request, route: _Route | None, key: str | None) -> int:
        now = self._service.clock.now()
        journal = self._service.journal
        if "key" in request.query_params:
            journal.add_violation(ViolationKind.KEY_IN_URL, request.url.path, "", at=now)
        return journal.open_request(
            at=now,
            method=request.method,
            path=request.url.path,
            operation=None if route is None else route.operation,
            project=self._service.projects.name_of(key) if key else None,
        )

    async def _serve(
        self, request: Request, route: _Route | None, key: str | None, number: int, body: bytes
    ) -> Response:
        if route is None:
            raise ApiError(404, f"The emulator has no {request.method} {request.url.path}.")
        service = self._service
        project = ""
        # Google knows an upload session by its id: its chunks come without a key.
        if route.operation is not Operation.UPLOAD:
            project = await run_in_threadpool(service.projects.admit, key)
        call = Call(
            operation=route.operation,
            number=number,
            name=route.name,
            project=project,
            query={camel_name(name): value for name, value in request.query_params.items()},
            headers=dict(request.headers),
            body=body,
            base_url=f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}",
        )
        effects = await run_in_threadpool(self._effects, call)
        await self._wait(effects, after=False)
        first = next((one for one in effects if not isinstance(one, Delay)), None)
        if first is not None and not getattr(first, "after", True):
            return faulty_answer(first)
        if isinstance(first, Redirect):
            return Response(status_code=first.code, headers={"Location": first.location})
        answer = await run_in_threadpool(service.answer, call)
        await self._wait(effects, after=True)
        if isinstance(first, (Reply, Drop, Garbage)):
            return faulty_answer(first)
        if answer.file is None:
            return success_of(answer)
        return self._download(request, answer.file, first)

    def _effects(self, call: Call) -> list[CallEffect]:
        return self._service.faults.take(
            CALL_EFFECTS,
            subject=f"request {call.number}",
            names=self._service.names_in(call),
            operation=call.operation,
        )

    async def _wait(self, effects: list[CallEffect], *, after: bool) -> None:
        seconds = sum(
            one.seconds for one in effects if isinstance(one, Delay) and one.after is after
        )
        if seconds:
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                return
            raise DroppedError

    def _download(self, request: Request, row: Any, effect: CallEffect | None) -> Response:
        service = self._service
        headers = {"Content-Length": str(row["size"])}
        content = service.files.contents.read(row["content"])
        if isinstance(effect, Bomb):
            encoding = {"Content-Encoding": "gzip"} if effect.compressed else {}
            return StreamingResponse(
                zeros(effect), headers=encoding, media_type="application/jsonl"
            )
        # A cut behind the last byte is none.
        if isinstance(effect, CutDownload) and effect.at < row["size"]:
            return CutResponse(
                first_bytes(content, effect.at),
                transport=self._transport(request),
                headers=headers if effect.tells_length else {},
            )

        if not row["size"]:
            service.jobs.note_download(row["name"])

        def whole() -> Iterator[bytes]:
            sent = 0
            for part in content:
                sent += len(part)
                if sent == row["size"]:
                    # Before the last byte leaves: after it, the client may act at once.
                    service.jobs.note_download(row["name"])
                yield part

        return StreamingResponse(whole(), headers=headers, media_type="application/jsonl")

    def _transport(self, request: Request) -> asyncio.Transport | None:
        """Return the connection, or None if the client has left."""
        address = request.client
        return None if address is None else self._transports.get((address.host, address.port))


def _find_route(request: Request) -> _Route | None:
    path = request.url.path
    for method, pattern, operation in _ROUTES:
        match = pattern.fullmatch(path)
        if match is not None and method == request.method:
            if operation is Operation.UPLOAD_START and "upload_id" in request.query_params:
                return _Route(operation=Operation.UPLOAD, name=request.query_params["upload_id"])
            return _Route(operation=operation, name=match.groupdict().get("name") or "")
    return None
