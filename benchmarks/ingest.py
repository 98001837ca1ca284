"""How fast chunks are saved, full text and filters included, beside what SQLite itself can do.

    python benchmarks/ingest.py [CHUNKS]

Chunks are ready-made, and saved in pages of 1,000. The limit, in alternating rounds of the same
run: the same columns by one ``executemany`` and one full-text INSERT a page, without checks,
hashes, look-ups, counts and tags. Splitting is timed apart. "CPU" leaves out waiting for the disk
and for whatever else runs on the machine.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from semantic_core.documents.splitter import Splitter
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore

PAGE = 1000
CHARACTERS = 800
ROUNDS = 5

Row = tuple[Any, ...]


class Spent(NamedTuple):
    """Seconds that something took."""

    wall: float
    cpu: float


def main() -> None:
    """Print one line a measurement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    texts = list(_texts(count))
    chunks = [_chunk(number, text) for number, text in enumerate(texts)]
    rows = _rows(chunks)
    raw, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            raw.append(_save_raw(Path(folder, f"raw{number}.db"), rows))
            with PeeweeVectorStore(Path(folder, f"store{number}.db")) as store:
                store.collection()
                ours.append(_spent(lambda store=store: _save(store, chunks)))
        with PeeweeVectorStore(Path(folder, "store0.db")) as store:
            again = _spent(lambda: _save(store, chunks))
    split = _spent(lambda: [list(Splitter().split(text)) for text in _documents(texts)])
    size = sum(map(len, texts)) / count
    print(f"{count:,} chunks of {size:.0f} characters, {PAGE:,} a transaction, best of {ROUNDS}")
    _line("raw sqlite3: executemany and full text", count, _best(raw))
    _line("store.save", count, _best(ours))
    _line("store.save, the same again: nothing changes", count, again)
    _line("splitting them, in documents of eight", count, split)
    ratios = sorted(base.cpu / mine.cpu for base, mine in zip(raw, ours, strict=True))
    print(f"store.save reaches {ratios[ROUNDS // 2]:.0%} of raw sqlite3 (CPU, median of rounds)")


def _line(name: str, count: int, spent: Spent) -> None:
    print(
        f"{name:<46} {spent.wall:6.2f} s {count / spent.wall:9,.0f} chunks/s"
        f"   CPU {spent.cpu:6.2f} s {count / spent.cpu:9,.0f} chunks/s"
    )


def _best(rounds: list[Spent]) -> Spent:
    return Spent(min(spent.wall for spent in rounds), min(spent.cpu for spent in rounds))


def _spent(work: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _save(store: PeeweeVectorStore, chunks: list[Chunk]) -> None:
    for start in range(0, len(chunks), PAGE):
        store.save(chunks[start : start + PAGE])


def _save_raw(path: Path, rows: list[Row]) -> Spent:
    """Write ready rows into a database that the store has made."""
    with PeeweeVectorStore(path) as store:
        store.collection()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")

    def work() -> None:
        for start in range(0, len(rows), PAGE):
            connection.execute("BEGIN IMMEDIATE")
            page = rows[start : start + PAGE]
            connection.executemany(
                "INSERT INTO contents (id, hash) VALUES (?, ?)",
                [(number, row[-1]) for number, row in enumerate(page, start + 1)],
            )
            connection.executemany(
                "INSERT INTO chunks (collection_id, chunk_id, document_id, text, metadata, "
                "content_id, embedding_status, created_at, updated_at) "
                "VALUES (1, ?, ?, ?, ?, ?, 'PENDING', 0, 0)",
                [(*row[:-1], number) for number, row in enumerate(page, start + 1)],
            )
            connection.execute(
                "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks WHERE pk > ?",
                (start,),
            )
            connection.execute("COMMIT")

    spent = _spent(work)
    connection.close()
    return spent


def _rows(chunks: list[Chunk]) -> list[Row]:
    hasher = EmbeddingSpec().hasher()
    return [
        (chunk.id, chunk.document_id, chunk.text, json.dumps(chunk.metadata), hasher(chunk.text))
        for chunk in chunks
    ]


def _chunk(number: int, text: str) -> Chunk:
    document = number // 8
    return Chunk(
        id=f"{document}#{number % 8}",
        document_id=str(document),
        text=text,
        metadata={"source": f"notes/{document}.md", "position": number % 8, "lang": "en"},
    )


def _documents(texts: list[str]) -> Iterator[str]:
    for start in range(0, len(texts), 8):
        yield "\n\n".join(texts[start : start + 8])


def _texts(count: int) -> Iterator[str]:
    """Yield prose of made words. By Zipf's law a few are everywhere and most are rare."""
    rng = random.Random(count)
    letters = "etaoinshrdlcumwfgypbvk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(20_000)]
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for number in range(count):
        sentences: list[str] = [f"Number {number}."]
        while sum(map(len, sentences)) < CHARACTERS:
            chosen = rng.choices(words, cum_weights=weights, k=rng.randint(6, 18))
            sentences.append(f"{' '.join(chosen).capitalize()}.")
        yield " ".join(sentences)


if __name__ == "__main__":
    main()
