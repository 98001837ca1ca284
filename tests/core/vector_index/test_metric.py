from __future__ import annotations

import numpy as np
import pytest

from semantic_core.vector_index.metric import Metric, exact_scores, prepare, rank_error


def test_rows_get_length_one_for_the_cosine_alone() -> None:
    vectors = np.array([[3, 4], [0, 2]], dtype=np.float32)
    unit, _ = prepare(vectors, Metric.COSINE)
    assert unit.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 1])
    for metric in (Metric.INNER_PRODUCT, Metric.EUCLIDEAN):
        assert prepare(vectors, metric)[0].tolist() == vectors.tolist()


@pytest.mark.parametrize("size", [1e-40, 1e-20, 1e20, 3e38])
def test_a_direction_survives_any_length(size: float) -> None:
    """Squares of such numbers do not fit a float32."""
    unit, usable = prepare(np.full((1, 4), size, dtype=np.float32), Metric.COSINE)
    assert usable.all()
    assert unit[0].tolist() == pytest.approx([0.5] * 4, rel=1e-3)


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_cannot_be_compared(metric: Metric, bad: float) -> None:
    vectors = np.array([[1, bad], [1, 2]], dtype=np.float32)
    assert prepare(vectors, metric)[1].tolist() == [False, True]


def test_zero_has_no_direction_but_a_place() -> None:
    vectors = np.zeros((1, 3), dtype=np.float32)
    assert not prepare(vectors, Metric.COSINE)[1].any()
    assert prepare(vectors, Metric.EUCLIDEAN)[1].all()


@pytest.mark.parametrize("metric", Metric)
def test_a_row_scores_the_same_wherever_it_stands(metric: Metric) -> None:
    """So that equal vectors tie, and exact and approximate search agree to the last bit."""
    rng = np.random.default_rng(3)
    rows, _ = prepare(rng.standard_normal((101, 97), dtype=np.float32), metric)
    query = rows[17]
    together = exact_scores(rows, query, metric)
    alone = [exact_scores(row[None], query, metric)[0] for row in rows]
    turned = exact_scores(np.asfortranarray(rows[::-1]), query, metric)[::-1]
    assert together.tolist() == alone == turned.tolist()


def test_a_cosine_never_leaves_its_range() -> None:
    rows, _ = prepare(np.random.default_rng(4).random((500, 3), dtype=np.float32), Metric.COSINE)
    for row in rows:
        assert exact_scores(np.stack([row, -row]), row, Metric.COSINE).tolist() == pytest.approx(
            [1.0, -1.0]
        )
        assert abs(exact_scores(row[None], row, Metric.COSINE)[0]) <= 1.0


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_error_of_a_float32_product_stays_within_its_bound(
    metric: Metric, offset: float
) -> None:
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((2000, 768)) + offset).astype(np.float32)
    rows, _ = prepare(vectors, metric)
    query = rows[0]
    ranks = rows @ query
    wide = rows.astype(np.float64)
    true = wide @ query.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        ranks -= np.einsum("ij,ij->i", rows, rows) / 2
        true -= np.einsum("ij,ij->i", wide, wide) / 2
    wrong = np.abs(ranks - true).max()
    longest = float(np.linalg.norm(wide, axis=1).max())
    assert 2 * wrong < rank_error(query, longest, metric)
