"""A database, an emulator and a clock that both share: what batch tests run in."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from batch_emulator import Emulator, EmulatorConfig
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk, StoredChunk
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from support.clock import ManualClock, TrueClock
from support.keys import BATCH_KEY, DEFAULT_KEY, OTHER_KEY, ROTATED_KEY
from support.postgres_server import end_sessions

PROJECTS = {BATCH_KEY: "paid", ROTATED_KEY: "paid", OTHER_KEY: "other", DEFAULT_KEY: "free"}

CONFIG = BatchConfig(listing_grace=900.0, lease=600.0, poll_interval=30.0)


class World:
    """Everything a batch test touches.

    Attributes:
        clock: moved by the test; the store, the managers and the emulator share it.
        store: the database.
        emulator: the provider.
    """

    def __init__(
        self, folder: Path, emulator: Emulator, clock: ManualClock, target: str | None = None
    ) -> None:
        self.folder = folder
        self.emulator = emulator
        self.clock = clock
        self.path = folder / "world.db"
        self.target = target or self.path
        self.store = PeeweeVectorStore(self.target, clock=clock)
        self._clients: list[GeminiBatchClient | GeminiEmbedder] = []
        self._numbers = itertools.count()
        self._copies: list[str] = []

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.store.close()
        for copy in self._copies:
            self._administer(f"DROP DATABASE {copy} WITH (FORCE)")

    def backup(self) -> Path | str:
        """Copy the database as it is now, to be used as if it was restored later."""
        if isinstance(self.target, Path):
            path = self.folder / f"copy-{next(self._numbers)}.db"
            self.store.backup(path)
            return path
        server, _, name = self.target.rpartition("/")
        copy = f"{name}_{next(self._numbers)}"
        # Nobody may be connected to what is copied; the store connects again by itself.
        end_sessions(self.target)
        self._administer(f"CREATE DATABASE {copy} TEMPLATE {name}")
        self._copies.append(copy)
        return f"{server}/{copy}"

    def restore(self, copy: Path | str) -> None:
        """Put a copy in the place of the database, whoever works with that."""
        if isinstance(self.target, Path):
            with (
                closing(sqlite3.connect(copy)) as source,
                closing(sqlite3.connect(self.path)) as to,
            ):
                source.backup(to)
            return
        name = self.target.rpartition("/")[2]
        self._administer(
            f"DROP DATABASE {name} WITH (FORCE)",
            f"CREATE DATABASE {name} TEMPLATE {str(copy).rpartition('/')[2]}",
        )

    def _administer(self, *statements: str) -> None:
        server = str(self.target).rpartition("/")[0]
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def keyring(self, batch_key: str = BATCH_KEY) -> GoogleKeyring:
        return make_keyring(batch_key)

    def manager(
        self,
        *,
        batch_key: str = BATCH_KEY,
        config: BatchConfig = CONFIG,
        store: PeeweeVectorStore | None = None,
        collection: str | None = None,
    ) -> BatchManager:
        keyring = self.keyring(batch_key)
        client = GeminiBatchClient.from_keyring(
            keyring, endpoint=Endpoint(base_url=self.emulator.url, timeout=30.0), clock=self.clock
        )
        self._clients.append(client)
        return BatchManager(
            keyring,
            store or self.store,
            client=client,
            config=config,
            collection=collection,
            clock=self.clock,
        )

    def embedder(self, keyring: GoogleKeyring | None = None) -> GeminiEmbedder:
        embedder = GeminiEmbedder(
            keyring or self.keyring(),
            endpoint=Endpoint(base_url=self.emulator.url),
            clock=self.clock,
        )
        self._clients.append(embedder)
        return embedder

    def save(self, *texts: str, **options: Any) -> None:
        """Save texts under the ids c0, c1, ..."""
        self.store.save(
            [Chunk(id=f"c{number}", text=text) for number, text in enumerate(texts)], **options
        )

    def chunk(self, chunk_id: str = "c0") -> StoredChunk:
        (found,) = self.store.get([chunk_id])
        return found

    def statuses(self) -> dict[str, EmbeddingStatus]:
        return {chunk.id: chunk.status for chunk in self.store.chunks()}

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into the database as nobody else does."""
        with self.store.database.snapshot() as connection:
            return connection.execute(sql, values).fetchall()

    def creates(self) -> int:
        """How many create calls the provider accepted."""
        return sum(self.emulator.ledger.creates().values())


def make_keyring(batch_key: str = BATCH_KEY) -> GoogleKeyring:
    return GoogleKeyring(default_key=DEFAULT_KEY, batch_key=batch_key)


@contextmanager
def open_world(folder: Path, target: str | None = None, **config: Any) -> Iterator[World]:
    clock = ManualClock()
    settings = EmulatorConfig(projects=PROJECTS, **config)
    far_away = TrueClock(clock)
    with Emulator(folder / "emulator.db", clock=far_away, config=settings) as emulator:
        world = World(folder, emulator, clock, target)
        try:
            yield world
        finally:
            world.close()
