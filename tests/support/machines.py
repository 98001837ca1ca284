"""Machines that share one database on a server and nothing else, one of them killed now and then.

Each has a cache folder of its own. It ingests its documents, sends what waits, and brings back what
is done, until nothing is left to do. One that was killed is started again and goes on.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from semantic_core import Document, EmbeddingSpec, SemanticCore
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.errors import DatabaseBusyError, ProviderError, TransitionError
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.store import PeeweeVectorStore
from support.world import make_keyring

SPEC = EmbeddingSpec(dimensions=16)

# Every so many-th text is one that each machine has.
_COMMON = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the machines do.

    Attributes:
        folder: where each has its folder.
        url: where the provider is.
        database: the URL of the database.
        machines: how many they are.
        chunks: how many all of them ingest.
        page: documents that one ingests at a time.
        job: texts in one job.
        kills: how many times one of them is killed: half of it at most while it ingests.
        pause: seconds between two kills, at most.
    """

    folder: str
    url: str
    database: str
    machines: int
    chunks: int
    page: int
    job: int
    kills: int
    pause: float

    @property
    def pages(self) -> int:
        """How many pages each machine ingests."""
        return self.chunks // (self.machines * self.page)

    @property
    def config(self) -> BatchConfig:
        """Limits and delays, those of a story that ends within minutes."""
        return BatchConfig(
            max_requests=self.job, lease=10.0, listing_grace=20.0, rate_limit_delay=0.5
        )

    def text(self, machine: int, number: int) -> str:
        """Return what a machine's document of this number says."""
        who = f"machine {machine}" if number % _COMMON else "every machine"
        return f"text number {number} of {who}"

    def texts(self) -> set[str]:
        """Return each text that is ingested."""
        return {
            self.text(machine, number)
            for machine in range(self.machines)
            for number in range(self.pages * self.page)
        }

    def ingested(self, machine: int) -> int:
        """Return how many pages a machine knows to be saved."""
        path = self.place(machine) / "pages"
        # It may have been killed just when it noted one.
        return int(path.read_text() or 0) if path.exists() else 0

    def place(self, machine: int) -> Path:
        """Return a machine's folder."""
        return Path(self.folder) / f"machine-{machine}"


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        failed: machines that ended otherwise than they should.
        killed: how many times one was killed while it ingested.
        killed_later: how many times one was killed while it only sent and brought back.
    """

    failed: list[int]
    killed: int
    killed_later: int


def serve(say: Callable[[str], None], hear: Callable[[], str]) -> None:
    """Let the machines of one story work; tell what came of it."""
    import google.genai  # noqa: F401  # most of a second, once

    story = Story(**json.loads(hear()))
    say(json.dumps(asdict(_tell(story))))


def _tell(story: Story) -> Outcome:
    rng = random.Random(story.kills)
    outcome = Outcome([], 0, 0)
    running = {_started(story, machine): machine for machine in range(story.machines)}
    due = time.monotonic() + rng.uniform(0, story.pause)
    while running:
        time.sleep(0.02)
        for pid in list(running):
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                machine = running.pop(pid)
                if not (story.place(machine) / "done").exists():
                    outcome.failed.append(machine)
        if running and time.monotonic() > due:
            due = time.monotonic() + rng.uniform(0, story.pause)
            pid, machine = rng.choice(list(running.items()))
            is_ingesting = story.ingested(machine) < story.pages
            if (outcome.killed if is_ingesting else outcome.killed_later) >= story.kills // 2:
                continue
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            outcome.killed += is_ingesting
            outcome.killed_later += not is_ingesting
            del running[pid]
            running[_started(story, machine)] = machine
    return outcome


def _started(story: Story, machine: int) -> int:
    pid = os.fork()
    if not pid:
        _work(story, machine)
    return pid


def _work(story: Story, machine: int) -> None:
    place = story.place(machine)
    place.mkdir(exist_ok=True)
    os.environ["XDG_CACHE_HOME"] = str(place)
    with (place / "log").open("a") as log:
        # The parent's pipe is for the parent.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        client = GeminiBatchClient.from_keyring(
            make_keyring(), endpoint=Endpoint(base_url=story.url, timeout=120.0)
        )
        with PeeweeVectorStore(story.database) as store:
            store.collection(spec=SPEC)
            manager = BatchManager(make_keyring(), store, client=client, config=story.config)
            _ingest(story, machine, SemanticCore(store, make_keyring()), manager)
            _finish(story, manager, store)
        (place / "done").touch()
    except BaseException:  # noqa: BLE001  # told by the missing file, and in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _ingest(story: Story, machine: int, core: SemanticCore, manager: BatchManager) -> None:
    for page in range(story.ingested(machine), story.pages):
        while _attempt(lambda page=page: core.ingest(_documents(story, machine, page))) is None:
            pass
        (story.place(machine) / "pages").write_text(str(page + 1))
        _attempt(lambda: manager.flush_queue(min_size=story.job // 2))
        if page % 4 == machine % 4:
            _attempt(manager.sync_status)


def _documents(story: Story, machine: int, page: int) -> Iterator[Document]:
    for number in range(page * story.page, (page + 1) * story.page):
        yield Document(content=story.text(machine, number), id=f"{machine}/{number}")


def _finish(story: Story, manager: BatchManager, store: PeeweeVectorStore) -> None:
    while True:
        are_all_in = all(story.ingested(one) == story.pages for one in range(story.machines))
        least = 1 if are_all_in else story.job // 2
        while _attempt(lambda least=least: manager.flush_queue(min_size=least)) is not None:
            pass
        _attempt(manager.sync_status)
        stats = store.stats()
        if are_all_in and not stats.waiting + stats.in_flight:
            return
        time.sleep(0.1)


def _attempt(call: Callable[[], Any]) -> Any:
    """Do what cron does: a failed call is noted, and the next one follows."""
    try:
        return call()
    except (ProviderError, TransitionError, DatabaseBusyError) as error:
        print(repr(error))  # noqa: T201  # into the log
        return None
