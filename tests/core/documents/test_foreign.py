"""Any embedder in plain Python: two methods, a space of its own, nothing asked for twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from semantic_core import (
    Chunk,
    ConfigurationError,
    Document,
    EmbeddingSpec,
    IngestError,
    InvalidVectorError,
    Match,
    NotBatchableError,
    PeeweeVectorStore,
    SemanticCore,
    embed_foreign,
)


class Letters:
    """Counts letters; a class with the two methods and nothing else."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count(letter)) + 0.1 for letter in "abc"]

    def embed_documents(self, texts: list[str]) -> Sequence[list[float]]:
        self.asked += texts
        return [
            [float("nan")] * 3 if "broken" in text else self.embed_query(text) for text in texts
        ]


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def core(store: PeeweeVectorStore, letters: Letters) -> SemanticCore:
    store.collection("theirs", EmbeddingSpec.external("letters"))
    return SemanticCore(store, collection="theirs", embedder=letters)


def test_documents_and_queries_are_embedded_by_it(core: SemanticCore, letters: Letters) -> None:
    documents = [Document(id=text, content=text) for text in ("aaa", "bbb", "ccc")]
    report = core.ingest(documents, mode="sync")
    assert report.chunks.ready == 3
    results = core.search("bb", 1)
    assert (results[0].chunk.text, results[0].match, results.degraded) == (
        "bbb",
        Match.VECTOR,
        None,
    )
    core.ingest([*documents, Document(content="aaa"), Document(content="abc")], mode="sync")
    assert letters.asked == ["aaa", "bbb", "ccc", "aaa", "abc"]
    core.close()


def test_a_vector_that_cannot_be_used_costs_no_other_text_another_call(
    core: SemanticCore, letters: Letters
) -> None:
    documents = [Document(id=text, content=text) for text in ("aaa", "broken", "ccc")]
    with pytest.raises(IngestError, match="holds NaN"):
        core.ingest(documents, mode="sync")
    assert letters.asked == ["aaa", "broken", "ccc"]
    assert core.stats().ready == 2


def test_its_vectors_are_not_mixed_with_geminis(store: PeeweeVectorStore, letters: Letters) -> None:
    with SemanticCore(store, embedder=letters) as core:
        with pytest.raises(ConfigurationError, match=r"EmbeddingSpec.external\('its name'\)"):
            core.ingest(Document(content="aaa"), mode="sync")
        assert store.collections() == []
        store.save([Chunk(id="a", text="aaa", vector=[1.0] * 768)])
        assert "makes vectors of its own" in (core.search("aaa").degraded or "")
    assert letters.asked == []


def test_a_batch_cannot_make_them(core: SemanticCore) -> None:
    with pytest.raises(NotBatchableError, match='mode="sync"'):
        core.ingest(Document(content="aaa"))


def test_it_embeds_the_vector_source_and_nothing_that_has_no_words(
    store: PeeweeVectorStore, letters: Letters
) -> None:
    store.collection("theirs", EmbeddingSpec.external("letters"))
    chunks = [
        Chunk(id="1", text="text", vector_source="abc"),
        Chunk(id="2", text="text", metadata={"_vector_source": "cab"}),
        Chunk(id="3", text=" - "),
        Chunk(id="4", text="given", vector=[1.0, 2.0, 3.0]),
        Chunk(id="5", text="abc"),
    ]
    made = embed_foreign(store, chunks, embedder=letters, collection="theirs")
    assert letters.asked == ["abc", "cab"]
    assert [chunk.vector is not None for chunk in made] == [True, True, False, True, True]
    store.save(made, collection="theirs", keep_refused=True)
    again = embed_foreign(store, chunks, embedder=letters, collection="theirs")
    assert letters.asked == ["abc", "cab"]
    assert store.save(again, collection="theirs", keep_refused=True).unchanged == 5
    changed = [Chunk(id="1", text="text", vector_source="aaa")]
    embed_foreign(store, changed, embedder=letters, collection="theirs")
    assert letters.asked == ["abc", "cab", "aaa"]


def test_as_many_vectors_as_texts_have_to_come(store: PeeweeVectorStore, letters: Letters) -> None:
    letters.embed_documents = lambda texts: []  # type: ignore[method-assign]  # what is tried
    with pytest.raises(InvalidVectorError, match="returned 0 vectors for 1 texts"):
        embed_foreign(store, [Chunk(text="abc")], embedder=letters, collection="theirs")
