"""Clocks that a test moves."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path


class ManualClock:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._passed = 0.0
        self._start = start
        self._set_by = 0.0
        self._boots = 0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.true() + self._set_by

    def true(self) -> float:
        """Return the time that passed, as if nobody had set the clock."""
        return self._start + self._passed

    def monotonic(self) -> float:
        # After a boot it counts from another moment: readings of two boots do not compare.
        return self._passed + 1e6 * self._boots

    def boot_id(self) -> str:
        return f"boot {self._boots}"

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds

    def step(self, seconds: float) -> None:
        """Set the machine's wall clock so much further; no time passes."""
        self._set_by += seconds

    def reboot(self) -> None:
        self._boots += 1


class TrueClock:
    """The clock of somebody far away, whom setting ours does not concern."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.true()

    def monotonic(self) -> float:
        return self._clock.true()

    def boot_id(self) -> str:
        return "far away"

    def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)


class SharedClock:
    """Tells the same time in every process that opens the same file, and is moved in any of them.

    Args:
        path: a file of eight bytes; made if it does not exist.
        ticks: goes on by itself, as the machine's own clock does; else it stands still.
    """

    def __init__(self, path: Path, *, ticks: bool = False) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0 if ticks else 1_800_000_000.0))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        self._ticks = ticks

    def now(self) -> float:
        (seconds,) = struct.unpack("d", self._memory[:])
        return float(seconds) + (time.time() if self._ticks else 0.0)

    def monotonic(self) -> float:
        (seconds,) = struct.unpack("d", self._memory[:])
        return float(seconds) + (time.monotonic() if self._ticks else 0.0)

    def boot_id(self) -> str:
        return "this boot"

    def sleep(self, seconds: float) -> None:
        if self._ticks:
            time.sleep(seconds)
        else:
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        (before,) = struct.unpack("d", self._memory[:])
        self._memory[:] = struct.pack("d", before + seconds)
