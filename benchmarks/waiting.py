"""How well is found what waits for its vector, and how little the rest loses by that.

    DATA=folder python benchmarks/waiting.py [DRAWS]

The folder is that of quality.py. In each draw a random twentieth of the chunks is PENDING. Asked
are the core in hybrid mode and both adapters in their default and their hybrid mode, for

- recall@10 of the PENDING answers, as a share of what keyword search alone finds of them;
- nDCG@10 of the questions without such an answer: how far it falls from where nothing waits.

Ends with an error where a share is below, or a fall above, what is allowed.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

import langchain_semcore
import llamaindex_semcore
from semantic_core import EmbeddingSpec, GoogleKeyring, PeeweeVectorStore
from shared import machine, real

DRAWS = 10
SHARE = 20
PAGE = 1000
LEAST_SHARE = 0.9
MOST_FALL = 0.015
KEYWORD = "keyword alone"

Ask = Callable[[real.Question], list[str]]


class Known(Embeddings):
    """Knows the vectors of the questions, and nothing else."""

    def __init__(self, questions: list[real.Question]) -> None:
        self._vectors = {question.text: question.vector.tolist() for question in questions}

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        return self._vectors[text]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Refuse: documents wait."""
        raise NotImplementedError(f"{len(texts)} documents")


def main() -> None:
    """Print one line a way of asking, and keep them."""
    corpus = real.load(Path(os.environ["DATA"]))
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS
    questions = [question for question in corpus.questions if question.relevant]
    about = machine.describe()
    measured = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch, "whole.db")
        _fill(whole, corpus)
        with PeeweeVectorStore(whole) as store:
            before = {name: _gains(ask, questions) for name, ask in _ways(store, questions).items()}
        for draw in range(draws):
            path = Path(scratch, f"{draw}.db")
            shutil.copy(whole, path)
            chosen = np.random.default_rng(draw).permutation(len(corpus.ids))
            waiting = np.sort(chosen[: len(corpus.ids) // SHARE]).tolist()
            with PeeweeVectorStore(path) as store:
                names = {corpus.ids[place] for place in waiting}
                store.delete(ids=sorted(names))
                store.save(corpus.chunks(waiting, with_vector=False))
                measured.append(_measure(store, questions, names, before))
            path.unlink()
    sys.exit(_report(about, measured))


def _fill(path: Path, corpus: real.Corpus) -> None:
    with PeeweeVectorStore(path) as store:
        store.collection(spec=EmbeddingSpec(dimensions=corpus.vectors.shape[1]))
        for start in range(0, len(corpus.ids), PAGE):
            store.save(corpus.chunks(range(start, min(start + PAGE, len(corpus.ids)))))


def _ways(store: PeeweeVectorStore, questions: list[real.Question]) -> dict[str, Ask]:
    embedding = langchain_semcore.DeferredEmbeddings(
        GoogleKeyring(), spec=store.collection().spec, query_embeddings=Known(questions)
    )
    chain = langchain_semcore.SemcoreVectorStore(store, embedding=embedding)
    retriever = langchain_semcore.SemcoreRetriever(vectorstore=chain, k=real.LIMIT)
    index = llamaindex_semcore.SemcoreVectorStore(store)

    def by_core(question: real.Question, mode: str) -> list[str]:
        vector = None if mode == "keyword" else question.vector
        found = store.search(text=question.text, vector=vector, mode=mode, limit=real.LIMIT)
        return [hit.chunk.id for hit in found]

    def by_llama(question: real.Question, mode: VectorStoreQueryMode) -> list[str]:
        query = VectorStoreQuery(
            query_embedding=question.vector.tolist(),
            query_str=question.text,
            similarity_top_k=real.LIMIT,
            mode=mode,
        )
        return index.query(query).ids or []

    return {
        KEYWORD: lambda question: by_core(question, "keyword"),
        "core, hybrid": lambda question: by_core(question, "hybrid"),
        "LlamaIndex, default": lambda question: by_llama(question, VectorStoreQueryMode.DEFAULT),
        "LlamaIndex, hybrid": lambda question: by_llama(question, VectorStoreQueryMode.HYBRID),
        "LangChain, default": lambda question: [
            str(document.id) for document in chain.similarity_search(question.text, real.LIMIT)
        ],
        "LangChain, hybrid": lambda question: [
            str(document.id) for document in retriever.invoke(question.text)
        ],
    }


def _gains(ask: Ask, questions: list[real.Question]) -> dict[str, float]:
    return {question.text: real.gain(ask(question), question.relevant) for question in questions}


def _measure(
    store: PeeweeVectorStore,
    questions: list[real.Question],
    waiting: set[str],
    before: dict[str, dict[str, float]],
) -> dict[str, tuple[float, float]]:
    """Return the recall of the PENDING answers and the fall of the others, by way of asking."""
    concerned = [
        (question, wanted) for question in questions if (wanted := question.relevant & waiting)
    ]
    others = [question for question in questions if not question.relevant & waiting]
    measured = {}
    for name, ask in _ways(store, questions).items():
        found = [len(wanted.intersection(ask(one))) / len(wanted) for one, wanted in concerned]
        after = _gains(ask, others)
        falls = [before[name][text] - value for text, value in after.items()]
        measured[name] = (statistics.fmean(found), statistics.fmean(falls))
    return measured


def _report(about: dict[str, object], draws: list[dict[str, tuple[float, float]]]) -> str | None:
    means = {
        name: tuple(statistics.fmean(draw[name][part] for draw in draws) for part in (0, 1))
        for name in draws[0]
    }
    alone, _ = means[KEYWORD]
    kept: dict[str, dict[str, float]] = {}
    missed = []
    for name, (recall, fall) in means.items():
        kept[name] = {
            "recall@10 of PENDING answers": round(recall, 4),
            "share of keyword alone": round(recall / alone, 4),
            "nDCG@10 of the others falls by": round(fall, 4),
        }
        print(f"{name:<20} recall {recall:.3f} = {recall / alone:5.2f} x  nDCG falls {fall:+.4f}")
        if recall < LEAST_SHARE * alone or fall >= MOST_FALL:
            missed.append(name)
    machine.keep("waiting", {"machine": about, "draws": len(draws), "measured": kept})
    return f"Not as it has to be: {', '.join(missed)}" if missed else None


if __name__ == "__main__":
    main()
