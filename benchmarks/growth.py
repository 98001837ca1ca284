"""What the same work costs with ever more stored: saving, sending, applying, asking.

    python benchmarks/growth.py [CHUNKS ...]       10k, 30k, 100k and 300k by default
    python benchmarks/growth.py --url postgresql://...    an empty database of a server here

One database grows. At each size the same work is done on top of it: a page of 1,000 chunks is
saved, sent as a job, applied, then asked for. Sending, applying and the status should take no
longer the more there is. 768 dimensions; the medians of a few
rounds. On a server, what is measured is CPU time: that of this process and of all of the server's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from shared import machine, made, tables
from shared.cpu import Cpu
from shared.provider import InstantProvider, manager_of

SIZES = (10_000, 30_000, 100_000, 300_000)
PAGE = 1000
ROUNDS = 5
SPEC = EmbeddingSpec()
FIGURES = [
    ("save 1,000 chunks", "save_ms"),
    ("flush: claim and spool 1,000", "flush_ms"),
    ("sync: apply 1,000 results", "sync_ms"),
    ("queue stats with 1,000 pending", "stats_ms"),
    ("search by vector", "vector_ms"),
    ("search by vector, 5 % filter", "filtered_ms"),
    ("search by vector, exact", "exact_ms"),
    ("search by three rare words", "words_ms"),
]


def main() -> None:
    """Print one line a size, keep the figures and draw them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES)
    parser.add_argument("--url", help="a superuser's")
    options = parser.parse_args()
    about, rows = machine.describe(), []
    timed = machine.timed if options.url is None else Cpu(options.url).by
    name = "growth" if options.url is None else "growth_postgres"
    with (
        tempfile.TemporaryDirectory() as folder,
        PeeweeVectorStore(options.url or Path(folder, "db")) as store,
    ):
        work = Work(store, Path(folder), timed)
        for size in options.sizes:
            work.grow(size)
            rows.append(work.measure(size))
            print(
                f"{size:>9,} stored: "
                + ", ".join(f"{key.removesuffix('_ms')} {rows[-1][key]}" for _, key in FIGURES)
                + " ms",
                flush=True,
            )
            machine.keep(name, {"machine": about, "rows": rows})
    if options.url is None:
        tables.plot_growth(machine.RESULTS / "growth.png", rows, FIGURES)


class Work:
    """The database that grows.

    Args:
        store: new and empty.
        folder: for files of results.
        timed: returns the seconds that an action takes.
    """

    def __init__(
        self, store: PeeweeVectorStore, folder: Path, timed: Callable[[Callable[[], object]], float]
    ) -> None:
        self._timed = timed
        self._store = store
        self._folder = folder
        self._provider = InstantProvider()
        self._manager = manager_of(store, self._provider, texts=10 * PAGE)
        self._count = 0
        self._queries = made.vectors(40, SPEC.dimensions or 0, seed=2)
        store.collection(spec=SPEC)

    def grow(self, size: int) -> None:
        """Save, send and apply until there are so many."""
        while self._count < size - ROUNDS * PAGE:
            self._save()
            if self._count % (10 * PAGE) == 0:
                self._send()
                self._apply()
        self._send()
        self._apply()

    def measure(self, size: int) -> dict[str, float]:
        """Do a page's work a few times on top of it."""
        times: dict[str, list[float]] = {key: [] for _, key in FIGURES}
        for _ in range(ROUNDS):
            chunks = self._chunks()
            times["save_ms"].append(self._timed(lambda page=chunks: self._store.save(page)))
            times["stats_ms"].append(self._timed(self._store.stats))
            times["flush_ms"].append(self._timed(self._manager.flush_queue))
            self._answer()
            times["sync_ms"].append(self._timed(self._manager.sync_status))
        searches: dict[str, Callable[[int], object]] = {
            "vector_ms": self._search,
            "filtered_ms": lambda turn: self._search(turn, filters={"tenant": turn % made.TENANTS}),
            "exact_ms": lambda turn: self._search(turn, exact=True),
            "words_ms": lambda turn: self._store.search(text=words[turn], mode="keyword"),
        }
        words = [_words(turn) for turn in range(len(self._queries))]
        self._search(0)
        for turn in range(len(self._queries)):
            for key, search in searches.items():
                times[key].append(self._timed(lambda: search(turn)))  # noqa: B023  # called at once
        medians = {key: round(1e3 * statistics.median(some), 2) for key, some in times.items()}
        return {"rows": size, **medians}

    def _search(self, turn: int, **arguments: Any) -> object:
        return self._store.search(vector=self._queries[turn], mode="vector", **arguments)

    def _chunks(self) -> list[Chunk]:
        numbers = range(self._count, self._count + PAGE)
        self._count += PAGE
        return [
            Chunk(id=str(number), text=text, metadata=made.metadata(number))
            for number, text in zip(numbers, made.texts(numbers.start, numbers.stop), strict=True)
        ]

    def _save(self) -> None:
        self._store.save(self._chunks())

    def _send(self) -> None:
        if self._manager.flush_queue() is not None:
            self._answer()

    def _answer(self) -> None:
        path = self._folder / "results.jsonl"
        with path.open("wb") as file:
            file.writelines(made.result_lines(self._provider.keys, SPEC.dimensions or 0))
        self._provider.results_file = path

    def _apply(self) -> None:
        self._manager.sync_status()


def _words(turn: int) -> str:
    """Return three words from the end of a text, where the number makes one of them rare."""
    return " ".join(made.texts(turn, turn + 1)[0].split()[-3:])


if __name__ == "__main__":
    main()
