"""Holding a job: it waits for a person, keeps its claims, and nothing is sent again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from semantic_core.batches.job.absence import Reading, seen_absent
from semantic_core.batches.job.context import LeasedJob
from semantic_core.domain.statuses import HoldReason, JobStep
from semantic_core.queue import jobs
from semantic_core.queue.jobs import JobRecord

_log = logging.getLogger(__name__)

HOLDABLE = (JobStep.CREATING, JobStep.SUBMITTED, JobStep.FETCHED)


def hold(
    job: LeasedJob,
    reason: HoldReason,
    why: str,
    *,
    steps: Sequence[JobStep] | None = HOLDABLE,
) -> None:
    """Hold a job with a reason that ``status`` shows; holding it again changes nothing."""
    record = job.record()
    message = f"held ({reason}): {why}"
    if (record.hold_reason, record.error_message) == (reason, message):
        return
    with job.transaction() as connection:
        jobs.hold_job(
            connection, job.id, token=job.token, steps=steps, reason=reason, error=message
        )
    _log.warning("Batch job %s is %s", job.id, message)


def hold_unreadable(job: LeasedJob, damaged: str) -> None:
    """Hold a job whose row cannot be read; its step may be what is damaged."""
    hold(
        job,
        HoldReason.UNREADABLE,
        f"its row in the database is damaged ({damaged}), so nobody can go on with it. It may have "
        "been billed: its results, if the provider has them, are under the display name of the "
        "job. release(batch_id, accept_rebilling=True) ends it and sends its texts again.",
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
        hold(
            job,
            HoldReason.LOST,
            "the provider no longer knows it. Its texts may have been billed; "
            "release(batch_id, accept_rebilling=True) sends them again.",
        )
