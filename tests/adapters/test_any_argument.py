"""Whole numbers of any kind work; whatever does not fit is refused with a typed error, before money."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

import langchain_semcore
import llamaindex_semcore
from semantic_core import (
    BatchManager,
    Chunk,
    EmbeddingSpec,
    GoogleKeyring,
    InvalidInputError,
    PeeweeVectorStore,
    SemanticCore,
    SemanticCoreError,
    UnsupportedDatabaseError,
    maximal_marginal_relevance,
)
from support.keys import BATCH_KEY


class Three(enum.IntEnum):
    THREE = 3


WHOLE = [np.int64(3), np.uint8(3), Three.THREE, 3, 2**63 - 1]
NOT_WHOLE = [
    *(2.5, 3.0, 2**63, -1, True, "3", None, float("nan"), float("inf"), [3], b"3", object()),
    *(Decimal(3), Fraction(3), np.float64(3), np.bool_(True), np.array([1, 2])),
]
NO_WEIGHT = [None, "0.5", True, 1.5, -0.1, float("nan"), [0.5], 10**400]
WEIGHTS = [0, 1, 0.5, np.float32(0.5), Decimal("0.5"), Fraction(1, 2)]

VECTOR = [1.0, 2.0, 3.0]
LANGCHAIN_QUERY = "cat"

Call = Callable[[PeeweeVectorStore, Any], object]


def langchain(store: PeeweeVectorStore) -> langchain_semcore.SemcoreVectorStore:
    return langchain_semcore.SemcoreVectorStore(store)


def llamaindex(store: PeeweeVectorStore, mode: VectorStoreQueryMode, **options: Any) -> object:
    asked = {"query_str": "cat", "query_embedding": VECTOR, "mode": mode} | options
    return llamaindex_semcore.SemcoreVectorStore(store).query(VectorStoreQuery(**asked))


LIMITS: dict[str, Call] = {
    "core": lambda store, n: SemanticCore(store).search("cat", n),
    "store": lambda store, n: store.search(text="cat", vector=VECTOR, limit=n),
    "elsewhere": lambda store, n: store.search(text="cat", limit=n, collection="other"),
    "many": lambda store, n: store.search_many([VECTOR], limit=n),
    "mmr": lambda _, n: maximal_marginal_relevance(VECTOR, [VECTOR], limit=n),
    "failed": lambda store, n: manager(store).failed_chunks(n),
    "langchain": lambda store, n: langchain(store).similarity_search("cat", k=n),
    "langchain scores": lambda store, n: langchain(store).similarity_search_with_score("cat", k=n),
    "langchain vector": lambda store, n: langchain(store).similarity_search_by_vector(VECTOR, k=n),
    "langchain mmr k": lambda store, n: langchain(store).max_marginal_relevance_search("cat", k=n),
    "langchain mmr fetch": lambda store, n: langchain(store).max_marginal_relevance_search(
        "cat", fetch_k=n
    ),
    "langchain mmr vector": lambda store, n: langchain(
        store
    ).max_marginal_relevance_search_by_vector(VECTOR, k=n),
    "llamaindex": lambda store, n: llamaindex(
        store, VectorStoreQueryMode.DEFAULT, similarity_top_k=n
    ),
    "llamaindex hybrid": lambda store, n: llamaindex(
        store, VectorStoreQueryMode.HYBRID, similarity_top_k=n
    ),
    "llamaindex mmr": lambda store, n: llamaindex(
        store, VectorStoreQueryMode.MMR, similarity_top_k=n
    ),
}

ALPHAS: dict[str, Call] = {
    "core": lambda store, x: SemanticCore(store).search("cat", alpha=x),
    "store": lambda store, x: store.search(text="cat", vector=VECTOR, alpha=x),
    "mmr": lambda _, x: maximal_marginal_relevance(VECTOR, [VECTOR], limit=1, relevance=x),
    "langchain mmr": lambda store, x: langchain(store).max_marginal_relevance_search(
        "cat", lambda_mult=x
    ),
}


def manager(store: PeeweeVectorStore) -> BatchManager:
    return BatchManager(GoogleKeyring(batch_key=BATCH_KEY), store)


@pytest.fixture
def store(store: PeeweeVectorStore) -> PeeweeVectorStore:
    store.collection(spec=EmbeddingSpec.external("numbers", 3))
    store.save(
        [Chunk(id="a", text="cat", vector=VECTOR), Chunk(id="b", text="cats", vector=VECTOR)]
    )
    return store


@pytest.mark.parametrize("call", LIMITS.values(), ids=LIMITS)
def test_a_limit_of_any_kind_counts_or_is_refused(store: PeeweeVectorStore, call: Call) -> None:
    for number in WHOLE:
        call(store, number)
    for wrong in NOT_WHOLE:
        with pytest.raises(InvalidInputError, match="whole number"):
            call(store, wrong)


@pytest.mark.parametrize("call", ALPHAS.values(), ids=ALPHAS)
def test_a_weight_of_any_kind_measures_or_is_refused(store: PeeweeVectorStore, call: Call) -> None:
    for number in WEIGHTS:
        call(store, number)
    for wrong in NO_WEIGHT:
        with pytest.raises(InvalidInputError, match="from 0 to 1"):
            call(store, wrong)


def test_a_limit_of_numpy_gives_as_many_hits(store: PeeweeVectorStore) -> None:
    assert len(store.search(text="cat", vector=VECTOR, limit=np.int64(1))) == 1
    assert len(langchain(store).similarity_search("cat", k=np.int64(1))) == 1
    found = llamaindex_semcore.SemcoreVectorStore(store).query(
        VectorStoreQuery(query_str="cat", similarity_top_k=np.int64(1))
    )
    assert len(found.nodes or []) == 1


ODD = [None, 5, b"bytes", ["cat"], {"a": 1}, object(), 2.5, Path("x")]


@pytest.mark.parametrize(
    "call",
    [
        lambda store, x: SemanticCore(store).search(x),
        lambda store, x: SemanticCore(store).search(x, mode="keyword"),
        lambda store, x: langchain(store).similarity_search(x),
        lambda store, x: langchain(store).max_marginal_relevance_search(x),
        lambda store, x: SemanticCore(store).ingest(x) if x != ["cat"] else _refuse(),
        lambda store, x: store.save(x),
        lambda store, x: store.save([x]),
        lambda store, x: store.bulk_update_vectors([x], spec=EmbeddingSpec(dimensions=4)),
        lambda store, x: store.get(x) if x != ["cat"] else _refuse(),
        lambda store, x: store.get([x]),
        lambda store, x: store.delete(ids=[x]),
        lambda store, x: store.delete(document_ids=[x]),
        lambda store, x: store.search(text="cat", ids=[x]),
        lambda store, x: store.known_vectors([x]),
        lambda store, x: store.prune(x) if x not in (5, 2.5) else _refuse(),
        lambda store, x: store.find(x),
        lambda store, x: store.search(text="cat", mode=x),
        lambda store, x: store.search(text="cat", pending=x),
        lambda store, x: SemanticCore(store).ingest([], mode=x),
        lambda store, x: manager(store).cancel(x),
    ],
)
def test_what_does_not_fit_is_a_typed_error(store: PeeweeVectorStore, call: Call) -> None:
    store.collection("gemini", EmbeddingSpec(dimensions=4))
    for wrong in ODD:
        with pytest.raises(SemanticCoreError):
            call(store, wrong)


def _refuse() -> None:
    raise InvalidInputError("fits here")


SURROGATE = "a\ud800b"


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get([SURROGATE]),
        lambda store: store.delete(ids=[SURROGATE]),
        lambda store: store.delete(document_ids=[SURROGATE]),
        lambda store: store.delete(filters={"a": SURROGATE}),
        lambda store: store.vectors([SURROGATE]),
        lambda store: store.chunks(ids=[SURROGATE], filters={SURROGATE: 1}),
        lambda store: store.search(text=SURROGATE),
        lambda store: store.search(text="cat", ids=[SURROGATE]),
        lambda store: store.search(text="cat", filters={"a": {"$in": [SURROGATE]}}),
        lambda store: store.search(text="cat", collection=SURROGATE),
        lambda store: store.stats(SURROGATE),
        lambda store: store.clear(SURROGATE),
        lambda store: store.meta(SURROGATE),
        lambda store: store.backup(f"/tmp/{SURROGATE}"),  # never written
        lambda store: manager(store).cancel(SURROGATE),
        lambda store: manager(store).release(SURROGATE, accept_rebilling=True),
        lambda store: langchain(store).delete([SURROGATE]),
        lambda store: langchain(store).get_by_ids([SURROGATE]),
        lambda store: llamaindex_semcore.SemcoreVectorStore(store).delete(SURROGATE),
        lambda store: llamaindex_semcore.SemcoreVectorStore(store).delete_nodes([SURROGATE]),
    ],
)
def test_half_a_character_is_unknown_or_refused(
    store: PeeweeVectorStore, call: Callable[[PeeweeVectorStore], object]
) -> None:
    with contextlib.suppress(SemanticCoreError):
        call(store)
    assert len(store.chunks()) == 2


@pytest.mark.parametrize("path", [None, 5, SURROGATE, ["x"], "", "a\0b"])
def test_what_names_no_file_is_a_typed_error(path: Any) -> None:
    with pytest.raises(UnsupportedDatabaseError):
        PeeweeVectorStore(path)


def test_a_path_that_is_ingested_names_what_reads_it(store: PeeweeVectorStore) -> None:
    with pytest.raises(InvalidInputError, match="read_documents"):
        SemanticCore(store).ingest(Path("notes.md"))
    assert SemanticCore(store, collection="new").ingest([]).documents == 0
