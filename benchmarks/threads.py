"""How many searches a second a store answers with one thread, two and eight, beside Chroma.

    python benchmarks/threads.py [ROWS [SECONDS]] [--only semcore] [--folder FOLDER]

The stores and the numbers of threads take turns within one run, so that a slow moment of the machine
hits all of them; what counts are the ratios of their medians, beside how many cores there are, and, where
the machine is busy, the CPU of a search, which does not grow by waiting. Both return texts and metadata. Recall is the share of the ten found that are as near as the tenth true one.
Chroma takes minutes for 100,000 rows: what lies in the folder of an earlier run is asked again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from shared import machine, made, tables
from shared.engines import ENGINES, Engine

DIMENSIONS = 768
LIMIT = 10
QUERIES = 200
THREADS = (1, 2, 8)
ROUNDS = 7
PAGE = 1000


def main() -> None:
    """Print a line a store and number of threads, keep and draw them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="?", type=int, default=40_000)
    parser.add_argument("seconds", nargs="?", type=float, default=2.0, help="of a round")
    parser.add_argument("--only", nargs="*", choices=ENGINES, default=["semcore", "Chroma"])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    about = machine.describe()
    vectors = made.vectors(options.rows, DIMENSIONS)
    queries = made.vectors(QUERIES, DIMENSIONS, seed=2)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        engines = {name: filled(name, folder / name, vectors) for name in options.only}
        recalls = {name: recall(engine, queries, vectors) for name, engine in engines.items()}
        del vectors
        rates = measure(engines, queries, options.seconds)
        for engine in engines.values():
            engine.close()
    print(
        f"{options.rows:,} x {DIMENSIONS}, {os.cpu_count()} cores, {ROUNDS} x {options.seconds:g} s"
    )
    rows = []
    for name in options.only:
        found = [np.median(np.array(rates[name, threads]), axis=0) for threads in THREADS]
        medians = [round(float(rate), 1) for rate, _ in found]
        cpu = [round(1e3 * float(seconds), 2) for _, seconds in found]
        row = {"store": name, "recall": recalls[name], "per_second": medians, "cpu_ms": cpu}
        rows.append(row)
        for threads, median, spent in zip(THREADS, medians, cpu, strict=True):
            print(
                f"  {name:<16} {threads} threads: {median:8.1f} searches/s   {spent:6.2f} ms of CPU   "
                f"{median / medians[0]:5.2f} x one thread   recall {recalls[name]:.4f}"
            )
    about["load_after"] = round(os.getloadavg()[0], 1)
    machine.keep(
        "threads", {"machine": about, "rows": options.rows, "threads": THREADS, "stores": rows}
    )
    tables.plot_threads(machine.RESULTS / "threads.png", THREADS, rows)


def filled(name: str, folder: Path, vectors: made.Floats) -> Engine:
    """Return a store that holds the vectors, with texts of 800 characters and metadata."""
    is_filled = (folder / "filled").exists()
    folder.mkdir(parents=True, exist_ok=True)
    engine = ENGINES[name](folder, vectors.shape[1])
    for start in range(0, 0 if is_filled else len(vectors), PAGE):
        numbers = range(start, min(start + PAGE, len(vectors)))
        engine.add(numbers, made.texts(numbers.start, numbers.stop), vectors[start : start + PAGE])
    engine.finish()
    engine.query(vectors[0], LIMIT)
    engine.settle()
    (folder / "filled").touch()
    return engine


def recall(engine: Engine, queries: made.Floats, vectors: made.Floats) -> float:
    """Return the share of hits that are as near as the last true one, and warm up."""
    found = []
    for query in queries:
        true = vectors @ query
        tenth = np.partition(true, -LIMIT)[-LIMIT]
        hits = list(map(int, engine.query(query, LIMIT)))
        found.append((true[hits] >= tenth - 1e-5).mean())
    return round(float(np.mean(found)), 4)


def measure(
    engines: dict[str, Engine], queries: made.Floats, seconds: float
) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Return what `rate` does for each round, by store and number of threads."""
    rates: dict[tuple[str, int], list[tuple[float, float]]] = {}
    # Kept, as a server keeps its threads: each has a connection, which has its pages in memory.
    pools = {
        (name, threads): ThreadPoolExecutor(threads) for name in engines for threads in THREADS
    }
    for number in range(ROUNDS + 1):
        for (name, threads), pool in pools.items():
            done = rate(engines[name], queries, pool, threads, seconds)
            if number:  # the first one warms up
                rates.setdefault((name, threads), []).append(done)
    for pool in pools.values():
        pool.shutdown()
    return rates


def rate(
    engine: Engine, queries: made.Floats, pool: ThreadPoolExecutor, threads: int, seconds: float
) -> tuple[float, float]:
    """Return how many searches a second so many threads get done, and the CPU seconds of each."""
    started, cpu = time.perf_counter(), time.process_time()

    def work(number: int) -> int:
        done = 0
        while time.perf_counter() < started + seconds:
            engine.query(queries[(number + done * threads) % len(queries)], LIMIT)
            done += 1
        return done

    done = sum(pool.map(work, range(threads)))
    return done / (time.perf_counter() - started), (time.process_time() - cpu) / done


if __name__ == "__main__":
    main()
