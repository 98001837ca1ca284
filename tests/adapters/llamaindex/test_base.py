import asyncio
import pickle
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStore,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from pydantic import ValidationError

from llamaindex_semcore import EmbeddingSpec, SemcoreVectorStore
from semantic_core import (
    DuplicateIdError,
    EmbeddingStatus,
    GoogleKeyring,
    InvalidInputError,
    InvalidMetadataError,
    InvalidVectorError,
    MissingBatchKeyError,
    NotBatchableError,
    PeeweeVectorStore,
    SpecMismatchError,
)
from support.keys import canary
from support.llamaindex import embed_all, node
from support.world import BATCH_KEY, World

ENGLISH = MetadataFilters(filters=[MetadataFilter(key="lang", value="en")])


def ids(nodes: list[BaseNode]) -> list[str]:
    return [found.node_id for found in nodes]


@pytest.fixture
def animals(offline_store: SemcoreVectorStore) -> SemcoreVectorStore:
    offline_store.add(
        [
            node("cat", document_id="pets", lang="en"),
            node("Hund", document_id="pets", lang="de"),
            node("wolf", document_id="wild", lang="en"),
        ]
    )
    return offline_store


# --- a LlamaIndex vector store --------------------------------------------------------------


def test_it_is_one_of_llamaindexs_vector_stores(offline_store: SemcoreVectorStore) -> None:
    assert BasePydanticVectorStore.__name__ in [base.__name__ for base in type(offline_store).mro()]
    assert isinstance(offline_store, VectorStore)
    assert offline_store.class_name() == "SemcoreVectorStore"
    assert offline_store.stores_text
    assert offline_store.is_embedding_query


def test_it_overrides_everything_the_base_declares() -> None:
    """Its async twins would otherwise block the event loop, and the rest raise."""
    declared = {
        name
        for name, member in vars(BasePydanticVectorStore).items()
        if callable(member) and not name.startswith("_")
    }
    assert {"add", "aquery", "clear", "get_nodes", "persist"} <= declared
    for name in declared:
        assert getattr(SemcoreVectorStore, name) is not getattr(BasePydanticVectorStore, name), name


@pytest.mark.parametrize("form", [str, Path, "sqlite:///{}".format, "file:{}".format])
def test_it_opens_a_path_or_a_url(database_path: Path, form: Callable[[str], Any]) -> None:
    with closing(SemcoreVectorStore(form(str(database_path)))) as vector_store:
        vector_store.add([node("a")])
    with closing(SemcoreVectorStore(database_path)) as vector_store:
        assert ids(vector_store.get_nodes()) == ["a"]


def test_closing_leaves_a_store_that_was_handed_in_open(store: PeeweeVectorStore) -> None:
    vector_store = SemcoreVectorStore(store)
    assert vector_store.client is store
    vector_store.close()
    store.save([])


def test_collections_of_one_database_are_apart(store: PeeweeVectorStore) -> None:
    one, two = SemcoreVectorStore(store, "one"), SemcoreVectorStore(store, collection="two")
    one.add([node("a")])
    two.add([node("a", n=2)])
    two.clear()
    assert ids(one.get_nodes()) == ["a"]
    assert two.get_nodes() == []


def test_an_option_that_does_not_exist_is_refused(database_path: Path) -> None:
    """A typing error must not open another collection than was meant."""
    with pytest.raises(ValidationError, match="colection"):
        SemcoreVectorStore(database_path, colection="mine")
    with pytest.raises(ValidationError, match="pending"):
        SemcoreVectorStore(database_path, pending="maybe")  # type: ignore[arg-type]


# --- reading --------------------------------------------------------------------------------


def test_a_limit_takes_the_oldest(animals: SemcoreVectorStore) -> None:
    assert ids(animals.get_nodes(limit=2)) == ["cat", "Hund"]
    assert ids(animals.get_nodes(filters=ENGLISH, limit=1)) == ["cat"]
    assert ids(animals.get_nodes(["wolf", "cat", "Hund"], limit=2)) == ["cat", "Hund"]
    assert ids(asyncio.run(animals.aget_nodes(limit=1))) == ["cat"]
    with pytest.raises(InvalidInputError, match="limit=-1"):
        animals.get_nodes(limit=-1)


def test_embeddings_come_on_request(external_store: SemcoreVectorStore) -> None:
    external_store.add([node("a", embedding=[1.0, 0.5]), node("b", embedding=[0.25, 1.0])])
    assert [found.embedding for found in external_store.get_nodes()] == [None, None]
    found = external_store.get_nodes(["b", "a"], with_embeddings=True)
    assert [one.embedding for one in found] == [[0.25, 1.0], [1.0, 0.5]]


def test_a_node_without_one_has_none(world: World, vector_store: SemcoreVectorStore) -> None:
    vector_store.add([node("early")])
    embed_all(world)
    vector_store.add([node("late")])
    early, late = vector_store.get_nodes(with_embeddings=True)
    assert len(early.embedding or []) == 768
    assert late.embedding is None


# --- writing --------------------------------------------------------------------------------


def test_add_returns_the_ids_in_order(offline_store: SemcoreVectorStore) -> None:
    assert offline_store.add([node("b"), node("a")]) == ["b", "a"]
    assert offline_store.add([]) == []


def test_a_node_replaces_that_of_its_id(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([node("a", n=1)])
    offline_store.add([node("new text", node_id="a", n=2)])
    [found] = offline_store.get_nodes()
    assert (found.get_content(), found.metadata) == ("new text", {"n": 2})


def test_a_given_vector_is_used_as_it_is(external_store: SemcoreVectorStore) -> None:
    external_store.add([node("a", embedding=[3.0, 4.0])])
    vectors = external_store.client.vectors(["a"], collection="external")
    assert vectors["a"].tolist() == [3.0, 4.0]
    [chunk] = external_store.client.get(["a"], collection="external")
    assert chunk.status is EmbeddingStatus.READY


def test_a_text_that_was_embedded_before_is_ready_at_once(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    """A re-index, which deletes and adds, costs nothing."""
    vector_store.add([node("a"), node("b")])
    embed_all(world)
    vector_store.clear()
    vector_store.add([node("a", node_id="another id"), node("c")])
    assert [chunk.status for chunk in vector_store.client.chunks()] == ["READY", "PENDING"]


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        ([node("a"), node("a", n=2)], DuplicateIdError, "'a' appears twice"),
        ([node("a", when=object())], InvalidMetadataError, "'a'.*object"),
        ([node("a", t=(1, 2))], InvalidMetadataError, "tuple"),
        ([node("a", embedding=[1.0] * 8)], InvalidVectorError, "8 dimensions, not 768"),
    ],
    ids=["same id", "no JSON", "tuple", "another size"],
)
def test_what_cannot_be_added_is_refused_and_nothing_half_written(
    offline_store: SemcoreVectorStore,
    bad: list[TextNode],
    error: type[InvalidInputError],
    match: str,
) -> None:
    with pytest.raises(error, match=match):
        offline_store.add([node("good"), *bad])
    assert offline_store.get_nodes() == []


def test_vectors_of_another_model_are_told_where_to_go(offline_store: SemcoreVectorStore) -> None:
    with pytest.raises(InvalidVectorError, match=r"EmbeddingSpec\.external\('its name'\)"):
        offline_store.add([node("a", embedding=[1.0] * 8)])


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (node(" \n", node_id="odd"), "blank text: nothing to embed"),
        (node("odd " * 40_000, node_id="odd"), "too long for gemini-embedding-001"),
        (node("odd", embedding=[0.0] * 768), "The vector of the chunk is all zero"),
        (node("odd", embedding=[float("nan")] * 768), "The vector of the chunk holds NaN"),
        (node("odd", embedding=[float("inf")] * 768), "The vector of the chunk holds NaN"),
        (node("odd", embedding=[1.0] * 8), "The vector of the chunk has 8 dimensions, not 768"),
    ],
    ids=["blank", "too long", "zero", "NaN", "infinite", "another size"],
)
def test_one_odd_node_refuses_no_other(
    offline_store: SemcoreVectorStore, odd: TextNode, reason: str
) -> None:
    """A15: it is FAILED with the reason, found by keyword, and comes back as it was added."""
    good = node("good", embedding=[1.0] * 768)
    ids = offline_store.add([good, odd, node("waits")])
    assert ids == [good.node_id, odd.node_id, "waits"]
    statuses = [chunk.status for chunk in offline_store.client.chunks()]
    assert statuses == ["READY", "FAILED", "PENDING"]
    (failed,) = offline_store.client.get([odd.node_id])
    assert (failed.error_message or "").startswith(reason)
    assert offline_store.get_nodes([odd.node_id])[0].get_content() == odd.get_content()
    if odd.get_content().strip():
        query = VectorStoreQuery(query_str="odd", mode=VectorStoreQueryMode.TEXT_SEARCH)
        assert offline_store.query(query).ids == [odd.node_id]


def test_of_nodes_for_a_foreign_embedder_one_may_have_no_vector(
    external_store: SemcoreVectorStore,
) -> None:
    external_store.add([node("a", embedding=[1.0] * 8), node("b")])
    chunks = external_store.client.chunks(collection="external")
    assert [chunk.status for chunk in chunks] == ["READY", "FAILED"]
    with pytest.raises(NotBatchableError):
        external_store.add([node("c")])


def test_equal_reasons_are_counted_together(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([node(text, embedding=[0.0] * 768) for text in ("a", "b")])
    ((_, count),) = offline_store.client.stats().failures
    assert count == 2


def test_an_external_collection_takes_vectors_of_its_first_size(
    external_store: SemcoreVectorStore,
) -> None:
    assert external_store.spec.dimensions is None
    external_store.add([node("a", embedding=[1.0] * 8)])
    assert external_store.spec == EmbeddingSpec.external("mock", dimensions=8)
    with pytest.raises(InvalidVectorError, match="9 dimensions, not 8"):
        external_store.add([node("b", embedding=[1.0] * 9)])
    with pytest.raises(NotBatchableError, match="'mock'"):
        external_store.add([node("b")])
    assert ids(external_store.get_nodes()) == ["a"]


def test_another_spec_than_the_collections_is_refused(
    database_path: Path, offline_store: SemcoreVectorStore
) -> None:
    offline_store.add([node("a")])
    assert SemcoreVectorStore(offline_store.client, spec=EmbeddingSpec()).spec == EmbeddingSpec()
    with pytest.raises(SpecMismatchError, match=r"gemini-embedding-001.*gemini-embedding-2"):
        SemcoreVectorStore(database_path, spec=EmbeddingSpec.gemini_embedding_2())


def test_a_collection_has_no_spec_before_it_has_a_node(store: PeeweeVectorStore) -> None:
    assert SemcoreVectorStore(store, "new").spec == EmbeddingSpec()
    external = EmbeddingSpec.external("mock")
    assert SemcoreVectorStore(store, "new", spec=external).spec == external


def test_delete_takes_a_document_with_all_its_nodes(animals: SemcoreVectorStore) -> None:
    animals.delete("pets")
    animals.delete("unknown")
    assert ids(animals.get_nodes()) == ["wolf"]


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ({"node_ids": ["cat", "unknown"]}, ["Hund", "wolf"]),
        ({"filters": ENGLISH}, ["Hund"]),
        ({"node_ids": ["cat", "Hund"], "filters": ENGLISH}, ["Hund", "wolf"]),
        ({"node_ids": []}, ["cat", "Hund", "wolf"]),
    ],
)
def test_delete_nodes_by_id_and_filter(
    animals: SemcoreVectorStore, chosen: dict[str, Any], left: list[str]
) -> None:
    animals.delete_nodes(**chosen)
    assert ids(animals.get_nodes()) == left


@pytest.mark.parametrize("filters", [None, MetadataFilters(filters=[])])
def test_delete_nodes_without_a_choice_deletes_nothing(
    animals: SemcoreVectorStore, filters: MetadataFilters | None
) -> None:
    with pytest.raises(InvalidInputError, match="clear"):
        animals.delete_nodes(filters=filters)
    assert len(animals.get_nodes()) == 3


def test_clear_takes_everything(animals: SemcoreVectorStore) -> None:
    animals.clear()
    assert animals.get_nodes() == []


# --- reading --------------------------------------------------------------------------------


def test_get_nodes_by_id_comes_in_the_order_asked(animals: SemcoreVectorStore) -> None:
    assert ids(animals.get_nodes(["wolf", "unknown", "cat"])) == ["wolf", "cat"]
    assert animals.get_nodes([]) == []


def test_get_nodes_by_filter_comes_oldest_first(animals: SemcoreVectorStore) -> None:
    assert ids(animals.get_nodes(filters=ENGLISH)) == ["cat", "wolf"]
    assert ids(animals.get_nodes(["wolf", "Hund"], ENGLISH)) == ["wolf"]


# --- async twins ----------------------------------------------------------------------------


async def test_async_twins_do_the_same(offline_store: SemcoreVectorStore) -> None:
    nodes = [node("cat", document_id="d", lang="en"), node("dog", lang="en"), node("bird")]
    assert await offline_store.async_add(nodes) == ["cat", "dog", "bird"]
    assert ids(await offline_store.aget_nodes(["dog"], ENGLISH)) == ["dog"]
    result = await offline_store.aquery(VectorStoreQuery(query_str="cat"), pending="keyword")
    assert result.ids == ["cat"]
    await offline_store.adelete("d")
    assert ids(await offline_store.aget_nodes()) == ["dog", "bird"]
    await offline_store.adelete_nodes(["bird"])
    await offline_store.adelete_nodes(filters=ENGLISH)
    assert await offline_store.aget_nodes() == []
    await offline_store.async_add(nodes)
    await offline_store.aclear()
    assert await offline_store.aget_nodes() == []


async def test_the_event_loop_goes_on_while_the_database_works(
    offline_store: SemcoreVectorStore,
) -> None:
    """Another process keeps the database locked; nothing else waits for that."""
    offline_store.add([node("a")])
    taken, free = threading.Event(), threading.Event()

    def keep_locked() -> None:
        with offline_store.client.database.transaction():
            taken.set()
            free.wait()

    other = threading.Thread(target=keep_locked)
    other.start()
    taken.wait()
    adding = asyncio.create_task(offline_store.async_add([node("b")]))
    await asyncio.sleep(0.05)
    assert not adding.done()
    free.set()
    other.join()
    assert await adding == ["b"]


# --- batching -------------------------------------------------------------------------------


def test_a_batch_manager_of_its_own(
    world: World, vector_store: SemcoreVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    vector_store.add([node("a"), node("b")])
    SemcoreVectorStore(vector_store.client, "other").add([node("c")])
    with vector_store.batch_manager(world.keyring()) as manager:
        assert manager.flush_queue() is not None
        assert manager.flush_queue() is None, "the other collection is not this store's"
        manager.wait()
    assert world.emulator.ledger.billed().total() == 2
    assert [chunk.status for chunk in vector_store.client.chunks()] == ["READY", "READY"]


def test_its_key_comes_from_the_environment_and_only_when_needed(
    world: World, vector_store: SemcoreVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    vector_store.add([node("a")])
    manager = vector_store.batch_manager()
    assert manager.get_queue_stats().waiting == 1
    with pytest.raises(MissingBatchKeyError):
        manager.flush_queue()
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", BATCH_KEY)
    with vector_store.batch_manager() as manager:
        assert manager.flush_queue() is not None
        manager.wait()


def test_what_is_passed_on_to_the_batch_manager(vector_store: SemcoreVectorStore) -> None:
    keyring = GoogleKeyring(batch_key=canary("k"))
    manager = vector_store.batch_manager(keyring)
    assert (manager.keyring, manager.store) == (keyring, vector_store.client)


# --- as data --------------------------------------------------------------------------------


def test_a_dict_of_it_opens_it_again(animals: SemcoreVectorStore) -> None:
    made = animals.to_dict()
    assert made["class_name"] == "SemcoreVectorStore"
    with closing(SemcoreVectorStore.from_dict(made)) as again:
        assert again.to_dict() == made
        assert ids(again.get_nodes()) == ["cat", "Hund", "wolf"]
    with closing(SemcoreVectorStore.from_json(animals.to_json(), pending="skip")) as skipping:
        assert skipping.pending == "skip"


def test_a_pickled_copy_opens_the_same_database(
    animals: SemcoreVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(pickle.loads(pickle.dumps(animals))) as again:
        assert ids(again.get_nodes()) == ["cat", "Hund", "wolf"]
    assert caplog.text == ""
    assert len(animals.get_nodes()) == 3


def test_filters_and_operators_are_llamaindexs_own(animals: SemcoreVectorStore) -> None:
    several = MetadataFilters.from_dicts(
        [{"key": "lang", "value": ["de", "fr"], "operator": FilterOperator.IN}]
    )
    assert ids(animals.get_nodes(filters=several)) == ["Hund"]
