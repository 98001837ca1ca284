"""Four machines fill one database on a server; they are killed; each text is billed once."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from batch_emulator import Emulator, EmulatorConfig, text_sha256
from semantic_core.store import PeeweeVectorStore
from support.invariants import check_invariants, check_provider, check_quiet, check_vectors
from support.machines import SPEC, Story
from support.postgres_server import PostgresServer
from support.processes import Child

pytestmark = pytest.mark.postgres

# `make stress` asks for 200,000.
CHUNKS = int(os.environ.get("SEMCORE_TEST_MACHINES_CHUNKS", "2000"))
IS_LONG = CHUNKS > 10_000


def test_machines_that_are_killed_pay_for_each_text_once(
    tmp_path: Path, own_postgres_server: PostgresServer
) -> None:
    """A3, D6, I2: they ingest, flush and sync beside each other, with caches of their own."""
    settings = EmulatorConfig(pending_seconds=0.1, running_seconds=0.2)
    with Emulator(tmp_path / "emulator.db", config=settings) as emulator:
        story = Story(
            folder=str(tmp_path),
            url=emulator.url,
            database=own_postgres_server.url,
            machines=4,
            chunks=CHUNKS,
            page=1_000 if IS_LONG else 50,
            job=2_000 if IS_LONG else 100,
            kills=60 if IS_LONG else 8,
            pause=8.0 if IS_LONG else 1.0,
        )
        machines = Child("from support.machines import serve\nserve(say, hear)")
        try:
            outcome = json.loads(machines.ask(json.dumps(asdict(story))))
        finally:
            machines.kill()
        logs = "\n".join((story.place(one) / "log").read_text() for one in range(story.machines))
        assert outcome["failed"] == [], logs
        assert outcome["killed"]
        billed = emulator.ledger.billed()
        texts = story.texts()
        assert {key.text_sha256 for key in billed} == {text_sha256(text) for text in texts}
        assert set(billed.values()) == {1}
        with PeeweeVectorStore(own_postgres_server.url) as store:
            stats = store.stats()
            assert (stats.ready, stats.failed) == (CHUNKS, 0), logs
            check_invariants(store)
            check_provider(emulator, store)
            check_vectors(store, texts, SPEC)
            check_quiet(store)
