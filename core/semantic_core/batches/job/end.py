"""Ending a job without results, or holding it.

The texts of a job that ends go back to the queue or to FAILED, then it ends. A held job waits for
a person and keeps its claims: nothing is sent again.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.listing import Reading, seen_absent
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.pages import PAGE
from semantic_core.domain.statuses import BudgetUse, FailureReason, HoldReason, ItemState, JobStep
from semantic_core.queue import jobs
from semantic_core.queue.items import Outcome, open_contents
from semantic_core.queue.jobs import JobRecord

_log = logging.getLogger(__name__)

# The steps before the create call.
UNSENT = (JobStep.CLAIMED, JobStep.UPLOADED)
HOLDABLE = (JobStep.CREATING, JobStep.SUBMITTED, JobStep.FETCHED)

RELEASE = "release(batch_id, accept_rebilling=True) sends its texts again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the provider ended a job: what becomes of the texts that its results do not serve.

    ``reason`` is None where it calls the job succeeded, wholly or in part. ``use`` is what the end
    takes from the retry budget of each such text.
    """

    reason: FailureReason | None
    use: BudgetUse
    error: str

    @property
    def item_state(self) -> ItemState:
        return ItemState.MISSING if self.reason is None else _state_for(self.use)


def settle_open(
    job: LeasedJob,
    *,
    state: ItemState,
    use: BudgetUse,
    error: str,
    not_before: float | None = None,
    after: int = 0,
) -> None:
    """Settle every open item of a job after an item id alike, in bounded transactions."""
    while True:
        with job.context.store.database.snapshot() as connection:
            page = open_contents(connection, job.id, PAGE, after=after)
        job.settle(
            [
                Outcome(
                    content_id=content, state=state, use=use, error=error, not_before=not_before
                )
                for content in page
            ]
        )
        if len(page) < PAGE:
            return


def end_job(
    job: LeasedJob,
    reason: FailureReason,
    error: str,
    *,
    steps: Sequence[JobStep] | None,
    use: BudgetUse = BudgetUse.NOTHING,
    not_before: float | None = None,
) -> None:
    """Settle what a job still carries and end it FAILED.

    May be interrupted anywhere: what is settled stays settled, and the job ends when this runs
    again. The error is kept on the job, and on chunks that have no tries left. The job may be at
    any of the steps; None is for any, even where its row names no step. Its texts are not sent
    again before ``not_before``.
    """
    settle_open(job, state=_state_for(use), use=use, error=error, not_before=not_before)
    # While it is open: nobody looks after the files of a job that has ended.
    job.context.workspace.forget(job.id)
    reach(FailPoint.END_SETTLED)
    with job.transaction() as connection:
        jobs.fail_job(connection, job.id, token=job.token, steps=steps, reason=reason, error=error)
    reach(FailPoint.END_RECORDED)


def hold(
    job: LeasedJob, reason: HoldReason, why: str, *, steps: Sequence[JobStep] | None = HOLDABLE
) -> None:
    """Hold a job with a reason that ``status`` shows; holding it again changes nothing."""
    record = job.record()
    message = f"held ({reason}): {why}"
    if (record.hold_reason, record.error_message) == (reason, message):
        return
    with job.transaction() as connection:
        jobs.move(
            connection,
            job.id,
            token=job.token,
            steps=steps,
            hold_reason=reason,
            error_message=message,
        )
    _log.warning("Batch job %s is %s", job.id, message)


def hold_bad(job: LeasedJob, what: str) -> None:
    """Hold a job whose results are missing or not to be trusted; they are looked at again later."""
    job.move(*HOLDABLE, fetched_at=job.context.clock.now())
    hold(job, HoldReason.BAD_RESULTS, f"{what} They are looked at again later; {RELEASE}")


def hold_unreadable(job: LeasedJob, damaged: str) -> None:
    """Hold a job whose row cannot be read; its step may be what is damaged."""
    hold(
        job,
        HoldReason.UNREADABLE,
        f"its row in the database is damaged ({damaged}), so nobody can go on with it. It may have "
        "been billed: its results, if the provider has them, are under the display name of the "
        f"job. {RELEASE}",
        steps=None,
    )


def hold_if_still_absent(job: LeasedJob, record: JobRecord) -> None:
    """Hold a submitted job that the provider does not know, once that is confirmed.

    A key of another project sees none of our jobs; with the key it was submitted with, it is
    lost only after a second look, ``listing_grace`` after the first.
    """
    if record.fingerprint != job.context.fingerprint:
        hold(
            job,
            HoldReason.OTHER_PROJECT,
            "it was submitted with another batch key, and this key does not see it. Use the key "
            "of its project and call sync_status().",
        )
        return
    absence = seen_absent(record.absence, Reading.take(job.context.clock))
    job.move(*HOLDABLE, absence=absence.to_json())
    if absence.seconds >= job.context.config.listing_grace:
        why = f"the provider no longer knows it. Its texts may have been billed; {RELEASE}"
        hold(job, HoldReason.LOST, why)


def _state_for(use: BudgetUse) -> ItemState:
    return ItemState.RELEASED if use is BudgetUse.NOTHING else ItemState.FAILED
