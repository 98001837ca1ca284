"""How often one text may be tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.statuses import BudgetUse
from semantic_core.queue.budget import RetryBudget

ATTEMPT, JOB, EXPIRY = BudgetUse.ATTEMPT, BudgetUse.JOB_FAILURE, BudgetUse.EXPIRY


@pytest.mark.parametrize(
    ("uses", "is_spent"),
    [
        ({}, False),
        ({ATTEMPT: 2}, False),
        ({ATTEMPT: 3}, True),
        ({JOB: 1}, False),
        ({JOB: 2}, True),
        ({ATTEMPT: 1, JOB: 1}, False),
        ({ATTEMPT: 2, JOB: 1}, True),
        ({EXPIRY: 2}, False),
        ({EXPIRY: 3}, True),
        ({EXPIRY: 2, ATTEMPT: 2, JOB: 0}, False),
        ({BudgetUse.EVERYTHING: 1}, True),
    ],
)
def test_default_budget(uses: dict[str, int], *, is_spent: bool) -> None:
    """Three attempts, a whole job's failure once again, three expiries; each on its own."""
    assert RetryBudget().is_spent(uses) is is_spent


def test_delay_doubles_up_to_a_longest() -> None:
    budget = RetryBudget(first_delay=10, longest_delay=35)
    delays = [budget.delay({ATTEMPT: tries}) for tries in range(5)]
    assert delays == [0, 10, 20, 35, 35]
    assert budget.delay({ATTEMPT: 1, EXPIRY: 1}) == 20


@given(
    st.dictionaries(st.sampled_from([ATTEMPT, JOB, EXPIRY]), st.integers(0, 5)),
    st.sampled_from([ATTEMPT, JOB, EXPIRY, BudgetUse.EVERYTHING]),
)
def test_a_further_use_never_gives_tries_back(uses: dict[str, int], use: str) -> None:
    budget = RetryBudget()
    more = {**uses, use: uses.get(use, 0) + 1}
    assert budget.is_spent(more) >= budget.is_spent(uses)
    assert budget.delay(more) >= budget.delay(uses)
