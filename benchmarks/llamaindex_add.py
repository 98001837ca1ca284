"""How fast nodes become durable: SemcoreVectorStore beside SimpleVectorStore plus persist.

    python benchmarks/llamaindex_add.py [--nodes 10000] [--json FILE]

The same nodes go into both: "given" with their vectors, as after a live embed model; "deferred"
as `DeferredEmbedding` leaves them, for the Batch API. semcore's times include the full-text
index and the closing of the database. Rounds alternate, so that a slow moment of the machine
hits all of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import numpy as np
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import SimpleVectorStore

from llamaindex_semcore import SemcoreVectorStore

DIMENSIONS = 768
CHARACTERS = 800
ROUNDS = 3
THEIRS, GIVEN, DEFERRED = "SimpleVectorStore + persist", "semcore, given", "semcore, deferred"


def main() -> None:
    """Print one line a way; write all measurements, if asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    given = _nodes(options.nodes)
    deferred = [node.model_copy(update={"embedding": []}) for node in given]
    ways: dict[str, Callable[[Path], None]] = {
        THEIRS: lambda folder: _simple(folder, given),
        GIVEN: lambda folder: _semcore(folder, given),
        DEFERRED: lambda folder: _semcore(folder, deferred),
    }
    # What was made until here is nobody's garbage, so nobody's time goes into looking through it.
    gc.collect()
    gc.freeze()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(_timed(way, Path(folder)))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    times_faster = {name: medians[THEIRS] / medians[name] for name in (GIVEN, DEFERRED)}
    print(f"{options.nodes:,} nodes of {CHARACTERS} characters, {DIMENSIONS} dimensions")
    for name, median in medians.items():
        faster = f"{times_faster[name]:6.1f} times faster" if name in times_faster else ""
        print(f"{name:<28} {median:8.2f} s {options.nodes / median:12,.0f} nodes/s {faster}")
    if options.json is not None:
        result = {
            "command": f"python benchmarks/llamaindex_add.py --nodes {options.nodes} "
            f"--json {options.json.as_posix()}",
            "nodes": options.nodes,
            "characters": CHARACTERS,
            "dimensions": DIMENSIONS,
            "seconds": {name: [round(one, 4) for one in times] for name, times in seconds.items()},
            "median_seconds": {name: round(median, 4) for name, median in medians.items()},
            "times_faster": {name: round(ratio, 1) for name, ratio in times_faster.items()},
            "machine": {
                "cores": os.cpu_count(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "llama-index-core": version("llama-index-core"),
                "numpy": version("numpy"),
            },
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _timed(way: Callable[[Path], None], folder: Path) -> float:
    gc.collect()
    started = time.perf_counter()
    way(folder)
    return time.perf_counter() - started


def _simple(folder: Path, nodes: list[TextNode]) -> None:
    store = SimpleVectorStore()
    store.add(nodes)
    store.persist(str(folder / "store.json"))


def _semcore(folder: Path, nodes: list[TextNode]) -> None:
    with closing(SemcoreVectorStore(folder / "store.db")) as store:
        store.add(nodes)


def _nodes(count: int) -> list[TextNode]:
    rng = random.Random(1)
    letters = "etaoinshrdlcumwfgypbvk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(20_000)]
    # Zipf's law: a few words are everywhere, most are rare, as in prose.
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    vectors = np.random.default_rng(1).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return [
        TextNode(
            id_=f"node-{number}",
            text=" ".join(rng.choices(words, weights, k=CHARACTERS // 6))[:CHARACTERS],
            metadata={"file": f"notes/{number // 8}.md", "part": number % 8, "lang": "en"},
            relationships={
                NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document-{number // 8}")
            },
            embedding=vectors[number].tolist(),
        )
        for number in range(count)
    ]


if __name__ == "__main__":
    main()
