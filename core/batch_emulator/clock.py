"""Where the emulator's time comes from. Injected, so that a test moves it instead of waiting."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return seconds since the Unix epoch, in UTC."""
        return time.time()
