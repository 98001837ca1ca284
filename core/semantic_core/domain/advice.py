"""What the end or the state of a batch job means for its texts and the bill, and what to do."""

from collections.abc import Sequence

from semantic_core.domain.statuses import FailureReason, JobStatus, JobStep

_UNSENT = (
    "It is being sent. If its process has stopped, a sync or a flush with the batch key looks for "
    "it at the provider, and frees its texts if it is not there."
)

_UNCERTAIN = (
    "Nobody knows yet whether the provider took it, so its texts are not sent again. A sync or a "
    "flush with the batch key finds out, by listing the provider's jobs."
)

_WAIT_AGAIN = (
    "Its texts wait for the next flush, after a pause. Those whose tries are used up are FAILED, "
    "and a retry gives them new ones."
)

_ENDED = {
    FailureReason.ABANDONED: "It was not sent, so it cost nothing. Its texts wait for the next "
    "flush.",
    FailureReason.NEVER_CREATED: "The provider never listed it, so as far as is known it cost "
    "nothing. Its texts wait for the next flush. If it is listed later, its results are used.",
    FailureReason.REFUSED: "Its texts wait: fix the cause, then flush again.",
    FailureReason.PROVIDER_FAILED: _WAIT_AGAIN,
    FailureReason.EXPIRED: _WAIT_AGAIN,
    FailureReason.CANCELLED: "Its texts that no other job carries wait for the next flush. What "
    "was embedded before the cancel may be billed.",
    FailureReason.RELEASED: "Its texts wait for the next flush, and may be paid for a second time.",
}


def job_advice(
    *,
    status: JobStatus,
    step: JobStep,
    failure_reason: FailureReason | None,
    unreadable: Sequence[str] = (),
) -> str | None:
    """Return what a job's state means and what to do, or None where there is nothing to add.

    A held job has its advice in its ``error_message``.
    """
    if unreadable:
        return (
            f"Its row in the database is damaged ({', '.join(unreadable)}), so what is shown of "
            "it is not all true. Other jobs are not touched by it."
        )
    if failure_reason is not None:
        return _ENDED[failure_reason]
    if status is JobStatus.CREATED:
        return _UNCERTAIN if step is JobStep.CREATING else _UNSENT
    return None
