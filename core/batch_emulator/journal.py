"""What was asked of the emulator, and what a well-behaved client would not have asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batch_emulator.state import State


class Operation(StrEnum):
    """The calls there are."""

    UPLOAD_START = "upload_start"  #: opens an upload session
    UPLOAD = "upload"  #: one chunk
    FILE_GET = "file_get"
    FILE_LIST = "file_list"
    FILE_DELETE = "file_delete"
    DOWNLOAD = "download"
    CREATE = "create"  #: asyncBatchEmbedContent: the call that costs money
    GET = "get"
    LIST = "list"
    CANCEL = "cancel"
    DELETE = "delete"
    EMBED = "embed"  #: batchEmbedContents


class ViolationKind(StrEnum):
    """What a well-behaved client does not do."""

    INPUT_DELETED_EARLY = "input file deleted before its job ended"
    JOB_DELETED_EARLY = "job deleted before it ended"
    RESULTS_UNREAD = "job or input file deleted before its results were downloaded whole"
    SECOND_CREATE = "second job created under the display name of one that has not failed"
    DUPLICATE_KEY = "same key on several lines of an input file"
    MISSING_KEY = "line without a key in an input file"
    KEY_IN_URL = "API key sent in a URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request. The key is never kept.

    Attributes:
        at: epoch seconds.
        method: HTTP method.
        path: path without its query.
        operation: the call it is, or None for an unknown path.
        project: whom the key belongs to, or None without a key.
        outcome: the HTTP status, ``dropped``, or None while it is not answered.
    """

    at: float
    method: str
    path: str
    operation: Operation | None
    project: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One act of a badly behaved client.

    Attributes:
        at: epoch seconds.
        kind: what it was.
        subject: remote name of the file or job.
        detail: more words, never a text or a key.
    """

    at: float
    kind: ViolationKind
    subject: str
    detail: str


class Journal:
    """Writes and reads the request log and the violations."""

    def __init__(self, state: State) -> None:
        self._state = state

    def open_request(
        self, *, at: float, method: str, path: str, operation: Operation | None, project: str | None
    ) -> int:
        """Log a request before it is acted upon; return its number."""
        with self._state.transaction() as connection:
            number = connection.execute(
                "INSERT INTO requests (at, method, path, operation, project) "
                "VALUES (?, ?, ?, ?, ?)",
                (at, method, path, operation, project),
            ).lastrowid
        assert number is not None  # noqa: S101  # an INSERT always has one
        return number

    def close_request(self, number: int, outcome: str) -> None:
        """Note how a request was answered."""
        with self._state.transaction() as connection:
            connection.execute("UPDATE requests SET outcome = ? WHERE id = ?", (outcome, number))

    def requests(self, operation: Operation | None = None) -> list[LoggedRequest]:
        """Return the requests so far, oldest first."""
        return [
            LoggedRequest(
                at=row["at"],
                method=row["method"],
                path=row["path"],
                operation=None if row["operation"] is None else Operation(row["operation"]),
                project=row["project"],
                outcome=row["outcome"],
            )
            for row in self._state.rows(
                "SELECT * FROM requests WHERE ? IS NULL OR operation = ? ORDER BY id",
                (operation, operation),
            )
        ]

    def add_violation(self, kind: ViolationKind, subject: str, detail: str, *, at: float) -> None:
        """Log a violation."""
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO violations (at, kind, subject, detail) VALUES (?, ?, ?, ?)",
                (at, kind, subject, detail),
            )

    def violations(self) -> list[Violation]:
        """Return the violations so far, oldest first."""
        return [
            Violation(
                at=row["at"],
                kind=ViolationKind(row["kind"]),
                subject=row["subject"],
                detail=row["detail"],
            )
            for row in self._state.rows("SELECT * FROM violations ORDER BY id")
        ]
