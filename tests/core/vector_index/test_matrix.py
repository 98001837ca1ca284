from __future__ import annotations

import numpy as np
import pytest

from semantic_core.vector_index import Floats
from semantic_core.vector_index.matrix import Matrix


def rows_of(count: int, *, start: int = 0) -> Floats:
    return np.arange(start, start + 3 * count, dtype=np.float32).reshape(count, 3)


@pytest.fixture
def matrix() -> Matrix:
    """Five rows of a read-only base, 600 of the tail, one dead of each."""
    base = rows_of(5)
    base.flags.writeable = False
    matrix = Matrix(3, np.array([2, 4, 6, 8, 10]), base)
    matrix.append(np.arange(1000, 1600), rows_of(600, start=100))
    matrix.kill(np.array([1, 7]))
    return matrix


def test_counts_the_dead_apart(matrix: Matrix) -> None:
    assert (matrix.count, matrix.dead_count, matrix.live_count) == (605, 2, 603)
    assert matrix.find(np.array([2, 4, 1001, 1002, 1599, 5])).tolist() == [0, -1, 6, -1, 604, -1]


def test_live_rows_come_in_order_of_their_ids() -> None:
    matrix = Matrix(3)
    matrix.append(np.array([9, 3, 7]), rows_of(3))
    matrix.kill(np.array([2]))
    matrix.append(np.array([1]), rows_of(1))
    assert matrix.live_rows().tolist() == [3, 1, 0]


def test_gathers_across_base_and_tail_in_the_order_asked(matrix: Matrix) -> None:
    whole = np.concatenate([rows_of(5), rows_of(600, start=100)])
    rows = np.random.default_rng(1).permutation(605)
    assert matrix.gather(rows).tolist() == whole[rows].tolist()


@pytest.mark.parametrize(
    ("start", "firsts"), [(0, [0, 5]), (3, [3, 5]), (5, [5]), (6, [6]), (604, [604]), (605, [])]
)
def test_parts_are_all_rows_from_a_start(matrix: Matrix, start: int, firsts: list[int]) -> None:
    whole = np.concatenate([rows_of(5), rows_of(600, start=100)])
    parts = list(matrix.parts(start))
    assert [row for row, _ in parts] == firsts
    assert [row for _, part in parts for row in part.tolist()] == whole[start:].tolist()


@pytest.mark.parametrize("queries", [1, 3, 4, 20])
def test_products_are_of_every_row_with_every_query(matrix: Matrix, queries: int) -> None:
    whole = np.concatenate([rows_of(5), rows_of(600, start=100)])
    asked = rows_of(queries, start=7)
    rows = np.arange(0, 605, 2)
    assert np.allclose(matrix.products(asked), asked @ whole.T)
    assert np.allclose(matrix.products_of(rows, asked), asked @ whole[rows].T)


def test_rows_that_stand_together_are_multiplied_as_any_others() -> None:
    vectors = np.random.default_rng(2).standard_normal((700, 9)).astype(np.float32)
    matrix = Matrix(9, np.arange(700), vectors)
    rows = np.concatenate((np.arange(3, 90), np.arange(91, 400), np.arange(650, 700)))
    assert np.allclose(
        matrix.products_of(rows, vectors[:3]), vectors[:3] @ vectors[rows].T, atol=1e-5
    )
    matrix.append(np.arange(700, 750), vectors[:50])
    rows = np.concatenate((rows, np.arange(700, 750)))
    wanted = np.concatenate((vectors, vectors))[rows] @ vectors[:3].T
    assert np.allclose(matrix.products_of(rows, vectors[:3]), wanted.T, atol=1e-5)
