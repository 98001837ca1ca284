"""Ending a job without results: its texts go back to the queue or to FAILED, then it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.batches.job.context import LeasedJob
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import BudgetUse, FailureReason, ItemState, JobStep
from semantic_core.queue import jobs
from semantic_core.queue.items import Outcome, open_hashes, settle_items

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the provider ended a job: what becomes of the texts that its results do not serve.

    Attributes:
        reason: why it ended; None where it calls the job succeeded, wholly or in part.
        use: what that takes from the retry budget of each such text.
        error: the same in words.
    """

    reason: FailureReason | None
    use: BudgetUse
    error: str

    @property
    def item_state(self) -> ItemState:
        """What such a text's item becomes."""
        if self.reason is None:
            return ItemState.MISSING
        return ItemState.RELEASED if self.use is BudgetUse.NOTHING else ItemState.FAILED


def settle_open(
    job: LeasedJob,
    *,
    state: ItemState,
    use: BudgetUse,
    error: str | None,
    not_before: float | None = None,
    after: int = 0,
) -> int:
    """Settle every open item of a job alike, in bounded transactions; return how many.

    Args:
        job: the job, under lease.
        state: what becomes of them.
        use: what that takes from the retry budget of each text.
        error: why.
        not_before: epoch seconds before which they are not sent again, or None.
        after: leave those up to this item id as they are.
    """
    context = job.context
    settled = 0
    while True:
        with job.transaction() as connection:
            page = open_hashes(connection, job.id, _PAGE, after=after)
            settled += settle_items(
                connection,
                job.id,
                [
                    Outcome(
                        content_hash=content_hash,
                        state=state,
                        use=use,
                        error=error,
                        not_before=not_before,
                    )
                    for content_hash in page
                ],
                budget=context.config.budget,
                now=context.clock.now(),
            )
        if len(page) < _PAGE:
            return settled


def end_job(
    job: LeasedJob,
    *,
    steps: Sequence[JobStep] | None,
    reason: FailureReason,
    error: str,
    use: BudgetUse = BudgetUse.NOTHING,
    not_before: float | None = None,
) -> None:
    """Settle what a job still carries and end it FAILED.

    May be interrupted anywhere: what is settled stays settled, and the job ends when this runs
    again.

    Args:
        job: the job, under lease.
        steps: the steps it may be at; None for any, even where its row names no step.
        reason: why it ends.
        error: the same in words; kept on the job, and on chunks that have no tries left.
        use: what this takes from the retry budget of each text.
        not_before: epoch seconds before which its texts are not sent again, or None.
    """
    state = ItemState.RELEASED if use is BudgetUse.NOTHING else ItemState.FAILED
    settle_open(job, state=state, use=use, error=error, not_before=not_before)
    # While it is open: nobody looks after the files of a job that has ended.
    job.context.workspace.forget(job.id)
    reach(FailPoint.END_SETTLED)
    with job.transaction() as connection:
        jobs.fail_job(connection, job.id, token=job.token, steps=steps, reason=reason, error=error)
    reach(FailPoint.END_RECORDED)
