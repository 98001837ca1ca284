import numpy as np

from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore


def test_vectors_come_by_id_in_the_order_asked(store: PeeweeVectorStore) -> None:
    """Exactly as they were given; what has none, or is not there, is left out."""
    store.collection("small", EmbeddingSpec.external("mine"))
    store.save(
        [
            Chunk(id="a", text="one", vector=[1.0, 2.0]),
            Chunk(id="b", text="two", vector=[0.1, 0.2]),
        ],
        collection="small",
    )
    found = store.vectors(["b", "nobody", "a\0", "a"], collection="small")
    assert list(found) == ["b", "a"]
    assert found["b"].dtype == np.float32
    assert found["b"].tolist() == np.float32([0.1, 0.2]).tolist()


def test_pending_chunks_have_none(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="a", text="one")])
    assert store.vectors(["a"]) == {}
    assert store.vectors(["a"], collection="nowhere") == {}


def test_a_stale_chunk_has_that_of_its_older_text(store: PeeweeVectorStore) -> None:
    vector = np.eye(768, dtype=np.float32)[3]
    store.save([Chunk(id="a", text="one", vector=vector)])
    store.save([Chunk(id="a", text="another one")])
    assert store.get(["a"])[0].is_stale
    assert store.vectors(["a"])["a"].tolist() == vector.tolist()


def test_chunks_come_oldest_first_and_no_more_than_asked(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id=name, text=name) for name in "cab"])
    assert [chunk.id for chunk in store.chunks()] == ["c", "a", "b"]
    assert [chunk.id for chunk in store.chunks(ids=["b", "a"], limit=1)] == ["a"]
    assert store.chunks(limit=0) == []
    assert [chunk.id for chunk in store.chunks(limit=1, offset=1)] == ["a"]
    assert [chunk.id for chunk in store.chunks(offset=1)] == ["a", "b"]
