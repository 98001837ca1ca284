import logging

from semantic_core.batches.apply import apply_results
from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.end import (
    HOLDABLE,
    RELEASE,
    Ending,
    end_job,
    hold,
    hold_bad,
    hold_if_still_absent,
)
from semantic_core.domain.errors import AuthError, RemoteNotFoundError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import BudgetUse, FailureReason, HoldReason, JobStatus
from semantic_core.providers.types import RemoteJob, RemoteState
from semantic_core.queue.items import count_open
from semantic_core.queue.jobs import JobRecord

_log = logging.getLogger(__name__)


def poll(job: LeasedJob, record: JobRecord) -> None:
    """Poll a job that has a remote id, and apply, end or hold it as its state asks.

    Without a usable answer, which is a ProviderError, the job stays as it is.
    """
    if _rests(job, record):
        return
    remote = _look_up(job, record)
    reach(FailPoint.POLL_ANSWERED)
    if remote is None:
        hold_if_still_absent(job, record)
        return
    _note_seen(job, record, remote)
    ending = _ending(remote)
    if ending is not None or remote.is_done:
        _finish(job, record, remote, ending)
    elif remote.state is RemoteState.UNKNOWN:
        _log.warning("Batch job %s is in a state not known here: %s", job.id, remote.raw_state)
    else:
        _stop_if_needless(job, record)


def _finish(job: LeasedJob, record: JobRecord, remote: RemoteJob, ending: Ending | None) -> None:
    # Whatever the state says: what a result file holds was paid for.
    if remote.result_file is not None and apply_results(job, record, remote, ending):
        return
    if ending is None:
        hold_bad(job, f"the provider ended it in a state not known here ({remote.raw_state}).")
    elif ending.reason is None:
        hold_bad(job, "the provider calls it finished but names no result file.")
    elif ending.reason is FailureReason.CANCELLED and record.cancel_requested_at is None:
        why = f"somebody cancelled it at the provider. {RELEASE}"
        hold(job, HoldReason.CANCELLED_ELSEWHERE, why)
    elif ending.reason is FailureReason.PROVIDER_FAILED and remote.successful_count:
        hold_bad(
            job,
            f"the provider calls it failed, counts {remote.successful_count} embedded texts and "
            "names no result file.",
        )
    else:
        end_job(job, ending.reason, ending.error, steps=HOLDABLE, use=ending.use)


def _ending(remote: RemoteJob) -> Ending | None:
    """Return how the provider ended a job; None while it runs, or for a word not known here."""
    if remote.state is RemoteState.SUCCEEDED:
        return Ending(
            reason=None, use=BudgetUse.ATTEMPT, error="the result has no usable line for this text"
        )
    if remote.state not in _ENDS:
        return None
    reason, use, verb = _ENDS[remote.state]
    words = f": {remote.error_message}" if remote.error_message else ""
    return Ending(reason=reason, use=use, error=f"the job {verb} at the provider{words}")


_ENDS = {
    RemoteState.FAILED: (FailureReason.PROVIDER_FAILED, BudgetUse.JOB_FAILURE, "failed"),
    RemoteState.EXPIRED: (FailureReason.EXPIRED, BudgetUse.EXPIRY, "expired"),
    RemoteState.CANCELLED: (FailureReason.CANCELLED, BudgetUse.NOTHING, "was cancelled"),
}


def _stop_if_needless(job: LeasedJob, record: JobRecord) -> None:
    """Cancel a job whose texts all have their vector by now, or are brought by another job.

    Each poll asks again until it has ended: cancelling twice changes nothing.
    """
    with job.context.store.database.snapshot() as connection:
        # The texts of a found job are in its results only.
        if record.is_adopted or count_open(connection, job.id):
            return
    _log.warning(
        "Batch job %s brings nothing any more: its texts have their vectors, or another job "
        "brings them. It is cancelled; what the provider embedded before that may be billed.",
        job.id,
    )
    # Recorded first: a crash after the call must not look like somebody else's cancel.
    job.move(*HOLDABLE, cancel_requested_at=record.cancel_requested_at or job.context.clock.now())
    reach(FailPoint.CANCEL_INTENDED)
    job.context.provider.cancel(str(record.google_job_id))


def _rests(job: LeasedJob, record: JobRecord) -> bool:
    """Whether results that looked wrong were downloaded too recently to try again.

    A spot check that failed is never repeated by itself: each one is paid for.
    """
    if record.hold_reason is not HoldReason.BAD_RESULTS or record.fetched_at is None:
        return record.hold_reason is HoldReason.SPOT_CHECK
    passed = job.context.clock.now() - record.fetched_at
    return 0 <= passed < job.context.config.refetch_delay


def _look_up(job: LeasedJob, record: JobRecord) -> RemoteJob | None:
    """Return the remote job, or None if the provider does not show it to this key."""
    provider = job.context.provider
    try:
        return provider.job(str(record.google_job_id))
    except RemoteNotFoundError:
        return None
    except AuthError:
        # A refused key and a job of another project can look alike. A listing tells them
        # apart: it works with any good key, and raises here with a bad one.
        listed = provider.jobs(record.display_name).jobs
        return next((job for job in listed if job.display_name == record.display_name), None)


def _note_seen(job: LeasedJob, record: JobRecord, remote: RemoteJob) -> None:
    """Record what the provider says; a job that is seen again is no longer held for absence."""
    has_results = _ending(remote) is not None and not remote.is_barren
    is_running = has_results or remote.state is RemoteState.RUNNING
    now = job.context.clock.now()
    was_absent = record.hold_reason in (HoldReason.LOST, HoldReason.OTHER_PROJECT)
    changes: dict[str, object] = {
        "provider_state": remote.raw_state,
        "status": JobStatus.PROCESSING if is_running else JobStatus.SUBMITTED,
        "absence": None,
        # The project is the same, since its job is seen: the key was rotated.
        "fingerprint": job.context.fingerprint,
        "done_count": remote.successful_count,
        "failed_count": remote.failed_count,
        "hold_reason": None if was_absent else record.hold_reason,
        "finished_at": remote.ended_at or record.finished_at or (now if has_results else None),
    }
    if record.hold_reason is None or was_absent:
        changes["error_message"] = None
    if any(getattr(record, name) != value for name, value in changes.items()):
        job.move(*HOLDABLE, **changes)
