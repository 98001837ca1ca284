"""Latency over size, and recall over latency, of the vector index alone.

    DATA=folder python benchmarks/size.py [ROWS ...]   300,000, a million and three by default

The folder holds vectors.f16.npy and query_vectors.f16.npy of real embeddings; the rows are drawn from a
mixture that is fitted to them (shared/mixture.py). Asked are vectors drawn from the same, and the real
queries, which are farther from everything. All sizes are asked in turn within one process. "Pass" is
``matrix @ query`` over all float32 numbers on every core; where the machine is busy, compare the CPU
times, which do not grow by waiting.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from semantic_core.vector_index import Floats, Hits, Identity, Moment, Sidecar, VectorIndex
from semantic_core.vector_index.first_pass import FirstPass
from shared import machine, tables
from shared.mixture import Mixture

SIZES = (300_000, 1_000_000, 3_000_000)
LIMIT = 10
ROUNDS = 50
QUERIES = 200
GROUP = 32
# How many rows are scored, as multiples of what was measured; 0 stands for all codes read.
DEPTHS = (0.25, 0.5, 1, 2, 4, 0)


def main() -> None:
    """Print a line a size and a way of asking, and keep them."""
    folder = os.environ.get("DATA")
    if folder is None:
        print("Not measured: say DATA=folder.")
        return
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    real, asked = (
        np.load(Path(folder, name)).astype(np.float32)
        for name in ("vectors.f16.npy", "query_vectors.f16.npy")
    )
    mixture = Mixture(real / np.linalg.norm(real, axis=1, keepdims=True))
    queries = {"drawn": next(mixture.pages(QUERIES, seed=2)), "real": asked[:QUERIES]}
    about = machine.describe()
    with tempfile.TemporaryDirectory() as scratch:
        indexes = {size: _made(mixture, size, Path(scratch, str(size))) for size in sizes}
        rows = [
            {"rows": size} | _recalls(index, queries) | {"depths": _depths(index, queries["drawn"])}
            for size, index in indexes.items()
        ]
        times = _times(indexes, queries)
        rows = [row | more for row, more in zip(rows, times, strict=True)]
    for row in rows:
        print(row)
    machine.keep("size", {"machine": about, "limit": LIMIT, "rows": rows})
    figures = [("one pass", "pass_ms"), ("search", "drawn_ms"), ("all codes", "codes_ms")]
    tables.plot_growth(machine.RESULTS / "size.png", rows, figures)
    tables.plot_recall(machine.RESULTS / "recall.png", [row for row in rows if row["depths"]])


def _made(mixture: Mixture, count: int, path: Path) -> VectorIndex:
    index, start = VectorIndex(len(next(mixture.pages(1, seed=1))[0])), 0
    index.matrix.reserve(count)
    for page in mixture.pages(count, seed=1):
        index.put(np.arange(start, start + len(page)), page)
        start += len(page)
    identity = Identity(
        database=UUID(int=0), collection=1, space="made", dimensions=index.dimensions
    )
    sidecar = Sidecar(path, identity)
    cpu, wall = time.process_time(), time.perf_counter()
    sidecar.save(index, Moment(1))
    print(
        f"{count:,}: made and saved in {time.perf_counter() - wall:.0f} s, "
        f"{time.process_time() - cpu:.0f} s of CPU",
        flush=True,
    )
    del index
    opened = sidecar.open(oldest=0, newest=1)
    if opened is None:
        raise SystemExit("The saved index could not be opened again.")
    return opened[0]


def _recalls(index: VectorIndex, queries: dict[str, Floats]) -> dict[str, float]:
    return {
        f"{name}_recall": _recall(_asked(index, some), _true(index, some))
        for name, some in queries.items()
    }


def _depths(index: VectorIndex, queries: Floats) -> list[dict[str, float]]:
    """Return recall over CPU time at several depths."""
    first_pass, found = index.first_pass(), []
    if first_pass is None or first_pass.cells is None:
        return []
    cells, true = first_pass.cells, _true(index, queries)
    for factor in DEPTHS:
        first_pass.cells = replace(cells, depth=int(factor * cells.depth)) if factor else None
        started = time.thread_time()
        hits = _asked(index, queries)
        cpu = 1e3 * (time.thread_time() - started) / len(queries)
        found.append({"depth": factor, "cpu_ms": round(cpu, 2), "recall": _recall(hits, true)})
        print(found[-1], flush=True)
    first_pass.cells = cells
    return found


def _times(
    indexes: dict[int, VectorIndex], queries: dict[str, Floats]
) -> Iterator[dict[str, float]]:
    """Yield the medians of each size, measured in turn."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for turn in range(ROUNDS):
        for size, index in indexes.items():
            drawn, real = (queries[name][turn] for name in ("drawn", "real"))
            matrix = next(index.matrix.parts())[1]
            actions: dict[str, Callable[[], object]] = {
                "pass": lambda: matrix @ drawn,  # noqa: B023  # called within its turn
                "drawn": lambda: index.search(drawn, LIMIT),  # noqa: B023
                "real": lambda: index.search(real, LIMIT),  # noqa: B023
            }
            for name, action in actions.items():
                found.setdefault((size, name), []).append(_timed(action))
            with _without_cells(index.first_pass()):
                found.setdefault((size, "codes"), []).append(_timed(actions["drawn"]))
    for size in indexes:
        row: dict[str, float] = {}
        for name in ("pass", "drawn", "real", "codes"):
            wall, cpu = np.median(np.array(found[size, name]), axis=0)
            row |= {f"{name}_ms": round(1e3 * wall, 2), f"{name}_cpu_ms": round(1e3 * cpu, 2)}
        row["of_pass"] = round(row["drawn_ms"] / row["pass_ms"], 4)
        row["of_pass_cpu"] = round(row["drawn_cpu_ms"] / row["pass_cpu_ms"], 4)
        yield row


@contextmanager
def _without_cells(first_pass: FirstPass | None) -> Iterator[None]:
    if first_pass is None:
        yield
        return
    cells, first_pass.cells = first_pass.cells, None
    try:
        yield
    finally:
        first_pass.cells = cells


def _timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Return the time that passed, and that of all cores."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def _asked(index: VectorIndex, queries: Floats) -> list[Hits]:
    return [index.search(query, LIMIT) for query in queries]


def _true(index: VectorIndex, queries: Floats) -> list[Hits]:
    groups = (queries[start : start + GROUP] for start in range(0, len(queries), GROUP))
    return [hits for some in groups for hits in index.search_many(some, LIMIT, exact=True)]


def _recall(found: list[Hits], true: list[Hits]) -> float:
    """Return the share of hits that are as near as the last true one: ties count as found."""
    shares = [(f.scores >= t.scores[-1]).mean() for f, t in zip(found, true, strict=True)]
    return round(float(np.mean(shares)), 4)


if __name__ == "__main__":
    main()
