"""Several processes and threads on one database: each text is sent by one of them, and by one only."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest

from batch_emulator import (
    CutDownload,
    Delay,
    Drop,
    Emulator,
    EmulatorConfig,
    FailLines,
    FaultRule,
    Lines,
    Operation,
    Reply,
)
from semantic_core import SemanticCore
from semantic_core.database.port import Connection
from semantic_core.domain.errors import DatabaseBusyError, DatabaseUnavailableError, RateLimitError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.statuses import EmbeddingStatus, JobStatus
from semantic_core.store import PeeweeVectorStore
from support.chapters import CONFIG as OFFICE_CONFIG
from support.chapters import SPEC, Office
from support.chunks import chunks_of
from support.clock import SharedClock
from support.crowd import CONFIG, LONGEST_STOP, TEXTS, Assignment
from support.databases import open_patiently
from support.invariants import (
    History,
    check_index,
    check_invariants,
    check_provider,
    check_quiet,
    check_vectors,
)
from support.postgres_server import PostgresServer
from support.processes import Child, Python
from support.world import World

# Seconds; `make stress` asks for a minute.
CROWD_SECONDS = float(os.environ.get("SEMCORE_TEST_CROWD_SECONDS", "5"))

MOST_CROWDS = 10

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


# --- a crowd -----------------------------------------------------------------------------

CROWD_FAULTS = (
    FaultRule(operation=Operation.CREATE, effect=Drop(after=True), skip=2, times=2),
    FaultRule(operation=Operation.CREATE, effect=Drop(), skip=5, times=2),
    FaultRule(operation=Operation.CREATE, effect=Reply(code=503, after=True), skip=8, times=2),
    FaultRule(operation=Operation.CREATE, effect=Reply(code=429, retry_delay=0.2), skip=11),
    FaultRule(operation=Operation.CREATE, effect=Reply(code=400), skip=14),
    FaultRule(operation=Operation.LIST, effect=Reply(code=503), skip=3, times=3),
    FaultRule(operation=Operation.GET, effect=Reply(code=503), skip=6, times=3),
    FaultRule(operation=Operation.GET, effect=Drop(), skip=30, times=3),
    FaultRule(effect=CutDownload(at=5000), skip=4, times=2),
    FaultRule(effect=FailLines(code=503, lines=Lines(numbers=(0,))), skip=7, times=2),
)


def test_a_crowd_loses_nothing_and_pays_nothing_twice(
    tmp_path: Path, database_target: Path | str
) -> None:
    """A3, A4, D4, D6, E1: flushers, syncers, savers, searchers; killed, stopped, interrupted."""
    work_in_a_crowd(tmp_path, database_target if isinstance(database_target, str) else None)


@pytest.mark.postgres
def test_a_crowd_goes_on_when_its_server_was_killed(
    tmp_path: Path, own_postgres_server: PostgresServer
) -> None:
    """D5"""

    def kill_the_server() -> None:
        for _ in range(2):
            time.sleep(CROWD_SECONDS / 3)
            own_postgres_server.kill()
            own_postgres_server.start()

    work_in_a_crowd(tmp_path, own_postgres_server.url, meanwhile=kill_the_server)


@pytest.fixture
def standby(own_postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A standby without which the primary commits nothing."""
    with closing(PostgresServer(own_postgres_server)) as server:
        with psycopg.connect(own_postgres_server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        yield server


@pytest.fixture
def either(own_postgres_server: PostgresServer, standby: PostgresServer) -> str:
    """The URL of whichever of the two can be written."""
    ports = f"127.0.0.1:{own_postgres_server.port},127.0.0.1:{standby.port}"
    return f"postgresql://postgres@{ports}/postgres?target_session_attrs=read-write"


@pytest.mark.postgres
def test_a_crowd_goes_on_at_the_standby(
    tmp_path: Path, own_postgres_server: PostgresServer, standby: PostgresServer, either: str
) -> None:
    """D5"""
    is_over = False

    def fail_over() -> None:
        nonlocal is_over
        if not is_over:
            time.sleep(CROWD_SECONDS / 2)
            own_postgres_server.kill()
            standby.promote()
            is_over = True

    work_in_a_crowd(tmp_path, either, meanwhile=fail_over)


@pytest.mark.postgres
def test_a_step_that_the_standby_never_saw_is_no_success(
    own_postgres_server: PostgresServer, standby: PostgresServer, either: str
) -> None:
    """Its transaction's number is another one's at the standby, which did commit."""

    def fail_over(connection: Connection, _: object) -> None:
        connection.execute("INSERT INTO semcore.meta (key, value) VALUES ('lost', '')")
        own_postgres_server.kill()
        standby.start()
        standby.promote()
        with psycopg.connect(standby.url, autocommit=True) as other:
            for number in range(20):
                other.execute(f"CREATE TABLE public.other_{number} ()")

    with PeeweeVectorStore(either) as store:
        standby.stop()
        with pytest.raises(DatabaseUnavailableError, match="repeated without harm"):
            store.database.save(fail_over)
        assert store.save(chunks_of("a")).inserted == 1
        check_invariants(store)


def work_in_a_crowd(
    tmp_path: Path, database: str | None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    clock = SharedClock(tmp_path / "clock", ticks=True)
    settings = EmulatorConfig(pending_seconds=0.05, running_seconds=0.1, most_open_jobs=5)
    with Emulator(tmp_path / "emulator.db", clock=clock, config=settings) as emulator:
        for rule in CROWD_FAULTS:
            emulator.add_fault(rule)
        seen: Counter[str] = Counter()
        # A busy machine gets less done in the same time: then one crowd follows another.
        for number in range(MOST_CROWDS):
            order = Assignment(
                folder=str(tmp_path),
                url=emulator.url,
                database=database,
                seconds=CROWD_SECONDS,
                seed=1 + number,
                roles={"flusher": 4, "syncer": 4, "saver": 2, "searcher": 2},
                first=1000 * number,
            )
            crowd = Child("from support.crowd import serve\nserve(say, hear)")
            try:
                crowd.say(json.dumps(asdict(order)))
                meanwhile()
                outcome = json.loads(crowd.hear())
            finally:
                crowd.kill()
            assert outcome["failed"] == [], _logs(tmp_path, outcome["failed"])
            seen["killed"] += outcome["killed"]
            seen["stopped"] += outcome["stopped"]
            seen["interrupted"] += outcome["done"].get("interrupted", 0)
            if len(emulator.jobs()) > 4 and min(seen.values()):
                break
        assert len(emulator.jobs()) > 4
        assert min(seen.values()), seen
        with Office(tmp_path, emulator.url, database=database, config=CONFIG, ticks=True) as office:
            check_invariants(office.store)
            assert emulator.ledger.overbilled() == {}
            emulator.clear_faults()
            history = History(CONFIG)
            for _ in range(10):
                clock.advance(3601)
                office.sync()
                while office.flush() is not None:
                    pass
                history.check(office.store)
            clock.advance(LONGEST_STOP)
            office.sync()
            assert {type(error) for error in office.errors} <= {RateLimitError}
            check_invariants(office.store)
            check_provider(emulator, office.store)
            check_vectors(office.store, TEXTS, SPEC)
            check_index(office.store, SPEC)
            check_quiet(office.store)
            chunks = office.store.chunks()
        assert {chunk.id: chunk.text for chunk in chunks} == _standing(tmp_path)
        assert {chunk.status for chunk in chunks} == {READY}


def _standing(folder: Path) -> dict[str, str]:
    standing: dict[str, str] = {}
    for path in folder.glob("*.standing.json"):
        standing |= json.loads(path.read_text())
    return standing


def _logs(folder: Path, names: list[str]) -> str:
    return "\n".join((folder / f"{name}.log").read_text() for name in names)


# --- two at a time -----------------------------------------------------------------------


@pytest.fixture
def stopped_flusher(world: World, python: Python) -> Child:
    """A process that stands still where it has chosen its texts and not yet claimed them."""
    return python(
        f"""
        from pathlib import Path
        from semantic_core.domain.failpoints import FailPoint, arm
        from support.chapters import Office

        def stand_still():
            say("selected")
            hear()

        with Office(
            Path({str(world.folder)!r}), {world.emulator.url!r}, database={_url(world)!r}
        ) as office:
            arm(FailPoint.CLAIM_SELECTED, stand_still)
            say(str(office.flush()))
            assert office.errors == []
        """
    )


def test_two_flushers_choose_different_texts(world: World, stopped_flusher: Child) -> None:
    """A3: the second one chooses only after the first has claimed."""
    world.save("one", "two", "three", "four")
    assert stopped_flusher.hear() == "selected"
    with ThreadPoolExecutor() as threads:
        second = threads.submit(world.manager(config=OFFICE_CONFIG).flush_queue)
        assert not second.done()
        first = stopped_flusher.ask("go on")
        assert {first, second.result()} == {job.id for job in world.manager().jobs()}
    stopped_flusher.end()
    assert [job.request_count for job in world.manager().jobs()] == [2, 2]
    assert list(world.emulator.ledger.submitted().values()) == [1] * 4


def test_a_flusher_that_cannot_wait_says_so_and_sends_nothing(
    world: World, stopped_flusher: Child
) -> None:
    """A6"""
    world.save("one")
    assert stopped_flusher.hear() == "selected"
    requests = len(world.emulator.requests)
    with _impatient(world) as store, pytest.raises(DatabaseBusyError, match="try again"):
        world.manager(store=store).flush_queue()
    assert len(world.emulator.requests) == requests
    stopped_flusher.ask("go on")
    stopped_flusher.end()
    assert world.creates() == 1


def test_two_syncers_have_one_effect(world: World) -> None:
    """D6: the second one leaves the job to the first, and downloads nothing."""
    world.save("one", "two")
    world.manager().flush_queue()
    others: list[dict[str, JobStatus]] = []
    with armed(FailPoint.DOWNLOAD_DONE, lambda: others.append(world.manager().sync_status())):
        first = world.manager().sync_status()
    assert list(others[0].values()) == [JobStatus.PROCESSING]
    assert list(first.values()) == [JobStatus.COMPLETED]
    assert len(world.emulator.calls(Operation.DOWNLOAD)) == 1
    (job,) = world.manager().jobs()
    assert (job.done_count, job.failed_count) == (2, 0)
    assert job.token_count == world.emulator.ledger.tokens()
    check_invariants(world.store)


def test_a_lock_in_the_middle_of_applying_loses_nothing(world: World) -> None:
    """D4: what is left is applied by the next sync, and nothing remote is removed before."""
    world.save("one", "two")
    world.manager().flush_queue()
    with PeeweeVectorStore(world.target) as blocker, _impatient(world) as store:
        blocked = blocker.database.transaction()
        with (
            armed(FailPoint.DOWNLOAD_RECORDED, blocked.__enter__),
            pytest.raises(DatabaseBusyError, match="try again"),
        ):
            world.manager(store=store).sync_status()
        assert set(world.statuses().values()) == {PENDING}
        blocked.__exit__(None, None, None)
    assert world.emulator.calls(Operation.FILE_DELETE) == []
    world.clock.advance(OFFICE_CONFIG.lease + 1)
    world.manager().sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.emulator.violations == []


@contextmanager
def armed(point: FailPoint, action: Callable[[], object]) -> Iterator[None]:
    """Let something happen at the next passing of a failpoint, once."""

    def once() -> None:
        disarm()
        action()

    arm(point, once)
    try:
        yield
    finally:
        disarm()


def _impatient(world: World) -> PeeweeVectorStore:
    return PeeweeVectorStore(open_patiently(world.target, 0.05), clock=world.clock)


def _url(world: World) -> str | None:
    return world.target if isinstance(world.target, str) else None


# --- an event loop -----------------------------------------------------------------------


def test_the_event_loop_ticks_while_a_search_runs_in_a_thread(world: World) -> None:
    """E11"""
    world.save("one")
    world.emulator.add_fault(FaultRule(operation=Operation.EMBED, effect=Delay(seconds=0.3)))
    world.manager().flush_queue()
    world.manager().sync_status()
    core = SemanticCore(world.store, world.keyring(), embedder=world.embedder())

    async def count_ticks() -> tuple[int, int]:
        search = asyncio.get_running_loop().run_in_executor(None, core.search, "one")
        ticks = 0
        while not search.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return len(await search), ticks

    hits, ticks = asyncio.run(count_ticks())
    assert hits == 1
    assert ticks > 5
