from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidVectorError
from semantic_core.vector_index import Floats, VectorIndex
from semantic_core.vector_index.first_pass import LEAST_ROWS
from support.nearest import clustered, listed, nearest, recall

# Few ids and few directions, so that ids come back and scores tie.
IDS = st.integers(0, 12)
VECTORS = st.tuples(*[st.integers(-2, 2)] * 3).filter(any)
PUT = st.tuples(st.just("put"), st.lists(st.tuples(IDS, VECTORS), min_size=1, max_size=8))
REMOVE = st.tuples(st.just("remove"), st.lists(IDS, max_size=5))
SEARCH = st.tuples(
    st.just("search"),
    st.lists(VECTORS, min_size=1, max_size=5),
    st.integers(0, 15),
    st.none() | st.lists(IDS, max_size=8),
)


@settings(max_examples=150)
@given(steps=st.lists(PUT | REMOVE | SEARCH, max_size=30))
def test_answers_like_a_search_through_everything(steps: list[Any]) -> None:
    index = VectorIndex(3)
    kept: dict[int, Floats] = {}
    for step in steps:
        if step[0] == "put":
            ids = [name for name, _ in step[1]]
            vectors = np.array([vector for _, vector in step[1]], dtype=np.float32)
            index.put(ids, vectors)
            kept.update(zip(ids, vectors, strict=True))
        elif step[0] == "remove":
            index.remove(step[1])
            kept = {name: vector for name, vector in kept.items() if name not in step[1]}
        else:
            queries, limit, allowed = np.array(step[1], dtype=np.float32), step[2], step[3]
            wanted = [nearest(kept, q, limit, allowed=allowed) for q in queries]
            many = index.search_many(queries, limit, allowed=allowed)
            assert [listed(hits) for hits in many] == wanted
            assert listed(index.search(queries[0], limit, allowed=allowed)) == wanted[0]
        assert len(index) == len(kept)
        assert {name for name in range(13) if name in index} == kept.keys()


@settings(max_examples=100)
@given(
    steps=st.lists(st.tuples(PUT | REMOVE, st.booleans()), max_size=20), queries=st.lists(VECTORS)
)
def test_a_branch_changes_nothing_in_what_it_came_from(
    steps: list[Any], queries: list[Any]
) -> None:
    """They share their rows; some branches are given up half way, as by an error."""
    index, kept = VectorIndex(3), dict[int, Floats]()
    versions = [(index, kept)]
    for (kind, values), is_given_up in steps:
        branch, changed = index.branch(), dict(kept)
        if kind == "put":
            ids = [name for name, _ in values]
            vectors = np.array([vector for _, vector in values], dtype=np.float32)
            branch.put(ids, vectors)
            changed.update(zip(ids, vectors, strict=True))
        else:
            branch.remove(values)
            changed = {name: vector for name, vector in kept.items() if name not in values}
        if not is_given_up:
            index, kept = branch, changed
            versions.append((index, kept))
    for version, vectors_then in versions:
        assert len(version) == len(vectors_then)
        for query in np.array(queries, dtype=np.float32).reshape(-1, 3):
            wanted = nearest(vectors_then, query, 15)
            assert listed(version.search(query, 15)) == wanted


def test_branches_share_a_first_pass_and_each_finds_its_own() -> None:
    vectors = clustered(LEAST_ROWS + 600, 32, seed=1)
    versions = [VectorIndex(32)]
    versions[0].put(range(LEAST_ROWS), vectors[:LEAST_ROWS])
    versions[0].search(vectors[0], 10)
    for start in range(LEAST_ROWS, LEAST_ROWS + 600, 200):
        branch = versions[-1].branch()
        branch.put(range(start, start + 200), vectors[start : start + 200])
        branch.remove(range(start - 50, start))
        versions.append(branch)
    newest_first = list(reversed(versions))
    first_passes = {id(version.first_pass()) for version in newest_first}
    assert len(first_passes) == 1
    for version in newest_first:
        for query in vectors[:: LEAST_ROWS // 10]:
            true = version.search(query, 10, exact=True)
            assert listed(version.search(query, 10)) == listed(true)


# --- what is put and removed -----------------------------------------------------------------


def test_an_empty_index_answers() -> None:
    index = VectorIndex(4)
    assert len(index.search([1, 0, 0, 0], 5).ids) == 0
    assert len(index.search([1, 0, 0, 0], 5, allowed=[1, 2]).ids) == 0
    index.put([], np.empty((0, 4), dtype=np.float32))
    index.remove([1])
    assert 1 not in index


def test_of_an_id_that_stands_twice_the_last_vector_counts() -> None:
    index = VectorIndex(2)
    index.put([7, 8, 7], np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32))
    assert index.search([0, 1], 1).ids.tolist() == [7]
    assert len(index) == 2


def test_a_vector_that_cannot_be_compared_leaves_its_id_without_any() -> None:
    """One bad row in the database must not end search, and its old vector is not its own."""
    index = VectorIndex(2)
    index.put([1, 2, 3], np.array([[1, 0], [1, 1], [1, 2]], dtype=np.float32))
    index.put([1, 2, 4], np.array([[0, 0], [np.nan, 1], [0, 1]], dtype=np.float32))
    assert index.search([1, 0], 10).ids.tolist() == [3, 4]


@pytest.mark.parametrize("shape", [(2, 3), (3, 1), (1, 2), (2,)])
def test_vectors_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    index = VectorIndex(2)
    with pytest.raises(ValueError, match="cannot have shape"):
        index.put([1, 2], np.ones(shape, dtype=np.float32))


def test_dead_rows_are_cleared_out_beyond_a_fifth() -> None:
    index = VectorIndex(8)
    vectors = clustered(1000, 8, seed=1)
    for _ in range(20):
        index.put(np.arange(1000), vectors)
    assert index.matrix.count <= 1250
    index.remove(np.arange(990))
    assert index.matrix.count <= 12
    assert sorted(index.search(vectors[0], 20).ids.tolist()) == list(range(990, 1000))


def test_vectors_come_back_in_the_order_asked() -> None:
    index = VectorIndex(2)
    index.put([5, 1, 9], np.array([[0, 2], [3, 4], [1, 0]], dtype=np.float32))
    assert index.vectors([9, 5, 9]).tolist() == [[1, 0], [0, 1], [1, 0]]
    with pytest.raises(KeyError, match="7"):
        index.vectors([9, 7])


# --- what is asked ---------------------------------------------------------------------------


@pytest.mark.parametrize("query", [[0, 0], [np.nan, 1], [np.inf, 1], [1, 2, 3], []])
def test_a_query_that_cannot_be_compared_is_refused(query: list[float]) -> None:
    index = VectorIndex(2)
    index.put([1], np.ones((1, 2), dtype=np.float32))
    with pytest.raises(InvalidVectorError, match="Embed it"):
        index.search(query, 3)


def test_equal_vectors_come_in_order_of_their_ids() -> None:
    """A plain matrix product rounds equal rows differently, by where they stand."""
    index = VectorIndex(97)
    vector = np.random.default_rng(2).standard_normal(97, dtype=np.float32)
    ids = np.random.default_rng(3).permutation(503)
    index.put(ids, np.tile(vector, (503, 1)))
    for limit in (1, 10, 502, 503, 600):
        hits = index.search(vector * 3 + 0.25, limit)
        assert hits.ids.tolist() == list(range(min(limit, 503)))
        assert len(set(hits.scores.tolist())) == 1


def test_near_ties_are_told_apart() -> None:
    """Differences that float32 products drown in: they only say who is worth a closer look."""
    rng = np.random.default_rng(8)
    vectors = np.tile(rng.standard_normal(300, dtype=np.float32), (2000, 1))
    vectors += 3e-6 * rng.standard_normal((2000, 300), dtype=np.float32)
    index = VectorIndex(300)
    index.put(np.arange(2000), vectors)
    query = vectors[0] + rng.standard_normal(300, dtype=np.float32)
    wanted = nearest(dict(enumerate(vectors)), query, 5)
    assert listed(index.search(query, 5)) == wanted
    assert [listed(hits) for hits in index.search_many(np.tile(query, (9, 1)), 5)] == [wanted] * 9


@pytest.mark.parametrize("count", [1, 30, 300, 1000])
def test_it_is_exact_at_every_selectivity(count: int) -> None:
    vectors = 3 * clustered(1000, 20, seed=9) + 1
    index = VectorIndex(20)
    index.put(np.arange(1000), vectors)
    allowed = set(np.random.default_rng(9).permutation(1000)[:count].tolist())
    for query in vectors[:20] + 0.5:
        wanted = nearest(dict(enumerate(vectors)), query, 10, allowed=allowed)
        assert listed(index.search(query, 10, allowed=sorted(allowed))) == wanted


def test_allowed_ids_may_be_in_any_order_twice_and_unknown() -> None:
    index = VectorIndex(2)
    index.put([1, 2, 3], np.array([[1, 0], [1, 1], [0, 1]], dtype=np.float32))
    assert index.search([1, 0], 9, allowed=[3, 99, 2, 3, -4]).ids.tolist() == [2, 3]


# --- the first pass --------------------------------------------------------------------------

DIMENSIONS = 128
COUNT = 30_000


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return clustered(COUNT, DIMENSIONS, seed=5)


@pytest.fixture(scope="module")
def queries() -> Floats:
    return clustered(100, DIMENSIONS, seed=5)


def filled(vectors: Floats) -> VectorIndex:
    index = VectorIndex(DIMENSIONS)
    for start in range(0, COUNT, 1000):
        index.put(np.arange(start, start + 1000), vectors[start : start + 1000])
    return index


@pytest.fixture
def index(vectors: Floats) -> VectorIndex:
    return filled(vectors)


@pytest.fixture(scope="module")
def unchanged(vectors: Floats) -> VectorIndex:
    """An index that several tests share, since they only search it."""
    return filled(vectors)


def test_codes_choose_where_there_are_many_rows(index: VectorIndex, vectors: Floats) -> None:
    assert index._worthwhile(10, COUNT) is not None
    few = VectorIndex(DIMENSIONS)
    few.put(np.arange(LEAST_ROWS - 1), vectors[: LEAST_ROWS - 1])
    assert few._worthwhile(10, len(few)) is None


def test_a_first_pass_hardly_misses_any(index: VectorIndex, queries: Floats) -> None:
    """Mean recall of at least 0.999, and true scores."""
    found = [index.search(query, 10) for query in queries]
    true = [index.search(query, 10, exact=True) for query in queries]
    assert np.mean([recall(f, t) for f, t in zip(found, true, strict=True)]) >= 0.999
    for query, hits in zip(queries, found, strict=True):
        again = index.search(query, 10, allowed=hits.ids, exact=True)
        assert listed(again) == listed(hits)


def test_many_queries_at_once_are_answered_exactly(unchanged: VectorIndex, queries: Floats) -> None:
    true = [listed(unchanged.search(query, 10, exact=True)) for query in queries]
    assert [listed(hits) for hits in unchanged.search_many(queries, 10)] == true
    assert [listed(hits) for hits in unchanged.search_many(queries, 10, exact=True)] == true
    few = [listed(hits) for hits in unchanged.search_many(queries[:5], 10, exact=True)]
    assert few == true[:5]


@pytest.mark.parametrize(
    "share", [0, 1 / COUNT, 0.0005, 0.01, 0.05, 0.1, 0.19, 0.2, 0.21, 0.5, 0.99, 1]
)
def test_a_filter_is_true_at_every_selectivity(
    unchanged: VectorIndex, vectors: Floats, queries: Floats, share: float
) -> None:
    allowed = np.random.default_rng(6).choice(COUNT, round(share * COUNT), replace=False)
    unit = vectors[allowed] / np.linalg.norm(vectors[allowed], axis=1, keepdims=True)
    products = np.sort(queries / np.linalg.norm(queries, axis=1, keepdims=True) @ unit.T)
    recalls = []
    for query, similar in zip(queries, products, strict=True):
        true = unchanged.search(query, 10, allowed=allowed, exact=True)
        best = similar[::-1][:10]
        assert true.scores.tolist() == pytest.approx(best.tolist(), abs=1e-6)
        assert np.isin(true.ids, allowed).all()
        found = unchanged.search(query, 10, allowed=allowed)
        assert np.isin(found.ids, allowed).all()
        assert len(found.ids) == len(true.ids)
        recalls.append(recall(found, true) if len(true.ids) else 1.0)
    assert np.mean(recalls) >= 0.999


def test_what_was_removed_or_replaced_is_not_found_by_code(
    index: VectorIndex, vectors: Floats
) -> None:
    index.search(vectors[0], 10)
    gone = np.arange(0, 3000, 2)
    index.remove(gone)
    index.put(np.arange(1, 3000, 2), -vectors[1:3000:2])
    new = np.arange(COUNT, COUNT + 500)
    index.put(new, vectors[:1000:2])
    for name in range(0, 1000, 50):
        hits = index.search(vectors[name], 10)
        assert listed(hits) == listed(index.search(vectors[name], 10, exact=True))
        assert hits.ids[0] == COUNT + name // 2
        assert not np.isin(hits.ids, gone).any()


def test_an_answer_does_not_depend_on_the_past(vectors: Floats, queries: Floats) -> None:
    """Order of arrival, replaced rows and compaction change no score and no tie."""
    straight = VectorIndex(DIMENSIONS)
    straight.put(np.arange(5000), vectors[:5000])
    winding = VectorIndex(DIMENSIONS)
    winding.put(np.arange(8000)[::-1], vectors[:8000])
    winding.put(np.arange(2000, 7000), vectors[:5000])
    order = np.random.default_rng(7).permutation(5000)
    winding.put(order, vectors[order])
    winding.remove(np.arange(5000, 9000))
    for query in queries[:20]:
        assert listed(winding.search(query, 30)) == listed(straight.search(query, 30))


def test_threads_that_search_at_once_get_one_answer(index: VectorIndex) -> None:
    """The first of them catches up with the rows that came; the others wait for it."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for turn in range(5):
            new = clustered(2000, DIMENSIONS, seed=turn)
            index.put(np.arange(COUNT, COUNT + 2000) + 2000 * turn, new)
            answers = _asked_at_once(index, new[:3], threads=4)
            assert answers == [[listed(index.search(query, 10)) for query in new[:3]]] * 4
            first_pass = index.first_pass()
            assert first_pass is not None
            assert first_pass.codes.count == index.matrix.count
    finally:
        sys.setswitchinterval(interval)


def _asked_at_once(index: VectorIndex, queries: Floats, *, threads: int) -> list[Any]:
    ready = threading.Barrier(threads)

    def ask(_: int) -> list[Any]:
        ready.wait()
        return [listed(index.search(query, 10)) for query in queries]

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, range(threads)))
