"""Submitting a job so that its texts cannot be paid for twice.

Creating a Gemini batch job is not idempotent, and there is no idempotency key. Hence, in this
order: commit the claim; upload; commit ``creating``; send the create call once; commit the
provider's job id. A crash at any point leaves a row that says what may have happened.
"""

from __future__ import annotations

import logging
import sqlite3
import uuid
from dataclasses import dataclass, replace
from itertools import chain

from semantic_core.batches.affording import affordable_tokens, budget_exceeded
from semantic_core.batches.context import BatchContext, LeasedJob, new_token
from semantic_core.batches.ending import end_job
from semantic_core.batches.requesting import requests_of
from semantic_core.errors import (
    ProviderError,
    RateLimitError,
    RemoteNotFoundError,
    SemanticCoreError,
    StorageError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.failpoints import FailPoint, reach
from semantic_core.gemini import InputFile, RemoteJob
from semantic_core.queue.claims import (
    ClaimLimits,
    NewJob,
    Waiting,
    claim,
    select_waiting,
)
from semantic_core.queue.jobs import count_at_provider, rate_limited_until
from semantic_core.spec import EmbeddingSpec
from semantic_core.statuses import FailureReason, JobStatus, JobStep

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushOptions:
    """What one flush may send.

    Attributes:
        collection: only this collection's texts; None for all.
        min_size: nothing below this many distinct texts.
        force: whatever ``min_size`` says.
        max_cost: most that the job may cost, in dollars by estimate; None for no limit.
    """

    collection: str | None = None
    min_size: int = 1
    force: bool = False
    max_cost: float | None = None


def submit_one(context: BatchContext, options: FlushOptions) -> str | None:
    """Claim, upload and create one job; return its id, or None if there is too little to send.

    See ``BatchManager.flush_queue`` for the contract.
    """
    job = _claim(context, options)
    if job is None:
        return None
    try:
        input_file = _upload(job)
        if input_file is None:
            return None
        _record_intent(job, input_file)
        _create(job, input_file)
    finally:
        job.give_back()
    return job.id


def _claim(context: BatchContext, options: FlushOptions) -> LeasedJob | None:
    now = context.clock.now()
    job_id = str(uuid.uuid4())
    token = new_token()
    with context.store.database.transaction() as connection:
        if count_at_provider(connection) >= context.config.max_open_jobs:
            _log.info("Nothing sent: %d jobs are open, the limit.", context.config.max_open_jobs)
            return None
        waiting = _select(connection, context, options, now)
        if waiting is None:
            return None
        if len(waiting.hashes) < options.min_size and not (options.force or waiting.is_full):
            return None
        pause = rate_limited_until(connection, waiting.spec.model, now=now)
        if pause is not None:
            _log.info("Nothing sent: the provider said enough for another %.0f s.", pause - now)
            return None
        reach(FailPoint.CLAIM_SELECTED)
        claim(
            connection,
            waiting,
            NewJob(
                id=job_id,
                display_name=context.prefix + job_id,
                fingerprint=context.fingerprint,
                lease_token=token,
                lease_until=now + context.config.lease,
                created_at=now,
                price=context.config.prices.prices.get(waiting.spec.model),
            ),
        )
    reach(FailPoint.CLAIM_COMMITTED)
    return LeasedJob(context, job_id, token)


def _select(
    connection: sqlite3.Connection, context: BatchContext, options: FlushOptions, now: float
) -> Waiting | None:
    """Return one job's worth of waiting texts, cut to what the budget allows.

    Raises:
        BudgetExceededError: not even the first text can be afforded.
    """
    config = context.config

    def select(limits: ClaimLimits) -> Waiting | None:
        return select_waiting(
            connection,
            collection=options.collection,
            limits=limits,
            budget=config.budget,
            now=now,
        )

    waiting = select(config.limits)
    if waiting is None:
        return None
    tokens = affordable_tokens(
        connection, waiting.spec.model, config=config, max_cost=options.max_cost, now=now
    )
    if tokens is None or waiting.tokens <= tokens:
        return waiting
    waiting = select(replace(config.limits, tokens=tokens))
    # A single text over a limit is still selected: the provider's limit may be softer, money is not.
    if waiting is None or waiting.tokens > tokens:
        raise budget_exceeded(config, options.max_cost)
    return waiting


def _upload(job: LeasedJob) -> InputFile | None:
    """Spool and upload the job's texts; None if nobody wants any of them any more.

    Whatever goes wrong here, an interrupt included, surely cost nothing: the claim is released.
    """
    record = job.record()
    requests = requests_of(job)
    try:
        first = next(requests, None)
        if first is None:
            _abandon(job, "nothing left to send: its texts were changed or deleted meanwhile")
            return None
        with job.context.workspace.file(job.id, "requests") as spool:
            input_file = job.context.client.upload_requests(
                chain([first], requests),
                spec=job.spec(),
                display_name=record.display_name,
                spool=spool,
                on_progress=job.keep,
            )
    except BaseException as error:
        _abandon_if_possible(job, f"the upload did not finish: {_words(error)}")
        raise
    reach(FailPoint.UPLOAD_DONE)
    return input_file


def _record_intent(job: LeasedJob, input_file: InputFile) -> None:
    now = job.context.clock.now()
    job.move(
        JobStep.CLAIMED,
        step=JobStep.UPLOADED,
        input_file=input_file.name,
        request_count=input_file.request_count,
        byte_count=input_file.byte_count,
        uploaded_at=now,
    )
    reach(FailPoint.UPLOAD_RECORDED)
    job.move(JobStep.UPLOADED, step=JobStep.CREATING, creating_at=now)
    reach(FailPoint.CREATE_INTENDED)


def _create(job: LeasedJob, input_file: InputFile) -> None:
    """Send the create call, once. After it, only a definite refusal releases the claim.

    An interrupt passes through and leaves the step ``creating``: sync_status() finds out.
    """
    record = job.record()
    # The last look before money is spent: whoever slept past the lease may find that another
    # process has given up this job and sent its texts in one of its own.
    job.move(JobStep.CREATING, creating_at=job.context.clock.now())
    try:
        remote = job.context.client.create_job(
            input_file, spec=EmbeddingSpec.from_json(record.spec), display_name=record.display_name
        )
    except ProviderError as error:
        if not error.is_definite:
            raise SubmissionUncertainError(
                f"Batch job {job.id} may or may not have reached the provider ({error}). Its "
                "texts stay claimed, so nothing can be billed twice. Call sync_status(): it "
                "adopts the job if the provider lists it, and frees the texts if it never arrived.",
                batch_id=job.id,
            ) from error
        reach(FailPoint.CREATE_REFUSED)
        _refuse(job, error)
        raise
    reach(FailPoint.CREATE_ANSWERED)
    _record_created(job, remote)
    reach(FailPoint.CREATE_RECORDED)


def _record_created(job: LeasedJob, remote: RemoteJob) -> None:
    try:
        job.move(
            JobStep.CREATING,
            step=JobStep.SUBMITTED,
            status=JobStatus.SUBMITTED,
            google_job_id=remote.name,
            provider_state=remote.raw_state,
            submitted_at=job.context.clock.now(),
        )
    except SemanticCoreError as error:
        # The display name leads back to it; the id in the log leads a person there, too.
        _log.error("Batch job %s was created as %s, but not recorded.", job.id, remote.name)
        raise SubmissionUncertainError(
            f"Batch job {job.id} was created as {remote.name}, but that could not be recorded "
            f"({error}). Call sync_status(): it finds the job by its name.",
            batch_id=job.id,
        ) from error


def _refuse(job: LeasedJob, error: ProviderError) -> None:
    not_before = None
    if isinstance(error, RateLimitError):
        wait = error.retry_after or job.context.config.rate_limit_delay
        not_before = job.context.clock.now() + wait
        job.move(JobStep.CREATING, not_before=not_before)
    elif isinstance(error, RemoteNotFoundError):
        # Of a mistyped model, say. These texts wait, or those of no other collection were ever sent.
        not_before = job.context.clock.now() + job.context.config.rate_limit_delay
    end_job(
        job,
        steps=[JobStep.CREATING],
        reason=FailureReason.REFUSED,
        error=str(error),
        not_before=not_before,
    )


def _abandon(job: LeasedJob, error: str) -> None:
    end_job(
        job,
        steps=[JobStep.CLAIMED, JobStep.UPLOADED],
        reason=FailureReason.ABANDONED,
        error=error,
    )


def _abandon_if_possible(job: LeasedJob, error: str) -> None:
    """Release the claim now; where that fails, a later flush_queue() does it."""
    try:
        _abandon(job, error)
    except (StorageError, TransitionError) as failure:
        _log.warning("Batch job %s keeps its claim for now: %s", job.id, failure)


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, SemanticCoreError) else type(error).__name__
