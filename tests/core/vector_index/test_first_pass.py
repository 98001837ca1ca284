from __future__ import annotations

import numpy as np
import pytest

from semantic_core.vector_index import Floats, VectorIndex, matrix
from semantic_core.vector_index.first_pass import FETCH_COST
from support.nearest import clustered, recall

COUNT = 25_000
DIMENSIONS = 128


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return clustered(COUNT, DIMENSIONS, seed=5)


@pytest.fixture(scope="module")
def queries() -> Floats:
    return clustered(100, DIMENSIONS, seed=5)


def index_over(vectors: Floats) -> VectorIndex:
    index = VectorIndex(vectors.shape[1])
    index.put(np.arange(len(vectors)), vectors)
    return index


def mean_recall(index: VectorIndex, queries: Floats) -> float:
    return float(
        np.mean([recall(index.search(q, 10), index.search(q, 10, exact=True)) for q in queries])
    )


def test_vectors_that_all_point_one_way_are_coded_as_well(vectors: Floats, queries: Floats) -> None:
    """Without the mean every bit would be set, and a code would say nothing."""
    index = index_over(vectors + 20)
    first_pass = index._worthwhile(10, COUNT)
    assert first_pass is not None
    assert mean_recall(index, queries + 20) >= 0.999


def test_vectors_that_codes_do_not_suit_are_searched_exactly(
    vectors: Floats, queries: Floats
) -> None:
    """A few dimensions decide here, and one bit each cannot tell."""
    scale = np.geomspace(1, 1e-4, DIMENSIONS, dtype=np.float32)
    index = index_over(vectors * scale)
    first_pass = index.first_pass()
    assert first_pass is not None
    assert first_pass.depth_for(10) * FETCH_COST > COUNT
    assert mean_recall(index, queries * scale) == 1.0


@pytest.mark.parametrize("exact", [True, False])
def test_a_search_beside_others_finds_the_same(
    vectors: Floats, queries: Floats, monkeypatch: pytest.MonkeyPatch, *, exact: bool
) -> None:
    monkeypatch.setattr(matrix, "_THREADED", 2**20)
    index = index_over(vectors)
    for query in queries[:20, None]:
        (alone,) = index.search_many(query, 10, exact=exact)
        (beside,) = index.search_many(query, 10, exact=exact, is_shared=True)
        assert beside.ids.tolist() == alone.ids.tolist()
        assert beside.scores.tolist() == alone.scores.tolist()


def test_of_few_chosen_rows_only_their_own_codes_are_compared(
    vectors: Floats, queries: Floats
) -> None:
    index = index_over(vectors)
    first_pass = index.first_pass()
    assert first_pass is not None
    first_pass.depth = 300
    allowed = np.random.default_rng(8).choice(COUNT, 2000, replace=False)
    assert index._worthwhile(10, len(allowed)) is first_pass
    recalls = []
    for query in queries:
        found = index.search(query, 10, allowed=allowed)
        assert np.isin(found.ids, allowed).all()
        recalls.append(recall(found, index.search(query, 10, allowed=allowed, exact=True)))
    assert np.mean(recalls) >= 0.995
    # Codes of others than these rows tell nothing.
    first_pass.codes._tail[:, np.setdiff1d(np.arange(COUNT), allowed)] = 0
    again = [index.search(query, 10, allowed=allowed) for query in queries]
    exact = [index.search(query, 10, allowed=allowed, exact=True) for query in queries]
    assert np.mean([recall(f, t) for f, t in zip(again, exact, strict=True)]) == np.mean(recalls)


def test_no_row_is_cut_off_that_equals_the_last(vectors: Floats) -> None:
    """More rows of one code than the depth: which of them are nearest is for the ids to say."""
    index = index_over(vectors)
    assert index._worthwhile(10, COUNT) is not None
    new = np.random.default_rng(2).permutation(np.arange(COUNT, COUNT + 4000))
    index.put(new, np.tile(vectors[7], (4000, 1)))
    assert index._worthwhile(10, len(index)) is not None
    hits = index.search(vectors[7], 10)
    assert hits.ids.tolist() == [7, *range(COUNT, COUNT + 9)]


def test_mean_and_depth_are_measured_again_when_the_rows_have_doubled(vectors: Floats) -> None:
    index = index_over(vectors)
    first = index.first_pass()
    index.put(np.arange(COUNT, 2 * COUNT - 1), vectors[1:] + 5)
    assert index.first_pass() is first
    index.put(np.arange(2 * COUNT, 2 * COUNT + 10), vectors[:10] + 5)
    second = index.first_pass()
    assert second is not None
    assert second is not first
    assert second.measured_at == second.codes.count == 2 * COUNT + 9


def test_compaction_keeps_the_codes_that_live(vectors: Floats) -> None:
    index = index_over(vectors)
    index.search(vectors[0], 10)
    before = index.first_pass()
    index.remove(np.arange(0, COUNT, 4))
    after = index._derived.first_pass
    assert before is not None
    assert after is not None
    assert after.codes.count == index.matrix.count == len(index)
    assert (after.codes.mean == before.codes.mean).all()
