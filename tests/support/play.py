"""One performance of a chapter, and what must hold whatever happened in it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Self

from batch_emulator import Emulator
from semantic_core.domain.errors import DatabaseBusyError
from semantic_core.domain.failpoints import FailPoint
from semantic_core.domain.statuses import EmbeddingStatus
from support.chapters import CHAPTERS, CONFIG, GIVEN, GIVEN_SPEC, Chapter, Office
from support.clock import SharedClock
from support.interrupting import Interruption, Order
from support.invariants import (
    History,
    check_index,
    check_invariants,
    check_provider,
    check_quiet,
    check_vectors,
)
from support.targets import outbox, source

LONGEST_WAIT = 3601.0
MOST_ROUNDS = 8


class Play:
    """One performance of a chapter: a provider, a database, and who finishes the work."""

    def __init__(self, folder: Path, name: str, database: str | None = None) -> None:
        self.folder = folder
        self.name = name
        self.database = database
        self.chapter: Chapter = CHAPTERS[name]
        self.clock = SharedClock(folder / "clock")
        self.emulator = Emulator(
            folder / "emulator.db", clock=self.clock, config=self.chapter.config
        )
        self.history = History(CONFIG)

    def __enter__(self) -> Self:
        self.emulator.start()
        with self.office() as office:
            self.chapter.arrange(office, self.emulator)
        return self

    def __exit__(self, *_: object) -> None:
        self.emulator.stop()

    def office(self, *, database: str | None = None, patience: float = 10.0) -> Office:
        """Open the database again, by another URL perhaps."""
        return Office(
            self.folder,
            self.emulator.url,
            database=database or self.database,
            busy_timeout=patience,
        )

    def order(
        self, interruption: Interruption, point: FailPoint | None = None, hit: int = 1
    ) -> Order:
        return Order(
            folder=str(self.folder),
            url=self.emulator.url,
            database=self.database,
            chapter=self.name,
            interruption=interruption,
            point=point,
            hit=hit,
        )

    def log(self) -> str:
        return (self.folder / "child.log").read_text()

    def take_over(self) -> None:
        """Go on while the child stands still; it may hold the database's write lock."""
        with self.office(patience=0.1) as office, suppress(DatabaseBusyError):
            self._go_on(office, rounds=4)
            self._check(office)

    def look(self) -> None:
        """Check what must hold at any moment."""
        with self.office() as office:
            self._check(office)
            self._check_saved(office)

    def finish(self) -> None:
        """Let the work be done again from its beginning, as its user would, until all is quiet."""
        self.emulator.clear_faults()
        with self.office() as office:
            if self.chapter.mend is not None:
                self.chapter.mend(office)
                self.history.forgive()
            office.save(self.chapter.texts)
            self._go_on(office, rounds=MOST_ROUNDS)
            assert office.errors == []
            self._check(office)
            check_provider(self.emulator, office.store)
            check_quiet(office.store)
            self._check_idle(office)
            files = office.store.database.path.parent
            assert [*files.glob("*.new"), *files.glob(".*.new")] == []
            statuses = {chunk.text: chunk.status for chunk in office.store.chunks()}
            if office.target.path.exists():
                assert office.target.held() == source(office.store)
                assert outbox(office.store) == []
        assert statuses == dict.fromkeys(self.chapter.texts, EmbeddingStatus.READY)
        billed = self.emulator.ledger.billed()
        assert set(billed.values()) == {1}
        # A picture may have been sent before it was drawn anew, and is another one then.
        redrawn = sum(len(drawings) - 1 for drawings in self.chapter.pictures.values())
        assert len(self.chapter.texts) <= len(billed) <= len(self.chapter.texts) + redrawn

    def _go_on(self, office: Office, *, rounds: int) -> None:
        for _ in range(rounds):
            self.clock.advance(LONGEST_WAIT)
            office.sync()
            while office.flush() is not None:
                pass
            self.history.check(office.store)
        office.sync()

    def _check(self, office: Office) -> None:
        check_invariants(office.store)
        chapter = self.chapter
        check_vectors(office.store, chapter.texts, chapter.spec, chapter.pictures)
        check_index(office.store, chapter.spec)
        if GIVEN in [collection.name for collection in office.store.collections()]:
            check_index(office.store, GIVEN_SPEC, GIVEN)
        self.history.check(office.store)
        assert self.emulator.ledger.overbilled() == {}
        assert self.emulator.violations == []

    def _check_saved(self, office: Office) -> None:
        acknowledged = self.folder / "saved.json"
        if acknowledged.exists():
            found = {chunk.text: chunk.metadata for chunk in office.store.chunks()}
            for text in json.loads(acknowledged.read_text()):
                assert found[text] == {"text": text}

    def _check_idle(self, office: Office) -> None:
        """Syncing and flushing once more changes no row and asks the provider nothing."""
        before = _rows(office), len(self.emulator.requests)
        office.sync()
        assert office.flush() is None
        assert (_rows(office), len(self.emulator.requests)) == before


def _rows(office: Office) -> list[object]:
    with office.store.database.snapshot() as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in ("batch_jobs", "batch_items", "chunks", "embeddings", "chunk_counts")
        ]
