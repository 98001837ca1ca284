"""A notebook's kernel is interrupted in long work, and goes on with the same objects.

The kernel keeps the traceback of what was interrupted, and its event loop runs all the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_emulator import Delay, Emulator, FaultRule, Operation, StickJob
from semantic_core.store import PeeweeVectorStore
from support.clock import ManualClock
from support.invariants import check_invariants, check_provider
from support.kernel import Kernel, wait_until
from support.keys import canary

TEXTS = 6
DOCUMENTS = 8

SETUP = """
import asyncio
import time
from pathlib import Path
from semantic_core import *

asyncio.get_running_loop()
keyring = GoogleKeyring(default_key={default_key!r}, batch_key={batch_key!r})
endpoint = Endpoint(base_url={url!r}, timeout=60)
store = PeeweeVectorStore({path!r})
core = SemanticCore(store, keyring, embedder=GeminiEmbedder(keyring, endpoint=endpoint))
manager = BatchManager(
    keyring,
    store,
    client=GeminiBatchClient.from_keyring(keyring, endpoint=endpoint),
    config=BatchConfig(poll_interval=300, listing_grace=0.01),
)
documents = [
    Document(id=f"d{{n}}", content=f"Document {{n}}.\\n\\n" + f"words of {{n}} " * 30_000)
    for n in range({documents})
]
reached = Path({reached!r})

def stand_still(*_):
    reached.touch()
    time.sleep(300)
"""


@pytest.fixture(scope="module")
def running_kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def provider(tmp_path: Path, clock: ManualClock) -> Iterator[Emulator]:
    with Emulator(tmp_path / "emulator.db", clock=clock) as running:
        yield running


class Notebook:
    """A notebook whose first cell has been run.

    Attributes:
        store: this process's own view of its database.
        reached: a file that a cell makes when it is where it is to be interrupted.
    """

    def __init__(self, kernel: Kernel, provider: Emulator, folder: Path) -> None:
        path = folder / "notes.db"
        self.kernel = kernel
        self.provider = provider
        self.reached = folder / "reached"
        kernel.run(
            SETUP.format(
                url=provider.url,
                path=str(path),
                reached=str(self.reached),
                documents=DOCUMENTS,
                # The kernel knows nothing of the tests' own modules.
                default_key=canary("default"),
                batch_key=canary("batch"),
            )
        )
        self.store = PeeweeVectorStore(path)

    def save(self) -> None:
        self.kernel.run(
            f"store.save([Chunk(id=str(n), text=f'text {{n}}') for n in range({TEXTS})])"
        )

    def interrupt_at(self, operation: Operation, cell: str, *, after: bool = False) -> None:
        """Interrupt a cell while it waits for an answer that the provider takes very long over.

        Args:
            operation: the call.
            cell: what makes it.
            after: whether the provider has done by then what was asked.
        """
        delay = Delay(seconds=300, after=after)
        rule = self.provider.add_fault(FaultRule(operation=operation, effect=delay))
        self.kernel.start(cell)
        wait_until(lambda: self.provider.fault_hits(rule), f"{cell} calls {operation}")
        if after:
            wait_until(self.provider.jobs, "the provider does it")
        self.interrupt()

    def interrupt_standing(self, cell: str) -> None:
        """Interrupt a cell that waits, having made the file ``reached``."""
        self.kernel.start(cell)
        wait_until(self.reached.exists, f"{cell} gets there")
        self.interrupt()

    def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        self.kernel.interrupt()
        assert self.kernel.outcome() == "KeyboardInterrupt"
        check_invariants(self.store)

    def finish(self) -> None:
        """Go on as a user would, with the same objects, and look at what came of it."""
        self.kernel.run("manager.sync_status(); manager.drain_queue(); manager.wait(timeout=60)")
        check_provider(self.provider, self.store)
        check_invariants(self.store)
        stats = self.store.stats()
        assert (stats.ready, stats.waiting, stats.in_flight) == (TEXTS, 0, 0)
        assert list(self.provider.ledger.billed().values()) == [1] * TEXTS


@pytest.fixture
def notebook(running_kernel: Kernel, provider: Emulator, tmp_path: Path) -> Iterator[Notebook]:
    opened = Notebook(running_kernel, provider, tmp_path)
    yield opened
    opened.store.close()
    running_kernel.run("store.close()")


@pytest.mark.parametrize("operation", [Operation.UPLOAD_START, Operation.UPLOAD])
def test_an_upload(notebook: Notebook, operation: Operation) -> None:
    """Nothing was sent: the texts wait again at once."""
    notebook.save()
    notebook.interrupt_at(operation, "manager.flush_queue()")
    assert notebook.store.stats().waiting == TEXTS
    notebook.finish()


def test_a_create_call_that_arrived(notebook: Notebook) -> None:
    """Nobody here knows it yet: the texts stay claimed, and the job is found by its name."""
    notebook.save()
    notebook.interrupt_at(Operation.CREATE, "manager.flush_queue()", after=True)
    assert notebook.store.stats().in_flight == TEXTS
    notebook.finish()
    assert sum(notebook.provider.ledger.creates().values()) == 1


def test_a_create_call_that_never_arrived(notebook: Notebook, clock: ManualClock) -> None:
    """The texts stay claimed until three listings have shown that there is no such job."""
    notebook.save()
    notebook.interrupt_at(Operation.CREATE, "manager.flush_queue()")
    for _ in range(2):
        notebook.kernel.run("manager.sync_status(); time.sleep(2 * manager.config.listing_grace)")
        # The provider dates its answers, by the second.
        clock.advance(1)
    assert notebook.store.stats().in_flight == TEXTS
    notebook.finish()
    assert sum(notebook.provider.ledger.creates().values()) == 1


def test_waiting_between_two_polls(notebook: Notebook) -> None:
    notebook.provider.add_fault(FaultRule(effect=StickJob(), times=None))
    notebook.save()
    notebook.kernel.run("manager.flush_queue()")
    notebook.interrupt_standing("manager.wait(progress=lambda stats: reached.touch())")
    assert notebook.store.stats().in_flight == TEXTS
    notebook.provider.clear_faults()
    notebook.finish()


@pytest.mark.parametrize("operation", [Operation.GET, Operation.DOWNLOAD, Operation.FILE_DELETE])
def test_waiting_for_an_answer(notebook: Notebook, operation: Operation) -> None:
    notebook.save()
    notebook.kernel.run("manager.flush_queue()")
    notebook.interrupt_at(operation, "manager.wait(progress=True)")
    notebook.finish()


INGESTS = {
    "between pages": "core.ingest(documents, progress=stand_still)",
    "while reading": """
def read():
    yield from documents[:-1]
    stand_still()
core.ingest(read(), progress=True)
""",
}


@pytest.mark.parametrize("cell", INGESTS.values(), ids=INGESTS)
def test_an_ingest(notebook: Notebook, cell: str) -> None:
    """What was saved stays, and ingesting the same again adds the rest."""
    notebook.interrupt_standing(cell)
    kept = len(notebook.store.chunks())
    assert kept
    printed = notebook.kernel.run(
        "report = core.ingest(documents, progress=True)\n"
        "print(report.documents, report.chunks.unchanged, report.chunks.inserted)"
    )
    documents, unchanged, inserted = map(int, printed.split())
    assert (documents, unchanged) == (DOCUMENTS, kept)
    assert inserted > 0
    assert len(notebook.store.chunks()) == kept + inserted
    check_invariants(notebook.store)


def test_an_ingest_that_embeds_at_once(notebook: Notebook) -> None:
    """The page that was interrupted is not saved; every vector that came is kept and paid once."""
    cell = "core.ingest([Document(content=f'text {n}') for n in range(150)], mode='sync')"
    provider = notebook.provider
    rule = provider.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Delay(seconds=300, after=False), skip=1)
    )
    notebook.kernel.start(cell)
    wait_until(lambda: provider.fault_hits(rule), "the second group is sent")
    notebook.interrupt()
    notebook.kernel.run(cell)
    assert notebook.store.stats().ready == 150
    assert list(provider.ledger.billed().values()) == [1] * 150
