"""Real texts and questions with known answers, from a folder that stays outside of the project."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semantic_core.domain.types import Chunk
from shared import made

LIMIT = 10


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its vector, and the ids of its answers."""

    text: str
    vector: made.Floats
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Chunks with their vectors, and questions, of which some have no known answer."""

    ids: Sequence[str]
    texts: Sequence[str]
    vectors: made.Floats
    questions: Sequence[Question]

    def chunks(self, page: Sequence[int], *, with_vector: bool = True) -> list[Chunk]:
        """Return the chunks at these places."""
        return [
            Chunk(
                id=self.ids[place],
                text=self.texts[place],
                vector=self.vectors[place] if with_vector else None,
            )
            for place in page
        ]


def load(folder: Path) -> Corpus:
    """Read chunks.jsonl.gz, queries.jsonl, vectors.f16.npy and query_vectors.f16.npy."""
    vectors, query_vectors = (
        np.load(folder / name).astype(np.float32)
        for name in ("vectors.f16.npy", "query_vectors.f16.npy")
    )
    with gzip.open(folder / "chunks.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [
        Question(query["text"], vector, frozenset(map(str, query.get("relevant", ()))))
        for query, vector in zip(map(json.loads, lines), query_vectors, strict=True)
    ]
    ids, texts = [str(row["id"]) for row in rows], [row["text"] for row in rows]
    return Corpus(ids, texts, vectors, questions)


def gain(found: Sequence[str], relevant: frozenset[str]) -> float:
    """Return the normalised discounted cumulative gain of the first ten ids."""
    gains = [1 / np.log2(rank + 2) for rank, name in enumerate(found[:LIMIT]) if name in relevant]
    best = sum(1 / np.log2(rank + 2) for rank in range(min(LIMIT, len(relevant))))
    return float(sum(gains) / best)
