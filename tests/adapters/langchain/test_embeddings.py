"""DeferredEmbeddings: queries now, documents never here."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from batch_emulator import Operation, fake_embed
from langchain_semcore import DeferredEmbeddings
from semantic_core import (
    BlankTextError,
    ConfigurationError,
    EmbeddingSpec,
    GoogleKeyring,
    MissingDefaultKeyError,
    NotBatchableError,
)
from support.keys import canary
from support.langchain import TableEmbeddings
from support.world import World


async def test_queries_are_embedded_live_as_the_spec_says(world: World) -> None:
    spec = EmbeddingSpec.gemini_embedding_2(dimensions=16)
    embeddings = DeferredEmbeddings(world.keyring(), spec=spec, embedder=world.embedder())
    vector = embeddings.embed_query("cats")
    expected = fake_embed(
        "task: search result | query: cats", model="gemini-embedding-2", dimensions=16
    )
    assert vector == pytest.approx(expected.tolist(), abs=1e-6)
    assert all(type(number) is float for number in vector)
    assert await embeddings.aembed_query("cats") == vector


def test_any_embedding_may_embed_the_queries() -> None:
    table = TableEmbeddings({"cats": [1.0, 2.0]})
    embeddings = DeferredEmbeddings(GoogleKeyring(), query_embeddings=table)
    assert embeddings.embed_query("cats") == [1.0, 2.0]


async def test_documents_are_refused_with_the_way_out(
    world: World, embeddings: DeferredEmbeddings
) -> None:
    message = "SemcoreVectorStore.*live embedder"
    with pytest.raises(ConfigurationError, match=message):
        embeddings.embed_documents(["text"])
    with pytest.raises(ConfigurationError, match=message):
        await embeddings.aembed_documents(["text"])
    assert world.emulator.calls(Operation.EMBED) == []


def test_another_vector_store_gets_no_vector_that_means_nothing(
    embeddings: DeferredEmbeddings,
) -> None:
    elsewhere = InMemoryVectorStore(embeddings)
    with pytest.raises(ConfigurationError):
        elsewhere.add_documents([Document("text")])
    assert elsewhere.store == {}


def test_a_query_that_cannot_be_embedded_says_why(embeddings: DeferredEmbeddings) -> None:
    with pytest.raises(BlankTextError):
        embeddings.embed_query(" ")
    with pytest.raises(MissingDefaultKeyError, match="GEMINI_API_KEY"):
        DeferredEmbeddings(GoogleKeyring()).embed_query("cats")


def test_keys_and_endpoint_come_from_the_environment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    embeddings = DeferredEmbeddings()
    assert len(embeddings.embed_query("cats")) == 768
    embeddings.close()
    embeddings.close()
    assert len(embeddings.embed_query("cats")) == 768  # opens it anew
    embeddings.close()


def test_closing_leaves_an_embedder_that_was_handed_in_open(world: World) -> None:
    embedder = world.embedder()
    embeddings = DeferredEmbeddings(embedder=embedder)
    vector = embeddings.embed_query("cats")
    embeddings.close()
    assert embedder.embed_query("cats", spec=EmbeddingSpec()).tolist() == vector


def test_gemini_makes_no_vectors_of_a_foreign_space() -> None:
    with pytest.raises(NotBatchableError, match="elsewhere"):
        DeferredEmbeddings(GoogleKeyring(), spec=EmbeddingSpec.external("elsewhere"))


def test_no_key_is_shown(world: World) -> None:
    embeddings = DeferredEmbeddings(GoogleKeyring(default_key=canary("very-secret")))
    assert "very-secret" not in repr(embeddings)
    assert "very-secret" not in str(vars(embeddings))
