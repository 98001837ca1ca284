"""How good the answers are: recall of the index, and nDCG of the three ways to ask.

    DATA=folder python benchmarks/quality.py
    python benchmarks/quality.py [ROWS]
    STORE=postgresql://user@host/empty DATA=folder python benchmarks/quality.py

The folder holds chunks.jsonl.gz (id, text, ...), queries.jsonl (text and relevant ids),
vectors.f16.npy and query_vectors.f16.npy. Everything goes through the public store. Without a
folder only recall is measured, on made vectors. Ends with an error below a floor.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.store import PeeweeVectorStore
from shared import machine, made, real

STORE = os.environ.get("STORE")
PAGE = 1000
LIMITS = (10, 30, 100)
# PostgreSQL ranks words by its own measure.
FLOORS = {"keyword": 0.285 if STORE else 0.292, "vector": 0.32, "hybrid": 0.355}
RECALL_FLOOR = 0.999
MADE = 50_000


def main() -> None:
    """Print one line a measurement, and keep them."""
    folder = os.environ.get("DATA")
    about = machine.describe()
    with tempfile.TemporaryDirectory() as scratch:
        target = STORE or Path(scratch, "notes.db")
        count = int(sys.argv[1]) if len(sys.argv) > 1 else MADE
        rows = _real(target, Path(folder)) if folder else _made(target, count)
    machine.keep(
        "quality_postgres" if STORE else "quality",
        {"machine": about, "data": "real" if folder else "made", **rows},
    )
    missed = [
        name for name, value in rows["measured"].items() if value < rows["floors"].get(name, 0.0)
    ]
    if missed:
        sys.exit(f"Below the floor: {', '.join(missed)}")


def _made(target: str | Path, count: int) -> dict[str, Any]:
    vectors = made.vectors(count, 768)
    queries = made.vectors(100, 768, seed=2)
    with PeeweeVectorStore(target) as store:
        names = [str(number) for number in range(count)]
        _fill(store, real.Corpus(names, ["text"] * count, vectors, []))
        measured, times = _recall(store, vectors, queries)
    return _report(measured, times, {"recall@10, exact": 1.0})


def _real(target: str | Path, folder: Path) -> dict[str, Any]:
    corpus = real.load(folder)
    query_vectors = np.stack([question.vector for question in corpus.questions])
    measured, times = {}, {}
    with PeeweeVectorStore(target) as store:
        _fill(store, corpus)
        measured, times = _recall(store, corpus.vectors, query_vectors)
        for mode in FLOORS:
            gains, seconds = [], []
            for question in corpus.questions:
                if not question.relevant:
                    continue
                started = time.perf_counter()
                found = store.search(
                    text=question.text,
                    vector=None if mode == "keyword" else question.vector,
                    mode=mode,
                    limit=real.LIMIT,
                )
                seconds.append(time.perf_counter() - started)
                gains.append(real.gain([hit.chunk.id for hit in found], question.relevant))
            measured[f"nDCG@10, {mode}"] = statistics.fmean(gains)
            times[f"nDCG@10, {mode}"] = seconds
    floors = {f"nDCG@10, {mode}": floor for mode, floor in FLOORS.items()}
    floors |= {
        name: 1.0 if "exact" in name else RECALL_FLOOR for name in measured if name not in floors
    }
    return _report(measured, times, floors)


def _fill(store: PeeweeVectorStore, corpus: real.Corpus) -> None:
    store.collection(spec=EmbeddingSpec.external("quality", corpus.vectors.shape[1]))
    for start in range(0, len(corpus.ids), PAGE):
        store.save(corpus.chunks(range(start, min(start + PAGE, len(corpus.ids)))))


def _recall(
    store: PeeweeVectorStore, vectors: made.Floats, queries: made.Floats
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Compare with every vector by itself, in float64: a hit as near as the last is no miss."""
    store.search(vector=queries[0], mode="vector")
    ways = {
        f"recall@{limit}{', exact' if exact else ''}": (limit, exact)
        for limit in LIMITS
        for exact in (False, True)
    }
    recalls: dict[str, list[float]] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    wide = vectors.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    for query in queries.astype(np.float64):
        true = wide @ (query / np.linalg.norm(query))
        for name, (limit, exact) in ways.items():
            last = np.partition(true, -limit)[-limit]
            started = time.perf_counter()
            found = store.search(vector=query, mode="vector", limit=limit, exact=exact)
            times[name].append(time.perf_counter() - started)
            near = sum(hit.score >= last - 1e-6 for hit in found)
            recalls[name].append(near / limit)
    return {name: statistics.fmean(some) for name, some in recalls.items()}, times


def _report(
    measured: dict[str, float], times: dict[str, list[float]], floors: dict[str, float]
) -> dict[str, Any]:
    milliseconds = {name: machine.percentiles(some) for name, some in times.items()}
    for name, value in measured.items():
        floor = f"at least {floors[name]}" if name in floors else ""
        print(f"{name:<20} {value:.4f}  p50 {milliseconds[name]['p50_ms']:7.2f} ms  {floor}")
    rounded = {name: round(value, 5) for name, value in measured.items()}
    return {"measured": rounded, "floors": floors, "milliseconds": milliseconds}


if __name__ == "__main__":
    main()
