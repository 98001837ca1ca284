"""Many processes at work on one database at once, some of them killed or stopped meanwhile.

They are forked from one process that has imported everything and opened nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from semantic_core.batches import BatchConfig
from semantic_core.domain.errors import (
    DatabaseUnavailableError,
    ProviderError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.domain.types import Chunk
from support.chapters import Office

# A stopped process loses its lease, but not so much time that an uncertain job could be given up:
# from there on only the provider could tell that it comes too late.
CONFIG = BatchConfig(max_requests=3, lease=1.0, listing_grace=60.0, rate_limit_delay=0.2)
LONGEST_STOP = 1.5 * CONFIG.lease

T = TypeVar("T")

# A saver is not: nobody could tell whether what it was just saving stands.
INTERRUPTED = ("flusher", "syncer", "searcher")

TEXTS = tuple(f"text number {number}" for number in range(150))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a crowd does.

    Attributes:
        folder: where the database and the clock are.
        url: where the provider is.
        database: the URL of the database; None for a file in the folder.
        seconds: for how long.
        seed: decides what each one does.
        roles: how many there are of each.
        first: the number of the first of them; a later crowd takes others.
    """

    folder: str
    url: str
    database: str | None
    seconds: float
    seed: int
    roles: dict[str, int]
    first: int = 0


def serve(say: Callable[[str], None], hear: Callable[[], str]) -> None:
    """Let a crowd work; tell what it did, and who failed."""
    import google.genai  # noqa: F401  # most of a second, once

    # Inherited by all: an interrupt counts from the first step of one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = json.loads(hear())
    say(json.dumps(asdict(_Crowd(order).work())))


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        failed: names of those that ended otherwise than they should.
        killed: how many were killed.
        stopped: how many were stopped, and went on.
        interrupted: how many interrupts were sent to those that go on after one.
        done: how often each thing was done.
    """

    failed: list[str]
    killed: int
    stopped: int
    interrupted: int
    done: dict[str, int]


class _Crowd:
    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._folder = Path(order["folder"])
        self._rng = random.Random(order["seed"])
        self._deadline = time.monotonic() + order["seconds"]
        self._running: dict[int, tuple[str, int]] = {}
        self._stopped: dict[int, float] = {}
        self._outcome = Outcome([], 0, 0, 0, {})
        self._born = order["first"]

    def work(self) -> Outcome:
        for role, number in self._order["roles"].items():
            for _ in range(number):
                self._start(role)
        while time.monotonic() < self._deadline:
            time.sleep(self._rng.uniform(0.05, 0.4))
            self._wake(time.monotonic())
            self._disturb()
        self._wake(float("inf"))
        for pid, (role, number) in self._running.items():
            if os.waitpid(pid, 0)[1]:
                self._outcome.failed.append(f"{role}-{number}")
        counts: Counter[str] = Counter()
        for path in self._folder.glob("*.done.json"):
            counts.update(json.loads(path.read_text()))
        self._outcome.done = dict(counts)
        return self._outcome

    def _start(self, role: str) -> None:
        self._born += 1
        pid = os.fork()
        if not pid:
            _work(self._order, self._folder, role, self._born, self._deadline)
        self._running[pid] = (role, self._born)

    def _disturb(self) -> None:
        """Interrupt one that goes on after it; kill or stop one that may die at any moment."""
        for pid, (role, _) in self._running.items():
            if role in INTERRUPTED and pid not in self._stopped and self._rng.random() < 0.2:
                os.kill(pid, signal.SIGINT)
                self._outcome.interrupted += 1
        victims = [
            pid
            for pid, (role, _) in self._running.items()
            if role in ("flusher", "syncer") and pid not in self._stopped
        ]
        if not victims:
            return
        victim = self._rng.choice(victims)
        if self._rng.random() < 0.5:
            os.kill(victim, signal.SIGSTOP)
            self._stopped[victim] = time.monotonic() + self._rng.uniform(0.1, LONGEST_STOP)
            self._outcome.stopped += 1
            return
        os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(victim, 0)
        role, number = self._running.pop(victim)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            self._outcome.failed.append(f"{role}-{number}")
        self._outcome.killed += 1
        self._start(role)

    def _wake(self, now: float) -> None:
        for pid, until in list(self._stopped.items()):
            if until <= now:
                os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]


def _work(order: dict[str, Any], folder: Path, role: str, number: int, deadline: float) -> None:
    name = f"{role}-{number}"
    with (folder / f"{name}.log").open("w") as log:
        # The parent's pipe is for the parent.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 1
    try:
        done: Counter[str] = Counter()
        rng = random.Random(f"{order['seed']} {number}")
        with Office(
            folder, order["url"], database=order["database"], config=CONFIG, ticks=True
        ) as office:
            _until_it_runs(lambda: office.store)
            step = _until_it_runs(lambda: _ROLES[role](office, rng, number))
            step = _interruptible(step) if role in INTERRUPTED else step
            while time.monotonic() < deadline:
                try:
                    done[step()] += 1
                except DatabaseUnavailableError:
                    done["the server is down"] += 1
        (folder / f"{name}.done.json").write_text(json.dumps(done))
        code = 0
    except BaseException:  # noqa: BLE001  # told by the exit code, and in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _until_it_runs(call: Callable[[], T]) -> T:
    """Do what may be repeated until the server has done it."""
    while True:
        try:
            return call()
        except DatabaseUnavailableError:
            time.sleep(0.05)


def _interruptible(step: Callable[[], str]) -> Callable[[], str]:
    """Return a step that an interrupt ends, wherever it is, and that can be done again."""
    is_busy = False

    def interrupt(*_: object) -> None:
        nonlocal is_busy
        # Once a step, and never between two.
        if is_busy:
            is_busy = False
            raise KeyboardInterrupt

    def once() -> str:
        nonlocal is_busy
        try:
            is_busy = True
            return step()
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            is_busy = False

    signal.signal(signal.SIGINT, interrupt)
    return once


def _flusher(office: Office, rng: random.Random, number: int) -> Callable[[], str]:
    manager = office.manager()

    def step() -> str:
        time.sleep(rng.uniform(0, 0.02))
        try:
            return "sent" if manager.flush_queue() else "nothing to send"
        except (SubmissionUncertainError, TransitionError, ProviderError) as error:
            return type(error).__name__

    return step


def _syncer(office: Office, rng: random.Random, number: int) -> Callable[[], str]:
    manager = office.manager()

    def step() -> str:
        time.sleep(rng.uniform(0, 0.02))
        try:
            return f"synced {len(manager.sync_status()) > 0}"
        except ProviderError as error:
            return type(error).__name__

    return step


def _saver(office: Office, rng: random.Random, number: int) -> Callable[[], str]:
    """Save, edit and delete chunks of its own; note what stands whenever that is acknowledged."""
    standing: dict[str, str] = {}
    notes = office.path.with_name(f"saver-{number}.standing.json")

    def step() -> str:
        time.sleep(rng.uniform(0, 0.02))
        ids = [f"{number}-{rng.randrange(40)}" for _ in range(rng.randrange(1, 5))]
        if rng.random() < 0.2:
            _until_it_runs(lambda: office.store.delete(ids=ids))
            for chunk_id in ids:
                standing.pop(chunk_id, None)
        else:
            chunks = {chunk_id: rng.choice(TEXTS) for chunk_id in ids}
            saved = [Chunk(id=i, text=text) for i, text in chunks.items()]
            _until_it_runs(lambda: office.store.save(saved))
            standing.update(chunks)
            found = _until_it_runs(lambda: office.store.get(list(chunks)))
            assert {chunk.id: chunk.text for chunk in found} == chunks
        notes.write_text(json.dumps(standing))
        return "saved"

    return step


def _searcher(office: Office, rng: random.Random, number: int) -> Callable[[], str]:
    def step() -> str:
        time.sleep(rng.uniform(0, 0.02))
        vector = [rng.uniform(-1, 1) for _ in range(768)]
        hits = office.store.search(text=rng.choice(TEXTS), vector=vector, limit=10)
        assert len({hit.chunk.id for hit in hits}) == len(hits)
        assert all(hit.chunk.text in TEXTS for hit in hits)
        office.store.stats()
        return "searched"

    return step


_ROLES: dict[str, Callable[[Office, random.Random, int], Callable[[], str]]] = {
    "flusher": _flusher,
    "syncer": _syncer,
    "saver": _saver,
    "searcher": _searcher,
}
