"""Submitting a job so that its texts cannot be paid for twice.

Creating a batch job is not idempotent, and there is no idempotency key. Hence, in this
order: commit the claim; upload; commit ``creating``; send the create call once; commit the
provider's job id. A crash at any point leaves a row that says what may have happened.
"""

import logging
from dataclasses import replace
from itertools import chain

from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import UNSENT, end_job
from semantic_core.batches.job.requests import lines_of
from semantic_core.batches.job.select import FlushRun, claim_next
from semantic_core.domain.errors import (
    AuthError,
    ProviderError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
    SemanticCoreError,
    StorageError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import FailureReason, JobStatus, JobStep, Obstacle
from semantic_core.providers.types import RemoteJob, Staged
from semantic_core.queue import jobs
from semantic_core.queue.ceilings import (
    Ceiling,
    Load,
    QuotaKey,
    pause_until,
    read_ceiling,
    read_enqueued,
    write_ceiling,
)
from semantic_core.queue.claims import note_passed
from semantic_core.queue.jobs import JobRecord
from semantic_core.views.wording import counted, moment

_log = logging.getLogger(__name__)

_STAYS_CLAIMED = (
    "Its texts stay claimed, so that none is sent again. Call sync_status(): it adopts the job if "
    "the provider lists it, and frees the texts once several complete listings did not show it."
)

_TOO_LATE = (
    "This process was suspended for so long that another one gave the job up. Its texts may have "
    "been sent again: they may be billed twice. Call sync_status(): it takes the job up again if "
    "the provider lists it, uses the results that exist, and cancels what brings nothing."
)

# Refusals of a create call that say nothing about texts of another model.
_OF_ONE_MODEL = (RateLimitError, RemoteNotFoundError, RequestRefusedError)


def submit_one(context: BatchContext, run: FlushRun) -> str | None:
    """Claim, upload and create one job; return its id, or None if there is too little to send.

    A candidate that the provider refuses keeps no other from being sent. Its error is raised if
    nothing else could go, and in the run in any case. See ``BatchManager.flush_queue``.
    """
    refused_before = len(run.refused)
    while (claimed := claim_next(context, run)) is not None:
        job, space_id = claimed
        try:
            staged = _upload(job)
            if staged is None:
                continue
            _record_intent(job, staged)
            try:
                _create(job, staged)
            except _OF_ONE_MODEL as error:
                run.refused[space_id] = error
            else:
                for told in list(run.refused.values())[refused_before:]:
                    _log.warning("Texts of another model were refused: %s", told)
                return job.id
        finally:
            job.give_back()
    if refused := list(run.refused.values())[refused_before:]:
        raise refused[0]
    if run.over_budget:
        raise run.over_budget[0]
    return None


def _upload(job: LeasedJob) -> Staged | None:
    """Spool and upload the job's texts; None if nobody wants any of them any more.

    Whatever goes wrong here, an interrupt included, surely cost nothing: the claim is released.
    """
    record = job.record()
    lines = lines_of(job)
    try:
        first = next(lines, None)
        if first is None:
            why = "nothing left to send: its texts were changed or deleted meanwhile"
            end_job(job, FailureReason.ABANDONED, why, steps=UNSENT)
            return None
        with job.context.workspace.file(job.id, "requests") as spool:
            staged = job.context.provider.stage(
                chain([first], lines), name=record.display_name, spool=spool, keep=job.keep
            )
    except BaseException as error:
        _abandon_if_possible(job, error)
        raise
    reach(FailPoint.UPLOAD_DONE)
    return staged


def _record_intent(job: LeasedJob, staged: Staged) -> None:
    now = job.context.clock.now()
    job.move(
        JobStep.CLAIMED,
        step=JobStep.UPLOADED,
        input_file=staged.name,
        request_count=staged.request_count,
        byte_count=staged.byte_count,
        uploaded_at=now,
    )
    reach(FailPoint.UPLOAD_RECORDED)
    job.move(JobStep.UPLOADED, step=JobStep.CREATING, creating_at=now)
    reach(FailPoint.CREATE_INTENDED)


def _create(job: LeasedJob, staged: Staged) -> None:
    """Send the create call, once. After it, only a definite refusal releases the claim.

    An interrupt passes through and leaves the step ``creating``: sync_status() finds out.
    """
    record = job.record()
    # The last check before money is spent: a process that slept past its lease may find that another
    # process has given up this job and sent its texts in one of its own.
    job.move(JobStep.CREATING, creating_at=job.context.clock.now())
    try:
        spec = EmbeddingSpec.from_json(record.spec)
        remote = job.context.provider.create(staged, spec=spec, name=record.display_name)
    except ProviderError as error:
        if not error.is_definite:
            raise SubmissionUncertainError(
                f"Batch job {job.id} may or may not have reached the provider ({error}). "
                + (_TOO_LATE if _was_given_up(job) else _STAYS_CLAIMED),
                batch_id=job.id,
            ) from error
        reach(FailPoint.CREATE_REFUSED)
        if isinstance(error, RateLimitError):
            raise _refuse_for_now(job, error) from error
        _refuse(job, error)
        raise
    reach(FailPoint.CREATE_ANSWERED)
    _record_created(job, remote)
    reach(FailPoint.CREATE_RECORDED)


def _record_created(job: LeasedJob, remote: RemoteJob) -> None:
    context, now = job.context, job.context.clock.now()
    try:
        with job.transaction() as connection:
            jobs.move(
                connection,
                job.id,
                token=job.token,
                steps=[JobStep.CREATING],
                step=JobStep.SUBMITTED,
                status=JobStatus.SUBMITTED,
                google_job_id=remote.name,
                provider_state=remote.raw_state,
                submitted_at=now,
            )
            key = _quota_key(JobRecord.read(connection, job.id))
            bounds = context.config.ceiling_bounds
            ceiling = read_ceiling(connection, key, bounds=bounds, now=now)
            raised = ceiling.raised(read_enqueued(connection, key), bounds.most)
            write_ceiling(connection, key, raised, now=now)
    except SemanticCoreError as error:
        # The display name leads back to it; the id in the log leads a person there, too.
        _log.error("Batch job %s was created as %s, but not recorded.", job.id, remote.name)
        raise SubmissionUncertainError(
            f"Batch job {job.id} was created as {remote.name}, but that could not be recorded "
            f"({error}). "
            + (_TOO_LATE if _was_given_up(job) else "Call sync_status(): it finds it by its name."),
            batch_id=job.id,
        ) from error


def _refuse_for_now(job: LeasedJob, error: RateLimitError) -> RateLimitError:
    """Lower what may be enqueued, end the job, and return the error that says what comes next.

    While other jobs are open it is the end of one of them that makes room, whatever time the
    provider names; where none is, the job itself was too large, or came too soon.
    """
    context, now = job.context, job.context.clock.now()
    with job.transaction() as connection:
        record = JobRecord.read(connection, job.id)
        key = _quota_key(record)
        bounds = context.config.ceiling_bounds
        enqueued = read_enqueued(connection, key, beside=job.id)
        refused = Load(jobs=1, requests=record.request_count, tokens=record.estimated_tokens)
        wait = error.retry_after
        if wait is None:
            wait = 0.0 if enqueued.jobs else context.config.rate_limit_delay
        lowered = read_ceiling(connection, key, bounds=bounds, now=now).lowered(
            refused, enqueued, not_before=pause_until(now, wait)
        )
        message = f"{error} {_what_next(refused, enqueued, lowered, now=now)}"
        write_ceiling(connection, key, replace(lowered, message=message), now=now)
        note_passed(connection, record.space_id, Obstacle.LATER, message, now=now)
    end_job(job, FailureReason.REFUSED, message, steps=[JobStep.CREATING])
    return RateLimitError(
        message, code=error.code, status=error.status, retry_after=error.retry_after
    )


def _what_next(refused: Load, enqueued: Load, lowered: Ceiling, *, now: float) -> str:
    beside = when = ""
    if enqueued.jobs:
        beside = f" beside {counted(enqueued.jobs, 'open job')} of about {enqueued.tokens:,}"
        when = ", once one of the open jobs has ended"
    if lowered.not_before is not None and lowered.not_before > now:
        when += f"{' and' if when else ','} from {moment(lowered.not_before)} on"
    return (
        f"Refused: {counted(refused.requests, 'text')} of about "
        f"{counted(refused.tokens, 'token')}{beside}. "
        f"Next: with what is open at most {lowered.tokens:,} tokens and "
        f"{counted(lowered.requests, 'text')}{when or ', with the next flush'}. The most is set by "
        "BatchConfig.max_tokens, max_requests and max_open_jobs."
    )


def _quota_key(record: JobRecord) -> QuotaKey:
    return QuotaKey(fingerprint=record.fingerprint, model=record.model)


def _was_given_up(job: LeasedJob) -> bool:
    """Return whether another process ended the job meanwhile, since the provider did not list it."""
    try:
        return job.record().status is JobStatus.FAILED
    except StorageError:
        return False


def _refuse(job: LeasedJob, error: ProviderError) -> None:
    _note_refusal(job, error)
    not_before = None
    if isinstance(error, RemoteNotFoundError):
        # Of a mistyped model, say: asking again soon is of no use.
        not_before = job.context.clock.now() + job.context.config.rate_limit_delay
    steps = [JobStep.CREATING]
    end_job(job, FailureReason.REFUSED, str(error), steps=steps, not_before=not_before)


def _note_refusal(job: LeasedJob, error: ProviderError) -> None:
    """Note why these texts are not sent; a flush that looks at them again takes it back."""
    with job.transaction() as connection:
        space_id = JobRecord.read(connection, job.id).space_id
        now = job.context.clock.now()
        note_passed(connection, space_id, Obstacle.REFUSAL, str(error), now=now)


def _abandon_if_possible(job: LeasedJob, error: BaseException) -> None:
    """Release the claim now; where that fails, a later flush_queue() does it."""
    reason = str(error) if isinstance(error, SemanticCoreError) else type(error).__name__
    try:
        if isinstance(error, AuthError | RequestRefusedError):
            _note_refusal(job, error)
        why = f"the upload did not finish: {reason}"
        end_job(job, FailureReason.ABANDONED, why, steps=UNSENT)
    except (StorageError, TransitionError) as failure:
        _log.warning("Batch job %s keeps its claim for now: %s", job.id, failure)
