"""Taking up jobs that an earlier process left between their claim and the provider's answer.

One complete listing of the provider's jobs a run, shared by all rows, says what became of each. A
row that is in the listing is adopted, whatever its step: the database may be a restored copy.
A row that does not is released at once where its own create call was never sent, and by the rule
of `Absence` where it may have been.
"""

import logging

from semantic_core.batches.adopt import adopt_unknown_jobs, reopen_late_jobs
from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import RELEASE, UNSENT, end_job, hold, hold_unreadable
from semantic_core.batches.job.listing import LISTINGS_NEEDED, Listing, list_provider, seen_absent
from semantic_core.domain.errors import (
    AuthError,
    ProviderError,
    SemanticCoreError,
    StorageError,
    TransitionError,
)
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import FailureReason, HoldReason, JobStatus, JobStep, Obstacle
from semantic_core.queue import jobs
from semantic_core.queue.adoption import may_be_late
from semantic_core.queue.claims import note_passed
from semantic_core.queue.costs import waiting_tokens
from semantic_core.queue.jobs import JobRecord
from semantic_core.views.wording import counted

_log = logging.getLogger(__name__)


def recover(context: BatchContext) -> None:
    """List the provider's jobs once, and decide by that what earlier processes left undecided.

    Where nothing is undecided and nothing waits, a listing could change nothing, and none is
    made. Nothing is released without one.

    Raises:
        ProviderError: the listing failed or was incomplete, which is noted on the undecided jobs.
        StorageError: the database failed; what was decided before stays decided.
    """
    now = context.clock.now()
    with context.store.database.snapshot() as connection:
        undecided = jobs.undecided_jobs(connection, now=now)
        is_needed = (
            undecided
            or waiting_tokens(connection, collection_id=None)
            or may_be_late(connection, since=now - context.provider.limits.longest_use)
        )
    reach(FailPoint.LEFT_LISTED)
    if not is_needed:
        return
    # The leases first: from then on nobody else can send these jobs, so what the listing shows of
    # them cannot be out of date before it is acted on.
    with LeasedJob.take_all(context, undecided) as leased:
        try:
            listing = list_provider(context)
        except ProviderError as error:
            if isinstance(error, AuthError):
                with context.store.database.transaction() as connection:
                    note_passed(connection, None, Obstacle.REFUSAL, str(error), now=now)
            for job in leased:
                note_fault(job, error)
            raise
        reach(FailPoint.FOUND_LISTED)
        if any(job.record().fingerprint != context.fingerprint for job in leased):
            names = [job.display_name for job in listing.jobs if job.display_name is not None]
            with context.store.database.transaction() as connection:
                jobs.know_key(connection, names, context.fingerprint)
        faults = [fault for job in leased if (fault := _decide(job, listing))]
    reopen_late_jobs(context, listing)
    adopt_unknown_jobs(context, listing)
    if faults:
        raise faults[0]


def is_undecided(record: JobRecord) -> bool:
    # Its status tells: a job that has ended keeps its step.
    return record.status is JobStatus.CREATED


def _decide(job: LeasedJob, listing: Listing) -> StorageError | None:
    """Decide about one job; a fault of it stops no other, and is returned."""
    try:
        record = job.record()
        # Another process may have moved it on since it was found.
        if is_undecided(record) and not job.is_elsewhere(record):
            if damaged := job.trouble(record):
                hold_unreadable(job, damaged)
            elif not take_over(job, record, listing):
                settle_absent(job, record, listing)
    except TransitionError as error:
        # Another process has it now, and does what this one would have done.
        _log.info("%s", error)
    except StorageError as error:
        note_fault(job, error)
        return error
    return None


def take_over(job: LeasedJob, record: JobRecord, listing: Listing) -> bool:
    """Adopt the remote job that is this one, if there is one; cancel any other of its name."""
    found = listing.find(record.display_name, record.input_file)
    reach(FailPoint.CREATE_LISTED)
    if not found:
        return False
    chosen, *others = found
    job.move(
        *UNSENT,
        JobStep.CREATING,
        step=JobStep.SUBMITTED,
        status=JobStatus.SUBMITTED,
        google_job_id=chosen.name,
        provider_state=chosen.raw_state,
        input_file=record.input_file or chosen.input_file,
        request_count=chosen.request_count or record.request_count,
        submitted_at=chosen.created_at or job.context.clock.now(),
        absence=None,
        hold_reason=None,
        error_message=None,
    )
    reach(FailPoint.CREATE_ADOPTED)
    for other in others:
        _log.warning(
            "Batch job %s exists twice at the provider: %s is used, %s is cancelled.",
            job.id,
            chosen.name,
            other.name,
        )
        try:
            job.context.provider.cancel(other.name)
        except ProviderError as error:
            _log.warning("Cancelling the duplicate %s failed: %s", other.name, error)
    return True


def settle_absent(job: LeasedJob, record: JobRecord, listing: Listing) -> None:
    """Do what follows from a complete listing without this job: release it, or go on waiting."""
    if record.fingerprint != job.context.fingerprint:
        # Another project's list is empty for sure: it says nothing about this job.
        hold(
            job,
            HoldReason.OTHER_PROJECT,
            "it was begun with another batch key, and this key does not see whether the provider "
            "has it. Use the key it was flushed with and call sync_status(); if there is none any "
            f"more, {RELEASE}",
            steps=[record.step],
        )
        return
    if record.step in UNSENT:
        error = (
            "its process stopped before the create call, and the provider does not list it; its "
            "texts go with a later job"
        )
        end_job(job, FailureReason.ABANDONED, error, steps=UNSENT)
        return
    grace = job.context.config.listing_grace
    absence = seen_absent(record.absence, listing.taken)
    found = (
        f"{counted(absence.looks, 'complete listing')} of the provider over "
        f"{absence.seconds:,.0f} s did not show it"
    )
    if absence.looks >= LISTINGS_NEEDED and absence.seconds >= grace:
        error = f"{found}: the create call never arrived"
        end_job(job, FailureReason.NEVER_CREATED, error, steps=[JobStep.CREATING])
        return
    job.move(
        JobStep.CREATING,
        absence=absence.to_json(),
        hold_reason=None,
        error_message=f"{found}. Its texts are freed once {LISTINGS_NEEDED} or more over "
        f"{grace:,.0f} s did not; each flush and each sync makes one",
    )


def note_fault(job: LeasedJob, error: SemanticCoreError) -> None:
    """Record why a job did not move on; a held job keeps the reason it is held for."""
    try:
        record = job.record()
        if record.hold_reason is None and record.error_message != str(error):
            job.move(*JobStep, error_message=str(error))
    except TransitionError as failure:
        # It has ended, and only the answer was lost; or another process has it now.
        _log.info("%s", failure)
    except StorageError as failure:
        # A full disk does not take this either.
        _log.warning(
            "Batch job %s could not be synced (%s), and that could not be recorded: %s",
            job.id,
            error,
            failure,
        )
