"""Trying again: bounded, patient as asked, and only what may be tried again."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import (
    AuthError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
)
from semantic_core.providers.wire.retry import RetryPolicy
from support.clock import ManualClock

POLICY = RetryPolicy(attempts=4, first_wait=1.0, longest_wait=3.0)


class Flaky:
    """Raises what it was given, one after the other, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


def test_a_good_answer_is_taken_at_once(clock: ManualClock) -> None:
    assert POLICY.run(Flaky(), clock=clock) == "answer"
    assert clock.slept == []


def test_waits_double_up_to_the_longest(clock: ManualClock) -> None:
    flaky = Flaky(*[ProviderUnavailableError("down")] * 3)
    assert POLICY.run(flaky, clock=clock) == "answer"
    assert clock.slept == [1.0, 2.0, 3.0]


def test_the_last_error_comes_out(clock: ManualClock) -> None:
    errors = [ProviderUnavailableError(str(number)) for number in range(9)]
    flaky = Flaky(*errors)
    with pytest.raises(ProviderUnavailableError, match="3"):
        POLICY.run(flaky, clock=clock)
    assert flaky.calls == 4
    assert len(clock.slept) == 3


def test_a_wait_that_the_provider_asks_for_is_kept(clock: ManualClock) -> None:
    flaky = Flaky(RateLimitError("enough", retry_after=2.5), RateLimitError("enough"))
    assert POLICY.run(flaky, clock=clock) == "answer"
    assert clock.slept == [2.5, 2.0]


def test_a_longer_wait_is_left_to_the_caller(clock: ManualClock) -> None:
    flaky = Flaky(RateLimitError("enough", retry_after=3.5))
    with pytest.raises(RateLimitError):
        POLICY.run(flaky, clock=clock)
    assert flaky.calls == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    "error", [AuthError("no"), ProviderProtocolError("odd"), KeyboardInterrupt()]
)
def test_anything_else_comes_out_at_once(clock: ManualClock, error: BaseException) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        POLICY.run(flaky, clock=clock)
    assert flaky.calls == 1
