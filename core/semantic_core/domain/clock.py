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


class SystemClock(Clock):
    """The machine's own clock; outside Linux, a boot is this process and what it forks."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def boot_id(self) -> str:
        return _boot_id()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return f"process {uuid.uuid4()}"
