"""Where time comes from. Injected everywhere, so that tests move it instead of waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells and passes time."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for this many seconds."""
        time.sleep(seconds)
