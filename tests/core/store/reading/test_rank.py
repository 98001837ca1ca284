"""Ranking: pure functions on row keys and scores."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.statuses import Match
from semantic_core.store.reading.rank import Ranked, by_both, by_keyword, by_vector, filled

VECTORS = [(1, 0.9), (2, 0.8), (3, 0.7), (4, 0.6)]


def _pairs(ranked: list[Ranked]) -> list[tuple[int, float]]:
    return [(hit.pk, hit.score) for hit in ranked]


def test_keyword_scores_do_not_fall_for_the_position() -> None:
    """A threshold would keep the first of five equal matches."""
    assert _pairs(by_keyword([7, 8, 9])) == [(7, 1), (8, 1), (9, 1)]
    assert {hit.match for hit in by_keyword([7])} == {Match.KEYWORD}


def test_with_nothing_pending_the_vector_list_is_returned_as_it_is() -> None:
    assert _pairs(by_vector(VECTORS, [], limit=3)) == VECTORS[:3]


def test_waiting_hit_is_fused_by_its_rank_in_the_whole_keyword_list() -> None:
    """Keyword ranks 1 and 2 have vectors and are not repeated; rank 3 comes third, and first."""
    ranked = by_vector(VECTORS, [(9, 3)], limit=5)
    assert [hit.pk for hit in ranked] == [1, 2, 9, 3, 4]
    assert [hit.match for hit in ranked] == [Match.VECTOR] * 2 + [Match.KEYWORD] + [
        Match.VECTOR
    ] * 2


def test_waiting_hit_takes_the_score_of_the_vector_hit_above() -> None:
    ranked = by_vector(VECTORS, [(8, 1), (9, 2)], limit=10)
    assert _pairs(ranked) == [(8, 1), (1, 0.9), (9, 0.9), (2, 0.8), (3, 0.7), (4, 0.6)]


def test_the_best_keyword_hit_is_first_whatever_the_limit() -> None:
    assert _pairs(by_vector(VECTORS, [(9, 1)], limit=1)) == [(9, 1)]


def test_without_any_vector_hit_no_keyword_hit_falls() -> None:
    assert _pairs(by_vector([], [(8, 2), (9, 5)], limit=10)) == [(8, 1), (9, 1)]
    assert by_vector([], [], limit=10) == []
    ranked = by_both([], [8, 9], waiting={8, 9}, alpha=0.5, limit=10)
    assert _pairs(ranked) == [(8, 1), (9, 1)]


def test_negative_cosines_are_lent_too() -> None:
    assert _pairs(by_vector([(1, -0.5)], [(9, 2)], limit=2)) == [(1, -0.5), (9, -0.5)]


def test_what_fills_up_comes_last_and_once() -> None:
    ranked = by_vector(VECTORS[:2], [], limit=9)
    assert _pairs(filled(ranked, [2, 7, 8], limit=3)) == [(1, 0.9), (2, 0.8), (7, 0.8)]
    assert _pairs(filled([], [7], limit=3)) == [(7, 1)]


def test_hybrid_is_weighted_reciprocal_rank_fusion() -> None:
    ranked = by_both([1, 2, 3], [3, 4], waiting=set(), alpha=0.25, limit=10)
    expected = {1: 0.25 / 61, 2: 0.25 / 62, 3: 0.25 / 63 + 0.75 / 61, 4: 0.75 / 62}
    assert [hit.pk for hit in ranked] == [3, 4, 1, 2]
    for hit in ranked:
        assert hit.score == pytest.approx(expected[hit.pk], rel=1e-12)
    assert [hit.match for hit in ranked] == [Match.BOTH, Match.KEYWORD, Match.VECTOR, Match.VECTOR]


def test_ties_go_to_the_keyword_hit() -> None:
    ranked = by_both([1, 2], [3, 4], waiting=set(), alpha=0.5, limit=10)
    assert [hit.pk for hit in ranked] == [3, 1, 4, 2]


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_a_missing_vector_rank_is_the_keyword_rank(alpha: float) -> None:
    """Else what waits could collect one of two shares only, and lose to what is older."""
    ranked = by_both([1, 2, 3], [9, 1], waiting={9}, alpha=alpha, limit=10)
    assert ranked[0].pk == 9
    assert ranked[0].score == pytest.approx(1 / 61, rel=1e-12)
    assert ranked[0].match is Match.KEYWORD
    ready = by_both([1, 2, 3], [9, 1], waiting=set(), alpha=alpha, limit=10)
    assert {hit.pk: hit.score for hit in ready}[9] == pytest.approx((1 - alpha) / 61)


def test_alpha_at_its_ends_ranks_by_one_list() -> None:
    def ranked(alpha: float) -> list[int]:
        hits = by_both([1, 2], [2, 3], waiting=set(), alpha=alpha, limit=2)
        return [hit.pk for hit in hits]

    assert ranked(1.0) == [1, 2]
    assert ranked(0.0) == [2, 3]


_COSINES = st.lists(st.floats(-1, 1), max_size=8).map(lambda values: sorted(values, reverse=True))


@given(cosines=_COSINES, ranks=st.sets(st.integers(1, 12), max_size=6), limit=st.integers(0, 15))
def test_vector_ranking_keeps_its_promises(
    cosines: list[float], ranks: set[int], limit: int
) -> None:
    """No hit twice, none left out below the limit, no score that rises, both orders kept."""
    vectors = list(enumerate(cosines))
    waiting = [(100 + rank, rank) for rank in sorted(ranks)]
    ranked = by_vector(vectors, waiting, limit=limit)
    pks = [hit.pk for hit in ranked]
    assert len(pks) == len(set(pks)) == min(limit, len(vectors) + len(waiting))
    scores = [hit.score for hit in ranked]
    assert scores == sorted(scores, reverse=True)
    assert [pk for pk in pks if pk < 100] == sorted(pk for pk in pks if pk < 100)
    assert [pk for pk in pks if pk >= 100] == sorted(pk for pk in pks if pk >= 100)
    for hit in ranked:
        if vectors:
            assert hit.match is (Match.VECTOR if hit.pk < 100 else Match.KEYWORD)
            if hit.pk < 100:
                assert hit.score == cosines[hit.pk]
