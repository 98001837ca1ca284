"""How fast documents become durable: SemcoreVectorStore beside InMemoryVectorStore plus dump.

    python benchmarks/langchain_add.py [--documents 10000] [--json FILE]

The same documents, and the same ready-made vectors as an embedding would return them, go into
both: in "sync" semcore stores these vectors as well; in "async" it leaves them to the Batch API.
semcore's times include the full-text index and the closing of the database. Ratios are taken
within one round each, since the machine is never equally fast for long; the median one counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import operator
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_semcore import SemcoreVectorStore

DIMENSIONS = 768
CHARACTERS = 800
ROUNDS = 5
THEIRS, SYNC, ASYNC = "InMemoryVectorStore + dump", "semcore, sync", "semcore, async"


class ReadyEmbeddings(Embeddings):
    """Takes no time: returns vectors that were made before."""

    def __init__(self, vectors: list[list[float]]) -> None:
        self._vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector for each text."""
        return self._vectors[: len(texts)]

    def embed_query(self, text: str) -> list[float]:  # noqa: ARG002  # the interface's
        """Return a vector."""
        return self._vectors[0]


def main() -> None:
    """Print one line a way; write all measurements, if asked to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    documents = _documents(options.documents)
    vectors = np.random.default_rng(1).normal(size=(options.documents, DIMENSIONS))
    embedding = ReadyEmbeddings(vectors.astype(np.float32).tolist())
    ways: dict[str, Callable[[Path], None]] = {
        THEIRS: lambda folder: _in_memory(folder, documents, embedding),
        SYNC: lambda folder: _semcore(folder, documents, embedding, "sync"),
        ASYNC: lambda folder: _semcore(folder, documents, None, "async"),
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
    times_faster = {
        name: statistics.median(map(operator.truediv, seconds[THEIRS], seconds[name]))
        for name in (SYNC, ASYNC)
    }
    print(f"{options.documents:,} documents of {CHARACTERS} characters, {DIMENSIONS} dimensions")
    for name, median in medians.items():
        faster = f"{times_faster[name]:6.1f} times faster" if name in times_faster else ""
        print(f"{name:<28} {median:8.2f} s {options.documents / median:12,.0f} docs/s {faster}")
    if options.json is not None:
        result = {
            "command": f"python benchmarks/langchain_add.py --documents {options.documents} "
            f"--json {options.json.as_posix()}",
            "documents": options.documents,
            "characters": CHARACTERS,
            "dimensions": DIMENSIONS,
            "seconds": {name: [round(one, 4) for one in times] for name, times in seconds.items()},
            "median_seconds": {name: round(median, 4) for name, median in medians.items()},
            "times_faster": {name: round(ratio, 1) for name, ratio in times_faster.items()},
            "machine": {
                "cores": os.cpu_count(),
                "platform": platform.platform(),
                "python": platform.python_version(),
                "langchain-core": version("langchain-core"),
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


def _in_memory(folder: Path, documents: list[Document], embedding: Embeddings) -> None:
    store = InMemoryVectorStore(embedding)
    store.add_documents(documents)
    store.dump(str(folder / "store.json"))


def _semcore(
    folder: Path, documents: list[Document], embedding: Embeddings | None, mode: str
) -> None:
    with SemcoreVectorStore(folder / "store.db", embedding=embedding, mode=mode) as store:
        store.add_documents(documents)


def _documents(count: int) -> list[Document]:
    rng = random.Random(1)
    letters = "etaoinshrdlcumwfgypbvk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(20_000)]
    # Zipf's law: a few words are everywhere, most are rare, as in prose.
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [
        Document(
            " ".join(rng.choices(words, weights, k=CHARACTERS // 6))[:CHARACTERS],
            id=f"note-{number}",
            metadata={"source": f"notes/{number // 8}.md", "position": number % 8, "lang": "en"},
        )
        for number in range(count)
    ]


if __name__ == "__main__":
    main()
