"""Who looks at a collection creates none, writes nothing, and is told what there is instead."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

import langchain_semcore
import llamaindex_semcore
from llamaindex_semcore.vectors import QueryVector
from semantic_core import (
    BatchManager,
    Chunk,
    Document,
    EmbeddingSpec,
    GoogleKeyring,
    PeeweeVectorStore,
    ProvenanceError,
    SemanticCore,
    UnknownCollectionError,
)
from semantic_core.cli import main
from semantic_core.providers.gemini import Endpoint, GeminiEmbedder
from support.keys import canary

Look = Callable[[PeeweeVectorStore, str], object]


def langchain(store: PeeweeVectorStore, name: str) -> langchain_semcore.SemcoreVectorStore:
    keyring = GoogleKeyring(default_key=canary("default"))
    embeddings = langchain_semcore.DeferredEmbeddings(keyring)
    return langchain_semcore.SemcoreVectorStore(store, embeddings, collection=name)


def llamaindex(store: PeeweeVectorStore, name: str) -> llamaindex_semcore.SemcoreVectorStore:
    return llamaindex_semcore.SemcoreVectorStore(store, name, spec=EmbeddingSpec())


def query(**options: object) -> VectorStoreQuery:
    return VectorStoreQuery(query_str="cat", similarity_top_k=3, **options)  # type: ignore[arg-type]


# What finds nothing where there is nothing.
SEARCHES: dict[str, Look] = {
    "core": lambda store, name: list(SemanticCore(store, collection=name).search("cat")),
    "store": lambda store, name: list(store.search(text="cat", collection=name)),
    "many": lambda store, name: list(store.search_many([[1.0] * 768], collection=name)[0]),
    "get": lambda store, name: store.get(["a"], collection=name),
    "chunks": lambda store, name: store.chunks(collection=name),
    "vectors": lambda store, name: store.vectors(["a"], collection=name),
    "langchain": lambda store, name: langchain(store, name).similarity_search("cat"),
    "langchain by id": lambda store, name: langchain(store, name).get_by_ids(["a"]),
    "langchain mmr": lambda store, name: langchain(store, name).max_marginal_relevance_search(
        "cat"
    ),
    "langchain retriever": lambda store, name: langchain_semcore.SemcoreRetriever(
        vectorstore=langchain(store, name)
    ).invoke("cat"),
    "llamaindex": lambda store, name: llamaindex(store, name).query(query()).nodes,
    "llamaindex hybrid": lambda store, name: (
        llamaindex(store, name).query(query(mode=VectorStoreQueryMode.HYBRID)).nodes
    ),
    "llamaindex nodes": lambda store, name: llamaindex(store, name).get_nodes(["a"]),
}

# What is asked about a collection itself.
QUESTIONS: dict[str, Look] = {
    "core stats": lambda store, name: SemanticCore(store, collection=name).stats(),
    "store stats": lambda store, name: store.stats(name),
    "queue stats": lambda store, name: manager(store, name).get_queue_stats(),
    "estimate": lambda store, name: manager(store, name).estimate(),
    "failed": lambda store, name: manager(store, name).failed_chunks(),
    "retry": lambda store, name: manager(store, name).retry_failed(),
}


def manager(store: PeeweeVectorStore, name: str) -> BatchManager:
    return BatchManager(GoogleKeyring(), store, collection=name)


@pytest.fixture
def notes(store: PeeweeVectorStore) -> PeeweeVectorStore:
    store.save([Chunk(id="a", text="The cat sat on the mat.")], collection="notes")
    return store


@pytest.mark.parametrize("look", SEARCHES.values(), ids=SEARCHES)
def test_a_search_of_a_collection_that_is_not_there_is_empty_and_creates_none(
    notes: PeeweeVectorStore, look: Look
) -> None:
    assert not look(notes, "nots")
    assert [one.name for one in notes.collections()] == ["notes"]


@pytest.mark.parametrize("look", QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_about_one_that_is_not_there_names_what_is_meant(
    notes: PeeweeVectorStore, look: Look
) -> None:
    with pytest.raises(UnknownCollectionError, match=r"'nots' \(did you mean 'notes'\?"):
        look(notes, "nots")
    assert [one.name for one in notes.collections()] == ["notes"]


@pytest.mark.parametrize("look", [*SEARCHES.values(), *QUESTIONS.values()])
def test_a_new_database_is_empty_and_stays_so(store: PeeweeVectorStore, look: Look) -> None:
    look(store, "default")
    assert store.collections() == []


@pytest.mark.parametrize(
    "look", [*SEARCHES.values(), *(look for name, look in QUESTIONS.items() if name != "retry")]
)
def test_what_cannot_be_written_can_be_looked_at(notes: PeeweeVectorStore, look: Look) -> None:
    with PeeweeVectorStore(f"file:{notes.database.path}?mode=ro") as reader:
        look(reader, "notes")
        if look in SEARCHES.values():
            look(reader, "other")


def test_a_search_says_that_there_is_no_such_collection(notes: PeeweeVectorStore) -> None:
    for found in (
        SemanticCore(notes, collection="nots").search("cat"),
        notes.search(text="cat", collection="nots"),
        notes.search_many([[1.0]], collection="nots")[0],
    ):
        assert "no collection 'nots' (did you mean 'notes'? there is: 'notes')" in str(
            found.degraded
        )


def test_find_looks_and_never_creates(notes: PeeweeVectorStore) -> None:
    found = notes.find("notes")
    assert found is not None
    assert found.name == "notes"
    assert notes.find("nots") is None
    assert notes.find() is None


def test_a_collection_gets_the_spec_of_its_adapter_with_the_first_save(
    store: PeeweeVectorStore,
) -> None:
    spec = EmbeddingSpec(dimensions=128)
    keyring = GoogleKeyring()
    by_chain = langchain_semcore.SemcoreVectorStore(
        store, langchain_semcore.DeferredEmbeddings(keyring, spec=spec), collection="chain"
    )
    by_index = llamaindex_semcore.SemcoreVectorStore(store, "index", spec=spec)
    given = langchain_semcore.SemcoreVectorStore(
        store, DeterministicFakeEmbedding(size=5), collection="given", mode="sync"
    )
    assert by_index.spec == spec
    assert store.collections() == []
    by_chain.add_texts(["one"])
    by_index.add([TextNode(text="one")])
    given.add_embeddings(["one"], [[1.0] * 5])
    assert {one.name: one.spec.dimensions for one in store.collections()} == {
        "chain": 128,
        "given": 5,
        "index": 128,
    }


def test_a_collection_gets_the_languages_of_its_adapter_and_keeps_them(
    store: PeeweeVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    languages = ["de", "en"]
    chain = langchain_semcore.SemcoreVectorStore(store, collection="chain", languages=languages)
    index = llamaindex_semcore.SemcoreVectorStore(store, "index", languages=languages)
    core = SemanticCore(store, GoogleKeyring(), collection="core", languages=languages)
    assert store.collections() == []
    chain.add_texts(["Häuser"])
    pickle.loads(pickle.dumps(index)).add([TextNode(text="Häuser")])
    core.ingest(Document(content="Häuser"))
    for made in store.collections():
        assert made.languages == ("de", "en")
        assert len(store.search(text="Haus", collection=made.name)) == 1
    langchain_semcore.SemcoreVectorStore(store, collection="index", languages=["fr"])
    llamaindex_semcore.SemcoreVectorStore(store, "chain", languages=["fr"])
    assert caplog.text.count("keeps its languages, de, en; fr were asked for") == 2


def test_the_terminal_names_what_there_is(
    notes: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["search", "cat"], ["status"], ["flush"], ["estimate"]):
        monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1")
        arguments = ["semcore", *command, "-c", "nots", "--db", str(notes.database.path)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert "did you mean 'notes'?" in capsys.readouterr().err
    assert [one.name for one in notes.collections()] == ["notes"]


# --- a forgotten endpoint ---------------------------------------------------------------------


@pytest.fixture
def bound(notes: PeeweeVectorStore) -> PeeweeVectorStore:
    """A database with a vector of an emulator."""
    notes.fix_provenance("endpoint:127.0.0.1:8765")
    spec = EmbeddingSpec()
    notes.bulk_update_vectors(
        [(notes.get(["a"], collection="notes")[0].content_hash, [1.0] * 768)], spec=spec
    )
    return notes


@pytest.mark.parametrize("key", [None, canary("default")])
def test_with_a_forgotten_endpoint_search_answers_by_keyword_and_says_why(
    bound: PeeweeVectorStore, key: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    keyring = GoogleKeyring(default_key=key)
    core = SemanticCore(bound, keyring, collection="notes")
    results = core.search("cat")
    assert [hit.chunk.id for hit in results] == ["a"]
    for word in ("endpoint:127.0.0.1:8765", "GOOGLE_GEMINI_BASE_URL", "--base-url"):
        assert word in str(results.degraded)

    embeddings = langchain_semcore.DeferredEmbeddings(keyring)
    store = langchain_semcore.SemcoreVectorStore(bound, embeddings, collection="notes")
    assert [doc.id for doc in store.similarity_search("cat")] == ["a"]
    assert "--base-url" in caplog.text


def test_a_query_of_another_endpoint_is_answered_by_its_words(bound: PeeweeVectorStore) -> None:
    vector = QueryVector([1.0] * 768, spec=EmbeddingSpec(), provenance="google")
    store = llamaindex_semcore.SemcoreVectorStore(bound, "notes")
    for mode in (
        VectorStoreQueryMode.DEFAULT,
        VectorStoreQueryMode.HYBRID,
        VectorStoreQueryMode.MMR,
    ):
        (node,) = store.query(query(query_embedding=vector, mode=mode)).nodes or []
        assert "--base-url" in node.metadata["_semcore"]["degraded"]
        assert node.metadata["_semcore"]["match"] == "keyword"
    with pytest.raises(ProvenanceError, match="GOOGLE_GEMINI_BASE_URL"):
        store.query(VectorStoreQuery(query_embedding=vector))


def test_what_would_send_is_refused_and_names_the_way_back(bound: PeeweeVectorStore) -> None:
    keyring = GoogleKeyring(default_key=canary("default"), batch_key=canary("batch"))
    flush = BatchManager(keyring, bound).flush_queue
    with GeminiEmbedder(keyring, endpoint=Endpoint(base_url="http://127.0.0.1:1")) as embedder:
        core = SemanticCore(bound, keyring, collection="notes", embedder=embedder)
        ingest = lambda: core.ingest(Document(content="new"), mode="sync")  # noqa: E731
        for send in (flush, ingest):
            with pytest.raises(ProvenanceError, match=r"GOOGLE_GEMINI_BASE_URL.+--base-url"):
                send()


def test_a_database_of_google_is_told_to_unset_it(notes: PeeweeVectorStore) -> None:
    notes.fix_provenance("google")
    spec = EmbeddingSpec()
    notes.bulk_update_vectors(
        [(notes.get(["a"], collection="notes")[0].content_hash, [1.0] * 768)], spec=spec
    )
    with pytest.raises(ProvenanceError, match="unset GOOGLE_GEMINI_BASE_URL"):
        notes.check_provenance("endpoint:127.0.0.1:1")
