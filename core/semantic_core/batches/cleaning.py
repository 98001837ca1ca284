"""Removing what an ended job left at the provider. Never decides anything, never fails a caller."""

from __future__ import annotations

import logging

from semantic_core.batches.context import BatchContext
from semantic_core.errors import ProviderError
from semantic_core.failpoints import FailPoint, reach
from semantic_core.queue.jobs import JobRecord, jobs_to_clean, mark_cleaned

_log = logging.getLogger(__name__)


def clean_up(context: BatchContext) -> None:
    """Remove remote files of jobs that ended: their results are stored, or given up.

    A failure is counted on the job and tried again at the next call, a few times; remote files
    expire by themselves after 48 hours.
    """
    with context.store.database.snapshot() as connection:
        ended = jobs_to_clean(connection, most_tries=context.config.max_cleanup_tries)
    for job_id in ended:
        with context.store.database.snapshot() as connection:
            record = JobRecord.read(connection, job_id)
        if record.fingerprint != context.fingerprint:
            # Another project's key would be told that there is nothing to remove.
            continue
        reach(FailPoint.CLEANUP_STARTED)
        try:
            is_clean = context.client.cleanup(
                job=record.google_job_id,
                files=[name for name in (record.input_file, record.result_file) if name],
            )
        except ProviderError as error:
            _log.info("Removing the remote files of batch job %s failed: %s", job_id, error)
            is_clean = False
        reach(FailPoint.CLEANUP_REMOVED)
        with context.store.database.transaction() as connection:
            mark_cleaned(connection, job_id, now=context.clock.now(), is_clean=is_clean)
        reach(FailPoint.CLEANUP_DONE)
