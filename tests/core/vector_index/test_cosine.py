from __future__ import annotations

import numpy as np
import pytest

from semantic_core.vector_index.cosine import exact_scores, rank_error, unit_rows


def test_rows_get_length_one() -> None:
    unit, _ = unit_rows(np.array([[3, 4], [0, 2]], dtype=np.float32))
    assert unit.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 1])


@pytest.mark.parametrize("size", [1e-40, 1e-20, 1e20, 3e38])
def test_a_direction_survives_any_length(size: float) -> None:
    """Squares of such numbers do not fit a float32."""
    unit, usable = unit_rows(np.full((1, 4), size, dtype=np.float32))
    assert usable.all()
    assert unit[0].tolist() == pytest.approx([0.5] * 4, rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_cannot_be_compared(bad: float) -> None:
    vectors = np.array([[1, bad], [1, 2]], dtype=np.float32)
    assert unit_rows(vectors)[1].tolist() == [False, True]


def test_zero_has_no_direction() -> None:
    assert not unit_rows(np.zeros((1, 3), dtype=np.float32))[1].any()


def test_a_row_scores_the_same_wherever_it_stands() -> None:
    """So that equal vectors tie, and exact and approximate search agree to the last bit."""
    rng = np.random.default_rng(3)
    rows, _ = unit_rows(rng.standard_normal((101, 97), dtype=np.float32))
    query = rows[17]
    together = exact_scores(rows, query)
    alone = [exact_scores(row[None], query)[0] for row in rows]
    turned = exact_scores(np.asfortranarray(rows[::-1]), query)[::-1]
    assert together.tolist() == alone == turned.tolist()


def test_a_cosine_never_leaves_its_range() -> None:
    rows, _ = unit_rows(np.random.default_rng(4).random((500, 3), dtype=np.float32))
    for row in rows:
        assert exact_scores(np.stack([row, -row]), row).tolist() == pytest.approx([1.0, -1.0])
        assert abs(exact_scores(row[None], row)[0]) <= 1.0


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_the_error_of_a_float32_product_stays_within_its_bound(offset: float) -> None:
    rng = np.random.default_rng(5)
    vectors = (rng.standard_normal((2000, 768)) + offset).astype(np.float32)
    rows, _ = unit_rows(vectors)
    true = rows.astype(np.float64) @ rows[0].astype(np.float64)
    assert 2 * np.abs(rows @ rows[0] - true).max() < rank_error(768)
