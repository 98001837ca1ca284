"""An existing application moves over by changing one constructor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.example_selectors import (
    MaxMarginalRelevanceExampleSelector,
    SemanticSimilarityExampleSelector,
)
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from support.world import World

EMBEDDING = DeterministicFakeEmbedding(size=12)
DOCUMENTS = [
    Document(f"Note number {n}.", id=f"n{n}", metadata={"n": n, "even": n % 2 == 0})
    for n in range(12)
]


def application(vector_store: VectorStore) -> dict[str, Any]:
    """Do what an application does with its vector store; return all that it saw."""
    seen: dict[str, Any] = {"added": vector_store.add_documents(DOCUMENTS)}
    vector_store.add_texts(["Changed."], [{"n": 0, "even": True}], ids=["n0"])
    vector_store.delete(ids=["n1", "nobody"])
    seen["got"] = vector_store.get_by_ids(["n0", "n1", "n2"])
    similar = vector_store.as_retriever(search_kwargs={"k": 5})
    diverse = vector_store.as_retriever(
        search_type="mmr", search_kwargs={"k": 3, "fetch_k": 8, "lambda_mult": 0.3}
    )
    seen["similar"], seen["diverse"] = similar.invoke("note"), diverse.invoke("note")
    seen["filtered"] = vector_store.similarity_search(
        "note", k=3, filter=lambda document: document.metadata["even"]
    )
    chain = (
        {
            "context": similar | RunnableLambda(lambda found: found[0].page_content),
            "question": RunnablePassthrough(),
        }
        | ChatPromptTemplate.from_template("{context} {question}")
        | FakeListChatModel(responses=["An answer."])
        | StrOutputParser()
    )
    seen["answer"] = chain.invoke("note")
    records = InMemoryRecordManager("notes")
    seen["indexed"] = [
        index(documents, records, vector_store, cleanup="full", key_encoder="sha256")
        for documents in (DOCUMENTS, DOCUMENTS, DOCUMENTS[:3])
    ]
    return seen


def test_from_the_in_memory_store(path: Path) -> None:
    """With the same embedding, everything that the application sees stays the same."""
    expected = application(InMemoryVectorStore(EMBEDDING))
    with SemcoreVectorStore(path, embedding=EMBEDDING, mode="sync") as vector_store:
        assert application(vector_store) == expected


def test_to_the_batch_api(world: World) -> None:
    """With DeferredEmbeddings the same application runs, before anything is embedded."""
    embeddings = DeferredEmbeddings(world.keyring(), embedder=world.embedder())
    seen = application(SemcoreVectorStore(world.store, embedding=embeddings))
    assert [document.metadata["even"] for document in seen["filtered"]] == [True] * 3
    assert seen["answer"] == "An answer."
    assert seen["indexed"][1]["num_skipped"] == len(DOCUMENTS)


def test_example_selectors_take_the_class(path: Path) -> None:
    examples = [{"input": f"input {n}", "output": f"output {n}"} for n in range(6)]
    for selector in (SemanticSimilarityExampleSelector, MaxMarginalRelevanceExampleSelector):
        theirs = selector.from_examples(examples, EMBEDDING, InMemoryVectorStore, k=2)
        ours = selector.from_examples(
            examples,
            EMBEDDING,
            SemcoreVectorStore,
            k=2,
            store=path,
            mode="sync",
            collection=selector.__name__,
        )
        question = {"input": "input 3", "output": ""}
        assert ours.select_examples(question) == theirs.select_examples(question)
        ours.vectorstore.close()
