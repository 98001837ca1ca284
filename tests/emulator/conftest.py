"""Fixtures for tests of the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_emulator import Emulator
from support.clock import ManualClock
from support.raw_api import RawApi


@pytest.fixture
def emulator(tmp_path: Path, clock: ManualClock) -> Iterator[Emulator]:
    """An emulator whose time a test moves."""
    with Emulator(tmp_path / "emulator.db", clock=clock) as running:
        yield running


@pytest.fixture
def api(emulator: Emulator) -> Iterator[RawApi]:
    with RawApi(emulator.url) as opened:
        yield opened
