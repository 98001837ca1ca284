from __future__ import annotations

import numpy as np
import pytest

from semantic_core.vector_index.codes import Codes, word_count


@pytest.mark.parametrize("dimensions", [1, 8, 63, 64, 65, 200, 3072])
def test_a_distance_is_the_number_of_dimensions_on_other_sides_of_the_mean(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    vectors = rng.standard_normal((3000, dimensions), dtype=np.float32)
    mean = rng.standard_normal(dimensions, dtype=np.float32)
    codes = Codes(mean)
    for start in range(0, len(vectors), 700):
        codes.extend(vectors[start : start + 700])
    query = rng.standard_normal(dimensions, dtype=np.float32)
    true = ((vectors > mean) != (query > mean)).sum(axis=1)
    assert codes.count == len(vectors)
    assert codes.distances(query, codes.count).tolist() == true.tolist()
    assert codes.distances(query, codes.count, is_shared=True).tolist() == true.tolist()


def test_base_and_tail_are_one() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((500, 70), dtype=np.float32)
    mean = vectors.mean(axis=0)
    whole = Codes(mean)
    whole.extend(vectors)
    base = whole.of(np.arange(200))
    base.flags.writeable = False
    grown = Codes(mean, base)
    grown.extend(vectors[200:])
    assert base.shape == (word_count(70), 200)
    assert (
        grown.distances(vectors[3], grown.count).tolist()
        == whole.distances(vectors[3], grown.count).tolist()
    )
    rows = rng.permutation(500)
    assert grown.of(rows).tolist() == whole.of(rows).tolist()


@pytest.mark.parametrize("dimensions", [1, 70, 128])
def test_spans_are_compared_by_how_far_the_query_is_from_the_mean(dimensions: int) -> None:
    rng = np.random.default_rng(dimensions)
    vectors = rng.standard_normal((500, dimensions), dtype=np.float32)
    mean = rng.standard_normal(dimensions, dtype=np.float32)
    whole = Codes(mean)
    whole.extend(vectors)
    codes = Codes(mean, whole.of(np.arange(400)))
    codes.extend(vectors[400:])
    query = rng.standard_normal(dimensions, dtype=np.float32)
    spans = np.array([[10, 50], [200, 200], [210, 400]])
    # The last ten came after the branch that is searched.
    rows = codes.numbers(spans, 490)
    assert rows.tolist() == [*range(10, 50), *range(210, 490)]
    weights = np.rint(7 * np.abs(query - mean) / np.abs(query - mean).max())
    true = (((vectors > mean) != (query > mean)) * weights).sum(axis=1)[rows]
    assert codes.distances(query, 490, spans=spans).tolist() == true.tolist()
    chosen = np.array([3, 399, 400, 489])
    of_chosen = (((vectors > mean) != (query > mean)) * weights).sum(axis=1)[chosen]
    assert codes.distances(query, 490, rows=chosen).tolist() == of_chosen.tolist()
    shared = codes.distances(query, 490, spans=spans, is_shared=True)
    assert shared.tolist() == true.tolist()
