"""The demo: the whole way of a text, on real prose, against the emulator or against Google.

It may be killed at any moment: run again, it goes on with the same database, and nothing is
embedded twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batch_emulator import Emulator, EmulatorConfig
from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.documents.readers import FileDocument, pydoc_topics, read_documents
from semantic_core.documents.splitter import Splitter
from semantic_core.domain.pricing import Cost
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import Document, QueueStats, SearchResults
from semantic_core.facade import SemanticCore
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient, GeminiEmbedder
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore

# Paragraph-sized, so that a hit is short enough to read in the terminal.
CHUNK_CHARACTERS = 500

# The emulator takes seconds where Google takes up to a day, so everything else is faster too.
EMULATED = BatchConfig(
    max_requests=1000, listing_grace=2.0, lease=8.0, poll_interval=0.25, rate_limit_delay=2.0
)
LIVE = BatchConfig(poll_interval=30.0)

QUESTIONS = ("clean up a file even if an error happens", "make my object callable like a function")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the demo works on.

    Attributes:
        folder: where its database and the emulator's state live.
        documents: files or folders of the user's own; empty for the language reference that
            ships inside every CPython.
        questions: what to search for; empty for questions that fit the documents.
        is_live: use Google, with keys from the environment, instead of the emulator.
    """

    folder: Path
    documents: tuple[Path, ...] = ()
    questions: tuple[str, ...] = ()
    is_live: bool = False

    @property
    def database(self) -> Path:
        """The demo's database: one for each corpus, and live vectors apart from the emulator's."""
        name = "live" if self.is_live else "semcore"
        if self.documents:
            paths = "\n".join(str(path.absolute()) for path in self.documents)
            name += "-" + hashlib.sha256(paths.encode()).hexdigest()[:8]
        return self.folder / f"{name}.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was found, question by question.

    Attributes:
        by: what the searches ranked by.
        found: (question, hits) pairs.
        seconds: how long all of them took.
    """

    by: str
    found: tuple[tuple[str, SearchResults], ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What the corpus costs.

    Attributes:
        tokens: as the provider counted them, and as estimated where it did not, over all jobs
            of the database.
        estimated_tokens: the estimated part of them.
        cost: of those tokens, live and in batch; None for a model without a known price.
        jobs: how many jobs brought them.
        texts_billed: distinct texts that the emulator's ledger shows; None for Google.
        times_billed: how often they were billed in all; equal, if nothing was paid twice.
    """

    tokens: int
    estimated_tokens: int
    cost: Cost | None
    jobs: int
    texts_billed: int | None
    times_billed: int | None


class Demo:
    """One run of the demo, step by step; whoever shows it calls the steps in order.

    Args:
        options: what to work on.
        base_url: the emulator's URL, or None for Google.
        keyring: keys for it.
        ledger: counts (distinct texts billed, times billed), if there is a ledger.
    """

    def __init__(
        self,
        options: DemoOptions,
        *,
        base_url: str | None,
        keyring: GoogleKeyring,
        ledger: Callable[[], tuple[int, int]] | None,
    ) -> None:
        endpoint = Endpoint(base_url=base_url)
        self._options = options
        self._ledger = ledger
        self._store = PeeweeVectorStore(options.database)
        self._embedder = GeminiEmbedder(keyring, endpoint=endpoint)
        self._client = GeminiBatchClient.from_keyring(keyring, endpoint=endpoint)
        self._core = SemanticCore(
            self._store,
            keyring,
            embedder=self._embedder,
            splitter=Splitter(max_chars=CHUNK_CHARACTERS),
        )
        self._manager = BatchManager(
            keyring,
            self._store,
            client=self._client,
            config=LIVE if options.is_live else EMULATED,
        )

    def close(self) -> None:
        """Close the database and the connections to the provider."""
        self._client.close()
        self._embedder.close()
        self._store.close()

    def ingest(self) -> IngestReport:
        """Save every document; nothing is embedded yet."""
        return self._core.ingest(self._documents(), mode="async")

    def search(self, mode: SearchMode) -> Answers:
        """Ask the questions."""
        clock = self._store.clock
        started = clock.now()
        found = tuple(
            (question, self._core.search(question, 3, mode=mode)) for question in self.questions()
        )
        return Answers(by=str(mode), found=found, seconds=clock.now() - started)

    def flush(self) -> list[str]:
        """Send what waits; return the ids of the new jobs."""
        return self._manager.drain_queue()

    def wait(self, progress: Callable[[QueueStats], None]) -> QueueStats:
        """Sync until nothing is open or waits any more, sending again what may be."""
        while True:
            stats = self._manager.wait(progress=progress)
            if not self._manager.drain_queue():
                return stats

    def stats(self) -> QueueStats:
        """Return the state of the queue."""
        return self._manager.get_queue_stats()

    def bill(self) -> Bill:
        """Return what the corpus costs."""
        receipt = self._manager.receipt()
        texts, times = self._ledger() if self._ledger else (None, None)
        return Bill(
            tokens=receipt.tokens,
            estimated_tokens=receipt.estimated_tokens,
            cost=None if receipt.unpriced else receipt.priced,
            jobs=sum(bool(job.token_count) for job in receipt.jobs),
            texts_billed=texts,
            times_billed=times,
        )

    def questions(self) -> tuple[str, ...]:
        """Return the questions: the user's, ours, or the titles of some of the documents."""
        if self._options.questions or not self._options.documents:
            return self._options.questions or QUESTIONS
        chunks = self._store.chunks()
        picked = chunks[len(chunks) // 3 :: max(1, len(chunks) // 3)][:2]
        return tuple(" ".join(chunk.text.split()[:8]) for chunk in picked)

    def _documents(self) -> Iterable[Document | FileDocument]:
        if self._options.documents:
            return read_documents(self._options.documents)
        return pydoc_topics()


@contextmanager
def open_demo(options: DemoOptions) -> Iterator[Demo]:
    """Start the emulator where it is wanted, and open the demo on it.

    Raises:
        MissingServerError: the emulator's packages are not installed.
        MissingBatchKeyError: a live demo without a batch key.
    """
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.is_live:
        keyring = GoogleKeyring.from_env()
        keyring.get_batch_key()
        demo = Demo(options, base_url=None, keyring=keyring, ledger=None)
        try:
            yield demo
        finally:
            demo.close()
        return
    config = EmulatorConfig(pending_seconds=0.5, running_seconds=2.5)
    with Emulator(state=options.folder / "emulator.db", config=config) as emulator:
        demo = Demo(
            options,
            base_url=emulator.url,
            keyring=GoogleKeyring(default_key="demo-key", batch_key="demo-batch-key"),
            ledger=lambda: _totals(emulator),
        )
        try:
            yield demo
        finally:
            demo.close()


def _totals(emulator: Emulator) -> tuple[int, int]:
    """Return how many distinct texts batch jobs embedded, and how often in all."""
    billed = emulator.ledger.billed(live=False)
    return len(billed), billed.total()
