"""Whatever two clients of one database do in whatever order, and whatever goes wrong meanwhile.

Hypothesis writes the stories: saves, edits, deletes, flushes, syncs, cancels, crashes at
failpoints, processes that sleep through their lease, time, keys, faults of the provider. After
each step the ten invariants are checked; at the end the faults are gone, and a bounded number of
flushes and syncs must leave nothing that waits but for a person.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from batch_emulator import (
    CutDownload,
    CutResult,
    Damage,
    DamageLines,
    Drop,
    Emulator,
    EmulatorConfig,
    EndJob,
    FailLines,
    FaultRule,
    Garbage,
    HideJob,
    Lines,
    Operation,
    ReplaceLines,
    Reply,
    SkipLines,
    StickJob,
)
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.errors import (
    DatabaseBusyError,
    ProviderError,
    RateLimitError,
    SemanticCoreError,
    StorageError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from support.clock import ManualClock, TrueClock
from support.databases import open_patiently
from support.invariants import (
    History,
    check_index,
    check_invariants,
    check_provider,
    check_quiet,
    check_vectors,
)
from support.memory import memory_folder
from support.postgres_server import postgres_database
from support.world import BATCH_KEY, OTHER_KEY, PROJECTS, ROTATED_KEY

# `make stress` asks for more, and for other ones every time.
EXAMPLES = int(os.environ.get("SEMCORE_TEST_MACHINE_EXAMPLES", "0"))

CONFIG = BatchConfig(max_requests=3, listing_grace=900.0, lease=600.0)
SPEC = EmbeddingSpec(dimensions=16)
KEYS = (BATCH_KEY, ROTATED_KEY, OTHER_KEY)
MOST_ROUNDS = 16

IDS = ("a", "b", "c", "d", "e")
TEXTS = (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen",
)  # fmt: skip


WHO = st.integers(0, 1)


class Crash(StrEnum):
    """How a call ends in its middle."""

    ERROR = "error"
    INTERRUPT = "interrupt"
    KILL = "kill"  #: nothing more reaches the database
    SLEEP = "sleep"  #: it goes on, when the other client has taken over


class KilledHereError(BaseException):
    """Stands for kill -9: what is cleaned up on its way finds the database closed."""


def _on(operation: Operation, *effects: object) -> list[FaultRule]:
    return [FaultRule(operation=operation, effect=effect) for effect in effects]  # type: ignore[arg-type]


SOME_LINES = (Lines(), Lines(numbers=(0,)), Lines(containing="t"))

SENDING = [
    *_on(Operation.UPLOAD_START, Reply(code=503), Reply(code=400), Drop()),
    *_on(Operation.UPLOAD, Drop(after=True), Reply(code=500, after=True)),
    *_on(Operation.CREATE, *(Reply(code=code) for code in (400, 401, 403, 404))),
    *_on(Operation.CREATE, Reply(code=429), Reply(code=429, retry_delay=30)),
]

# Nobody can tell whether the job was created; where it was, it may be listed late.
UNCERTAIN = [
    *_on(Operation.CREATE, Drop(), Drop(after=True), Garbage(), Garbage(body="{}")),
    *_on(Operation.CREATE, *(Reply(code=code) for code in (500, 503))),
    *_on(Operation.CREATE, *(Reply(code=code, after=True) for code in (500, 503))),
]
LISTED_LATE = [FaultRule(effect=HideJob(seconds=seconds)) for seconds in (600, 3000, 20_000)]

LOOKING = [
    *_on(Operation.LIST, Reply(code=503), Reply(code=403), Garbage(), Drop()),
    *_on(Operation.GET, Reply(code=404), Reply(code=403), Reply(code=500), Garbage(), Drop()),
    *_on(Operation.FILE_GET, Reply(code=404), Reply(code=500)),
    *_on(Operation.DOWNLOAD, Reply(code=404), Reply(code=500), Garbage(), Drop()),
    FaultRule(effect=CutDownload(at=300)),
    FaultRule(effect=CutDownload(at=300, tells_length=False)),
    *_on(Operation.FILE_DELETE, Reply(code=500), Reply(code=404)),
    *_on(Operation.CANCEL, Reply(code=500), Reply(code=500, after=True)),
]

LINES = [
    *(
        FaultRule(effect=FailLines(code=code, lines=lines))
        for code in (400, 429, 503)
        for lines in SOME_LINES
    ),
    # A vector under the key of another text cannot be told from a true one, by anybody.
    *(
        FaultRule(effect=DamageLines(damage=damage, lines=lines))
        for damage in Damage
        if damage is not Damage.SWAPPED
        for lines in SOME_LINES
    ),
    *(FaultRule(effect=SkipLines(lines=lines)) for lines in SOME_LINES),
    FaultRule(effect=ReplaceLines(text="[[[[", lines=SOME_LINES[1])),
    FaultRule(effect=CutResult(at=500)),
]

JOBS = [
    *(
        FaultRule(effect=EndJob(state=f"BATCH_STATE_{state}", is_billed=is_billed))
        for state in ("FAILED", "EXPIRED", "CANCELLED")
        for is_billed in (False, True)
    ),
    # The word of the state and what the job brings need not agree.
    *(
        FaultRule(effect=EndJob(state=f"BATCH_STATE_{state}", has_results=True, is_counted=counted))
        for state in ("FAILED", "EXPIRED", "CANCELLED", "PARTIALLY_SUCCEEDED", "PERPLEXED")
        for counted in (True, False)
    ),
    FaultRule(effect=EndJob(state="BATCH_STATE_SUCCEEDED", has_results=False)),
    FaultRule(effect=StickJob()),
    FaultRule(effect=StickJob(state="BATCH_STATE_PONDERING")),
]

TIMES = st.integers(1, 5)


class TickingClock(ManualClock):
    """No two moments are the same, so that what is sorted by time always has the same order."""

    def true(self) -> float:
        self.advance(0.001)
        return super().true()


class Client:
    """A process: a store and a key."""

    def __init__(self, target: Path | str, emulator: Emulator, clock: ManualClock) -> None:
        self._emulator = emulator
        self._clock = clock
        self._target = target
        self._clients: dict[str, GeminiBatchClient] = {}
        self.key = BATCH_KEY
        self.store = self._open()

    def _open(self) -> PeeweeVectorStore:
        return PeeweeVectorStore(open_patiently(self._target, 0.05), clock=self._clock)

    def restart(self) -> None:
        self.store.close()
        self.store = self._open()

    def manager(self, key: str | None = None) -> BatchManager:
        key = key or self.key
        keyring = GoogleKeyring(batch_key=key)
        if key not in self._clients:
            endpoint = Endpoint(base_url=self._emulator.url, timeout=30.0)
            self._clients[key] = GeminiBatchClient.from_keyring(
                keyring, endpoint=endpoint, clock=self._clock
            )
        return BatchManager(keyring, self.store, client=self._clients[key], config=CONFIG)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self.store.close()


class Machine(RuleBasedStateMachine):
    """Two clients, a provider and a clock."""

    # Makes a database on a server; without one, it is a file.
    new_database: Callable[[], AbstractContextManager[str | None]] = nullcontext

    def __init__(self) -> None:
        super().__init__()
        self._folder = memory_folder()
        folder = Path(self._folder.name)
        self.clock = TickingClock()
        self.emulator = Emulator(
            folder / "emulator.db",
            clock=TrueClock(self.clock),
            config=EmulatorConfig(
                pending_seconds=5,
                running_seconds=5,
                projects=PROJECTS,
                shuffle_results=False,
                # One full job, and a small one beside it.
                most_enqueued_tokens=8,
                most_open_jobs=2,
            ),
        ).start()
        self._database = self.new_database()
        target = self._database.__enter__() or folder / "world.db"
        self.clients = [Client(target, self.emulator, self.clock) for _ in range(2)]
        self.clients[0].store.collection(spec=SPEC)
        self.history = History(CONFIG)
        self.saved: dict[str, str] = {}
        self.accepted: Counter[str] = Counter()
        self.given_up: set[str] = set()

    @initialize(texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4))
    def begin(self, texts: list[str]) -> None:
        self.save(0, dict(zip(IDS, texts, strict=False)))

    # --- what users do -------------------------------------------------------------------

    @rule(
        number=WHO,
        chunks=st.dictionaries(
            st.sampled_from(IDS), st.sampled_from(TEXTS), min_size=1, max_size=4
        ),
    )
    def save(self, number: int, chunks: dict[str, str]) -> None:
        """New ones, edits, and what was deleted before."""
        self.clients[number].store.save([Chunk(id=i, text=text) for i, text in chunks.items()])
        self.saved |= chunks

    @rule(number=WHO, chunk_id=st.sampled_from(IDS))
    def delete(self, number: int, chunk_id: str) -> None:
        deleted = self.clients[number].store.delete(ids=[chunk_id])
        assert deleted == (self.saved.pop(chunk_id, None) is not None)

    @rule(number=WHO)
    def flush(self, number: int) -> None:
        self._work(number, is_flush=True)

    @rule(number=WHO)
    def sync(self, number: int) -> None:
        self._work(number, is_flush=False)

    @rule(number=WHO, seconds=st.sampled_from([1, 6, 61]))
    def flush_and_sync(self, number: int, seconds: int) -> None:
        """A good day, or as good as the faults let it be."""
        self._work(number, is_flush=True)
        self.clock.advance(seconds)
        self._work(number, is_flush=False)

    @rule(
        number=WHO, crash=st.sampled_from(Crash), at=st.integers(1, 16), text=st.sampled_from(TEXTS)
    )
    def flush_and_crash(self, number: int, crash: Crash, at: int, text: str) -> None:
        """Crash at so many-th failpoint on the way."""
        self.save(number, {IDS[-1]: text})
        self._work(number, is_flush=True, crash=crash, at=at)

    @rule(number=WHO, crash=st.sampled_from(Crash), at=st.integers(1, 16))
    def sync_and_crash(self, number: int, crash: Crash, at: int) -> None:
        """Crash at so many-th failpoint on the way."""
        self._work(number, is_flush=False, crash=crash, at=at)

    def _work(
        self, number: int, *, is_flush: bool, crash: Crash | None = None, at: int = 0
    ) -> None:
        client, other = self.clients[number], self.clients[1 - number]
        manager = client.manager()
        allowed: list[type[BaseException]] = [ProviderError, SubmissionUncertainError]
        if crash is not None:
            self._arm(at, lambda: self._strike(crash, client, other))
            allowed += [MemoryError, KeyboardInterrupt, KilledHereError, TransitionError]
        if crash is Crash.KILL:
            allowed += [StorageError, sqlite3.Error]
        try:
            (manager.flush_queue if is_flush else manager.sync_status)()
        except tuple(allowed):
            pass
        finally:
            disarm()
            if crash is Crash.KILL:
                client.restart()

    def _arm(self, at: int, strike: Callable[[], None]) -> None:
        passed = 0

        def pass_by() -> None:
            nonlocal passed
            passed += 1
            if passed == at:
                strike()

        for point in FailPoint:
            arm(point, pass_by)

    def _strike(self, crash: Crash, client: Client, other: Client) -> None:
        disarm()
        if crash is Crash.ERROR:
            raise MemoryError
        if crash is Crash.INTERRUPT:
            raise KeyboardInterrupt
        if crash is Crash.KILL:
            client.store.close()
            raise KilledHereError
        self.clock.advance(CONFIG.lease + 1)
        for _ in range(2):
            for call in (other.manager().sync_status, other.manager().flush_queue):
                try:
                    call()
                except (ProviderError, SubmissionUncertainError, DatabaseBusyError):
                    continue
            self.clock.advance(CONFIG.listing_grace + 1)

    @rule(number=WHO, place=st.integers(0, 5))
    def cancel(self, number: int, place: int) -> None:
        manager = self.clients[number].manager()
        jobs = [job for job in manager.jobs() if job.is_open]
        if jobs:
            self._attempt(lambda: manager.cancel(jobs[place % len(jobs)].id), TransitionError)

    @rule(number=WHO, place=st.integers(0, 5))
    def release(self, number: int, place: int) -> None:
        """Give up a job that is held, and accept that its texts may be billed again."""
        client = self.clients[number]
        held = client.store.stats().held_jobs
        if not held:
            return
        job = held[place % len(held)]
        with client.store.database.snapshot() as connection:
            hashes = {
                row[0]
                for row in connection.execute(
                    "SELECT k.hash FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
                    "JOIN contents k ON k.id = i.content_id WHERE j.id = ? AND state = 'open'",
                    (job.id,),
                )
            }
        try:
            client.manager().release(job.id, accept_rebilling=True)
        except TransitionError:
            return  # a process that was killed still has the lease
        hasher = SPEC.hasher()
        self.accepted.update(text for text in TEXTS if hasher(text) in hashes)
        self.given_up.add(job.display_name)

    @rule(number=WHO)
    def retry_failed(self, number: int) -> None:
        self.clients[number].manager().retry_failed()
        self.history.forgive()

    @rule(number=WHO, key=st.sampled_from(KEYS))
    def change_key(self, number: int, key: str) -> None:
        self.clients[number].key = key

    # --- what happens to them ------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 6, 61, 301, 601, 901, 3601, 40_000]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-1000, 0, 1000, 10_000]))
    def set_clock(self, seconds: int) -> None:
        """Set the machine's clock so far ahead of the true time, or back."""
        self.clock.step(self.clock.true() + seconds - self.clock.now())

    @rule()
    def reboot(self) -> None:
        """Start the machine anew: its monotonic clock counts from elsewhere."""
        self.clock.reboot()

    @rule(fault=st.sampled_from(SENDING), times=TIMES)
    def break_sending(self, fault: FaultRule, times: int) -> None:
        self._break(fault, times)

    @rule(fault=st.sampled_from(UNCERTAIN), late=st.sampled_from([None, *LISTED_LATE]), times=TIMES)
    def leave_uncertain(self, fault: FaultRule, late: FaultRule | None, times: int) -> None:
        self._break(fault, times)
        if late is not None:
            self._break(late, times)

    @rule(fault=st.sampled_from(LOOKING), times=TIMES)
    def break_looking(self, fault: FaultRule, times: int) -> None:
        self._break(fault, times)

    @rule(fault=st.sampled_from(LINES), times=TIMES)
    def spoil_lines(self, fault: FaultRule, times: int) -> None:
        self._break(fault, times)

    @rule(fault=st.sampled_from(JOBS), times=TIMES)
    def end_jobs(self, fault: FaultRule, times: int) -> None:
        self._break(fault, times)

    def _break(self, fault: FaultRule, times: int) -> None:
        self.emulator.add_fault(dataclasses.replace(fault, times=times))

    @rule()
    def repair(self) -> None:
        self.emulator.clear_faults()

    # --- what always holds ---------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        store = self.clients[0].store
        check_invariants(store)
        check_vectors(store, TEXTS, SPEC)
        self.history.check(store)
        self._check_provider()
        for client in self.clients:
            assert {chunk.id: chunk.text for chunk in client.store.chunks()} == self.saved
            check_index(client.store, SPEC)

    def teardown(self) -> None:
        try:
            self._finish()
        finally:
            disarm()
            for client in self.clients:
                client.close()
            self._database.__exit__(None, None, None)
            self.emulator.stop()
            self._folder.cleanup()

    def _finish(self) -> None:
        """Let everything be well again, and wait."""
        self.emulator.clear_faults()
        client = self.clients[0]
        managers = [client.manager(key) for key in KEYS]
        for _ in range(MOST_ROUNDS):
            self.clock.advance(3601)
            for manager in managers:
                manager.sync_status()
            with suppress(RateLimitError):
                while managers[0].flush_queue() is not None:
                    pass
        for manager in managers:
            manager.sync_status()
        self.holds()
        check_quiet(client.store)
        requests = len([one for one in self.emulator.requests if one.method != "GET"])
        for manager in managers:
            manager.sync_status()
            assert manager.flush_queue() is None
        assert len([one for one in self.emulator.requests if one.method != "GET"]) == requests

    def _check_provider(self) -> None:
        check_provider(
            self.emulator,
            self.clients[0].store,
            accepted=self.accepted,
            given_up=self.given_up,
            grace=CONFIG.listing_grace,
        )

    @staticmethod
    def _attempt(call: Callable[[], object], *allowed: type[SemanticCoreError]) -> None:
        try:
            call()
        except (ProviderError, SubmissionUncertainError, *allowed):
            pass


Machine.TestCase.settings = settings(
    max_examples=EXAMPLES or 150,
    stateful_step_count=50,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

TestMachine = Machine.TestCase


@pytest.mark.postgres
def test_machine_on_a_server(postgres_template: tuple[str, str]) -> None:
    class OnServer(Machine):
        new_database = staticmethod(partial(postgres_database, *postgres_template))

    # Each example takes several times as long there.
    short = settings(Machine.TestCase.settings, max_examples=EXAMPLES // 10 or 2)
    run_state_machine_as_test(OnServer, settings=short)


# --- stories that once ended badly -------------------------------------------------------


def test_a_result_file_without_any_line() -> None:
    """The job was asked for its results for ever."""
    state = Machine()
    state.begin(texts=["one"])
    state.spoil_lines(fault=FaultRule(effect=DamageLines(damage=Damage.MISSING)), times=1)
    state.flush_and_sync(number=0, seconds=61)
    state.holds()
    state.teardown()


def test_a_job_that_is_listed_late_to_a_process_that_slept() -> None:
    """Only the last of three listings, far enough apart, tells that it never arrived."""
    state = Machine()
    state.begin(texts=["one"])
    drop = _on(Operation.CREATE, Drop(after=True))[0]
    state.leave_uncertain(fault=drop, late=LISTED_LATE[0], times=1)
    state.flush_and_crash(number=0, crash=Crash.SLEEP, at=11, text="two")
    state.sync(number=1)
    state.advance(seconds=301)
    state.sync_and_crash(number=1, crash=Crash.KILL, at=2)
    state.flush(number=0)
    state.holds()
    state.teardown()
