"""What a person decides about one job: cancel it, or give it up."""

from collections.abc import Generator

from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import UNSENT, end_job
from semantic_core.batches.job.listing import list_provider
from semantic_core.batches.job.poll import poll
from semantic_core.batches.recover import is_undecided, settle_absent, take_over
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.errors import AuthError, RemoteNotFoundError, TransitionError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import FailureReason, JobStatus, JobStep
from semantic_core.queue.jobs import JobRecord


def cancel_job(context: BatchContext, batch_id: str) -> JobStatus:
    with _leased(context, batch_id) as job:
        record = job.record()
        if job.is_elsewhere(record):
            raise TransitionError(
                f"Batch job {batch_id} was sent to {record.provider!r}. Nothing was changed; use a "
                "manager with the client of that provider.",
                batch_id=batch_id,
            )
        damaged = job.trouble(record)
        if record.hold_reason is not None or damaged:
            why = f"is held ({record.hold_reason})" if record.hold_reason else "cannot be read"
            raise TransitionError(
                f"Batch job {batch_id} {why}: it may have been billed "
                "already, and cancelling undoes no bill. Nothing was changed. To give it up, and "
                "let its texts be paid for again: release(batch_id, accept_rebilling=True), or "
                f"semcore release {batch_id} --accept-rebilling.",
                batch_id=batch_id,
            )
        if is_undecided(record):
            listing = list_provider(context)
            if not take_over(job, record, listing):
                if record.step in UNSENT and record.fingerprint == context.fingerprint:
                    error = "cancelled before it was sent"
                    end_job(job, FailureReason.CANCELLED, error, steps=UNSENT)
                    return JobStatus.FAILED
                settle_absent(job, record, listing)
                raise TransitionError(
                    f"Nobody knows yet whether batch job {batch_id} was created. sync_status() "
                    "finds out; cancel it then.",
                    batch_id=batch_id,
                )
        # Recorded first: a crash after the call must not look like somebody else's cancel.
        job.move(JobStep.SUBMITTED, JobStep.FETCHED, cancel_requested_at=context.clock.now())
        reach(FailPoint.CANCEL_INTENDED)
        context.provider.cancel(str(job.record().google_job_id))
        poll(job, job.record())
        return job.record().status


def release_job(context: BatchContext, batch_id: str) -> None:
    with _leased(context, batch_id) as job:
        record = job.record()
        is_stuck = record.hold_reason is not None or job.is_elsewhere(record)
        is_stuck = is_stuck or job.trouble(record) is not None
        if not is_stuck and not is_undecided(record) and not _is_key_refused(job, record):
            raise TransitionError(
                f"Batch job {batch_id} is {record.status} and not held, so it is not given up. "
                "Wait for it, or cancel(batch_id).",
                batch_id=batch_id,
            )
        error = f"released; before that: {record.error_message or record.step}"
        end_job(job, FailureReason.RELEASED, error, steps=None)


def _is_key_refused(job: LeasedJob, record: JobRecord) -> bool:
    """Return whether the provider shows the job to this key no more: it cannot be cancelled."""
    try:
        job.context.provider.job(str(record.google_job_id))
    except AuthError:
        return True
    except RemoteNotFoundError:
        # The next sync holds it.
        return False
    return False


@certain_exit
def _leased(context: BatchContext, batch_id: str) -> Generator[LeasedJob]:
    with context.store.database.snapshot() as connection:
        record = JobRecord.read(connection, batch_id)
    if not record.is_open:
        raise TransitionError(
            f"Batch job {batch_id} has ended already ({record.status}).", batch_id=batch_id
        )
    with LeasedJob.take(context, batch_id) as job:
        if job is None:
            raise TransitionError(
                f"Another process works on batch job {batch_id} right now. Try again in a moment.",
                batch_id=batch_id,
            )
        yield job
