"""Moving one job on, whatever step an earlier process left it at."""

import logging
from collections.abc import Mapping

from semantic_core.batches.clean import clean_up
from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import hold_unreadable
from semantic_core.batches.job.poll import poll
from semantic_core.batches.recover import is_undecided, note_fault, recover
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    ProviderError,
    SemanticCoreError,
    StorageError,
    TransitionError,
)
from semantic_core.domain.statuses import JobStatus
from semantic_core.queue import jobs
from semantic_core.queue.adoption import open_adopted
from semantic_core.queue.job_rows import name_again
from semantic_core.queue.jobs import JobRecord
from semantic_core.queue.stats import is_expiring

_log = logging.getLogger(__name__)

_Fault = ProviderError | StorageError


def sync_database(context: BatchContext) -> dict[str, JobStatus]:
    """Recover, poll, apply and clean up; see ``BatchManager.sync_status`` for the contract."""
    database = context.store.database
    unlisted: _Fault | None = None
    with database.snapshot() as connection:
        is_damaged = any("id" in job.unreadable for job in jobs.list_jobs(connection))
    if is_damaged:
        # So that the job is worked on and ended like any other.
        with database.transaction() as connection:
            name_again(connection)
    with database.snapshot() as connection:
        before = jobs.open_ids(connection)
    try:
        recover(context)
    except (ProviderError, StorageError) as error:
        # What is known can still be polled; what is not known is looked for the next time.
        unlisted = error
    # Oldest first: a job that came to light again may settle what a younger one carries.
    with database.snapshot() as connection:
        after = jobs.open_ids(connection)
    open_ids = [job_id for job_id in before if job_id not in after] + after
    faults: dict[str, _Fault] = {}
    try:
        for job_id in open_ids:
            if fault := _sync_one(context, job_id, unlisted=unlisted):
                faults[job_id] = fault
        clean_up(context)
        _warn_of_expiring(context)
    except Exception:
        # Not for an interrupt, which no fault may take the place of.
        _report(faults, len(open_ids), unlisted)
        raise
    _report(faults, len(open_ids), unlisted)
    with database.snapshot() as connection:
        return {job_id: JobRecord.read(connection, job_id).status for job_id in open_ids}


def _report(faults: Mapping[str, _Fault], open_jobs: int, unlisted: _Fault | None) -> None:
    """Log each fault, or raise what stopped all of the work: once, whatever else went wrong."""
    common = unlisted
    if open_jobs:
        is_common = len(faults) == open_jobs and len(set(map(type, faults.values()))) == 1
        common = next(iter(faults.values())) if is_common else None
    if unlisted is not None and type(unlisted) is not type(common):
        _log.warning("The provider's jobs could not be listed: %s", unlisted)
    if common is not None:
        raise common
    for job_id, fault in faults.items():
        _warn(job_id, fault)


def _sync_one(
    context: BatchContext, job_id: str, *, unlisted: _Fault | None = None
) -> _Fault | None:
    """Move one job on; return the fault of the provider or the disk that stopped it, if any.

    A fault is recorded on the job. A job that another process works on is left to it.
    """
    try:
        with LeasedJob.take(context, job_id) as job:
            if job is None:
                return None
            try:
                record = job.record()
                _advance(job, record)
                if is_undecided(record):
                    return unlisted
            except TransitionError:
                raise
            except SemanticCoreError as error:
                if isinstance(error, DatabaseCorruptError) and error.broken_rule is not None:
                    # No step of ours breaks a rule of the table: its row contradicts itself.
                    hold_unreadable(job, error.broken_rule)
                    return None
                note_fault(job, error)
                if isinstance(error, _Fault):
                    return error
                _warn(job_id, error)
    except TransitionError as error:
        # Another process has it now, and does what this one would have done.
        _log.info("%s", error)
    return None


def sync_adopted(context: BatchContext) -> int:
    """Move on the jobs whose texts nobody knows; return how many of them still run."""
    with context.store.database.snapshot() as connection:
        adopted = open_adopted(connection)
    for job_id in adopted:
        if fault := _sync_one(context, job_id):
            _warn(job_id, fault)
    with context.store.database.snapshot() as connection:
        still_open = len(open_adopted(connection))
    if still_open:
        _log.warning(
            "Nothing sent: %d jobs were found at the provider whose texts are not known before "
            "their results are here. sync_status() takes them; a job whose results look wrong is "
            "held until they are whole, or until it is released.",
            still_open,
        )
    return still_open


def _warn_of_expiring(context: BatchContext) -> None:
    now = context.clock.now()
    with context.store.database.snapshot() as connection:
        open_jobs = jobs.list_jobs(connection, only_open=True)
    for job in open_jobs:
        if is_expiring(job, now) and job.finished_at is not None:
            _log.warning(
                "The results of batch job %s are %.0f hours old and not stored here; the provider "
                "keeps them for %.0f. %s",
                job.id,
                (now - job.finished_at) / HOUR,
                context.provider.limits.result_lifetime / HOUR,
                job.error_message or "",
            )


def _advance(job: LeasedJob, record: JobRecord) -> None:
    if not record.is_open:
        return
    if job.is_elsewhere(record):
        return
    if damaged := job.trouble(record):
        hold_unreadable(job, damaged)
    elif not is_undecided(record):
        poll(job, record)


def _warn(job_id: str, error: SemanticCoreError) -> None:
    _log.warning("Batch job %s could not be synced: %s", job_id, error)
