import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.vectorstores.utils import maximal_marginal_relevance as langchains

from semantic_core import InvalidInputError, cosines, maximal_marginal_relevance

QUERY = [1.0, 0.0]
NEAR, TWIN, ASIDE, AWAY = [1.0, 0.1], [1.0, 0.1], [1.0, -0.9], [-1.0, 0.0]


def chosen(limit: int, relevance: float) -> list[int]:
    picks = maximal_marginal_relevance(
        QUERY, [NEAR, TWIN, ASIDE, AWAY], limit=limit, relevance=relevance
    )
    return [position for position, _ in picks]


def test_relevance_alone_is_the_order_by_cosine() -> None:
    assert chosen(4, 1.0) == [0, 1, 2, 3]


def test_a_twin_of_what_is_chosen_comes_late() -> None:
    assert chosen(2, 0.5) == [0, 2]


def test_diversity_alone_goes_as_far_away_as_it_can() -> None:
    assert chosen(2, 0.0) == [0, 3]


def test_each_choice_comes_with_its_cosine() -> None:
    picks = maximal_marginal_relevance(QUERY, [AWAY, [0.0, 2.0], [3.0, 3.0]], limit=3)
    assert dict(picks) == pytest.approx({0: -1.0, 1: 0.0, 2: math.sqrt(0.5)})


@pytest.mark.parametrize("limit", [0, 1, 2, 9])
def test_no_more_than_asked_and_none_twice(limit: int) -> None:
    picks = chosen(limit, 0.5)
    assert len(picks) == len(set(picks)) == min(limit, 4)


def test_nothing_to_choose_from_is_no_error() -> None:
    assert maximal_marginal_relevance(QUERY, [], limit=3) == []
    assert cosines(QUERY, []) == []


@pytest.mark.parametrize("relevance", [-0.1, 1.1, math.nan])
def test_a_weight_outside_its_range_is_refused(relevance: float) -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        maximal_marginal_relevance(QUERY, [NEAR], limit=1, relevance=relevance)


def test_cosines_do_not_depend_on_length() -> None:
    assert cosines([0.0, 5.0], [[0.0, 1e-3], [2.0, 0.0], [0.0, 0.0]]) == [1.0, 0.0, 0.0]


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 12),
    limit=st.integers(1, 12),
    relevance=st.floats(0.0, 1.0),
)
def test_it_chooses_what_langchain_chooses(
    seed: int, count: int, limit: int, relevance: float
) -> None:
    generator = np.random.default_rng(seed)
    query, vectors = generator.normal(size=5), generator.normal(size=(count, 5))
    ours = maximal_marginal_relevance(query, list(vectors), limit=limit, relevance=relevance)
    theirs = langchains(query, vectors.tolist(), lambda_mult=relevance, k=limit)
    assert [position for position, _ in ours] == theirs
