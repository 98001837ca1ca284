"""What texts were embedded to before, whatever became of their chunks."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_core import Chunk, EmbeddingSpec, InvalidInputError, PeeweeVectorStore, paid_vectors

SPEC = EmbeddingSpec(dimensions=4)


def test_texts_have_the_vectors_they_were_paid_for(store: PeeweeVectorStore) -> None:
    store.collection("notes", SPEC)
    store.save([Chunk(id="a", text="one"), Chunk(id="b", text="two")], collection="notes")
    (one,) = store.get(["a"], collection="notes")
    vector = np.array([0, 1, 0, 0], np.float32)
    store.bulk_update_vectors([(one.content_hash, vector)], spec=SPEC)
    store.delete(ids=["a"], collection="notes")
    first, second, third = paid_vectors(store, ["one", "two", "one"], collection="notes")
    assert second is None
    assert first is not None
    assert first.tolist() == vector.tolist()
    assert third is not None
    assert paid_vectors(store, [], collection="notes") == []


def test_many_texts_and_a_collection_that_does_not_exist(store: PeeweeVectorStore) -> None:
    assert paid_vectors(store, ["text"]) == [None]
    store.collection()
    assert paid_vectors(store, [str(number) for number in range(2500)]) == [None] * 2500
    with pytest.raises(InvalidInputError, match="surrogate"):
        paid_vectors(store, ["\ud800"])
