"""semcore beside what users would pick instead: adding, asking, changing, opening again.

    python benchmarks/peers.py                     1k, 10k, 100k x 768 and 1k, 10k x 3,072
    python benchmarks/peers.py --seconds 240       long enough for each to add 100,000
    python benchmarks/peers.py --sizes 100000x768 --only semcore Chroma
    python benchmarks/peers.py --sizes 1000000x768 --only semcore --seconds 240 --name million

Each store runs in a process of its own, so that memory is its own, and one after another, so that
none takes another's cores. Beside each time of a query stands that of one pass over the float32
matrix in the same process: the machine's own limit for comparing every vector. Each query is asked
twice: in a row with the others, as most benchmarks do, and right after such a pass, which leaves
nothing of the store in the processor's caches, and threads of its own that some stores wait for. A
store that takes longer than its share of seconds is stopped, and the table says at how many rows.
Recall is the share of the ten found that are as near as the tenth true one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from shared import machine, made, tables
from shared.engines import ENGINES, Engine, clear, disk_use

SIZES = ("100000x768", "10000x768", "1000x768", "10000x3072", "1000x3072")
LIMIT = 10
PAGE = 1000
QUERIES = 60
CHANGED = 1000
LEAST_QUERIES = 5


def main() -> None:
    """Measure, and write a JSON file, a table and plots."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--only", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--seconds", type=float, default=45.0, help="for adding, and for queries")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--reopen", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--name", default="peers", help="of the result")
    options = parser.parse_args()
    if options.one:
        name, size, folder = options.one
        measure(ENGINES[name], *_numbers(size), Path(folder), options.seconds)
        return
    if options.reopen:
        name, size, folder = options.reopen
        reopen(ENGINES[name], _numbers(size)[1], Path(folder))
        return
    about = machine.describe()
    with tempfile.TemporaryDirectory() as scratch:
        about["read_gb_per_second"] = round(machine.read_rate() / 1e9, 1)
        about["write_gb_per_second"] = round(machine.write_rate(Path(scratch)) / 1e9, 2)
        rows: list[dict[str, Any]] = []
        for size in options.sizes:
            rows += _measure_size(size, options.only, Path(scratch), options.seconds)
            about["load_after"] = round(os.getloadavg()[0], 1)
            # After each size: a run that is interrupted was not for nothing.
            result = {"machine": about, "limit": LIMIT, "seconds": options.seconds, "rows": rows}
            machine.keep(options.name, result)
            tables.write_peers(options.name, result)


def _measure_size(
    size: str, names: list[str], scratch: Path, seconds: float
) -> list[dict[str, Any]]:
    count, dimensions = _numbers(size)
    shared = scratch / "shared"
    clear(shared)
    vectors = made.vectors(count, dimensions)
    queries = made.vectors(QUERIES, dimensions, seed=2)
    np.save(shared / "vectors.npy", vectors)
    np.save(shared / "queries.npy", queries)
    np.save(shared / "scores.npy", queries @ vectors.T)
    del vectors
    with (shared / "texts.txt").open("w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in made.texts(0, count))
    rows = []
    for name in names:
        folder = scratch / "store"
        clear(folder)
        row: dict[str, Any] = {"store": name, "rows": count, "dimensions": dimensions}
        row |= _child("--one", name, size, scratch, seconds)
        if "stopped" not in row and "error" not in row:
            row |= _child("--reopen", name, size, scratch, seconds)
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _child(task: str, name: str, size: str, scratch: Path, seconds: float) -> dict[str, Any]:
    """Run one process; take what it had printed when its time was over."""
    command = [sys.executable, __file__, "--seconds", str(seconds), task, name, size, str(scratch)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            printed, said = child.communicate(timeout=6 * seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            printed, said = child.communicate()
            said = f"killed after {6 * seconds:.0f} s"
    row: dict[str, Any] = {}
    for line in printed.splitlines():
        if line.startswith("{"):
            row |= json.loads(line)
    if child.returncode:
        row["error"] = said.strip().splitlines()[-1][:200] if said.strip() else "it died"
    return row


def measure(kind: type[Engine], count: int, dimensions: int, scratch: Path, seconds: float) -> None:
    """Print each figure as soon as it is known."""
    shared, folder = scratch / "shared", scratch / "store"
    vectors = np.load(shared / "vectors.npy")
    queries = np.load(shared / "queries.npy")
    scores = np.load(shared / "scores.npy")
    before = machine.peak_memory()
    engine = kind(folder, dimensions)
    added, took = 0, 0.0
    with (shared / "texts.txt").open(encoding="utf-8") as file:
        while added < count and took < seconds:
            # Read page by page: what is timed, and how much memory it takes, is the store's alone.
            texts = [line.rstrip("\n") for line in islice(file, PAGE)]
            numbers = range(added, added + len(texts))
            page = vectors[added : added + len(texts)]
            took += machine.timed(lambda: engine.add(numbers, texts, page))  # noqa: B023  # called at once
            added += len(texts)
    took += machine.timed(engine.finish)
    _say(add_seconds=round(took, 3), added=added, add_per_second=round(added / took))
    _say(add_memory_mb=round((machine.peak_memory() - before) / 1e6))
    if added < count:
        _say(stopped=f"stopped after {took:.0f} s with {added:,} rows")
    scores = scores[:, :added]
    plain = _ask(
        engine,
        queries=queries,
        scores=scores,
        tenant=None,
        vectors=vectors[:added],
        seconds=seconds / 3,
    )
    _say(**plain)
    if kind.can_filter:
        tenant = 3
        of_tenant = np.full(scores.shape, -np.inf, dtype=np.float32)
        of_tenant[:, tenant :: made.TENANTS] = scores[:, tenant :: made.TENANTS]
        filtered = _ask(
            engine,
            queries=queries,
            scores=of_tenant,
            tenant=tenant,
            vectors=vectors[:added],
            seconds=seconds / 3,
        )
        _say(**{f"filtered_{name}": value for name, value in filtered.items()})
    if kind.can_update and added == count:
        some = range(min(CHANGED, count // 2))
        new = vectors[::-1][: len(some)].copy()
        changed = [f"{text} changed" for text in made.texts(0, len(some))]
        took = machine.timed(lambda: engine.update(some, changed, new))
        _say(update_per_second=round(len(some) / took))
        took = machine.timed(lambda: engine.delete(some))
        _say(delete_per_second=round(len(some) / took))
    engine.close()
    _say(disk_mb=round(disk_use(folder) / 1e6, 1))


def _ask(
    engine: Engine,
    *,
    queries: made.Floats,
    scores: made.Floats,
    tenant: int | None,
    vectors: made.Floats,
    seconds: float,
) -> dict[str, Any]:
    """Ask alternately with passes over the matrix, so that a slow moment hits both; then in a row."""
    started = time.perf_counter()
    engine.query(queries[0], LIMIT, tenant)
    first = time.perf_counter() - started
    engine.settle()
    passes, times, recalls = [], [], []
    for query, true in zip(queries, scores, strict=True):
        passes.append(min(machine.timed(vectors.max), machine.timed(lambda q=query: vectors @ q)))
        started = time.perf_counter()
        found = engine.query(query, LIMIT, tenant)
        times.append(time.perf_counter() - started)
        tenth = np.partition(true, -LIMIT)[-LIMIT]
        near = [number for number in map(int, found) if true[number] >= tenth - 1e-5]
        recalls.append(len(near) / LIMIT)
        if sum(times) > seconds and len(times) >= LEAST_QUERIES:
            break
    in_a_row = [
        machine.timed(lambda q=query: engine.query(q, LIMIT, tenant))
        for query in queries[: len(times)]
    ]
    alternately = machine.percentiles(times)
    return {
        "first_ms": round(1e3 * first, 1),
        **machine.percentiles(in_a_row),
        **{f"after_pass_{name}": value for name, value in alternately.items()},
        "recall": round(float(np.mean(recalls)), 4),
        "queries": len(times),
        "pass_ms": round(1e3 * float(np.median(passes)), 3),
    }


def reopen(kind: type[Engine], dimensions: int, scratch: Path) -> None:
    """Print how long it takes from opening to the first answer, imports left out."""
    query = np.load(scratch / "shared" / "queries.npy")[0]
    # Imports are a process's own start, not the store's.
    with tempfile.TemporaryDirectory() as other:
        warm = kind(Path(other), dimensions)
        warm.add([0], ["text"], query[None])
        warm.query(query, 1)
        warm.close()
    before = machine.peak_memory()
    started = time.perf_counter()
    engine = kind(scratch / "store", dimensions)
    engine.query(query, LIMIT)
    _say(open_ms=round(1e3 * (time.perf_counter() - started), 1))
    _say(open_memory_mb=round((machine.peak_memory() - before) / 1e6))
    engine.close()


def _say(**figures: object) -> None:
    print(json.dumps(figures), flush=True)


def _numbers(size: str) -> tuple[int, int]:
    count, dimensions = size.split("x")
    return int(count), int(dimensions)


if __name__ == "__main__":
    main()
