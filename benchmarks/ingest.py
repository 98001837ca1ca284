"""How fast chunks are saved, full text included, beside what SQLite itself can do.

    python benchmarks/ingest.py [CHUNKS]

Chunks are ready-made (splitting is timed apart). The limit, in the same run: the same rows by
one ``executemany`` and one full-text INSERT a page, without hashing, checks or lookups.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from semantic_core.spec import EmbeddingSpec
from semantic_core.store import PeeweeVectorStore
from semantic_core.types import Chunk

PAGE = 1000
CHARACTERS = 800
ROUNDS = 3


def main() -> None:
    """Print one line a measurement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    words = _words(random.Random(1))
    chunks = list(_chunks(count, words, random.Random(2)))
    with tempfile.TemporaryDirectory() as folder:
        # Alternating, so that a slow moment of the machine hits both.
        rounds = [
            (
                _timed(_save_raw, Path(folder, f"raw{number}.db"), chunks),
                _timed(_save, Path(folder, f"store{number}.db"), chunks),
            )
            for number in range(ROUNDS)
        ]
        again = _timed(_save, Path(folder, "store0.db"), chunks)
    raw, ours = (min(seconds) for seconds in zip(*rounds, strict=True))
    print(f"{count:,} chunks of about {CHARACTERS} characters, {PAGE:,} a transaction")
    _line("raw sqlite3: executemany and one full-text INSERT", count, raw)
    _line("store.save", count, ours)
    _line("store.save, the same again: nothing changes", count, again)
    print(f"store.save reaches {raw / ours:.0%} of raw sqlite3")


def _line(name: str, count: int, seconds: float) -> None:
    print(f"{name:<52} {seconds:7.2f} s {count / seconds:10,.0f} chunks/s")


def _timed(save: Callable[[Path, list[Chunk]], None], path: Path, chunks: list[Chunk]) -> float:
    start = time.perf_counter()
    save(path, chunks)
    return time.perf_counter() - start


def _save(path: Path, chunks: list[Chunk]) -> None:
    with PeeweeVectorStore(path) as store:
        for page in _pages(chunks):
            store.save(page)


def _save_raw(path: Path, chunks: list[Chunk]) -> None:
    """Write the same columns into a database that the store has made."""
    with PeeweeVectorStore(path) as store:
        collection = store.collection().id
    hasher = EmbeddingSpec().hasher()
    rows = [
        (collection, c.id, c.document_id, c.text, json.dumps(c.metadata), hasher(c.text), 0.0, 0.0)
        for c in chunks
    ]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    last = 0
    for page in _pages(rows):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO chunks (collection_id, chunk_id, document_id, text, metadata, "
            "content_hash, embedding_status, created_at, updated_at) "
            "VALUES (?, ?, ?, ?, ?, ?, 'PENDING', ?, ?)",
            page,
        )
        connection.execute(
            "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks WHERE pk > ?", (last,)
        )
        connection.execute("COMMIT")
        last += len(page)
    connection.close()


def _chunks(count: int, words: list[str], rng: random.Random) -> Iterator[Chunk]:
    for number in range(count):
        text = " ".join(rng.choices(words, _weights(len(words)), k=CHARACTERS // 6))
        yield Chunk(
            id=f"{number // 8}-{number % 8}",
            document_id=str(number // 8),
            text=f"{text} {number}.",
            metadata={"source": f"notes/{number // 8}.md", "position": number % 8, "lang": "en"},
        )


def _weights(count: int) -> list[float]:
    """Zipf's law: a few words are everywhere, most are rare, as in prose."""
    return [1 / (rank + 1) for rank in range(count)]


def _words(rng: random.Random) -> list[str]:
    letters = "etaoinshrdlcumwfgypbvk"
    return ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(20_000)]


def _pages(values: list) -> Iterator[list]:
    for start in range(0, len(values), PAGE):
        yield values[start : start + PAGE]


if __name__ == "__main__":
    main()
