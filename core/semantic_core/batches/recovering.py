"""Taking up a job that an earlier process left between its claim and the provider's answer."""

from __future__ import annotations

import logging

from semantic_core.batches.context import LeasedJob
from semantic_core.batches.ending import end_job
from semantic_core.batches.holding import hold
from semantic_core.errors import ProviderError
from semantic_core.failpoints import FailPoint, reach
from semantic_core.gemini import RemoteJob
from semantic_core.queue.jobs import JobRecord
from semantic_core.statuses import FailureReason, HoldReason, JobStatus, JobStep

_log = logging.getLogger(__name__)

UNSENT = (JobStep.CLAIMED, JobStep.UPLOADED)


def release_unsent(job: LeasedJob) -> None:
    """Release a job whose process died before the create call: nothing can have been sent.

    That its lease could be taken shows that nobody works on it any more.
    """
    end_job(
        job,
        steps=UNSENT,
        reason=FailureReason.ABANDONED,
        error="its process stopped before the create call; its texts go with a later job",
    )


def resolve_uncertain(job: LeasedJob, record: JobRecord) -> bool:
    """Find out whether a job at step ``creating`` reached the provider.

    It is adopted if the provider lists it. It counts as never created only after two complete
    listings without it, ``listing_grace`` apart, both after the call may have been sent; until
    then it keeps its claims, for however long.

    Returns:
        Whether it has a remote job now.

    Raises:
        ProviderError: the listing failed or was incomplete; nothing was changed.
    """
    found = [
        remote
        for remote in job.context.client.find_jobs(record.display_name)
        if remote.model in (None, record.model)
    ]
    reach(FailPoint.CREATE_LISTED)
    if found:
        _adopt(job, found)
        return True
    if record.fingerprint != job.context.fingerprint:
        # Another project's list is empty for sure: it says nothing about this job.
        hold(
            job,
            HoldReason.OTHER_PROJECT,
            "it may have been created with another batch key, and this key does not see it. Use "
            "the key it was flushed with and call sync_status().",
        )
        return False
    now = job.context.clock.now()
    if record.absent_since is None or now < record.absent_since:
        job.move(JobStep.CREATING, absent_since=now)
    elif now - record.absent_since >= job.context.config.listing_grace:
        end_job(
            job,
            steps=[JobStep.CREATING],
            reason=FailureReason.NEVER_CREATED,
            error="the provider does not list it: the create call never arrived",
        )
    return False


def _adopt(job: LeasedJob, found: list[RemoteJob]) -> None:
    """Take over the oldest usable remote job; cancel what else bears the name."""
    ranked = sorted(
        found,
        key=lambda remote: (
            remote.is_barren,
            remote.created_at or 0.0,
            remote.name,
        ),
    )
    chosen, *others = ranked
    job.move(
        JobStep.CREATING,
        step=JobStep.SUBMITTED,
        status=JobStatus.SUBMITTED,
        google_job_id=chosen.name,
        provider_state=chosen.raw_state,
        submitted_at=chosen.created_at or job.context.clock.now(),
        absent_since=None,
        hold_reason=None,
        error_message=None,
    )
    reach(FailPoint.CREATE_ADOPTED)
    for other in others:
        _log.warning(
            "Batch job %s stands twice at the provider: %s is used, %s is cancelled.",
            job.id,
            chosen.name,
            other.name,
        )
        try:
            job.context.client.cancel(other)
        except ProviderError as error:
            _log.warning("Cancelling the duplicate %s failed: %s", other.name, error)
