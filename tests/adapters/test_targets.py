"""What real vector stores of both frameworks make of deliveries and of questions."""

from __future__ import annotations

import base64
import pickle
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from llama_index.core.schema import ImageNode, MediaResource, Node, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexQdrantVectorStore
from qdrant_client import models

import langchain_semcore
import llamaindex_semcore
from langchain_semcore import PaidEmbeddings
from langchain_semcore.target import LangChainTarget
from llamaindex_semcore.nodes import to_chunk
from llamaindex_semcore.target import LlamaIndexTarget
from semantic_core import (
    And,
    Chunk,
    Condition,
    ConfigurationError,
    EmbeddingSpec,
    Filter,
    InvalidFilterError,
    Keep,
    Media,
    Not,
    Or,
    PeeweeVectorStore,
    RemoteIds,
    Target,
    TargetItem,
)
from support.filter_oracle import matches
from support.pictures import picture
from support.real_stores import LANGCHAIN, LLAMA_INDEX, NEEDS_SERVER, SIZE, RealStore, real_store

SPEC = EmbeddingSpec.external("here", SIZE)

# Some stores hold no lists, and none of these holds a dict; LlamaIndex's Chroma takes plain values.
VALUES: list[Any] = [
    1,
    1.0,
    2,
    2.5,
    -3,
    0,
    "a",
    "b'\":x %s \\:y \\",
    True,
    False,
    None,
    "1",
    "true",
]
VALUES += ["", 1e22, 1e-7, 2**53 + 1, 123456789012345678, "null", "ä"]
LISTS: list[Any] = [["a", "b"], ["a"], [1], [True], [2.5, 3.5]]

UUID = str(uuid.uuid4())


@pytest.fixture(params=[*LANGCHAIN, *LLAMA_INDEX])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealStore]:
    name = request.param
    url = request.getfixturevalue("postgres_url") if name in NEEDS_SERVER else None
    with real_store(name, tmp_path, url) as opened:
        yield opened


@pytest.fixture
def target(real: RealStore, store: PeeweeVectorStore) -> Target:
    store.collection(spec=SPEC)
    ids = RemoteIds(store.meta("install_id"), "default")
    if real.store is not None:
        return LlamaIndexTarget(real.store, ids)
    assert real.build is not None
    return LangChainTarget(real.build, PaidEmbeddings(store), ids)


def saved(store: PeeweeVectorStore, *chunks: tuple[str, str, Any]) -> list[TargetItem]:
    """Save chunks of id, text and metadata, each with a vector of its own."""
    store.save(
        Chunk(id=id_, text=text, metadata=metadata, vector=unit(f"{id_}{text}"))
        for id_, text, metadata in chunks
    )
    ids = [id_ for id_, *_ in chunks]
    vectors = store.vectors(ids)
    return [TargetItem(chunk=one, vector=vectors[one.id]) for one in store.get(ids)]


def unit(text: str) -> Any:
    vector = np.random.default_rng(list(text.encode())).normal(size=SIZE)
    return vector / np.linalg.norm(vector)


def nearest(target: Target, item: TargetItem, limit: int = 10, **options: Any) -> list[str]:
    asked = {"filters": None, "target_filter": None} | options
    return list(target.nearest(item.vector, limit=limit, **asked))


def test_it_holds_what_it_was_told(
    real: RealStore, target: Target, store: PeeweeVectorStore
) -> None:
    items = saved(
        store,
        (UUID, "text with an id of its own", {"lang": "en", "n": 1}),
        ("notes/1#'\"", "same text", {"lang": "de", "n": 2.5}),
        ("2", "same text", {}),
    )
    target.put(items)
    held = real.held()
    assert set(held) == {UUID, "notes/1#'\"", "2"}
    for item in items:
        found = held[item.chunk.id]
        assert found.text == item.chunk.text
        assert found.metadata == item.chunk.metadata | {"_semcore_id": item.chunk.id}
        assert found.vector == pytest.approx(item.vector.tolist(), abs=1e-6)
        assert nearest(target, item)[0] == item.chunk.id
        assert nearest(target, item, limit=1) == [item.chunk.id]
    assert held[UUID].id == UUID
    assert {uuid.UUID(one.id).version for one in held.values() if one.id != UUID} == {5}


def test_pictures_are_held_by_their_captions_or_names(
    real: RealStore, target: Target, store: PeeweeVectorStore, tmp_path: Path
) -> None:
    (tmp_path / "shoe.png").write_bytes(picture(1))
    chunks = [
        Chunk(id="a", text="a red shoe", media=Media(picture(1)), vector=unit("a")),
        Chunk(id="b", text="", media=Media(tmp_path / "shoe.png"), vector=unit("b")),
        Chunk(id="c", text="", media=Media(picture(2)), vector=unit("c")),
    ]
    store.save(chunks)
    vectors = store.vectors(["a", "b", "c"])
    items = [TargetItem(chunk=one, vector=vectors[one.id]) for one in store.get(["a", "b", "c"])]
    target.put(items)
    held = real.held()
    assert {id_: one.text for id_, one in held.items()} == {
        "a": "a red shoe",
        "b": "shoe.png",
        "c": "",
    }
    for item in items:
        assert nearest(target, item)[0] == item.chunk.id


@pytest.mark.parametrize("real", LLAMA_INDEX, indirect=True)
def test_image_nodes_are_held_without_their_bytes(
    real: RealStore, target: Target, store: PeeweeVectorStore, tmp_path: Path
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    data = base64.b64encode(picture(2)).decode()
    nodes = [
        ImageNode(id_="a", text="a red shoe", image=data),
        ImageNode(id_="b", image_path=str(path)),
        Node(id_="c", image_resource=MediaResource(data=picture(2))),
    ]
    store.save([replace(to_chunk(node, takes_media=True), vector=unit(node.id_)) for node in nodes])
    vectors = store.vectors(["a", "b", "c"])
    items = [TargetItem(chunk=one, vector=vectors[one.id]) for one in store.get(["a", "b", "c"])]
    target.put(items)
    held = real.held()
    assert held["a"].text == "a red shoe"
    assert held["b"].text == "shoe.png"
    for item in items:
        assert nearest(target, item)[0] == item.chunk.id
    assert data[40:80] not in repr(real.read())


def test_changed_chunks_replace_and_deleted_ones_are_gone(
    real: RealStore, target: Target, store: PeeweeVectorStore
) -> None:
    target.put(saved(store, ("a", "old", {"n": 1}), ("b", "stays", {}), ("c", "goes", {})))
    target.delete(["a", "c", "never there"])
    changed = saved(store, ("a", "new", {"n": 2}))
    target.put(changed)
    target.delete([])
    held = real.held()
    assert {id_: one.text for id_, one in held.items()} == {"a": "new", "b": "stays"}
    assert held["a"].metadata["n"] == 2
    assert held["a"].vector == pytest.approx(changed[0].vector.tolist(), abs=1e-6)


leaves = st.builds(
    Condition,
    st.sampled_from(["k", "n", "missing"]),
    st.sampled_from(["eq", "ne"]),
    st.sampled_from([value for value in VALUES if value is not None]),
)
many = st.builds(
    Condition,
    st.sampled_from(["k", "n"]),
    st.sampled_from(["in", "nin"]),
    st.lists(st.sampled_from([value for value in VALUES if value is not None]), max_size=4),
)
numbers = st.sampled_from([-3, 0, 0.5, 1, 1.0, 2.5, 7, 2**53])
ranges = st.builds(Condition, st.just("n"), st.sampled_from(["gt", "gte", "lt", "lte"]), numbers)
ranges |= st.builds(Condition, st.just("n"), st.just("between"), st.tuples(numbers, numbers))
equalities = st.recursive(
    leaves | many,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(And, st.lists(parts, min_size=1, max_size=3))
        | st.builds(Or, st.lists(parts, min_size=1, max_size=3))
    ),
    max_leaves=5,
)
filters = st.recursive(
    equalities | ranges,
    lambda parts: (
        st.builds(And, st.lists(parts, min_size=1, max_size=3))
        | st.builds(Or, st.lists(parts, min_size=1, max_size=3))
    ),
    max_leaves=4,
)


@pytest.fixture
def asked(
    real: RealStore, target: Target, store: PeeweeVectorStore
) -> Callable[[Filter], tuple[set[str], set[str]]]:
    """Ask for a filter; return what came and what had to."""
    values = VALUES if real.name == "llama-index-chroma" else VALUES + LISTS
    metadata = {f"c{n}": {"k": value, "n": n / 2} for n, value in enumerate(values)}
    metadata["none"] = {}
    items = saved(store, *((id_, f"text {id_}", one) for id_, one in metadata.items()))
    target.put(items)

    def ask(wanted: Filter) -> tuple[set[str], set[str]]:
        found = nearest(target, items[0], limit=100, filters=wanted)
        return set(found), {id_ for id_, one in metadata.items() if matches(wanted, one)}

    return ask


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=filters)
def test_a_filter_is_never_too_narrow(
    asked: Callable[[Filter], tuple[set[str], set[str]]], wanted: Filter
) -> None:
    found, needed = asked(wanted)
    assert found >= needed


def test_an_everyday_filter_narrows_down(
    real: RealStore, asked: Callable[[Filter], tuple[set[str], set[str]]]
) -> None:
    for wanted in (
        Condition("k", "eq", "a"),
        Condition("k", "in", ["a", "ä", "b'\":x %s \\:y \\"]),
        And([Condition("n", "gte", 2), Condition("n", "lt", 4)]),
        Condition("n", "between", (1, 2.5)),
    ):
        found, needed = asked(wanted)
        # Qdrant takes a list for each of its items, and a bound is always included.
        assert len(needed) <= len(found) <= len(needed) + 2
    found, needed = asked(Condition("k", "ne", "a"))
    assert "c6" not in found
    assert found >= needed


def test_a_filter_of_the_stores_own_is_passed_on(
    real: RealStore, target: Target, store: PeeweeVectorStore
) -> None:
    items = saved(store, ("a", "text", {"n": 1}), ("b", "text", {"n": 2}))
    target.put(items)
    in_llama_index = MetadataFilters(filters=[MetadataFilter(key="n", value=2)])
    own = {
        "langchain-qdrant": models.Filter(
            must=[models.FieldCondition(key="metadata.n", match=models.MatchValue(value=2))]
        ),
        "langchain-chroma": {"n": 2},
        "langchain-milvus": "n == 2",
        "langchain-pgvector": {"n": 2},
    }.get(real.name, in_llama_index)
    assert nearest(target, items[0], target_filter=own) == ["b"]


def test_no_condition_is_dropped_in_silence(
    real: RealStore, target: Target, store: PeeweeVectorStore
) -> None:
    (item,) = saved(store, ("a", "text", {"k": "a"}))
    target.put([item])
    for wanted in (Condition("k", "text_match", "a"), Condition("a key", "eq", 1)):
        with pytest.raises(InvalidFilterError, match="target_filter"):
            nearest(target, item, filters=wanted)
    if real.store is not None:
        with pytest.raises(InvalidFilterError, match="ref_doc_id"):
            nearest(target, item, filters=Condition("ref_doc_id", "eq", "a"))


def test_stores_with_habits_that_cannot_be_kept_right_are_refused(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    store.collection(spec=SPEC)
    broken = type(
        "LanceDBVectorStore",
        (LlamaIndexQdrantVectorStore,),
        {"__module__": "llama_index.vector_stores.lancedb.base"},
    )
    with real_store("llama-index-qdrant", tmp_path, None) as real:
        assert real.store is not None
        of_this_class = broken("docs", client=real.store.client)
        with pytest.raises(ConfigurationError, match="quotes ids"):
            llamaindex_semcore.SemcoreVectorStore(store, deliver_to=of_this_class)
    with pytest.raises(ConfigurationError, match="no text"):
        llamaindex_semcore.SemcoreVectorStore(store, deliver_to=SimpleVectorStore())

    class NoDelete(InMemoryVectorStore):
        delete = VectorStore.delete

    documents = langchain_semcore.SemcoreVectorStore(store, spec=SPEC)
    with pytest.raises(ConfigurationError, match="cannot delete"):
        documents.deliver_to(NoDelete, name="no delete")
    assert store.delivery.targets() == ()


def test_a_store_that_makes_its_own_ids_keeps_nothing(store: PeeweeVectorStore) -> None:
    class OwnIds(InMemoryVectorStore):
        def add_documents(self, documents: list[Document], **_: Any) -> list[str]:
            return super().add_documents(documents, ids=[f"own{n}" for n in range(len(documents))])

    made: list[OwnIds] = []

    def build(embeddings: Embeddings) -> OwnIds:
        made.append(OwnIds(embeddings))
        return made[0]

    documents = langchain_semcore.SemcoreVectorStore(store, spec=SPEC)
    documents.deliver_to(build, name="own ids")
    saved(store, ("a", "text", {}))
    (status,) = store.delivery.deliver()
    assert status.waiting == 1
    assert "ids of its own" in str(status.last_error)
    assert made[0].store == {}


def test_a_store_that_nobody_knows_needs_a_filter_of_its_own(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    ids = RemoteIds(store.meta("install_id"), "default")
    target = LangChainTarget(InMemoryVectorStore, PaidEmbeddings(store), ids)
    items = saved(store, ("a", "text", {"n": 1}), ("b", "text", {"n": 2}))
    target.put(items)
    with pytest.raises(InvalidFilterError, match="InMemoryVectorStore for a filter"):
        nearest(target, items[0], filters=Condition("n", "eq", 1))
    own = {"target_filter": lambda document: document.metadata["n"] == 2}
    assert nearest(target, items[0], **own) == ["b"]


def test_a_store_is_attached_where_it_is_opened_and_not_where_it_is_copied(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    with real_store("llama-index-qdrant", tmp_path, None) as real:
        assert real.store is not None
        nodes = llamaindex_semcore.SemcoreVectorStore(store, spec=SPEC, deliver_to=real.store)
        nodes.add([TextNode(id_="a", text="text", embedding=list(unit("a")))])
        (status,) = store.delivery.deliver()
        assert (status.name, status.kind) == ("QdrantVectorStore", "QdrantVectorStore, 'docs'")
        assert set(real.held()) == {"a"}
        copied = pickle.loads(pickle.dumps(nodes))
        copied.add([TextNode(id_="b", text="text", embedding=list(unit("b")))])
        (status,) = copied.client.delivery.deliver()
        assert status.waiting == 1
        copied.close()
        store.delivery.deliver()
        assert set(real.held()) == {"a", "b"}


def test_searches_ask_the_store_and_take_ids_and_filters_as_it_has_them(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    with real_store("langchain-qdrant", tmp_path, None) as real:
        assert real.build is not None
        documents = langchain_semcore.SemcoreVectorStore(store, spec=SPEC)
        documents.deliver_to(real.build, name="qdrant")
        ids = [1, uuid.UUID(UUID)]
        metadata = [{"k": "aa"}, {"k": "ba"}]
        documents.add_embeddings(["one", "two"], [unit("1"), unit("2")], metadata, ids=ids)
        store.delivery.deliver()
        assert set(real.held()) == {"1", UUID}
        like = {"k": {"$like": "b%"}}
        with pytest.raises(InvalidFilterError, match="target_filter"):
            documents.similarity_search_by_vector(unit("1"), filter=like)
        # Too wide: what comes is filtered once more.
        (found,) = documents.similarity_search_by_vector(
            unit("1"), filter=like, target_filter=models.Filter()
        )
        assert found.id == UUID
        nodes = llamaindex_semcore.SemcoreVectorStore(store)
        assert [node.id_ for node in nodes.get_nodes([1])] == ["1"]
        documents.delete([1])
        nodes.delete_nodes([uuid.UUID(UUID)])
        assert documents.get_by_ids([1, uuid.UUID(UUID)]) == []
        store.delivery.deliver()
        assert real.held() == {}


@pytest.mark.parametrize("name", ["langchain-qdrant", "llama-index-qdrant"])
def test_what_is_not_kept_here_is_found_through_the_store(
    store: PeeweeVectorStore, tmp_path: Path, name: str
) -> None:
    spec = EmbeddingSpec(dimensions=SIZE)
    store.collection(spec=spec)
    store.save([Chunk(id="a", text="one cat"), Chunk(id="b", text="two cats")])
    hash_of = spec.hasher()
    texts = {"one cat": unit("1"), "two cats": unit("2")}
    store.bulk_update_vectors([(hash_of(one).hex(), texts[one]) for one in texts], spec=spec)
    kept: Keep = {"keep_text": "until delivered", "keep_vectors": False}
    with real_store(name, tmp_path, None) as real:
        documents = langchain_semcore.SemcoreVectorStore(store, spec=spec)
        if real.build is not None:
            documents.deliver_to(real.build, name="qdrant", **kept)
        else:
            llamaindex_semcore.SemcoreVectorStore(store, deliver_to=("qdrant", real.store), **kept)
        store.delivery.deliver()
        assert store.vectors(["a", "b"]) == {}
        found = documents.similarity_search_with_score_by_vector(unit("2"), k=2)
        assert [(one.id, one.page_content, score) for one, score in found] == [
            ("b", "two cats", 1.0),
            ("a", "one cat", 1.0),
        ]
        diverse = documents.max_marginal_relevance_search_by_vector(unit("2"), k=2)
        assert [one.id for one in diverse] == ["b", "a"]
        assert documents.searcher.by_text("cat", 2, None, mode="keyword").hits == ()
