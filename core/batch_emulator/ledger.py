"""The billing ledger: who was embedded, how often, and for how many tokens."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batch_emulator.state import State


class TextKey(NamedTuple):
    """What is paid for: a text under the settings that decide its vector."""

    text_sha256: str
    model: str
    dimensions: int
    task_type: str | None


def text_sha256(text: str) -> str:
    """Return the hex digest by which the ledger knows a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One text sent for embedding.

    Attributes:
        project: whom the key belonged to.
        key: the text and its settings.
        tokens: what its text counts.
        media_tokens: what its pictures and pages count, which have a price of their own.
        job: remote name of the batch job, or None for a live call.
        line: line of the job's input file, from 0, or None.
        submitted_at: epoch seconds at which it was accepted.
        billed_at: epoch seconds at which it was embedded, or None: not (yet) paid.
        is_lost: it was paid, but a fault of the emulator kept its vector from the client.
    """

    project: str
    key: TextKey
    tokens: int
    media_tokens: int
    job: str | None
    line: int | None
    submitted_at: float
    billed_at: float | None
    is_lost: bool


class Ledger:
    """Reads and writes the ledger.

    A text of a batch job is entered when the job is accepted, and billed when the job has run;
    a text of a failed line, and of a job that failed, expired or was cancelled, is not billed.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def entries(self, *, job: str | None = None) -> list[LedgerEntry]:
        """Return all entries, or one job's, in the order they were accepted."""
        return [
            LedgerEntry(
                project=row["project"],
                key=TextKey(row["text_sha256"], row["model"], row["dimensions"], row["task_type"]),
                tokens=row["tokens"],
                media_tokens=row["media_tokens"],
                job=row["job"],
                line=row["line"],
                submitted_at=row["submitted_at"],
                billed_at=row["billed_at"],
                is_lost=bool(row["is_lost"]),
            )
            for row in self._state.rows(
                "SELECT * FROM ledger WHERE ? IS NULL OR job = ? ORDER BY id", (job, job)
            )
        ]

    def submitted(self) -> Counter[TextKey]:
        """Return how often each text was accepted in batch jobs, whatever became of them."""
        return Counter(entry.key for entry in self.entries() if entry.job is not None)

    def billed(self, *, live: bool | None = None) -> Counter[TextKey]:
        """Return how often each text was paid for.

        Args:
            live: only live calls, or only batch jobs; None for both.
        """
        return Counter(entry.key for entry in self._paid(live=live))

    def lost(self) -> Counter[TextKey]:
        """Return how often each text was paid for in vain through a fault of the emulator."""
        return Counter(entry.key for entry in self._paid() if entry.is_lost)

    def overbilled(self) -> Counter[TextKey]:
        """Return how often each text was paid for in batch jobs beyond once and its losses."""
        allowed = self.lost()
        return Counter(
            {
                key: count - 1 - allowed[key]
                for key, count in self.billed(live=False).items()
                if count > 1 + allowed[key]
            }
        )

    def times_billed(self, text: str) -> int:
        """Return how often this text was paid for, under whatever settings."""
        digest = text_sha256(text)
        return sum(count for key, count in self.billed().items() if key.text_sha256 == digest)

    def tokens(self, *, live: bool | None = None) -> int:
        """Return the tokens paid for: those of text."""
        return sum(entry.tokens for entry in self._paid(live=live))

    def media_tokens(self, *, live: bool | None = None) -> int:
        """Return the tokens paid for pictures and pages."""
        return sum(entry.media_tokens for entry in self._paid(live=live))

    def creates(self) -> Counter[str | None]:
        """Return how many jobs were accepted under each display name."""
        return Counter(row["display_name"] for row in self._state.rows("SELECT * FROM jobs"))

    def submit(
        self, keys: Iterable[tuple[TextKey, int, int]], *, project: str, job: str | None, at: float
    ) -> None:
        """Enter texts with their tokens and those of their media; those of a live call are billed at once."""
        billed_at = at if job is None else None
        with self._state.transaction() as connection:
            connection.executemany(
                "INSERT INTO ledger (project, text_sha256, model, dimensions, task_type, tokens, "
                "media_tokens, job, line, submitted_at, billed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (project, *key, *counts, job, line if job else None, at, billed_at)
                    for line, (key, *counts) in enumerate(keys)
                ),
            )

    def bill(self, job: str, lines: Sequence[tuple[int, bool]], *, at: float) -> None:
        """Bill lines of a job, each with whether its vector is lost."""
        with self._state.transaction() as connection:
            connection.executemany(
                "UPDATE ledger SET billed_at = ?, is_lost = ? WHERE job = ? AND line = ?",
                ((at, is_lost, job, line) for line, is_lost in lines),
            )

    def write_off(self, job: str) -> None:
        """Note that a job's result is gone through no fault of the client."""
        with self._state.transaction() as connection:
            connection.execute(
                "UPDATE ledger SET is_lost = 1 WHERE job = ? AND billed_at IS NOT NULL", (job,)
            )

    def _paid(self, *, live: bool | None = None) -> list[LedgerEntry]:
        return [
            entry
            for entry in self.entries()
            if entry.billed_at is not None and live in (None, entry.job is None)
        ]
