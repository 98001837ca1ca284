"""Keyword search beside a plain FTS5 query for any of the words, in one run.

    DATA=folder python benchmarks/words.py [CHUNKS]       1,000,000 by default

The folder is that of quality.py. Chunks beyond those that it holds are made of sentences drawn from
them, each as long as one of them. CPU time through the public search, which also reads the hits;
nDCG@10 of both.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from semantic_core import Chunk, PeeweeVectorStore
from shared import machine, real

CHUNKS = 1_000_000
PAGE = 1000
WORD = re.compile(r"\w+")


def main() -> None:
    """Print one line and keep the figures."""
    corpus = real.load(Path(os.environ["DATA"]))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS
    about = machine.describe()
    with (
        tempfile.TemporaryDirectory() as folder,
        PeeweeVectorStore(Path(folder, "db")) as store,
        closing(sqlite3.connect(Path(folder, "db"))) as connection,
    ):
        chunks = _chunks(corpus, count)
        while page := list(islice(chunks, PAGE)):
            store.save(page)
        names = dict(connection.execute("SELECT pk, chunk_id FROM chunks"))

        def plain(text: str) -> list[str]:
            found = connection.execute(
                "SELECT rowid FROM chunks_fts WHERE chunks_fts MATCH ? ORDER BY rank LIMIT 10",
                (" OR ".join(f'"{word}"' for word in WORD.findall(text)),),
            )
            return [names[pk] for (pk,) in found]

        def search(text: str) -> list[str]:
            return [hit.chunk.id for hit in store.search(text=text, mode="keyword")]

        ours, ours_ms = _measure(corpus.questions, search)
        theirs, theirs_ms = _measure(corpus.questions, plain)
    print(
        f"{count:,} chunks: {ours_ms / theirs_ms:.2f} x a plain query ({ours_ms:.1f} for "
        f"{theirs_ms:.1f} ms), nDCG@10 {ours:.4f} for {theirs:.4f}"
    )
    row = {
        "chunks": count,
        "ms": ours_ms,
        "plain_ms": theirs_ms,
        "ndcg": ours,
        "plain_ndcg": theirs,
    }
    machine.keep("words", {"machine": about, "rows": [row]})


def _chunks(corpus: real.Corpus, count: int) -> Iterator[Chunk]:
    draw = random.Random(1)
    sentences = [part for text in corpus.texts for part in re.split(r"(?<=[.:;])\s+|\n+", text)]
    for place in range(count):
        if place < len(corpus.ids):
            yield Chunk(id=corpus.ids[place], text=corpus.texts[place])
            continue
        size, text = len(draw.choice(corpus.texts)), "made"
        while len(text) < size:
            text += f" {draw.choice(sentences)}"
        yield Chunk(id=f"made {place}", text=text)


def _measure(
    questions: Sequence[real.Question], ask: Callable[[str], list[str]]
) -> tuple[float, float]:
    """Return nDCG@10 and the mean milliseconds of a question."""
    asked = [question for question in questions if question.relevant]
    started = time.process_time()
    found = [ask(question.text) for question in asked]
    seconds = time.process_time() - started
    gains = [real.gain(ids, one.relevant) for ids, one in zip(found, asked, strict=True)]
    return statistics.fmean(gains), 1000 * seconds / len(asked)


if __name__ == "__main__":
    main()
