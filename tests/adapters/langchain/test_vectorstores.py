"""SemcoreVectorStore: what is saved, when it has a vector, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from batch_emulator import FailLines, FaultRule, Lines, Operation, Reply
from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from semantic_core import (
    BlankTextError,
    ConfigurationError,
    DuplicateIdError,
    EmbeddingSpec,
    EmbeddingStatus,
    Endpoint,
    GeminiBatchClient,
    GoogleKeyring,
    InvalidFilterError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidTextError,
    InvalidVectorError,
    MissingDefaultKeyError,
    NotBatchableError,
    PeeweeVectorStore,
    ProviderUnavailableError,
    SemanticCoreError,
    SpecMismatchError,
)
from support.chunks import served_vector
from support.keys import canary
from support.langchain import CAT, DOCUMENTS, DOG, TableEmbeddings, embed_all, ids
from support.world import BATCH_KEY, World

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


# --- mode="async" ------------------------------------------------------------------------


def test_documents_are_saved_pending_and_nothing_is_sent(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    assert vector_store.add_documents(DOCUMENTS) == ["cat", "dog", "car"]
    assert set(world.statuses().values()) == {PENDING}
    assert world.emulator.requests == []


def test_after_sync_the_same_store_and_retriever_find_the_vectors(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    retriever = vector_store.as_retriever(search_kwargs={"k": 2})
    vector_store.add_documents(DOCUMENTS)
    assert ids(retriever.invoke("felines")) == []
    assert ids(retriever.invoke("cats")) == ["cat"]
    embed_all(world)
    assert len(retriever.invoke("felines")) == 2
    assert ids(vector_store.similarity_search("a cat on a mat", k=1)) == ["cat"]


def test_the_batch_manager_sends_this_collection_only(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    other = SemcoreVectorStore(world.store, embedding=vector_store.embeddings, collection="other")
    vector_store.add_texts(["ours"])
    other.add_texts(["theirs"])
    keyring = GoogleKeyring(batch_key=BATCH_KEY)
    client = GeminiBatchClient.from_keyring(
        keyring, endpoint=Endpoint(base_url=world.emulator.url), clock=world.clock
    )
    with client, vector_store.batch_manager(keyring, client=client) as manager:
        assert manager.flush_queue() is not None
        manager.wait()
        assert manager.flush_queue() is None
    assert world.emulator.ledger.times_billed("ours") == 1
    assert world.emulator.ledger.times_billed("theirs") == 0


def test_the_same_again_changes_nothing_and_costs_nothing(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    for _ in range(2):
        vector_store.add_documents(DOCUMENTS)
        embed_all(world)
    vector_store.delete(["cat"])
    vector_store.add_documents([CAT])
    assert world.statuses()["cat"] is READY
    assert not world.emulator.ledger.overbilled()
    assert world.emulator.ledger.times_billed(CAT.page_content) == 1


def test_new_text_under_an_id_waits_while_the_old_vector_serves(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    vector_store.add_texts(["Kittens slept on the rug."], ids=["cat"])
    assert world.statuses()["cat"] is PENDING
    [found] = vector_store.similarity_search("the cat sat on the mat", k=1)
    assert (found.id, found.page_content) == ("cat", "Kittens slept on the rug.")


def test_the_vector_source_is_embedded_in_place_of_the_text(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    metadata = {"_vector_source": "Animals: the cat", "lang": "en"}
    vector_store.add_texts(["the cat"], [metadata], ids=["a"])
    embed_all(world)
    assert world.emulator.ledger.times_billed("Animals: the cat") == 1
    assert vector_store.get_by_ids(["a"]) == [
        Document(id="a", page_content="the cat", metadata={"lang": "en"})
    ]


def test_a_document_that_failed_is_still_found_by_keyword(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    world.emulator.add_fault(
        FaultRule(
            effect=FailLines(code=400, message="unsafe", lines=Lines(containing="dog")), times=None
        )
    )
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    assert world.statuses() == {"cat": READY, "dog": FAILED, "car": READY}
    assert "dog" in ids(vector_store.similarity_search("dog", k=2))
    world.emulator.clear_faults()
    assert world.manager().retry_failed() == 1
    embed_all(world)
    assert world.statuses()["dog"] is READY


@pytest.mark.parametrize("status", ["READY", "PENDING", "FAILED"])
def test_an_embedding_status_of_the_users_own_comes_back(
    world: World, vector_store: SemcoreVectorStore, status: str
) -> None:
    metadata = {"embedding_status": status}
    vector_store.add_documents([Document(id="a", page_content="words", metadata=metadata)])
    [found] = vector_store.get_by_ids(["a"])
    assert found.metadata == metadata
    assert world.statuses()["a"] is PENDING


def test_blank_documents_are_failed_not_fatal(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    """Splitters and loaders do emit them."""
    documents = [
        Document(id="a", page_content=""),
        Document(id="b", page_content=" \n\t"),
        Document(id="d", page_content="---"),
        Document(id="c", page_content="text", metadata={"_vector_source": "  "}),
        CAT,
    ]
    vector_store.add_documents(documents)
    chunks = {chunk.id: chunk for chunk in world.store.chunks()}
    for chunk_id in ("a", "b", "c", "d"):
        assert chunks[chunk_id].status is FAILED
        assert chunks[chunk_id].error_message == "blank text: nothing to embed"
    embed_all(world)
    assert world.statuses()["cat"] is READY
    assert len(world.emulator.ledger.entries()) == 1


# --- documents ---------------------------------------------------------------------------


def test_what_was_added_comes_back_exactly(vector_store: SemcoreVectorStore) -> None:
    metadata = {
        "text": "Grüße, 世界 🐈",
        "numbers": [1, 2.5, -3],
        "nested": {"a": {"b": None}},
        "flag": True,
        "embedding_status": "my own word",
        "'; DROP TABLE chunks; --": 1,
    }
    document = Document(id="a", page_content="Ünïcode\n\ntext", metadata=metadata)
    vector_store.add_documents([document])
    assert vector_store.get_by_ids(["a"]) == [document]
    assert vector_store.similarity_search("text", k=1) == [document]


def test_documents_are_never_changed(vector_store: SemcoreVectorStore) -> None:
    document = Document(
        page_content="text",
        metadata={"_semcore": {"match": "both"}, "_vector_source": "source", "list": [1]},
    )
    before = copy.deepcopy(document)
    [made] = vector_store.add_documents([document])
    assert document == before
    [found] = vector_store.get_by_ids([made])
    found.metadata["list"].append(2)
    assert vector_store.get_by_ids([made])[0].metadata == {"list": [1]}


def test_result_information_does_not_come_back_in(vector_store: SemcoreVectorStore) -> None:
    vector_store.add_texts(["text"], [{"_semcore": {"score": 0.5}, "lang": "en"}], ids=["a"])
    assert vector_store.get_by_ids(["a"])[0].metadata == {"lang": "en"}


def test_missing_ids_are_made(vector_store: SemcoreVectorStore) -> None:
    first, second = vector_store.add_documents([Document("one"), Document("two", id="mine")])
    third, fourth = vector_store.add_texts(["three", "four"], ids=[None, "yours"])
    assert (second, fourth) == ("mine", "yours")
    assert len({first, second, third, fourth}) == 4
    assert [d.page_content for d in vector_store.get_by_ids([third, first])] == ["three", "one"]


def test_ids_that_are_passed_go_before_those_of_the_documents(
    vector_store: SemcoreVectorStore,
) -> None:
    assert vector_store.add_documents([CAT], ids=["other"]) == ["other"]


def test_unknown_ids_are_ignored(vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents([CAT])
    assert ids(vector_store.get_by_ids(["nobody", "cat", "'; --"])) == ["cat"]
    assert vector_store.delete(["nobody"]) is True
    assert ids(vector_store.get_by_ids(["cat"])) == ["cat"]


def test_texts_may_be_an_iterator(vector_store: SemcoreVectorStore) -> None:
    assert vector_store.add_texts(iter(["one", "two"]), ids=["1", "2"]) == ["1", "2"]


def test_nothing_may_be_added(vector_store: SemcoreVectorStore) -> None:
    assert vector_store.add_documents([]) == []
    assert vector_store.add_texts([]) == []
    assert vector_store.add_embeddings([], []) == []


# --- deleting ----------------------------------------------------------------------------


def test_delete_by_ids_by_filter_and_all(vector_store: SemcoreVectorStore) -> None:
    def left() -> set[str | None]:
        return {d.id for d in vector_store.get_by_ids(["cat", "dog", "car"])}

    vector_store.add_documents(DOCUMENTS)
    vector_store.delete([])
    assert left() == {"cat", "dog", "car"}
    vector_store.delete(["cat", "car"], filter={"kind": "animal"})
    assert left() == {"dog", "car"}
    vector_store.delete(filter={"kind": {"$in": ["machine"]}})
    assert left() == {"dog"}
    vector_store.delete()
    assert left() == set()


def test_delete_all_stays_within_the_collection(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    other = SemcoreVectorStore(world.store, collection="other")
    other.add_documents([CAT])
    vector_store.add_documents([DOG])
    vector_store.delete()
    assert ids(other.get_by_ids(["cat"])) == ["cat"]


def test_a_delete_that_is_misspelled_deletes_nothing(vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents(DOCUMENTS)
    with pytest.raises(InvalidInputError, match="where"):
        vector_store.delete(where={"kind": "animal"})
    with pytest.raises(InvalidFilterError):
        vector_store.delete(filter={"kind": {"$typo": 1}})
    with pytest.raises(InvalidInputError):
        vector_store.delete(filter={})
    assert len(vector_store.get_by_ids(["cat", "dog", "car"])) == 3


# --- mode="sync" -------------------------------------------------------------------------


def test_deferred_embeddings_in_sync_mode_are_live(
    world: World, embeddings: DeferredEmbeddings
) -> None:
    """And the text that is known already is not paid for again."""
    SemcoreVectorStore(world.store, embedding=embeddings).add_documents([CAT])
    embed_all(world)
    store = SemcoreVectorStore(world.store, embedding=embeddings, mode="sync")
    store.add_documents([CAT, DOG, Document(" ", id="blank")])
    assert world.statuses() == {"cat": READY, "dog": READY, "blank": FAILED}
    assert world.emulator.ledger.times_billed(CAT.page_content) == 1
    assert world.manager().flush_queue() is None


def test_a_failing_live_call_saves_no_document(
    world: World, embeddings: DeferredEmbeddings
) -> None:
    store = SemcoreVectorStore(world.store, embedding=embeddings, mode="sync")
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=503), times=None)
    )
    with pytest.raises(ProviderUnavailableError):
        store.add_documents(DOCUMENTS)
    assert world.store.chunks() == []


def test_sync_mode_without_a_key_says_which(world: World) -> None:
    embeddings = DeferredEmbeddings(GoogleKeyring())
    store = SemcoreVectorStore(world.store, embedding=embeddings, mode="sync")
    with pytest.raises(MissingDefaultKeyError, match="GEMINI_API_KEY"):
        store.add_documents(DOCUMENTS)
    assert world.store.chunks() == []


def test_a_foreign_embedding_lives_in_a_space_of_its_own(store: PeeweeVectorStore) -> None:
    """Named after its class and its model; the first vector fixes the size."""
    table = TableEmbeddings({"one": [1.0, 0.0], "two": [0.0, 2.0]}, model="table-9")
    vector_store = SemcoreVectorStore(store, embedding=table, mode="sync")
    vector_store.add_texts(["one", "two", " "], ids=["1", "2", "3"])
    assert store.collection().spec == EmbeddingSpec.external("TableEmbeddings:table-9", 2)
    assert np.array_equal(served_vector(store, "2"), [0.0, 2.0])
    assert table.documents == ["one", "two"]
    assert [c.status for c in store.chunks()] == [READY, READY, FAILED]
    assert vector_store.similarity_search_with_score("two", k=1)[0][1] == pytest.approx(1.0)


def test_a_foreign_embedding_embeds_the_vector_source(store: PeeweeVectorStore) -> None:
    table = TableEmbeddings({"source": [1.0, 0.0]})
    vector_store = SemcoreVectorStore(store, embedding=table, mode="sync")
    vector_store.add_texts(["text"], [{"_vector_source": "source"}])
    assert table.documents == ["source"]


def test_an_embedding_without_a_model_is_named_after_its_class(store: PeeweeVectorStore) -> None:
    vector_store = SemcoreVectorStore(
        store, embedding=DeterministicFakeEmbedding(size=6), mode="sync"
    )
    vector_store.add_texts(["one"])
    assert store.collection().spec == EmbeddingSpec.external("DeterministicFakeEmbedding", 6)


def test_two_embeddings_of_one_class_may_be_told_apart_by_hand(store: PeeweeVectorStore) -> None:
    for name, size in (("small", 4), ("large", 6)):
        SemcoreVectorStore(
            store,
            embedding=DeterministicFakeEmbedding(size=size),
            collection=name,
            mode="sync",
            spec=EmbeddingSpec.external(name),
        ).add_texts(["text"])
    assert [c.spec.dimensions for c in store.collections()] == [6, 4]


def test_a_foreign_embedding_that_miscounts_is_not_trusted(store: PeeweeVectorStore) -> None:
    class Miscounting(TableEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 0.0]]

    vector_store = SemcoreVectorStore(store, embedding=Miscounting({}), mode="sync")
    with pytest.raises(InvalidVectorError, match="1 vectors for 2 texts"):
        vector_store.add_texts(["one", "two"])
    assert store.chunks() == []


# --- vectors made elsewhere --------------------------------------------------------------


def test_given_vectors_are_used_as_they_are(store: PeeweeVectorStore) -> None:
    vector_store = SemcoreVectorStore(store, spec=EmbeddingSpec.external("elsewhere"))
    vectors = np.eye(3, dtype=np.float32)
    made = vector_store.add_embeddings(
        ["x", "y", ""], vectors, [{"n": 0}, {"n": 1}, {"n": 2}], ids=["a", "b", None]
    )
    assert made[:2] == ["a", "b"]
    assert [chunk.status for chunk in store.chunks()] == [READY] * 3
    [(found, score)] = vector_store.similarity_search_with_score_by_vector([0.0, 1.0, 0.1], k=1)
    assert (found.id, found.metadata) == ("b", {"n": 1})
    assert score == pytest.approx(1 / np.sqrt(1.01))


def test_given_vectors_never_serve_another_text_that_came_without(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    vector_store.add_embeddings(["same"], [[1.0] * 768], ids=["given"])
    vector_store.add_texts(["same"], ids=["asked"])
    assert world.statuses() == {"given": READY, "asked": PENDING}


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0] * 768], "1 items for 2 texts"),
        ([[1.0] * 767, [1.0] * 767], "767"),
        (["text", "text"], "str"),
    ],
)
def test_given_vectors_that_do_not_fit_are_refused(
    world: World, vector_store: SemcoreVectorStore, vectors: list[list[float]], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        vector_store.add_embeddings(["one", "two"], vectors)
    assert world.store.chunks() == []


# --- from_texts --------------------------------------------------------------------------


async def test_from_texts_and_from_documents(path: Path) -> None:
    embedding = DeterministicFakeEmbedding(size=6)
    options = {"store": path, "mode": "sync", "collection": "notes"}
    with SemcoreVectorStore.from_texts(["one"], embedding, [{"n": 1}], ids=["1"], **options):
        pass
    with SemcoreVectorStore.from_documents([Document("two", id="2")], embedding, **options):
        pass
    with await SemcoreVectorStore.afrom_texts(["three"], embedding, ids=["3"], **options):
        pass
    with await SemcoreVectorStore.afrom_documents(
        [Document("four", id="4")], embedding, **options
    ) as vector_store:
        assert [d.page_content for d in vector_store.get_by_ids(["1", "2", "3", "4"])] == [
            "one",
            "two",
            "three",
            "four",
        ]
        assert ids(vector_store.similarity_search("one", k=1)) == ["1"]


def test_from_texts_needs_a_store() -> None:
    with pytest.raises(ConfigurationError, match=r"store='notes\.db'"):
        SemcoreVectorStore.from_texts(["one"], None)


# --- opening -----------------------------------------------------------------------------


def test_a_url_a_path_and_an_open_store_are_one_database(path: Path) -> None:
    with SemcoreVectorStore(f"sqlite:///{path}") as first:
        first.add_documents([CAT])
    with SemcoreVectorStore(str(path)) as second, PeeweeVectorStore(path) as opened:
        assert second.get_by_ids(["cat"]) == [CAT]
        third = SemcoreVectorStore(store=opened)
        third.close()  # not its own
        assert third.get_by_ids(["cat"]) == [CAT]


def test_another_spec_is_refused_when_the_store_is_opened(world: World) -> None:
    first = SemcoreVectorStore(world.store, embedding=DeferredEmbeddings(GoogleKeyring()))
    first.add_texts(["one"])
    other = DeferredEmbeddings(GoogleKeyring(), spec=EmbeddingSpec.gemini_embedding_2())
    with pytest.raises(SpecMismatchError, match=r"gemini-embedding-001.*gemini-embedding-2"):
        SemcoreVectorStore(world.store, embedding=other)
    with pytest.raises(SpecMismatchError, match="DeterministicFakeEmbedding"):
        SemcoreVectorStore(world.store, embedding=DeterministicFakeEmbedding(size=6), mode="sync")


def test_without_an_embedding_any_collection_opens(world: World) -> None:
    spec = EmbeddingSpec.gemini_embedding_2(dimensions=8)
    world.store.collection("notes", spec)
    vector_store = SemcoreVectorStore(world.store, collection="notes")
    vector_store.add_embeddings(["text"], [[1.0] * 8], ids=["a"])
    assert ids(vector_store.similarity_search_by_vector([1.0] * 8)) == ["a"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "sync"}, ConfigurationError, "there is no embedding"),
        ({"mode": "later"}, InvalidInputError, "async, sync"),
        ({"embedding": DeterministicFakeEmbedding(size=6)}, NotBatchableError, 'mode="sync"'),
        (
            {
                "embedding": DeterministicFakeEmbedding(size=6),
                "mode": "sync",
                "spec": EmbeddingSpec(),
            },
            ConfigurationError,
            "query_embeddings",
        ),
        (
            {
                "embedding": DeferredEmbeddings(GoogleKeyring()),
                "spec": EmbeddingSpec(dimensions=1536),
            },
            ConfigurationError,
            "DeferredEmbeddings",
        ),
        ({"collection": " "}, InvalidInputError, "blank"),
    ],
)
def test_a_setup_that_cannot_work_is_refused_at_once(
    path: Path, options: dict[str, object], error: type[SemanticCoreError], message: str
) -> None:
    with pytest.raises(error, match=message):
        SemcoreVectorStore(path, **options)


def test_texts_for_a_foreign_space_without_its_embedding_are_refused(
    store: PeeweeVectorStore,
) -> None:
    vector_store = SemcoreVectorStore(store, spec=EmbeddingSpec.external("elsewhere"))
    with pytest.raises(NotBatchableError, match="elsewhere"):
        vector_store.add_texts(["text"])
    with pytest.raises(NotBatchableError):
        vector_store.batch_manager(GoogleKeyring(batch_key=canary("k"))).flush_queue()


# --- bad input: a clear error, and nothing half written ----------------------------------


REFUSED = [
    (["a", "b"], {"metadatas": [{}]}, InvalidInputError, "metadatas has 1 items for 2 texts"),
    (["a", "b"], {"metadatas": []}, InvalidInputError, "metadatas has 0"),
    (["a", "b"], {"ids": ["1", "2", "3"]}, InvalidInputError, "ids has 3 items for 2 texts"),
    (["a", "b"], {"ids": ["1", "1"]}, DuplicateIdError, "'1'"),
    (["a", "b"], {"ids": ["1", ""]}, InvalidInputError, "blank"),
    (["a", "b"], {"ids": ["1", 2.0]}, InvalidTextError, "float"),
    (["a", "b\0"], {}, InvalidTextError, "NUL"),
    (["a", "\ud800"], {}, InvalidTextError, "surrogate"),
    (["a", None], {}, InvalidTextError, "NoneType"),
    (["a", "b"], {"metadatas": [{}, {"at": object()}]}, InvalidMetadataError, "object"),
    (["a", "b"], {"metadatas": [{}, {1: 2}]}, InvalidMetadataError, "not a string"),
    (["a", "b"], {"metadatas": [{}, None]}, InvalidMetadataError, "NoneType"),
    (["a", "b"], {"metadata": [{}, {}]}, InvalidInputError, "does not know metadata"),
    ("ab", {}, InvalidInputError, "one string"),
]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda case: case[-1])
@pytest.mark.parametrize("mode", ["async", "sync"])
def test_bad_input_is_refused_whole(
    world: World, embeddings: DeferredEmbeddings, mode: str, refused: tuple[Any, ...]
) -> None:
    """And before anything is sent."""
    texts, options, error, message = refused
    vector_store = SemcoreVectorStore(world.store, embedding=embeddings, mode=mode)
    with pytest.raises(error, match=message):
        vector_store.add_texts(texts, **options)
    assert world.store.chunks() == []
    assert world.emulator.requests == []


def test_one_odd_vector_refuses_no_other(store: PeeweeVectorStore) -> None:
    """And the text is found by keyword."""
    vector_store = SemcoreVectorStore(store)
    odd = [[0.0] * 768, [float("nan")] * 768, [1.0] * 8]
    texts = ["good", "zero", "no number", "short"]
    vector_store.add_embeddings(texts, [[1.0] * 768, *odd])
    failed = [chunk.error_message or "" for chunk in store.chunks() if chunk.status == "FAILED"]
    assert ["zero" in failed[0], "NaN" in failed[1], "8 dimensions" in failed[2]] == [True] * 3
    assert [document.page_content for document in vector_store.similarity_search("short")] == [
        "short"
    ]
    with pytest.raises(InvalidVectorError, match="8 dimensions"):
        vector_store.add_embeddings(["short again"], odd[2:])


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_a_text_that_cannot_fit_refuses_no_other(
    world: World, embeddings: DeferredEmbeddings, mode: str
) -> None:
    vector_store = SemcoreVectorStore(world.store, embedding=embeddings, mode=mode)
    vector_store.add_texts(["a", "b" * 140_000, " "], ids=["good", "long", "blank"])
    assert world.chunk("good").status is (PENDING if mode == "async" else READY)
    assert (world.chunk("long").error_message or "").startswith("too long for")
    assert world.chunk("blank").error_message == "blank text: nothing to embed"


def test_every_error_is_one_that_langchain_users_catch() -> None:
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(BlankTextError, ValueError)


def test_its_name_shows_where_it_is(path: Path) -> None:
    with SemcoreVectorStore(path, collection="notes") as vector_store:
        assert repr(vector_store) == (
            f"SemcoreVectorStore(PeeweeVectorStore({str(path)!r}), collection='notes')"
        )
