"""CPU time of a process and of a PostgreSQL server on the same machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

_TICKS = os.sysconf("SC_CLK_TCK")


class Cpu:
    """CPU seconds of this process and of every process of a server on this machine."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            (backend,) = connection.execute("SELECT pg_backend_pid()").fetchone()
            self._server = int(_stat(backend)[1])

    def by(self, action: Callable[[], object]) -> float:
        """Return what an action takes."""
        before = self._now()
        action()
        return self._now() - before

    def _now(self) -> float:
        # With those of its children that have ended; parallel workers do within an action.
        ended = sum(map(int, _stat(self._server)[13:15])) / _TICKS
        running = _seconds(self._server)
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(_stat(path.parent.name)[1]) == self._server:
                    running += _seconds(path.parent.name)
        return time.process_time() + ended + running


def _seconds(pid: object) -> float:
    """Return what a process has taken: https://docs.kernel.org/scheduler/sched-stats.html."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _stat(pid: object) -> list[str]:
    """Return the fields of a process from its state on: https://man7.org/linux/man-pages/man5/proc.5.html."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
