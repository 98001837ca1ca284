"""With nothing PENDING, every search equals exact search over what the filter leaves.

LangChain's InMemoryVectorStore is the oracle: it compares every vector, and takes a function as
its filter, for which the core's plain Python reading of a filter serves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_semcore import SemcoreVectorStore
from semantic_core import parse_filter
from support.filter_oracle import matches
from support.langchain import TableEmbeddings

SIZE = 60
WORDS = ["", "red", "Red", "blue", "r_d", "100%", "ünïcode", "1"]
NUMBERS = [0, 1, 1.0, 2.5, -1, 10]


def _documents() -> list[Document]:
    rng = random.Random(7)
    values = [*WORDS, *NUMBERS, True, False, None, ["red", 1], []]
    return [
        Document(
            id=f"d{number}",
            page_content=f"document {number}",
            metadata={key: rng.choice(values) for key in "abc" if rng.random() < 0.8},
        )
        for number in range(SIZE)
    ]


def _vectors() -> dict[str, list[float]]:
    rows = np.random.default_rng(7).normal(size=(SIZE + 20, 8)).astype(np.float32)
    names = [f"document {n}" for n in range(SIZE)] + [f"query {n}" for n in range(20)]
    return dict(zip(names, rows.tolist(), strict=True))


@dataclass(frozen=True)
class Both:
    ours: SemcoreVectorStore
    theirs: InMemoryVectorStore
    vectors: dict[str, list[float]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    table = TableEmbeddings(_vectors())
    path: Path = tmp_path_factory.mktemp("oracle") / "notes.db"
    with SemcoreVectorStore(path, embedding=table, mode="sync") as ours:
        theirs = InMemoryVectorStore(table)
        ours.add_documents(_documents())
        theirs.add_documents(_documents())
        yield Both(ours, theirs, table.vectors)


keys = st.sampled_from(["a", "b", "c", "missing", "a.b", "' OR 1=1 --"])
words = st.sampled_from(WORDS)
scalars = st.sampled_from([*WORDS, *NUMBERS, True, False])
lists = st.lists(scalars, min_size=1, max_size=4)
ordered = words | st.sampled_from(NUMBERS)
bounds = st.tuples(words, words) | st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS))
patterns = st.text(st.sampled_from("redR%_"), max_size=4)

OPERATORS: dict[str, st.SearchStrategy[Any]] = {
    "$eq": scalars,
    "$ne": scalars,
    "$gt": ordered,
    "$gte": ordered,
    "$lt": ordered,
    "$lte": ordered,
    "$in": lists,
    "$nin": lists,
    "$between": bounds.map(list),
    "$exists": st.booleans(),
    "$like": patterns,
    "$ilike": patterns,
}
tests_of_a_key = st.sampled_from(sorted(OPERATORS)).flatmap(
    lambda name: st.fixed_dictionaries({name: OPERATORS[name]})
)
conditions = st.dictionaries(keys, scalars | tests_of_a_key, min_size=1, max_size=2)
filters: st.SearchStrategy[dict[str, Any]] = st.recursive(
    conditions,
    lambda parts: (
        st.fixed_dictionaries({"$not": parts})
        | st.fixed_dictionaries({"$and": st.lists(parts, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"$or": st.lists(parts, min_size=1, max_size=3)})
    ),
    max_leaves=5,
)
queries = st.integers(0, 19).map("query {}".format)


def as_function(filters: dict[str, Any]) -> Any:
    tree = parse_filter(filters)
    return lambda document: matches(tree, document.metadata)


@settings(max_examples=150, deadline=None)
@given(query=queries, k=st.integers(0, 70), filters=filters)
def test_similarity_search_is_exact(
    both: Both, query: str, k: int, filters: dict[str, Any]
) -> None:
    found = both.ours.similarity_search_with_score(query, k, filter=filters)
    expected = both.theirs.similarity_search_with_score(query, k, filter=as_function(filters))
    assert [score for _, score in found] == pytest.approx([s for _, s in expected], abs=1e-5)
    assert {d.id for d, _ in found} <= {
        d.id
        for d, _ in both.theirs.similarity_search_with_score(
            query, SIZE, filter=as_function(filters)
        )
    }
    for document, score in found:
        a, b = np.array(both.vectors[query]), np.array(both.vectors[document.page_content])
        assert score == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(query=queries, k=st.integers(1, 10), filters=filters)
def test_every_search_returns_the_same_documents(
    both: Both, query: str, k: int, filters: dict[str, Any]
) -> None:
    """By text, by vector, by relevance, and with the filter as a function."""
    expected = both.ours.similarity_search(query, k, filter=filters)
    vector = both.vectors[query]
    assert both.ours.similarity_search_by_vector(vector, k, filter=filters) == expected
    assert both.ours.similarity_search(query, k, filter=as_function(filters)) == expected
    scored = both.ours.similarity_search_with_score_by_vector(vector, k, filter=filters)
    assert [document for document, _ in scored] == expected
    relevant = both.ours.similarity_search_with_relevance_scores(query, k, filter=filters)
    assert relevant == [(document, (1 + cosine) / 2) for document, cosine in scored]
    thresholded = both.ours.similarity_search_with_relevance_scores(
        query, k, filter=filters, score_threshold=0.6
    )
    assert thresholded == [pair for pair in relevant if pair[1] >= 0.6]


mmr_options = st.fixed_dictionaries(
    {
        "k": st.integers(0, 8),
        "fetch_k": st.integers(1, 25),
        "lambda_mult": st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    }
)


@settings(max_examples=50, deadline=None)
@given(query=queries, options=mmr_options, filters=filters)
def test_mmr_is_langchains(
    both: Both, query: str, options: dict[str, Any], filters: dict[str, Any]
) -> None:
    by_text, by_vector = (
        both.ours.max_marginal_relevance_search,
        both.ours.max_marginal_relevance_search_by_vector,
    )
    expected = both.theirs.max_marginal_relevance_search(
        query, **options, filter=as_function(filters)
    )
    assert by_text(query, **options, filter=filters) == expected
    assert by_vector(both.vectors[query], **options, filter=filters) == expected


@settings(max_examples=25, deadline=None)
@given(filters=filters)
def test_delete_by_filter_deletes_what_the_filter_finds(
    both: Both, filters: dict[str, Any]
) -> None:
    path = both.ours.store.database.path.parent / "deleting.db"
    with SemcoreVectorStore(path, embedding=both.ours.embeddings, mode="sync") as store:
        store.add_documents(_documents())
        store.delete(filter=filters)
        left = store.get_by_ids([f"d{number}" for number in range(SIZE)])
    keep = as_function(filters)
    assert left == [document for document in _documents() if not keep(document)]
