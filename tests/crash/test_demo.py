"""The demo may be killed at any moment; run again, it finishes, and nothing is billed twice."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batch_emulator import Emulator

# A few in every run of the suite; `make stress` asks for more.
ROUNDS = int(os.environ.get("SEMCORE_TEST_DEMO_KILLS", "4"))

LONGEST_RUN = 120


def demo(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "semantic_core", "demo", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(folder: Path) -> str:
    process = demo(folder)
    output, _ = process.communicate(timeout=LONGEST_RUN)
    assert process.returncode == 0, output
    return output


def billed(folder: Path) -> tuple[int, int]:
    """Distinct texts billed in batch jobs, and how often in all."""
    emulator = Emulator(folder / "emulator.db")
    try:
        counts = emulator.ledger.billed(live=False)
    finally:
        emulator.stop()
    return len(counts), counts.total()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """The ledger of a demo that ran twice without being killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    first = finished(folder)
    assert "found by keyword" in first
    assert "found by meaning and keyword" in first
    assert "before any vector exists" in first
    assert "You waited" in first
    keyword, _, both = (
        (int(one), int(five)) for one, five in re.findall(r"hit@1 +(\d+).*hit@5 +(\d+)", first)
    )
    assert both[0] > keyword[0]
    assert both[1] > keyword[1]
    ledger = billed(folder)
    again = finished(folder)
    assert "found by keyword alone" in again
    assert "Nothing new to send" in again
    assert "You waited" not in again
    assert billed(folder) == ledger
    return ledger


def test_a_demo_that_runs_twice_bills_each_text_once(undisturbed: tuple[int, int]) -> None:
    distinct, times = undisturbed
    assert distinct == times > 1000


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_demo_that_is_killed_goes_on(
    tmp_path: Path, seed: int, undisturbed: tuple[int, int]
) -> None:
    process = demo(tmp_path)
    time.sleep(random.Random(seed).uniform(0.3, 6.0))
    process.kill()
    process.communicate()
    finished(tmp_path)
    assert billed(tmp_path) == undisturbed
