"""How many searches a second one store answers with one thread, two and eight.

    python benchmarks/threads.py [ROWS [SECONDS]]

The numbers of threads take turns within one run, so that a slow moment of the machine hits all of
them; what counts is the ratio of their medians, beside how many cores there are.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore
from semantic_core.vector_index import Floats

DIMENSIONS = 768
THREADS = (1, 2, 8)
ROUNDS = 7
PAGE = 1000


def main() -> None:
    """Print a line a number of threads."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    rng = np.random.default_rng(rows)
    centres = rng.standard_normal((200, DIMENSIONS), dtype=np.float32)
    with (
        tempfile.TemporaryDirectory() as folder,
        PeeweeVectorStore(Path(folder, "threads.db")) as store,
    ):
        fill(store, rows, centres, rng)
        queries = made(centres, 200, rng)
        rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
        # Kept, as a server keeps its threads: each has a connection, which has its pages in memory.
        pools = {threads: ThreadPoolExecutor(threads) for threads in THREADS}
        for number in range(ROUNDS + 1):
            for threads, pool in pools.items():
                done = rate(store, queries, pool, threads, seconds)
                if number:  # the first one warms up
                    rates[threads].append(done)
        for pool in pools.values():
            pool.shutdown()
    print(f"{rows:,} x {DIMENSIONS}, {os.cpu_count()} cores, {ROUNDS} rounds of {seconds:g} s each")
    base = float(np.median(rates[1]))
    for threads, found in rates.items():
        median = float(np.median(found))
        print(f"  {threads} threads: {median:8.1f} searches/s   {median / base:5.2f} x one thread")
    print(f"  eight to two: {float(np.median(rates[8]) / np.median(rates[2])):.2f}")


def rate(
    store: PeeweeVectorStore,
    queries: Floats,
    pool: ThreadPoolExecutor,
    threads: int,
    seconds: float,
) -> float:
    """Return how many searches a second so many threads get done together."""
    started = time.perf_counter()

    def work(number: int) -> int:
        done = 0
        while time.perf_counter() < started + seconds:
            store.search(vector=queries[(number + done * threads) % len(queries)])
            done += 1
        return done

    done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - started)


def fill(store: PeeweeVectorStore, rows: int, centres: Floats, rng: np.random.Generator) -> None:
    """Save vectors that were made elsewhere."""
    store.collection(spec=EmbeddingSpec.external("made", dimensions=DIMENSIONS))
    for start in range(0, rows, PAGE):
        vectors = made(centres, min(PAGE, rows - start), rng)
        store.save(
            Chunk(id=str(start + number), text=f"text {start + number}", vector=vector)
            for number, vector in enumerate(vectors)
        )


def made(centres: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return vectors near some centres, of length 1."""
    vectors = rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
    vectors += centres[rng.integers(0, len(centres), count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
