"""The emulator as a running server: starts in a thread, stops cleanly, tells what it saw."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from batch_emulator.clock import Clock, SystemClock
from batch_emulator.config import EmulatorConfig
from batch_emulator.errors import EmulatorError, MissingServerError
from batch_emulator.faults import FaultRule
from batch_emulator.journal import LoggedRequest, Operation, Violation
from batch_emulator.ledger import Ledger
from batch_emulator.service import Service
from batch_emulator.state import State

if TYPE_CHECKING:
    from batch_emulator.background import BackgroundServer

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedJob:
    """A batch job as the emulator sees it.

    Attributes:
        name: ``batches/...``.
        project: whom it is billed to.
        model: model id.
        display_name: the caller's name for it, or None.
        input_file: remote name of its input.
        request_count: lines of the input.
        state: the provider's word.
        created_at: epoch seconds.
        ended_at: epoch seconds, or None.
        hidden_until: epoch seconds until when lists leave it out, or 0.
        succeeded: lines with a vector.
        failed: lines with an error.
        result_file: remote name, or None.
        is_downloaded: the result file was sent to its last byte at least once.
        is_deleted: it was deleted, by whomever.
    """

    name: str
    project: str
    model: str
    display_name: str | None
    input_file: str
    request_count: int
    state: str
    created_at: float
    ended_at: float | None
    hidden_until: float
    succeeded: int
    failed: int
    result_file: str | None
    is_downloaded: bool
    is_deleted: bool

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Read a row of the state file."""
        values = {one.name: row[one.name] for one in fields(cls)}
        for name in ("is_downloaded", "is_deleted"):
            values[name] = bool(values[name])
        return cls(**values)


class Emulator:
    """A local stand-in for the Gemini API; see the package's docstring.

    Use it as a context manager, or call `start` and `stop`. An object that was not started reads
    the state file, and adds faults to it, while another process serves it.

    Args:
        state: path of the state file. Another start with the same file goes on where the last
            one stood, even after kill -9.
        port: port on the loopback address; 0 takes a free one.
        clock: moves the jobs.
        config: how it behaves when nothing goes wrong.

    Raises:
        MissingServerError: starlette and uvicorn are not installed.
        EmulatorError: the state file is something else.
    """

    def __init__(
        self,
        state: str | os.PathLike[str],
        *,
        port: int = 0,
        clock: Clock | None = None,
        config: EmulatorConfig | None = None,
    ) -> None:
        self._port = port
        self._make_server = _server_factory()
        self._state = State(Path(state))
        self._service = Service(
            self._state, clock=clock or SystemClock(), config=config or EmulatorConfig()
        )
        self._server: BackgroundServer | None = None

    # --- running ---------------------------------------------------------------------------

    def start(self) -> Self:
        """Start serving in a background thread; returns once it takes connections.

        Raises:
            EmulatorError: the port is taken, or it was stopped before.
        """
        if self._server is None:
            self._service.files.sweep()
            self._server = self._make_server(self._service, _listen(self._port))
        return self

    def stop(self) -> None:
        """Stop serving and close the state file. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
        self._state.close()

    def serve_forever(self) -> None:
        """Serve until SIGINT or SIGTERM, then stop. Call it from the main thread."""
        # The only thing of its kind that a signal handler may safely put into.
        stopped: SimpleQueue[int] = SimpleQueue()

        def stop(number: int, frame: FrameType | None) -> None:
            del frame
            stopped.put(number)

        before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start()
            stopped.get()
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
            self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens: the ``base_url`` for a client.

        Raises:
            EmulatorError: it does not run.
        """
        if self._server is None:
            raise EmulatorError("The emulator does not run. Call start(), or use `with`.")
        return f"http://{HOST}:{self._server.port}"

    # --- what it saw -----------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """Who was embedded how often. If it runs, jobs whose time is up are billed first."""
        self.jobs()
        return self._service.ledger

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request so far, oldest first."""
        return self._service.journal.requests()

    def calls(self, operation: Operation) -> list[LoggedRequest]:
        """Return the requests for one operation, oldest first."""
        return self._service.journal.requests(operation)

    @property
    def violations(self) -> list[Violation]:
        """What a well-behaved client would not have done."""
        return self._service.journal.violations()

    def jobs(self) -> list[EmulatedJob]:
        """Return every job ever accepted, oldest first. If it runs, they catch up with the clock."""
        rows = self._service.jobs.rows(settled=self._server is not None)
        return [EmulatedJob.from_row(row) for row in rows]

    # --- what goes wrong -------------------------------------------------------------------

    @property
    def faults(self) -> dict[int, FaultRule]:
        """The rules that stand, by number."""
        return self._service.faults.rules()

    def add_fault(self, rule: FaultRule) -> int:
        """Let something go wrong; return the rule's number. Survives a restart."""
        return self._service.faults.add(rule)

    def remove_fault(self, number: int) -> None:
        """Take one rule back."""
        self._service.faults.remove(number)

    def clear_faults(self) -> None:
        """Take all rules back."""
        self._service.faults.clear()

    def fault_hits(self, number: int) -> int:
        """Return how often a rule struck."""
        return self._service.faults.hits(number)

    # --- what other people do --------------------------------------------------------------

    def cancel_job(self, name: str) -> None:
        """Cancel a job, as somebody might in the provider's console."""
        self._service.jobs.cancel(name)

    def delete_job(self, name: str) -> None:
        """Delete a job, as somebody else might; it stops, and what it billed counts as lost."""
        self.jobs()
        self._service.jobs.cancel(name)
        self._service.jobs.remove(name)
        self._service.ledger.write_off(name)

    def delete_file(self, name: str) -> None:
        """Delete a file, as somebody else might; the texts of a result file count as lost."""
        self._service.files.remove(name)
        for job in self.jobs():
            if job.result_file == name:
                self._service.ledger.write_off(job.name)

    def revoke_key(self, key: str, *, code: int = 400) -> None:
        """Refuse a key from now on: 400 as a deleted one, 403 as a blocked one."""
        self._service.projects.revoke(key, code=code)

    def restore_key(self, key: str) -> None:
        """Accept a revoked key again."""
        self._service.projects.restore(key)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without it each answer waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise EmulatorError(
            f"The emulator cannot listen on {HOST}:{port} ({error.strerror}). Choose another port."
        ) from error
    return listener


def _server_factory() -> Callable[[Service, socket.socket], BackgroundServer]:
    """Return what serves; the only place that needs the extra.

    Raises:
        MissingServerError: it is not installed.
    """
    try:
        from batch_emulator.background import BackgroundServer  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise MissingServerError(
            "The emulator needs starlette and uvicorn. Install them with: "
            'pip install "semcore[emulator]"'
        ) from error
    return BackgroundServer
