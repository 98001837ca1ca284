"""Clocks that a test moves."""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path


class ManualClock:
    """Stands still until it is moved; sleeping moves it."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds

    def advance(self, seconds: float) -> None:
        self._now += seconds


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

    def sleep(self, seconds: float) -> None:
        if self._ticks:
            time.sleep(seconds)
        else:
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        (before,) = struct.unpack("d", self._memory[:])
        self._memory[:] = struct.pack("d", before + seconds)
