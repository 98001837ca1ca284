"""Batch jobs: accepted, pending, running, ended, all by the clock.

Nothing runs in the background. Whoever looks at a job first makes it catch up with the clock,
so that a restart, a killed process and a test's moving clock all see the same history.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass

from batch_emulator.clock import Clock
from batch_emulator.conduct import Conduct
from batch_emulator.config import EmulatorConfig, ModelInfo
from batch_emulator.effects import LINE_EFFECTS, EndJob, HideJob, Relabel, StickJob
from batch_emulator.embedding import count_tokens
from batch_emulator.faults import FaultBook
from batch_emulator.files import PART_SIZE, Files, random_id
from batch_emulator.inputs import InputLine, read_input
from batch_emulator.journal import Journal, Operation
from batch_emulator.ledger import Ledger, TextKey, text_sha256
from batch_emulator.replies import ApiError
from batch_emulator.results import Runner
from batch_emulator.state import State

PENDING = "BATCH_STATE_PENDING"
RUNNING = "BATCH_STATE_RUNNING"
SUCCEEDED = "BATCH_STATE_SUCCEEDED"
PARTIALLY_SUCCEEDED = "BATCH_STATE_PARTIALLY_SUCCEEDED"
FAILED = "BATCH_STATE_FAILED"
CANCELLED = "BATCH_STATE_CANCELLED"
EXPIRED = "BATCH_STATE_EXPIRED"

_DEFAULT_ERRORS = {
    FAILED: (13, "The batch job failed with an internal error."),
    CANCELLED: (1, "The operation was cancelled."),
    EXPIRED: (4, "The batch job expired before it was finished."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A create call.

    Attributes:
        project: whom the job is billed to.
        model: id of a known model.
        display_name: the caller's name for it, or None.
        input_file: remote name of the input.
        subject: the call, as `FaultBook.take` counts it.
    """

    project: str
    model: str
    display_name: str | None
    input_file: str
    subject: str


class Jobs:
    """The Batch API without HTTP."""

    def __init__(self, state: State, *, clock: Clock, config: EmulatorConfig, files: Files) -> None:
        self._state = state
        self._clock = clock
        self._config = config
        self._files = files
        self._faults = FaultBook(state)
        self._conduct = Conduct(Journal(state), clock)
        self._ledger = Ledger(state)
        self._creating = threading.Lock()
        self._running = threading.Lock()

    # --- calls -----------------------------------------------------------------------------

    def create(self, request: JobRequest) -> sqlite3.Row:
        """Accept a job. Asking twice gives two jobs, as at Google.

        Raises:
            ApiError: 403 there is no such file, 400 it has a line that is no request, 429 too
                many jobs, or tokens in them, are open.
        """
        # Two calls at once must not both find room for themselves.
        with self._creating:
            return self._create(request)

    def _create(self, request: JobRequest) -> sqlite3.Row:
        project, model = request.project, request.model
        display_name = request.display_name
        source = self._files.find(request.input_file, project)
        lines = read_input(self._files.contents.read(source["content"]))
        info = self._config.models[model]
        keys = [_billing_key(line, model, info) for line in lines]
        self._check_quotas(project, model, tokens=sum(text + media for _, text, media in keys))
        now = self._clock.now()
        names = [display_name] if display_name else []
        effects = self._faults.take(
            (HideJob, Relabel), subject=request.subject, names=names, operation=Operation.CREATE
        )
        hidden = [one.seconds for one in effects if isinstance(one, HideJob)]
        labels = [one for one in effects if isinstance(one, Relabel)] or [Relabel()]
        label = (labels[0].display_name or display_name or "")[: labels[0].name_length]
        name = f"batches/{random_id(36)}"
        if display_name and self._has_standing(display_name):
            self._conduct.note_twin(name, display_name)
        self._conduct.check_keys(name, lines)
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO jobs (name, project, model, display_name, input_file, content, "
                "request_count, state, created_at, updated_at, hidden_until, label, spelling) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    name,
                    project,
                    model,
                    display_name,
                    request.input_file,
                    source["content"],
                    len(lines),
                    PENDING,
                    now,
                    now,
                    now + max(hidden, default=0.0),
                    label or None,
                    labels[0].model or model,
                ),
            )
            self._ledger.submit(keys, project=project, job=name, at=now)
        return self._read(name)

    def find(self, name: str, project: str) -> sqlite3.Row:
        """Return a job of a project, caught up with the clock.

        Raises:
            ApiError: 404, for jobs of others and for none alike.
        """
        row = self._state.row(
            "SELECT * FROM jobs WHERE name = ? AND project = ? AND NOT is_deleted", (name, project)
        )
        if row is None:
            raise ApiError(404, "Requested entity was not found.")
        return self.settle(row)

    def page(self, project: str, *, size: int, before: int | None) -> list[sqlite3.Row]:
        """Return one job more than a page holds, if there are so many; newest first."""
        rows = self._state.rows(
            "SELECT * FROM jobs WHERE project = ? AND NOT is_deleted AND hidden_until <= ? "
            "AND (? IS NULL OR number < ?) ORDER BY number DESC LIMIT ?",
            (project, self._clock.now(), before, before, size + 1),
        )
        return [self.settle(row) for row in rows]

    def cancel(self, name: str) -> None:
        """Cancel a job, unless it has ended."""
        self._end(name, state=CANCELLED, ended_at=self._clock.now())

    def delete(self, row: sqlite3.Row) -> None:
        """Remove a job from sight; its result file stays.

        A job under way goes on and is billed. Google's documents say this and its opposite; this
        is the costlier reading.
        """
        self._conduct.check_job_deletion(row)
        self.remove(row["name"])

    def remove(self, name: str) -> None:
        """Remove a job, as somebody else might."""
        with self._state.transaction() as connection:
            connection.execute("UPDATE jobs SET is_deleted = 1 WHERE name = ?", (name,))

    def note_file_deletion(self, file_name: str) -> None:
        """Check a caller's deletion of a file against the jobs that need it."""
        for row in self._state.rows(
            "SELECT * FROM jobs WHERE input_file = ? AND NOT is_deleted", (file_name,)
        ):
            self._conduct.check_input_deletion(self.settle(row))

    def note_download(self, file_name: str) -> None:
        """Note that a result file was sent to its last byte."""
        with self._state.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET is_downloaded = 1 WHERE result_file = ?", (file_name,)
            )

    def rows(self, *, settled: bool) -> list[sqlite3.Row]:
        """Return all jobs, deleted ones too, oldest first; `settled`: caught up with the clock."""
        rows = self._state.rows("SELECT * FROM jobs ORDER BY number")
        return [self.settle(row) for row in rows] if settled else rows

    def done_share(self, row: sqlite3.Row) -> float:
        """Return how much of a running job counts as done."""
        if row["state"] == PENDING or not self._config.running_seconds:
            return 0.0
        started = row["created_at"] + self._config.pending_seconds
        share: float = (self._clock.now() - started) / self._config.running_seconds
        return min(1.0, max(0.0, share))

    # --- the clock -------------------------------------------------------------------------

    def settle(self, row: sqlite3.Row) -> sqlite3.Row:
        """Bring a job to where it is by now; return it."""
        if row["ended_at"] is not None:
            return row
        ended_at = self._advance(row)
        if ended_at is not None:
            with self._running:  # others who ask meanwhile wait for the result
                row = self._read(row["name"])
                if row["ended_at"] is None:
                    self._finish(row, ended_at=ended_at)
        return self._read(row["name"])

    def _advance(self, row: sqlite3.Row) -> float | None:
        """Move a job on; return when it ended, if its time is up, so that it can run."""
        now = self._clock.now()
        name = row["name"]
        stuck = self._faults.take((StickJob,), subject=name, names=self.names_of(row))
        starts_at = row["created_at"] + self._config.pending_seconds
        ends_at: float = starts_at + self._config.running_seconds
        expires_at = row["created_at"] + self._config.job_lifetime
        if stuck:
            self._move(name, stuck[0].state, at=now)
        elif now < min(ends_at, expires_at):
            state = PENDING if now < starts_at else RUNNING
            if state != row["state"]:
                self._move(name, state, at=max(starts_at, row["created_at"]))
        elif expires_at < ends_at:
            self._end(name, state=EXPIRED, ended_at=expires_at)
        else:
            # A job that a fault held up ends when it is let go, not in the past.
            return ends_at if row["updated_at"] <= ends_at else now
        return None

    def _finish(self, row: sqlite3.Row, *, ended_at: float) -> None:
        name, names = row["name"], self.names_of(row)
        ending = next(iter(self._faults.take((EndJob,), subject=name, names=names)), None)
        if not self._state.row(
            "SELECT 1 FROM files WHERE name = ? AND content = ?",
            (row["input_file"], row["content"]),
        ):
            message = f"The input file {row['input_file']} was not found."
            self._end(name, state=FAILED, ended_at=ended_at, error=(5, message))
            return
        state = SUCCEEDED if ending is None else ending.state
        has_results = state in (SUCCEEDED, PARTIALLY_SUCCEEDED)
        if ending is not None and ending.has_results is not None:
            has_results = ending.has_results
        error = None if ending is None else _error_of(ending)
        if has_results:
            is_counted = ending is None or ending.is_counted
            self._run(row, state=state, ended_at=ended_at, error=error, is_counted=is_counted)
            return
        with self._state.transaction():
            is_billed = ending is not None and ending.is_billed
            counts = (row["request_count"], 0) if is_billed else (0, 0)
            is_ended = self._end(name, state=state, ended_at=ended_at, error=error, counts=counts)
            if is_ended and is_billed:
                lines = [(number, True) for number in range(row["request_count"])]
                self._ledger.bill(name, lines, at=ended_at)

    def _run(
        self,
        row: sqlite3.Row,
        *,
        state: str,
        ended_at: float,
        error: tuple[int, str] | None,
        is_counted: bool,
    ) -> None:
        """Write the result file, and only when it is whole show it and bill it."""
        name = row["name"]
        runner = Runner(
            read_input(self._files.contents.read(row["content"])),
            model=row["model"],
            info=self._config.models[row["model"]],
            effects=self._faults.take(LINE_EFFECTS, subject=name, names=self.names_of(row)),
            shuffle=name if self._config.shuffle_results else None,
        )
        content = self._files.contents.create()
        buffer, written, failed = bytearray(), 0, 0
        billed: list[tuple[int, bool]] = []
        for result in runner.run():
            buffer += result.data
            if result.is_billed:
                billed.append((result.number, result.is_lost))
            elif not result.is_skipped:
                failed += 1
            if len(buffer) >= PART_SIZE:
                self._files.contents.append(content, written, bytes(buffer))
                written += len(buffer)
                buffer.clear()
        self._files.contents.append(content, written, bytes(buffer))
        result_file = f"files/batch-{name.removeprefix('batches/')}"
        with self._state.transaction():
            if not self._end(
                name,
                state=state,
                ended_at=ended_at,
                error=error,
                counts=(len(billed), failed) if is_counted else (0, 0),
                result_file=result_file,
            ):
                return  # cancelled meanwhile
            self._files.add_generated(
                result_file,
                row["project"],
                content=content,
                mime_type="application/jsonl",
                created_at=ended_at,
            )
            self._ledger.bill(name, billed, at=ended_at)

    def _move(self, name: str, state: str, *, at: float) -> None:
        with self._state.transaction() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, updated_at = ? WHERE name = ? AND ended_at IS NULL",
                (state, at, name),
            )

    def _end(
        self,
        name: str,
        *,
        state: str,
        ended_at: float,
        error: tuple[int, str] | None = None,
        counts: tuple[int, int] = (0, 0),
        result_file: str | None = None,
    ) -> bool:
        """End a job; return False if it had ended already."""
        code, message = error or _DEFAULT_ERRORS.get(state) or (None, None)
        with self._state.transaction() as connection:
            ended = connection.execute(
                "UPDATE jobs SET state = ?, updated_at = ?, ended_at = ?, error_code = ?, "
                "error_message = ?, succeeded = ?, failed = ?, result_file = ? "
                "WHERE name = ? AND ended_at IS NULL",
                (state, ended_at, ended_at, code, message, *counts, result_file, name),
            )
        return bool(ended.rowcount)

    # --- bookkeeping -----------------------------------------------------------------------

    def _check_quotas(self, project: str, model: str, *, tokens: int) -> None:
        """Check what is enqueued of a model, and so many tokens more, against the quotas.

        Raises:
            ApiError: 429. As seen at Google, it says neither which quota nor how long to wait.
        """
        rows = self._state.rows(
            "SELECT * FROM jobs WHERE project = ? AND model = ? AND ended_at IS NULL "
            "AND NOT is_deleted",
            (project, model),
        )
        most_jobs, most_tokens = self._config.most_open_jobs, self._config.most_enqueued_tokens
        if len(rows) < most_jobs and most_tokens is None:
            return
        names = [row["name"] for row in rows if self.settle(row)["ended_at"] is None]
        if most_tokens is not None:
            tokens += sum(
                entry.tokens for name in names for entry in self._ledger.entries(job=name)
            )
        if len(names) >= most_jobs or (most_tokens is not None and tokens > most_tokens):
            raise ApiError(429, "Resource has been exhausted (e.g. check quota).")

    def _has_standing(self, display_name: str) -> bool:
        """Tell whether a job of this name has not failed, as far as the clock goes."""
        rows = self._state.rows("SELECT * FROM jobs WHERE display_name = ?", (display_name,))
        return any(self.settle(row)["state"] not in _DEFAULT_ERRORS for row in rows)

    def names_of(self, row: sqlite3.Row) -> list[str]:
        """Return the names by which a fault's target may mean a job."""
        names = (row["name"], row["display_name"], row["input_file"], row["result_file"])
        return [name for name in names if name]

    def _read(self, name: str) -> sqlite3.Row:
        row = self._state.row("SELECT * FROM jobs WHERE name = ?", (name,))
        assert row is not None  # noqa: S101  # rows of jobs are never removed
        return row


def _error_of(ending: EndJob) -> tuple[int, str] | None:
    code, message = _DEFAULT_ERRORS.get(ending.state, (2, "Unknown error."))
    if ending.code is None and ending.message is None:
        return None
    return ending.code or code, ending.message or message


def _billing_key(line: InputLine, model: str, info: ModelInfo) -> tuple[TextKey, int, int]:
    request = line.request
    dimensions = request.dimensions or info.largest_dimensions
    key = TextKey(text_sha256(request.identity), model, dimensions, request.task_type)
    return key, count_tokens(request.embedded_text), request.media_tokens
