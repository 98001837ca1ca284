"""SemcoreRetriever: hybrid, in chains, and telling callbacks what an answer rests on."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumpd
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    RunnableLambda,
    RunnablePassthrough,
    RunnableSequence,
)
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from pydantic import ValidationError

from batch_emulator import FaultRule, Operation, Reply
from langchain_semcore import DeferredEmbeddings, SemcoreRetriever, SemcoreVectorStore
from semantic_core import GoogleKeyring, InvalidFilterError, InvalidInputError
from support.langchain import DOCUMENTS, embed_all, ids
from support.world import BATCH_KEY, DEFAULT_KEY, World

LION = Document(id="lion", page_content="A lion is a very large cat.", metadata={"kind": "animal"})
COVERAGE = {"ready": 3, "stale": 0, "pending": 1, "failed": 0}


@pytest.fixture
def retriever(world: World, vector_store: SemcoreVectorStore) -> SemcoreRetriever:
    """Over three documents with vectors, and one that waits for its own."""
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    vector_store.add_documents([LION])
    return SemcoreRetriever(vectorstore=vector_store)


def found(document: Document) -> dict[str, Any]:
    information: dict[str, Any] = document.metadata["_semcore"]
    return information


class Recorder(BaseCallbackHandler):
    """Writes down what a retriever's run tells."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.documents: list[Document] = []
        self.error: BaseException | None = None

    def on_retriever_start(
        self, serialized: Any, query: str, *, metadata: dict[str, Any], **kwargs: Any
    ) -> None:
        self.events.append(f"start {query}")
        self.metadata = metadata

    def on_retriever_end(self, documents: Sequence[Document], **kwargs: Any) -> None:
        self.events.append("end")
        self.documents = list(documents)

    def on_retriever_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append("error")
        self.error = error


class AsyncRecorder(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.ended = False

    async def on_retriever_start(
        self, serialized: Any, query: str, *, metadata: dict[str, Any], **kwargs: Any
    ) -> None:
        self.metadata = metadata

    async def on_retriever_end(self, documents: Sequence[Document], **kwargs: Any) -> None:
        self.ended = True


# --- what is found -----------------------------------------------------------------------


def test_it_is_hybrid_and_says_how_each_was_found(retriever: SemcoreRetriever) -> None:
    documents = {document.id: document for document in retriever.invoke("cat on a mat")}
    assert found(documents["cat"]) == {
        "status": "READY",
        "match": "both",
        "stale": False,
        "score": pytest.approx(1 / 61),
    }
    assert (found(documents["lion"])["match"], found(documents["lion"])["status"]) == (
        "keyword",
        "PENDING",
    )
    assert found(documents["car"])["match"] == "vector"
    assert documents["lion"].metadata["kind"] == "animal"
    assert documents["lion"].page_content == LION.page_content


def test_a_stale_document_says_so(retriever: SemcoreRetriever) -> None:
    retriever.vectorstore.add_texts(["Nothing of the kind."], ids=["cat"])
    [document] = retriever.invoke("the mat", k=1, mode="vector")
    assert document.id == "cat"
    assert found(document)["stale"] is True
    assert found(document)["status"] == "PENDING"


def test_k_filter_mode_and_alpha_are_given_once_or_for_a_call(retriever: SemcoreRetriever) -> None:
    assert len(retriever.invoke("cat")) == 4
    assert len(retriever.invoke("cat", k=2)) == 2
    one = SemcoreRetriever(vectorstore=retriever.vectorstore, k=1, filter={"kind": "machine"})
    assert ids(one.invoke("cat")) == ["car"]
    assert ids(one.invoke("cat", filter={"kind": {"$ne": "machine"}}, k=9, mode="keyword")) == [
        "cat",
        "lion",
    ]
    words = SemcoreRetriever(vectorstore=retriever.vectorstore, mode="keyword")
    assert {found(document)["match"] for document in words.invoke("cat")} == {"keyword"}
    by_words = retriever.invoke("dog", alpha=0.0)
    assert by_words[0].id == "dog"
    assert found(by_words[0])["score"] == pytest.approx(1 / 61)


def test_keyword_mode_asks_nobody(world: World, retriever: SemcoreRetriever) -> None:
    calls = len(world.emulator.calls(Operation.EMBED))
    retriever.invoke("cat", mode="keyword")
    assert len(world.emulator.calls(Operation.EMBED)) == calls


def test_result_information_never_gets_into_the_store(
    world: World, retriever: SemcoreRetriever
) -> None:
    documents = retriever.invoke("cat", k=1)
    retriever.vectorstore.add_documents(documents)
    assert world.chunk("cat").metadata == {"kind": "animal"}


def test_bad_options_are_refused(retriever: SemcoreRetriever) -> None:
    for options in ({"k": -1}, {"alpha": 2.0}, {"mode": "telepathy"}):
        with pytest.raises(ValidationError):
            SemcoreRetriever(vectorstore=retriever.vectorstore, **options)
        with pytest.raises(InvalidInputError):
            retriever.invoke("cat", **options)
    with pytest.raises(InvalidFilterError):
        retriever.invoke("cat", filter={"kind": {"$typo": 1}})
    with pytest.raises(TypeError, match="filters"):
        retriever.invoke("cat", filters={"kind": "animal"})


def test_it_is_bound_and_configured_like_any_runnable(retriever: SemcoreRetriever) -> None:
    assert len(retriever.bind(k=2).invoke("cat")) == 2
    configurable = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert len(configurable.invoke("cat")) == 4
    assert len(configurable.with_config(configurable={"k": 1}).invoke("cat")) == 1


def test_no_key_is_in_what_a_tracer_is_sent(retriever: SemcoreRetriever) -> None:
    chain = retriever | RunnableLambda(len)
    for text in (json.dumps(dumpd(retriever)), json.dumps(dumpd(chain)), repr(chain)):
        assert DEFAULT_KEY not in text
        assert BATCH_KEY not in text
    assert "world.db" in repr(chain)


# --- callbacks and tracing ---------------------------------------------------------------


def test_callbacks_receive_the_events_and_what_the_run_rests_on(
    retriever: SemcoreRetriever,
) -> None:
    recorder = Recorder()
    documents = retriever.invoke(
        "cat", {"callbacks": [recorder], "metadata": {"user": "u1"}, "tags": ["t"]}
    )
    assert recorder.events == ["start cat", "end"]
    assert recorder.documents == documents
    assert recorder.metadata == {
        "user": "u1",
        "ls_retriever_name": "semcore",
        "ls_vector_store_provider": "SemcoreVectorStore",
        "ls_embedding_provider": "DeferredEmbeddings",
        "_semcore": {"coverage": COVERAGE, "degraded": None},
    }


async def test_async_callbacks_receive_them_too(retriever: SemcoreRetriever) -> None:
    recorder, async_recorder = Recorder(), AsyncRecorder()
    documents = await retriever.ainvoke("cat", {"callbacks": [recorder, async_recorder]}, k=2)
    assert recorder.documents == documents
    assert len(documents) == 2
    assert async_recorder.ended
    for metadata in (recorder.metadata, async_recorder.metadata):
        assert metadata["_semcore"]["coverage"] == COVERAGE


def test_a_trace_shows_the_run_of_the_retriever(retriever: SemcoreRetriever) -> None:
    collector = RunCollectorCallbackHandler()
    chain = retriever | RunnableLambda(len)
    assert chain.invoke("cat", {"callbacks": [collector]}) == 4
    [run] = collector.traced_runs
    [search, _] = run.child_runs
    assert (search.run_type, search.inputs) == ("retriever", {"query": "cat"})
    assert search.metadata["_semcore"]["coverage"] == COVERAGE
    assert len(search.outputs["documents"]) == 4
    assert "_semcore" not in run.metadata


async def test_streamed_events_show_it_too(retriever: SemcoreRetriever) -> None:
    chain = retriever | RunnableLambda(len)
    events = [event async for event in chain.astream_events("cat", version="v2")]
    [end] = [event for event in events if event["event"] == "on_retriever_end"]
    assert end["metadata"]["_semcore"]["coverage"] == COVERAGE


def test_a_degraded_answer_says_why(world: World, retriever: SemcoreRetriever) -> None:
    rule = FaultRule(operation=Operation.EMBED, effect=Reply(code=503), times=None)
    world.emulator.add_fault(rule)
    recorder = Recorder()
    documents = retriever.invoke("cat", {"callbacks": [recorder]})
    assert {document.id for document in documents} == {"cat", "lion"}
    assert "answered by keyword alone" in recorder.metadata["_semcore"]["degraded"]


def test_without_a_key_it_says_which(world: World, retriever: SemcoreRetriever) -> None:
    keyless = DeferredEmbeddings(embedder=world.embedder(GoogleKeyring()))
    store = SemcoreVectorStore(world.store, embedding=keyless)
    recorder = Recorder()
    assert SemcoreRetriever(vectorstore=store).invoke("cat", {"callbacks": [recorder]})
    assert "GEMINI_API_KEY" in recorder.metadata["_semcore"]["degraded"]


def test_while_nothing_is_embedded_it_says_so(vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents(DOCUMENTS)
    recorder = Recorder()
    retriever = SemcoreRetriever(vectorstore=vector_store)
    assert ids(retriever.invoke("dog", {"callbacks": [recorder]})) == ["dog"]
    assert "no vector is stored yet" in recorder.metadata["_semcore"]["degraded"]


def test_an_error_reaches_the_callbacks(retriever: SemcoreRetriever) -> None:
    recorder = Recorder()
    with pytest.raises(InvalidFilterError):
        retriever.invoke("cat", {"callbacks": [recorder]}, filter={"$typo": 1})
    assert recorder.events == ["start cat", "error"]
    assert isinstance(recorder.error, InvalidFilterError)


async def test_runs_do_not_mix(world: World, retriever: SemcoreRetriever) -> None:
    """Each run has its own metadata, and the retriever's own stays as it is."""
    retriever.metadata = {"mine": 1}
    collector = RunCollectorCallbackHandler()
    answers = await retriever.abatch(["cat", "dog", "car"] * 3, {"callbacks": [collector]})
    assert [documents[0].id for documents in answers] == ["cat", "dog", "car"] * 3
    assert len({id(run.metadata["_semcore"]) for run in collector.traced_runs}) == 9
    assert retriever.metadata == {"mine": 1}
    assert retriever.batch(["cat", "dog"], return_exceptions=True) == answers[:2]


# --- chains ------------------------------------------------------------------------------


async def test_a_chain_with_a_chat_model(world: World, vector_store: SemcoreVectorStore) -> None:
    """One chain, before and after its documents are embedded."""
    prompts: list[str] = []

    def keep(value: Any) -> Any:
        prompts.append(value.to_string())
        return value

    prompt = ChatPromptTemplate.from_template("Context: {context}\nQuestion: {question}")
    chain = (
        {
            "context": SemcoreRetriever(vectorstore=vector_store, k=2)
            | RunnableLambda(lambda found: "\n".join(d.page_content for d in found)),
            "question": RunnablePassthrough(),
        }
        | prompt
        | RunnableLambda(keep)
        | FakeListChatModel(responses=["On the mat."])
        | StrOutputParser()
    )
    assert isinstance(chain, RunnableSequence)
    vector_store.add_documents(DOCUMENTS)
    assert chain.invoke("Which cat sat?") == "On the mat."
    embed_all(world)
    assert await chain.ainvoke("Which cat sat?") == "On the mat."
    assert "".join(chain.stream("Which cat sat?")) == "On the mat."
    assert chain.batch(["cat", "dog"]) == ["On the mat."] * 2
    before, after, *_ = prompts
    assert before == ("Human: Context: The cat sat on the mat.\nQuestion: Which cat sat?")
    assert after.startswith("Human: Context: The cat sat on the mat.\n")
    assert after.count("\n") == 2
    assert "_semcore" not in "".join(prompts)


def test_a_document_found_by_two_queries_is_one_document(
    world: World, vector_store: SemcoreVectorStore, retriever: SemcoreRetriever
) -> None:
    """LangChain's MultiQueryRetriever and others drop what is equal to what they have."""
    by_words = retriever.invoke("lion")
    again = retriever.invoke("lion in the savannah", mode="keyword")
    both = [*by_words, *again, *vector_store.similarity_search("lion")]
    unique = [one for place, one in enumerate(both) if one not in both[:place]]
    assert len(unique) == len({document.id for document in both})
    for document in (*by_words, *again):
        assert found(document)["score"] > 0
        assert "_semcore" in document.metadata
        plain = Document(
            id=document.id, page_content=document.page_content, metadata=dict(document.metadata)
        )
        assert document == plain
        assert plain == document
        assert "_semcore" not in json.dumps(document.metadata)
        assert "_semcore" not in plain.metadata
        assert found(copy.deepcopy(document)) == found(document)
        assert found(pickle.loads(pickle.dumps(document))) == found(document)
        assert found(document.model_copy()) == found(document)


def test_documents_that_were_found_are_indexed_once(
    vector_store: SemcoreVectorStore, retriever: SemcoreRetriever
) -> None:
    """The indexing API knows a document by the hash of its metadata."""
    manager = InMemoryRecordManager(namespace="n")
    manager.create_schema()
    options = {"cleanup": None, "source_id_key": None, "key_encoder": "sha256"}
    first = index(retriever.invoke("lion"), manager, vector_store, **options)
    second = index(retriever.invoke("lion", mode="keyword"), manager, vector_store, **options)
    assert first["num_added"] > 0
    assert second["num_added"] == 0


# --- in workers, and copied --------------------------------------------------------------------


def by_meaning(retriever: SemcoreRetriever) -> bool:
    """Return whether a query was embedded, and so some hits found by vector."""
    return "vector" in {found(document)["match"] for document in retriever.invoke("an engine")}


def test_a_retriever_is_pickled_by_its_path_and_without_its_key(
    retriever: SemcoreRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(retriever)
    assert DEFAULT_KEY.encode() not in data
    assert BATCH_KEY.encode() not in data
    # The key of the worker's environment, at the endpoint of old.
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    again = pickle.loads(data)
    assert again.vectorstore.store is not retriever.vectorstore.store
    assert by_meaning(again)
    assert ids(again.invoke("a large cat")) == ids(retriever.invoke("a large cat"))
    again.vectorstore.embeddings.close()
    again.vectorstore.store.close()


def test_a_deep_copy_has_a_store_of_its_own_and_the_same_key(retriever: SemcoreRetriever) -> None:
    other = copy.deepcopy(retriever)
    assert ids(other.invoke("a large cat")) == ids(retriever.invoke("a large cat"))
    assert by_meaning(other)
    other.vectorstore.store.close()
    assert len(retriever.invoke("a large cat")) == 4
