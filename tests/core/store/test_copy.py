"""Moving a store to another database, in every direction, interrupted at every step."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from semantic_core import Document, Media, SemanticCore
from semantic_core.database.tables import TABLES
from semantic_core.domain.errors import (
    DatabaseBusyError,
    InvalidInputError,
    SemanticCoreError,
    StoreMovedError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, JobStatus
from semantic_core.domain.types import Chunk
from semantic_core.queue.live_claims import claim_live
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.writing.copy_store import copy_store
from support.chunks import OTHER_SPEC, SPEC, chunks_of, content_hash, embed, vector_of
from support.clock import ManualClock
from support.invariants import check_invariants, check_provider
from support.pictures import picture
from support.postgres_server import postgres_database
from support.processes import Python
from support.world import open_world

pytestmark = pytest.mark.postgres

PAIRS = [*itertools.product(("sqlite", "postgres"), repeat=2)]
ACROSS = [pair for pair in PAIRS if pair[0] != pair[1]]

NewDatabase = Callable[[str], Path | str]


@pytest.fixture
def new_database(tmp_path: Path, postgres_template: tuple[str, str]) -> Iterator[NewDatabase]:
    """Where a database of either kind is to be."""
    with ExitStack() as opened:
        numbers = itertools.count()

        def make(kind: str) -> Path | str:
            if kind == "sqlite":
                return tmp_path / f"notes-{next(numbers)}.db"
            return opened.enter_context(postgres_database(*postgres_template))

        yield make


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(
    request: pytest.FixtureRequest, new_database: NewDatabase
) -> tuple[Path | str, Path | str]:
    one, other = request.param
    return new_database(one), new_database(other)


@pytest.fixture(params=ACROSS, ids="-".join)
def across(
    request: pytest.FixtureRequest, new_database: NewDatabase
) -> tuple[Path | str, Path | str]:
    one, other = request.param
    return new_database(one), new_database(other)


def open_pair(
    targets: tuple[Path | str, Path | str], clock: ManualClock
) -> tuple[PeeweeVectorStore, PeeweeVectorStore]:
    one, other = (PeeweeVectorStore(target, clock=clock) for target in targets)
    return one, other


def rows_of(store: PeeweeVectorStore) -> dict[str, list[tuple[Any, ...]]]:
    """Return what has to go along, but for the order in which a database counts."""
    found = {}
    with store.database.snapshot() as connection:
        for model in TABLES.all():
            meta = model._meta
            columns = ", ".join(field.column_name for field in meta.sorted_fields)
            rows = connection.execute(f"SELECT {columns} FROM {meta.table_name}").fetchall()
            found[meta.table_name] = sorted((tuple(row) for row in rows), key=repr)
    found["chunk_counts"] = [row for row in found["chunk_counts"] if row[-1]]
    found["waiting_counts"] = [row for row in found["waiting_counts"] if any(row[2:])]
    own = ("database_uuid", "schema_version", "moved_to")
    found["meta"] = [row for row in found["meta"] if row[0] not in own]
    # SQLite has numbers where PostgreSQL has truth values, which are equal, but not as text.
    return {table: sorted(map(_plain, rows), key=repr) for table, rows in found.items()}


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(int(value) if isinstance(value, bool) else value for value in row)


def fill(store: PeeweeVectorStore, chunks: int = 5) -> None:
    """Save chunks of every state, with metadata that only an exact copy keeps."""
    store.collection("default", SPEC)
    store.save(
        [
            Chunk(
                id=f"{n:04}", text=f"The cat number {n} sat.", metadata={"n": n, "x": [1e5, None]}
            )
            for n in range(chunks)
        ]
    )
    embed(store, "The cat number 0 sat.", "The cat number 1 sat.", "what nobody wants any more")
    store.save([Chunk(id="0001", text="A dog came instead.")])
    store.save([Chunk(id="blank", text="  ")], keep_refused=True)
    store.collection("given", EmbeddingSpec.external("elsewhere"), languages=("en", "de"))
    store.save(
        [Chunk(id="g", text="Die Häuser der Stadt", vector=vector_of("g").tolist())],
        collection="given",
    )


def test_everything_goes_along_and_open_jobs_end_in_the_new_place(
    tmp_path: Path, pair: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    source, target = pair
    with open_world(tmp_path, str(source)) as world:
        manager = world.manager()
        core = SemanticCore(world.store, world.keyring())
        core.ingest(Document(content="# Cats\n\nA cat sat.", id="d", metadata={"lang": "en"}))
        assert (first := manager.flush_queue()) is not None
        world.clock.advance(3600)
        assert manager.sync_status()[first] is JobStatus.COMPLETED
        world.save("A second text.", "A third one.")
        assert (second := manager.flush_queue()) is not None
        world.save("A second text.", "A third one.", "This one still waits.")
        seen = world.store.search(text="cat sat")
        with PeeweeVectorStore(target, clock=world.clock) as new:
            expected = rows_of(world.store)
            assert copy_store(world.store, new) == 4
            assert rows_of(new) == expected
            check_invariants(new)
            assert [hit.chunk for hit in new.search(text="cat sat")] == [hit.chunk for hit in seen]
            there = world.manager(store=new)
            world.clock.advance(3600)
            assert there.sync_status()[second] is JobStatus.COMPLETED
            assert there.flush_queue() is not None
            world.clock.advance(3600)
            there.sync_status()
            assert {chunk.status for chunk in new.chunks()} == {EmbeddingStatus.READY}
            check_invariants(new)
            check_provider(world.emulator, new)
            assert there.receipt().texts == 4


def test_the_source_takes_and_sends_nothing_more_and_is_searched_on(
    tmp_path: Path, across: tuple[Path | str, Path | str]
) -> None:
    source, target = across
    with open_world(tmp_path, str(source)) as world, PeeweeVectorStore(target) as new:
        world.save("The cat sat.", "A dog came.")
        manager = world.manager()
        job = manager.flush_queue()
        assert job is not None
        world.save("The cat sat.", "A dog came.", "One more.")
        core = SemanticCore(world.store, world.keyring(), embedder=world.embedder())
        copy_store(world.store, new)
        before, asked = rows_of(world.store), len(world.emulator.requests)
        for refused in (
            lambda: world.save("new"),
            lambda: world.store.collection("new"),
            lambda: world.store.delete(ids=["c0"]),
            world.store.clear,
            lambda: world.store.prune(0),
            lambda: world.store.reindex(languages=("de",)),
            lambda: embed(world.store, "One more.", spec=EmbeddingSpec()),
            lambda: core.ingest(Document(content="Live text."), mode="sync"),
            lambda: core.ingest(Document(content="Text."), mode="async"),
            manager.flush_queue,
            manager.drain_queue,
            manager.sync_status,
            manager.wait,
            manager.retry_failed,
            lambda: manager.cancel(job),
            lambda: manager.release(job, accept_rebilling=True),
            lambda: copy_store(new, world.store),
        ):
            with pytest.raises(StoreMovedError, match=r"was moved to") as caught:
                refused()
            assert new.database.name in str(caught.value)
        assert rows_of(world.store) == before
        assert len(world.emulator.requests) == asked
        assert [hit.chunk.id for hit in world.store.search(text="cat")] == ["c0"]
        assert new.database.name in manager.get_queue_stats().cautions[-1]


def can_write(store: PeeweeVectorStore) -> bool:
    try:
        with store.database.transaction():
            return True
    except StoreMovedError:
        return False


class StopError(Exception):
    pass


def test_stopped_after_every_step_it_goes_on_and_never_may_both_send(
    across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one, 2_100)
        expected = rows_of(one)
        states = []
        # The first run marks the target, the second the source, and each further one copies a page.
        for run in itertools.count(1):
            calls = itertools.count(1)

            def stop(_: int, run: int = run, calls: Iterator[int] = calls) -> None:
                if next(calls) == min(run, 3):
                    raise StopError

            try:
                copy_store(one, other, progress=stop)
                break
            except StopError:
                states.append((can_write(one), can_write(other)))
        assert states[:2] == [(True, False), (False, False)]
        assert set(states[2:-1]) == {(False, False)}
        assert states[-1] == (False, True)
        assert len(states) > 12
        assert rows_of(other) == expected
        check_invariants(other)
        assert other.search(text="2099", limit=1)[0].chunk.id == "2099"


def test_killed_at_any_moment_it_goes_on(
    across: tuple[Path | str, Path | str], clock: ManualClock, python: Python
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one, 3_100)
        expected = rows_of(one)
    for heard in itertools.count(2):
        child = python(
            f"""
            from pathlib import Path, PosixPath
            from semantic_core import PeeweeVectorStore, copy_store
            with PeeweeVectorStore({across[0]!r}) as one, PeeweeVectorStore({across[1]!r}) as other:
                copy_store(one, other, progress=say)
            say("done")
            """
        )
        said = [child.hear()]
        while len(said) < heard and said[-1] != "done":
            said.append(child.hear())
        child.kill()
        if said[-1] == "done":
            break
    one, other = open_pair(across, clock)
    with one, other:
        assert rows_of(other) == expected
        check_invariants(other)
        assert (can_write(one), can_write(other)) == (False, True)


def test_what_is_done_is_not_done_again(
    pair: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(pair, clock)
    with one, other:
        fill(one)
        count = copy_store(one, other)
        other.delete(ids=["0003"])
        steps: list[int] = []
        assert copy_store(one, other, progress=steps.append) == count - 1
        assert steps == []


def test_pictures_go_along_and_are_found_by_their_names(
    tmp_path: Path, across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    path = tmp_path / "sneaker.png"
    path.write_bytes(picture(99))
    with one, other:
        one.collection("default", OTHER_SPEC)
        # More than are held at once.
        pictures = [Chunk(id=f"{n:02}", text="", media=Media(picture(n))) for n in range(21)]
        one.save([*pictures, Chunk(id="file", text="red canvas", media=Media(path))])
        expected = rows_of(one)
        assert len(expected["media"]) == 21
        copy_store(one, other)
        assert rows_of(other) == expected
        check_invariants(other)
        assert [hit.chunk.id for hit in other.search(text="sneaker")] == ["file"]


def test_new_rows_get_keys_of_their_own(
    pair: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(pair, clock)
    with one, other:
        fill(one)
        copy_store(one, other)
        other.save(chunks_of(["new"], metadata={"n": 7}))
        embed(other, "new")
        other.collection("another", SPEC)
        check_invariants(other)
        assert [chunk.id for chunk in other.chunks(filters={"n": 7})] == ["new"]


def test_it_moves_on_to_a_third_place(new_database: NewDatabase, clock: ManualClock) -> None:
    one, other = open_pair((new_database("sqlite"), new_database("postgres")), clock)
    with one, other, PeeweeVectorStore(new_database("sqlite"), clock=clock) as third:
        fill(one)
        expected = rows_of(one)
        copy_store(one, other)
        copy_store(other, third)
        assert rows_of(third) == expected
        with pytest.raises(StoreMovedError):
            copy_store(one, third)


def test_a_target_in_use_is_refused_and_the_source_stays_as_it_was(
    across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one)
        other.save(chunks_of(["mine"]))
        with pytest.raises(InvalidInputError, match="in use already"):
            copy_store(one, other)
        with pytest.raises(InvalidInputError, match="same database"):
            copy_store(one, one)
        assert can_write(one)
        assert can_write(other)


def test_half_a_copy_is_finished_from_its_own_source_alone(
    new_database: NewDatabase, clock: ManualClock
) -> None:
    one, other = open_pair((new_database("sqlite"), new_database("postgres")), clock)
    with one, other, PeeweeVectorStore(new_database("sqlite"), clock=clock) as third:
        fill(one)
        fill(third)

        def stop(copied: int) -> None:
            if copied:
                raise StopError

        with pytest.raises(StopError):
            copy_store(one, other, progress=stop)
        for source, target in ((third, other), (one, third), (other, third)):
            with pytest.raises(StoreMovedError):
                copy_store(source, target)
        with pytest.raises(StoreMovedError, match="does not have all of it yet"):
            other.save(chunks_of(["new"]))
        assert can_write(third)
        copy_store(one, other)
        assert can_write(other)


def test_what_is_being_embedded_live_is_waited_for(
    across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one)
        with one.database.transaction() as connection:
            claimed = [bytes.fromhex(content_hash("The cat number 3 sat."))]
            now = clock.now()
            space = first_space(one)
            claim_live(connection, claimed, space_id=space, token="t", now=now, until=now + 60)
        with pytest.raises(DatabaseBusyError, match="60 s"):
            copy_store(one, other)
        assert can_write(one)
        clock.advance(61)
        copy_store(one, other)


def test_two_who_copy_at_once_copy_nothing_twice(
    across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one, 3_100)
        expected = rows_of(one)
        errors: list[SemanticCoreError] = []

        def work() -> None:
            try:
                copy_store(one, other)
            except SemanticCoreError as error:
                errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {type(error) for error in errors} <= {DatabaseBusyError}
        copy_store(one, other)
        assert rows_of(other) == expected
        check_invariants(other)


def test_who_searches_meanwhile_sees_what_arrives(
    across: tuple[Path | str, Path | str], clock: ManualClock
) -> None:
    one, other = open_pair(across, clock)
    with one, other:
        fill(one, 2_100)
        embed(one, *(f"The cat number {n} sat." for n in range(2_100)))

        def found() -> list[str]:
            hits = other.search(vector=vector_of("The cat number 2000 sat."), limit=1)
            return [hit.chunk.id for hit in hits]

        seen: list[list[str]] = []
        copy_store(one, other, progress=lambda _: seen.append(found()))
        assert seen[0] == []
        assert seen[-1] == ["2000"]
        assert next(hits for hits in seen if hits) != ["2000"]


def test_no_password_is_written_down(
    new_database: NewDatabase, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = str(new_database("postgres")).replace("postgres@", "postgres:s3cret@")
    one, other = open_pair((new_database("sqlite"), url), clock)
    with one, other:
        fill(one)
        copy_store(one, other)
        with pytest.raises(StoreMovedError) as caught:
            one.save(chunks_of(["new"]))
        written = look(one), rows_of(other)["meta"], str(caught.value), caplog.text
        assert "s3cret" not in repr(written)


def first_space(store: PeeweeVectorStore) -> int:
    return int(look(store, "SELECT id FROM spaces ORDER BY id")[0][0])


def look(store: PeeweeVectorStore, sql: str = "SELECT * FROM meta") -> list[Any]:
    with store.database.snapshot() as connection:
        return connection.execute(sql).fetchall()
