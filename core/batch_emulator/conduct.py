"""Notes what a well-behaved client would not have done to its jobs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from batch_emulator.clock import Clock
from batch_emulator.inputs import InputLine
from batch_emulator.journal import Journal, ViolationKind


class Conduct:
    """Writes violations; never stops a client from committing them."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def check_keys(self, job: str, lines: Sequence[InputLine]) -> None:
        """Note keys that could not tell one result from another."""
        counts = Counter(line.key for line in lines)
        missing = counts.pop(None, 0)
        repeated = sum(1 for count in counts.values() if count > 1)
        if missing:
            self._note(ViolationKind.MISSING_KEY, job, f"{missing} lines")
        if repeated:
            self._note(ViolationKind.DUPLICATE_KEY, job, f"{repeated} keys")

    def note_twin(self, job: str, display_name: str) -> None:
        """Note that a job was created under the name of one that stands."""
        self._note(ViolationKind.SECOND_CREATE, job, f"display name {display_name}")

    def check_job_deletion(self, row: sqlite3.Row) -> None:
        """Note a job deleted before it, or the reading of its results, was over."""
        self._check_deletion(row, ViolationKind.JOB_DELETED_EARLY)

    def check_input_deletion(self, row: sqlite3.Row) -> None:
        """Note an input file deleted before its job, or the reading of its results, was over."""
        self._check_deletion(row, ViolationKind.INPUT_DELETED_EARLY)

    def _check_deletion(self, row: sqlite3.Row, early: ViolationKind) -> None:
        if row["ended_at"] is None:
            self._note(early, row["name"], f"state {row['state']}")
        elif row["result_file"] and not row["is_downloaded"]:
            self._note(ViolationKind.RESULTS_UNREAD, row["name"], f"state {row['state']}")

    def _note(self, kind: ViolationKind, job: str, detail: str) -> None:
        self._journal.add_violation(kind, job, detail, at=self._clock.now())
