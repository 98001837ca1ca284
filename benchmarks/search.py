"""How fast the vector index answers, beside one pass over its matrix in memory.

    python benchmarks/search.py [ROWS ...]
    DATA=folder python benchmarks/search.py     also recall on real embeddings: the folder holds
                                                vectors.f16.npy and query_vectors.f16.npy

Every figure of a table comes from alternating rounds of one run, so that a slow moment of the
machine hits all of them. "Pass" is the faster of ``matrix.max()`` and ``matrix @ query``: the time
that reading every float32 once takes here. Vectors are made: a mixture of 1,000 clusters.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np

from semantic_core.vector_index import Floats, Hits, Identity, Ids, Moment, Sidecar, VectorIndex

DIMENSIONS = 768
LIMIT = 10
ROUNDS = 60
QUERIES = 200
BATCHES = (8, 64)
SHARES = (0.01, 0.05, 0.2, 0.5)
PAGE = 1000


def main() -> None:
    """Print one table a size."""
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000]
    print(f"numpy {np.__version__}, {os.cpu_count()} cores, top {LIMIT}, {ROUNDS} rounds")
    for size in sizes:
        rng = np.random.default_rng(size)
        centres = rng.standard_normal((1_000, DIMENSIONS), dtype=np.float32)
        measure(
            f"made, {size:,} x {DIMENSIONS}",
            _made(centres, size, rng),
            _made(centres, QUERIES, rng),
        )
    if folder := os.environ.get("DATA"):
        vectors, queries = (
            np.load(Path(folder, name)).astype(np.float32)
            for name in ("vectors.f16.npy", "query_vectors.f16.npy")
        )
        measure(f"real, {len(vectors):,} x {vectors.shape[1]}", vectors, queries)


def measure(name: str, vectors: Floats, queries: Floats) -> None:
    """Print how fast and how true the index is on these vectors."""
    count, dimensions = vectors.shape
    print(f"\n{name}: {vectors.nbytes / 1e6:,.0f} MB")
    ids = np.arange(1, count + 1)
    index = VectorIndex(dimensions)
    started = time.perf_counter()
    for start in range(0, count, PAGE):
        index.put(ids[start : start + PAGE], vectors[start : start + PAGE])
    _line("put, in pages of 1,000", time.perf_counter() - started)
    _line("codes made and depth measured", _timed(index.first_pass))
    first_pass = index.first_pass()
    print(f"  re-scored: {first_pass.depth_for(LIMIT) if first_pass else 'all'}")

    actions: dict[str, Callable[[Floats], object]] = {
        "one pass by matrix.max()": lambda _: vectors.max(),
        "one pass by matrix @ query": lambda query: vectors @ query,
        "search": lambda query: index.search(query, LIMIT),
        "search, exact": lambda query: index.search(query, LIMIT, exact=True),
    }
    for share in SHARES:
        allowed = np.sort(np.random.default_rng(1).choice(ids, int(count * share), replace=False))
        actions[f"search, filter of {share:.0%}"] = partial(_filtered, index, allowed)
    _table(actions, queries)
    for number in BATCHES:
        batch = np.resize(queries, (number, dimensions))
        seconds = [_timed(partial(index.search_many, batch, LIMIT)) for _ in range(5)]
        _line(f"search_many of {number}, each", float(np.median(seconds)) / number)
    for limit in (10, 100):
        recalls = [
            _recall(index.search(query, limit), index.search(query, limit, exact=True))
            for query in queries
        ]
        print(
            f"  recall@{limit} against exact: mean {np.mean(recalls):.4f}, "
            f"least {min(recalls):.2f}, {len(queries)} queries"
        )
    _saved(index, queries[0])


def _filtered(index: VectorIndex, allowed: Ids, query: Floats) -> Hits:
    return index.search(query, LIMIT, allowed=allowed)


def _saved(index: VectorIndex, query: Floats) -> None:
    identity = Identity(
        database=UUID(int=0), collection=1, space="made", dimensions=index.dimensions
    )
    with tempfile.TemporaryDirectory() as folder:
        sidecar = Sidecar(Path(folder, "vectors"), identity)
        _line("sidecar written and synced", _timed(partial(sidecar.save, index, Moment(1))))
        started = time.perf_counter()
        opened = sidecar.open(oldest=0, newest=1)
        if opened is None:
            raise SystemExit("The sidecar could not be opened again.")
        opened[0].search(query, LIMIT)
        _line("sidecar opened, to the first answer", time.perf_counter() - started)


def _table(actions: dict[str, Callable[[Floats], object]], queries: Floats) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(ROUNDS):
        for name, action in actions.items():
            seconds[name].append(_timed(partial(action, queries[turn % len(queries)])))
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    one_pass = min(median for name, median in medians.items() if name.startswith("one pass"))
    for name, times in seconds.items():
        print(
            f"  {name:<40} p50 {1e3 * medians[name]:8.2f} ms   "
            f"p95 {1e3 * float(np.quantile(times, 0.95)):8.2f} ms   "
            f"{medians[name] / one_pass:5.2f} x pass"
        )


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _line(name: str, seconds: float) -> None:
    print(f"  {name:<40}     {1e3 * seconds:8.2f} ms")


def _recall(found: Hits, true: Hits) -> float:
    """Return the share of hits that are as near as the last true one: ties count as found."""
    return float((found.scores >= true.scores[-1]).sum() / len(true.scores))


def _made(centres: Floats, count: int, rng: np.random.Generator) -> Floats:
    vectors = rng.standard_normal((count, centres.shape[1]), dtype=np.float32)
    vectors += centres[rng.integers(0, len(centres), count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


if __name__ == "__main__":
    main()
