"""What a statement reads when the server's statistics are of an hour when nothing waited."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import psycopg
import pytest

from semantic_core.database import IDS, id_set
from semantic_core.database.port import Connection
from semantic_core.domain.statuses import ItemState, VectorOrigin
from semantic_core.domain.types import Chunk
from semantic_core.queue.adoption import wanted_contents
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.claims import (
    ClaimLimits,
    candidates,
    claim,
    fill_job,
    oldest_due,
    wanted_sources,
)
from semantic_core.queue.contents import content_ids
from semantic_core.queue.costs import picture_counts
from semantic_core.queue.counts import read_waiting
from semantic_core.queue.items import (
    Outcome,
    carried_texts,
    fail_chunks,
    finish_items,
    known_too_long,
    settle_items,
)
from semantic_core.queue.renew import wanted_media
from semantic_core.queue.stats import read_stats
from semantic_core.queue.vectors import ArrivedVector, store_vectors
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.collections import get_collection
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_rows
from support.chunks import SPEC, embed
from support.jobs import new_job

pytestmark = pytest.mark.postgres

# More than a cursor fetches at a time.
WAITING = 3_000
EMBEDDED = 500


@pytest.fixture
def store(postgres_url: str) -> Iterator[PeeweeVectorStore]:
    with PeeweeVectorStore(postgres_url) as opened, psycopg.connect(postgres_url) as server:
        opened.collection(spec=SPEC)
        opened.save([Chunk(id=f"old {n}", text=f"old {n}") for n in range(EMBEDDED)])
        embed(opened, *(f"old {n}" for n in range(EMBEDDED)))
        server.execute("ALTER TABLE semcore.chunks SET (autovacuum_enabled = off)")
        server.execute("ANALYZE semcore.chunks")
        server.commit()
        opened.save([Chunk(id=f"new {n}", text=f"new {n}") for n in range(WAITING)])
        yield opened


def test_a_job_costs_what_it_takes_however_much_waits(store: PeeweeVectorStore) -> None:
    with store.database.transaction() as connection:
        (candidate,) = candidates(connection, collection=None, now=1e9)
        limits = ClaimLimits(requests=10, source_bytes=2**40, tokens=2**40)
        fill_job(connection, candidate, limits=limits, budget=RetryBudget(), now=1e9)
        read = _read(connection)
    # One fetch, and of what is looked up for each of its rows that row alone.
    assert read["chunks_waiting"] < WAITING
    assert sum(read.values()) < 5 * WAITING


def test_a_claim_of_a_large_job_does_not_read_what_it_writes(
    store: PeeweeVectorStore, postgres_url: str
) -> None:
    """Of an empty table, the server believes that it is read fastest from its beginning."""
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("VACUUM semcore.batch_items")
    with store.database.transaction() as connection:
        contents = _claim(connection, most=WAITING)
        (pages,) = connection.execute(
            "SELECT pg_stat_get_xact_blocks_fetched('semcore.batch_items'::regclass)"
        ).fetchone()
    assert len(contents) == WAITING
    assert pages < 5 * WAITING


def test_what_waits_and_since_when_is_found_at_once(store: PeeweeVectorStore) -> None:
    with store.database.transaction() as connection:
        before = _read(connection)
        stats = read_stats(connection, collection_id=None, now=1e9)
        (candidate,) = candidates(connection, collection=None, now=1e9)
        assert oldest_due(connection, candidate, now=1e9) == stats.oldest_waiting
        read = {name: count - before[name] for name, count in _read(connection).items()}
    # Those that wait no more are in the index until they are read once.
    assert sum(read.values()) < EMBEDDED + 20


def _read(connection: Connection) -> dict[str, int]:
    """Return how many entries of each index, and rows of the table, a transaction has read."""
    return dict(
        connection.execute(
            "SELECT relname, pg_stat_get_xact_tuples_returned(oid) FROM pg_class "
            "WHERE relname SIMILAR TO '(chunks|batch_items)%' AND relnamespace = 'semcore'::regnamespace"
        ).fetchall()
    )


def _read_by(connection: Connection, work: Callable[[], object]) -> dict[str, int]:
    before = _read(connection)
    work()
    return {name: count - before[name] for name, count in _read(connection).items()}


def _claim(connection: Connection, *, most: int, job_id: str | None = None) -> list[int]:
    """Claim texts for a job, and return their contents."""
    (candidate,) = candidates(connection, collection=None, now=1e9)
    limits = ClaimLimits(requests=most, source_bytes=2**40, tokens=2**40)
    waiting = fill_job(connection, candidate, limits=limits, budget=RetryBudget(), now=1e9)
    assert waiting is not None
    claim(connection, waiting, **new_job(job_id))
    return list(waiting.contents)


FEW = 10
CARRIED = 20_000
VECTOR = np.ones(SPEC.dimensions or 0, dtype="<f4").tobytes()

# What is done of a few texts, by their contents' numbers and hashes.
BY_CONTENTS: dict[str, Callable[[Connection, list[int], list[bytes]], object]] = {
    "count": lambda connection, contents, _: read_waiting(connection, contents),
    "serve": lambda connection, contents, _: store_vectors(
        connection,
        [ArrivedVector(content_id=content, vector=VECTOR) for content in contents],
        space_id=1,
        origin=VectorOrigin.BATCH,
        now=1e9,
    ),
    "fail": lambda connection, contents, _: fail_chunks(
        connection, dict.fromkeys(contents, "too long"), now=1e9
    ),
    "known failures": lambda connection, _, hashes: known_too_long(connection, hashes),
    "sources": lambda connection, _, hashes: wanted_sources(connection, hashes),
    "wanted": lambda connection, _, hashes: wanted_contents(connection, 1, hashes),
    "pictures": lambda connection, _, hashes: picture_counts(connection, hashes),
    "media": lambda connection, contents, _: wanted_media(connection, contents[0]),
}


def believe_in_millions(postgres_url: str) -> None:
    """Let the server take the table for one of millions, of which it reads a small part for a few."""
    with psycopg.connect(postgres_url) as server:
        server.execute(
            "UPDATE pg_class SET reltuples = 1000 * reltuples "
            "WHERE oid = 'semcore.chunks'::regclass"
        )


@pytest.mark.parametrize("work", BY_CONTENTS.values(), ids=BY_CONTENTS)
def test_what_is_done_of_few_texts_reads_those_alone(
    store: PeeweeVectorStore,
    postgres_url: str,
    work: Callable[[Connection, list[int], list[bytes]], object],
) -> None:
    believe_in_millions(postgres_url)
    with store.database.transaction() as connection:
        hashes = list(map(SPEC.hasher(), [f"new {n}" for n in range(FEW)]))
        contents = list(content_ids(connection, hashes).values())
        assert len(contents) == FEW
        read = _read_by(connection, partial(work, connection, contents, hashes))
    assert sum(read.values()) < 10 * FEW, read


def test_saving_texts_that_wait_reads_those_alone(
    store: PeeweeVectorStore, postgres_url: str
) -> None:
    rows = prepare_chunks([Chunk(id=f"twin {n}", text=f"new {n}") for n in range(FEW)], SPEC)
    believe_in_millions(postgres_url)
    with store.database.transaction() as connection:
        collection = get_collection(connection, "default")
        save = partial(save_rows, collection=collection, now=1e9, is_alone=True)
        read = _read_by(connection, partial(save, store.database, connection, rows))
    assert sum(read.values()) < 20 * FEW, read


JOB = "job-of-many"

# What is done of a few texts that it carries.
OF_CARRIED: dict[str, Callable[[Connection, list[int], list[bytes]], object]] = {
    "finish": lambda connection, contents, _: finish_items(connection, contents, job_id=JOB),
    "settle": lambda connection, contents, _: settle_items(
        connection,
        JOB,
        [Outcome(content_id=content, state=ItemState.FAILED) for content in contents],
        budget=RetryBudget(),
        now=1e9,
    ),
    "look up": lambda connection, _, hashes: carried_texts(connection, JOB, hashes),
}


def test_what_is_done_of_few_carried_texts_reads_those_alone(
    store: PeeweeVectorStore, postgres_url: str
) -> None:
    with store.database.transaction() as connection:
        done = _claim(connection, most=100, job_id="job-of-before")
        finish_items(connection, done, job_id="job-of-before")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("ALTER TABLE semcore.batch_items SET (autovacuum_enabled = off)")
        server.execute("VACUUM ANALYZE semcore.batch_items")
    store.save([Chunk(id=f"more {n}", text=f"more {n}") for n in range(CARRIED)])
    with store.database.transaction() as connection:
        contents = _claim(connection, most=CARRIED, job_id=JOB)
    for place, (name, work) in enumerate(OF_CARRIED.items()):
        some = contents[FEW * place : FEW * (place + 1)]
        with store.database.transaction() as connection:
            named = f"SELECT hash FROM contents WHERE id IN {IDS}"
            hashes = [one for (one,) in connection.execute(named, id_set(some))]
            # As for a disk without moving parts, or looking up would cost as much as reading all.
            connection.execute("SET LOCAL random_page_cost = 1.1")
            read = _read_by(connection, partial(work, connection, some, hashes))
        assert sum(read.values()) < 20 * FEW, (name, read)
