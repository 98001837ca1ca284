"""The source of time. It is injected everywhere, so that tests set the time instead of waiting."""

from __future__ import annotations

import time
import uuid
from functools import cache
from pathlib import Path
from typing import Protocol

HOUR = 3600.0


class Clock(Protocol):
    """Tells and passes time.

    `now` is the wall clock, which anybody may set. `monotonic` measures how long something takes:
    nobody can set it, but it starts from another zero after each boot (`boot_id`).
    """

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""

    def monotonic(self) -> float:
        """Return seconds since some moment of this boot; may stop while the machine sleeps."""

    def boot_id(self) -> str:
        """Name what `monotonic` counts from: two readings under one name can be compared."""

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that nobody can set."""
        return time.monotonic()

    def boot_id(self) -> str:
        """Name this start of the machine, or this process where the system gives it no name."""
        return _boot_id()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for this many seconds."""
        time.sleep(seconds)


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        # Not Linux. Within this process, and what it forks, readings still compare.
        return f"process {uuid.uuid4()}"
