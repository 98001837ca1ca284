"""Removing what an ended job left at the provider. Never decides anything, never fails a caller.

The texts go as soon as their job has ended. The finished job itself and its results stay for as
long as the provider keeps results: an older copy of the database that is restored takes the
vectors from there, instead of paying for them again.
"""

import logging
from collections.abc import Iterable

from semantic_core.batches.job.context import BatchContext
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import JobStatus
from semantic_core.providers.types import RemoteJob
from semantic_core.queue.jobs import JobRecord, ended_names, jobs_to_clean, mark_cleaned

_log = logging.getLogger(__name__)

# So that the first listing after a long time does not take long.
_MOST_REMOVED = 20


def clean_up(context: BatchContext) -> None:
    """Remove remote files of jobs that ended: their results are stored, or given up.

    A failure is counted on the job and tried again at the next call, a few times; remote files
    expire by themselves after 48 hours.
    """
    with context.store.database.snapshot() as connection:
        job_ids = jobs_to_clean(connection, most_tries=context.config.max_cleanup_tries)
        ended = [JobRecord.read(connection, job_id) for job_id in job_ids]
    for record in ended:
        is_elsewhere = record.provider != context.provider.name
        if is_elsewhere or record.fingerprint != context.fingerprint:
            # Another project's key would be told that there is nothing to remove.
            continue
        reach(FailPoint.CLEANUP_STARTED)
        has_results = record.status is JobStatus.COMPLETED
        try:
            is_clean = context.provider.remove(
                job=None if has_results else record.google_job_id,
                files=[record.input_file] if record.input_file else [],
            )
        except InvalidInputError as error:
            # What its row names is no name at the provider, and one such row stops no other.
            _log.warning("What batch job %s left at the provider stays there: %s", record.id, error)
            is_clean = False
        reach(FailPoint.CLEANUP_REMOVED)
        with context.store.database.transaction() as connection:
            mark_cleaned(connection, record.id, now=context.clock.now(), is_clean=is_clean)
        reach(FailPoint.CLEANUP_DONE)


def remove_spent(context: BatchContext, listed: Iterable[RemoteJob]) -> None:
    """Remove jobs that ended here too and whose results are gone, a few at a time.

    They can bring nothing any more, to no copy of this database.
    """
    gone = context.clock.now() - context.provider.limits.result_lifetime
    spent = {
        remote.display_name: remote.name
        for remote in listed
        if remote.display_name is not None
        and remote.ended_at is not None
        and remote.ended_at < gone
    }
    with context.store.database.snapshot() as connection:
        ended = sorted(ended_names(connection, spent))
    for name in ended[:_MOST_REMOVED]:
        if not context.provider.remove(job=spent[name]):
            # The provider has trouble: the next listing goes on.
            return
