"""The calls of the API: from a parsed request to an answer, without HTTP."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from batch_emulator.clock import Clock
from batch_emulator.config import EmulatorConfig, ModelInfo
from batch_emulator.embedding import count_tokens
from batch_emulator.faults import FaultBook
from batch_emulator.files import Files
from batch_emulator.jobs import JobRequest, Jobs
from batch_emulator.journal import Journal, Operation
from batch_emulator.ledger import Ledger, TextKey, text_sha256
from batch_emulator.messages import read_body
from batch_emulator.projects import Projects
from batch_emulator.replies import ApiError, file_body, job_body, without_empty
from batch_emulator.results import embed
from batch_emulator.state import State
from batch_emulator.validation import (
    CREATE_BODY,
    LIVE_BODY,
    MOST_LIVE_REQUESTS,
    UPLOAD_BODY,
    EmbedRequest,
    check_file_id,
    check_file_id_length,
    objection,
    read_page_size,
)

_DEFAULT_PAGE = {Operation.FILE_LIST: 10, Operation.LIST: 50}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, parsed as far as HTTP goes.

    Attributes:
        operation: what is asked.
        number: its number in the request log.
        name: what the path names: a file id, a job id or a model id.
        project: whom the key belongs to; empty for an upload chunk, which bears none.
        query: query parameters.
        headers: request headers, names in lower case.
        body: the whole body.
        base_url: scheme and host by which the client reaches this server.
    """

    operation: Operation
    number: int
    name: str
    project: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    base_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer: JSON, or the content of a file.

    Attributes:
        body: JSON; None for an empty body.
        headers: more headers.
        file: the row of the file to send instead of a body.
    """

    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: sqlite3.Row | None = None


class Service:
    """Everything the emulator does, apart from the wire and its faults."""

    def __init__(self, state: State, *, clock: Clock, config: EmulatorConfig) -> None:
        self._config = config
        self.clock = clock
        self.state = state
        self.journal = Journal(state)
        self.faults = FaultBook(state)
        self.ledger = Ledger(state)
        self.projects = Projects(state, config)
        self.files = Files(state, clock=clock, config=config)
        self.jobs = Jobs(state, clock=clock, config=config, files=self.files)
        self._handlers = {
            Operation.UPLOAD_START: self._start_upload,
            Operation.UPLOAD: self._upload,
            Operation.FILE_GET: self._get_file,
            Operation.FILE_LIST: self._list_files,
            Operation.FILE_DELETE: self._delete_file,
            Operation.DOWNLOAD: self._download,
            Operation.CREATE: self._create,
            Operation.GET: self._get_job,
            Operation.LIST: self._list_jobs,
            Operation.CANCEL: self._cancel_job,
            Operation.DELETE: self._delete_job,
            Operation.EMBED: self._embed,
        }

    def answer(self, call: Call) -> Answer:
        """Do what is asked.

        Raises:
            ApiError: a refusal, for the client.
        """
        return self._handlers[call.operation](call)

    def names_in(self, call: Call) -> list[str]:
        """Return the names a fault's target may mean in a call."""
        names: list[str | None] = []
        if call.operation in (Operation.UPLOAD_START, Operation.CREATE):
            names += _display_names(call.body)
        elif call.operation is Operation.UPLOAD:
            names += self.names_of_upload(call.name)
        elif call.operation in (Operation.GET, Operation.CANCEL, Operation.DELETE):
            names.append(f"batches/{call.name}")
            row = self.state.row("SELECT * FROM jobs WHERE name = ?", (names[-1],))
            names += [] if row is None else self.jobs.names_of(row)
        elif call.name and call.operation is not Operation.EMBED:
            names.append(f"files/{call.name}")
            for table, column in (("files", "name"), ("jobs", "result_file")):
                row = self.state.row(
                    f"SELECT name, display_name FROM {table} WHERE {column} = ?", (names[0],)
                )
                names += [] if row is None else list(row)
        if call.operation in (Operation.CREATE, Operation.EMBED):
            names.append(call.name)
        return [name for name in names if name]

    def names_of_upload(self, upload_id: str) -> list[str]:
        """Return the names of the file that an upload session makes."""
        row = self.state.row("SELECT name, display_name FROM uploads WHERE id = ?", (upload_id,))
        return [] if row is None else [name for name in row if name]

    # --- files -----------------------------------------------------------------------------

    def _start_upload(self, call: Call) -> Answer:
        if call.headers.get("x-goog-upload-protocol", "").lower() != "resumable":
            raise ApiError(400, "Only the resumable upload protocol is supported.")
        if call.headers.get("x-goog-upload-command", "").lower() != "start":
            raise ApiError(400, "An upload must begin with the command 'start'.")
        given = read_body(call.body, UPLOAD_BODY).get("file", {})
        name = given.get("name")
        if name is not None:
            check_file_id(name.removeprefix("files/"), "CreateFileRequest.file.name")
        length = call.headers.get("x-goog-upload-header-content-length", "")
        upload_id = self.files.start_upload(
            call.project,
            file_id=None if name is None else name.removeprefix("files/"),
            display_name=given.get("displayName"),
            mime_type=given.get("mimeType")
            or call.headers.get("x-goog-upload-header-content-type"),
            size=int(length) if length.isdigit() else given.get("sizeBytes"),
        )
        return Answer(
            headers={
                "X-Goog-Upload-Status": "active",
                "X-Goog-Upload-URL": f"{call.base_url}/upload/v1beta/files?upload_id={upload_id}"
                "&upload_protocol=resumable",
                "X-Goog-Upload-Chunk-Granularity": "262144",
            }
        )

    def _upload(self, call: Call) -> Answer:
        commands = {
            word.strip().lower()
            for word in call.headers.get("x-goog-upload-command", "").split(",")
        }
        if commands == {"query"}:
            session = self.files.find_upload(call.name)
            return Answer(
                headers={
                    "X-Goog-Upload-Status": "final" if session["is_final"] else "active",
                    "X-Goog-Upload-Size-Received": str(session["received"]),
                }
            )
        if not commands <= {"upload", "finalize"}:
            raise ApiError(400, "Unknown X-Goog-Upload-Command.")
        if "upload" in commands:
            offset = call.headers.get("x-goog-upload-offset", "")
            if not offset.isdigit():
                raise ApiError(400, "X-Goog-Upload-Offset is missing or no number.")
            received = self.files.add_chunk(call.name, int(offset), call.body)
        else:
            received = self.files.find_upload(call.name)["received"]
        if "finalize" not in commands:
            return Answer(
                headers={
                    "X-Goog-Upload-Status": "active",
                    "X-Goog-Upload-Size-Received": str(received),
                }
            )
        row = self.files.finish_upload(call.name)
        return Answer(
            body={"file": file_body(row, base_url=call.base_url)},
            headers={"X-Goog-Upload-Status": "final"},
        )

    def _get_file(self, call: Call) -> Answer:
        row = self.files.find(f"files/{call.name}", call.project)
        return Answer(body=file_body(row, base_url=call.base_url))

    def _list_files(self, call: Call) -> Answer:
        size = self._page_size(call)
        rows = self.files.page(call.project, size=size, after=call.query.get("pageToken"))
        return Answer(
            body=without_empty(
                {
                    "files": [file_body(row, base_url=call.base_url) for row in rows[:size]],
                    "nextPageToken": rows[size - 1]["name"] if len(rows) > size else None,
                }
            )
        )

    def _delete_file(self, call: Call) -> Answer:
        # Google's own result files are longer than its rule allows, so nobody can delete them.
        check_file_id_length(call.name, "DeleteFileRequest.name")
        row = self.files.find(f"files/{call.name}", call.project)
        self.jobs.note_file_deletion(row["name"])
        self.files.remove(row["name"])
        return Answer(body={})

    def _download(self, call: Call) -> Answer:
        row = self.files.find(f"files/{call.name}", call.project)
        if row["source"] != "GENERATED":
            raise ApiError(400, f"File {call.name} cannot be downloaded: it was uploaded.")
        if call.query.get("alt") != "media":
            raise ApiError(400, "Only alt=media is supported for downloads.")
        return Answer(file=row)

    # --- jobs ------------------------------------------------------------------------------

    def _create(self, call: Call) -> Answer:
        self._model(call.name)
        batch = read_body(call.body, CREATE_BODY).get("batch", {})
        if batch.get("model") not in (None, f"models/{call.name}"):
            raise ApiError(400, f"batch.model must be models/{call.name}, as in the URL.")
        source = batch.get("inputConfig", {})
        if "requests" in source:
            raise ApiError(400, "The emulator takes batches from a file only, not inlined ones.")
        if not source.get("fileName", "").startswith("files/"):
            raise ApiError(400, "batch.input_config.file_name is required: 'files/...'.")
        request = JobRequest(
            project=call.project,
            model=call.name,
            display_name=batch.get("displayName") or None,
            input_file=source["fileName"],
            subject=f"request {call.number}",
        )
        return Answer(body=self._job(self.jobs.create(request)))

    def _get_job(self, call: Call) -> Answer:
        return Answer(body=self._job(self._find_job(call)))

    def _list_jobs(self, call: Call) -> Answer:
        size = self._page_size(call)
        token = call.query.get("pageToken")
        if token and not token.isdigit():
            raise ApiError(400, "Invalid page_token.")
        rows = self.jobs.page(call.project, size=size, before=int(token) if token else None)
        return Answer(
            body=without_empty(
                {
                    "operations": [self._job(row) for row in rows[:size]],
                    "nextPageToken": str(rows[size - 1]["number"]) if len(rows) > size else None,
                }
            )
        )

    def _cancel_job(self, call: Call) -> Answer:
        self.jobs.cancel(self._find_job(call)["name"])
        return Answer(body={})

    def _delete_job(self, call: Call) -> Answer:
        self.jobs.delete(self._find_job(call))
        return Answer(body={})

    # --- live ------------------------------------------------------------------------------

    def _embed(self, call: Call) -> Answer:
        info = self._model(call.name)
        requests: list[EmbedRequest] = read_body(call.body, LIVE_BODY).get("requests", [])
        self._check_live(requests, model=call.name, info=info)
        vectors = [embed(request, model=call.name, info=info) for request in requests]
        self.ledger.submit(
            (
                (
                    TextKey(
                        text_sha256(request.identity), call.name, len(vector), request.task_type
                    ),
                    count_tokens(request.embedded_text),
                    request.media_tokens,
                )
                for request, vector in zip(requests, vectors, strict=True)
            ),
            project=call.project,
            job=None,
            at=self.clock.now(),
        )
        tokens = sum(
            info.tokens(request.embedded_text) + request.media_tokens for request in requests
        )
        return Answer(
            body={
                "embeddings": [{"values": vector} for vector in vectors],
                "usageMetadata": {"promptTokenCount": tokens},
            }
        )

    def _check_live(self, requests: list[EmbedRequest], *, model: str, info: ModelInfo) -> None:
        prefix = "* BatchEmbedContentsRequest.requests"
        if not requests:
            raise ApiError(400, f"{prefix}: requests is required and must not be empty\n")
        if len(requests) > MOST_LIVE_REQUESTS:
            raise ApiError(
                400, f"{prefix}: at most {MOST_LIVE_REQUESTS} requests can be in one batch\n"
            )
        for number, request in enumerate(requests):
            if request.model is None:
                raise ApiError(400, f"{prefix}[{number}].model: model is required\n")
            problem = objection(request, model=model, info=info)
            if problem is not None:
                raise ApiError(400, f"{prefix}[{number}]: {problem}\n")

    # --- parts -----------------------------------------------------------------------------

    def _model(self, name: str) -> ModelInfo:
        info = self._config.models.get(name)
        if info is None:
            raise ApiError(
                404,
                f"models/{name} is not found for API version v1beta, or is not supported for "
                "embedContent. Call ListModels to see the list of available models and their "
                "supported methods.",
            )
        return info

    def _find_job(self, call: Call) -> sqlite3.Row:
        return self.jobs.find(f"batches/{call.name}", call.project)

    def _job(self, row: sqlite3.Row) -> dict[str, Any]:
        return job_body(row, done_share=self.jobs.done_share(row))

    def _page_size(self, call: Call) -> int:
        return read_page_size(
            call.query.get("pageSize"),
            largest=self._config.largest_page,
            default=_DEFAULT_PAGE[call.operation],
        )


def _display_names(body: bytes) -> list[str | None]:
    """Return the names in the body of an upload or a create, however wrong the rest of it is."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    names: list[str | None] = []
    for part in ("batch", "file"):
        inner = given.get(part) if isinstance(given, dict) else None
        if isinstance(inner, dict):
            values = (inner.get(key) for key in ("displayName", "display_name", "name"))
            names += [value for value in values if isinstance(value, str)]
    return names
