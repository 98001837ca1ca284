"""Exact top-k by cosine, whatever was put and removed before."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.vector_index import VectorIndex

Floats = npt.NDArray[np.float32]


def _vectors(seed: int, count: int, dimensions: int = 6) -> Floats:
    values = np.random.default_rng(seed).normal(size=(count, dimensions)) * 10
    return values.astype(np.float32)


def _nearest(
    vectors: dict[int, Floats], query: Floats, limit: int, allowed: Any = None
) -> list[tuple[int, float]]:
    """Return (id, cosine) of the nearest, computed one by one in float64."""
    ranked = []
    for vector_id, vector in vectors.items():
        if allowed is not None and vector_id not in allowed:
            continue
        exact, asked = vector.astype(np.float64), query.astype(np.float64)
        ranked.append((vector_id, exact @ asked / np.linalg.norm(exact) / np.linalg.norm(asked)))
    return sorted(ranked, key=lambda entry: (-entry[1], entry[0]))[:limit]


def _index(vectors: dict[int, Floats], dimensions: int = 6) -> VectorIndex:
    index = VectorIndex(dimensions)
    if vectors:
        index.put(list(vectors), np.stack(list(vectors.values())))
    return index


def test_empty_index_finds_nothing() -> None:
    ids, scores = VectorIndex(4).search(np.ones(4, dtype=np.float32), 5)
    assert len(ids) == len(scores) == 0


@pytest.mark.parametrize("limit", [0, 1, 7, 1000, 5000])
def test_finds_the_nearest_of_many(limit: int) -> None:
    vectors = dict(enumerate(_vectors(1, 1000)))
    query = _vectors(2, 1)[0]
    ids, scores = _index(vectors).search(query, limit)
    expected = _nearest(vectors, query, limit)
    assert ids.tolist() == [vector_id for vector_id, _ in expected]
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)


def test_length_does_not_count() -> None:
    index = _index({1: np.array([3e38, 0], dtype=np.float32), 2: np.array([0, 1e-40])}, 2)
    _, scores = index.search(np.array([1e-30, 1e-30], dtype=np.float32), 2)
    np.testing.assert_allclose(scores, [2**-0.5, 2**-0.5], atol=1e-6)
    _, scores = index.search(np.array([3e38, 3e38], dtype=np.float32), 2)
    np.testing.assert_allclose(scores, [2**-0.5, 2**-0.5], atol=1e-6)


def test_cosine_is_never_more_than_one() -> None:
    vectors = _vectors(3, 500, 768)
    index = _index(dict(enumerate(vectors)), 768)
    for number in range(0, 500, 25):
        ids, scores = index.search(vectors[number], 500)
        assert ids[0] == number
        assert -1.0 <= scores.min() <= scores.max() <= 1.0


def test_equal_vectors_are_ordered_by_id() -> None:
    index = _index({number: np.ones(6, dtype=np.float32) for number in (5, 3, 9, 1)})
    ids, _ = index.search(np.ones(6, dtype=np.float32), 2)
    assert ids.tolist() == [1, 3]


def test_putting_an_id_again_replaces_its_vector() -> None:
    first, second = _vectors(4, 2)
    index = _index({1: first})
    index.put([1], second[np.newaxis])
    assert len(index) == 1
    assert index.search(second, 1)[1][0] == pytest.approx(1, abs=1e-6)


def test_of_an_id_that_stands_twice_the_last_counts() -> None:
    first, second = _vectors(4, 2)
    index = VectorIndex(6)
    index.put([1, 1], np.stack([first, second]))
    assert len(index) == 1
    assert index.search(second, 1)[1][0] == pytest.approx(1, abs=1e-6)


def test_only_allowed_ids_are_found() -> None:
    vectors = dict(enumerate(_vectors(5, 100)))
    query = _vectors(6, 1)[0]
    ids, _ = _index(vectors).search(query, 10, allowed=[7, 8, 999])
    assert sorted(ids.tolist()) == [7, 8]
    assert len(_index(vectors).search(query, 10, allowed=[])[0]) == 0


def test_removing_what_is_not_there_is_no_error() -> None:
    index = _index({1: _vectors(7, 1)[0]})
    index.remove([2, 1, 1])
    assert len(index) == 0
    assert 1 not in index


_STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), st.sets(st.integers(0, 30), max_size=12)),
    max_size=12,
)


@settings(max_examples=60)
@given(steps=_STEPS, allowed=st.none() | st.sets(st.integers(0, 35)), limit=st.integers(0, 40))
def test_equals_brute_force_after_any_changes(
    steps: list[tuple[str, set[int]]], allowed: set[int] | None, limit: int
) -> None:
    index, vectors = VectorIndex(6), dict[int, Floats]()
    for number, (step, chosen) in enumerate(steps):
        ids = sorted(chosen)
        if step == "put":
            arrived = _vectors(number, len(ids))
            index.put(ids, arrived)
            vectors |= dict(zip(ids, arrived, strict=True))
        else:
            index.remove(ids)
            vectors = {key: value for key, value in vectors.items() if key not in chosen}
    assert len(index) == len(vectors)
    assert all((number in index) == (number in vectors) for number in range(31))
    query = _vectors(999, 1)[0]
    found, scores = index.search(query, limit, allowed=None if allowed is None else sorted(allowed))
    expected = _nearest(vectors, query, limit, allowed)
    assert found.tolist() == [vector_id for vector_id, _ in expected]
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)
