"""Jobs at the provider that are ours, and that no row here counts on.

Either a row is lacking, after a restored backup, say: it gets one. Or its row was given up in the
belief that the job was never created: that is taken back. Sending their texts again would pay twice.
"""

import logging
import uuid

from semantic_core.batches.clean import remove_spent
from semantic_core.batches.job.context import BatchContext
from semantic_core.batches.job.listing import Listing
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.providers.types import RemoteJob, RemoteState
from semantic_core.queue.adoption import (
    adopt,
    believed_absent,
    hand_over,
    lacks_vectors,
    reopen,
    rivals,
    unknown_names,
)

_log = logging.getLogger(__name__)


def adopt_unknown_jobs(context: BatchContext, listing: Listing) -> None:
    """Give a row to every job under this database's prefix that has none.

    The rows are read after the listing: one is always committed before its job is created, so
    that a listed job without a row is not one that another process is just submitting.
    Nothing is sent while such a job runs: its texts are known only once its results are here.
    """
    found = {
        remote.display_name: remote
        for remote in listing.jobs
        if remote.display_name is not None and not remote.is_barren and is_ours(context, remote)
    }
    remove_spent(context, listing.jobs)
    if not found:
        return
    with context.store.database.snapshot() as connection:
        unknown = unknown_names(connection, found)
    for name in sorted(unknown):
        with context.store.database.transaction() as connection:
            is_adopted = adopt(
                connection,
                found[name],
                job_id=name.removeprefix(context.prefix),
                provider=context.provider.name,
                fingerprint=context.fingerprint,
                prices=context.config.prices,
                now=context.clock.now(),
            )
        reach(FailPoint.FOUND_RECORDED)
        if is_adopted:
            _log.warning("Found batch job %s (%s), unknown here until now.", name, found[name].name)


def is_ours(context: BatchContext, remote: RemoteJob) -> bool:
    """Return whether a listed job has a name as this database gives them.

    What follows the prefix will name files here, and came from outside.
    """
    text = (remote.display_name or "").removeprefix(context.prefix)
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def reopen_late_jobs(context: BatchContext, listing: Listing) -> None:
    """Reopen every ended job without a remote one that the listing shows, and share its texts.

    Its results are used as those of any other job. Where its texts were sent again meanwhile,
    existing results are used first; of two jobs that both run, the older brings the texts.
    Whatever brings nothing any more is cancelled when it is polled.
    """
    with context.store.database.snapshot() as connection:
        rows = believed_absent(
            connection,
            [job.display_name for job in listing.jobs if job.display_name is not None],
            [job.input_file for job in listing.jobs if job.input_file is not None],
        )
    for job_id, name, input_file in rows:
        found = listing.find(name, input_file)
        if found and not found[0].is_barren:
            _reopen(context, job_id, found[0], listing)


def _reopen(context: BatchContext, job_id: str, remote: RemoteJob, listing: Listing) -> None:
    now = context.clock.now()
    lifetime = context.provider.limits.result_lifetime
    is_spent = remote.ended_at is not None and now - remote.ended_at > lifetime
    listed = {job.name: job for job in listing.jobs}
    with context.store.database.transaction() as connection:
        # These results are gone and not needed: a request for them would fail.
        if is_spent and not lacks_vectors(connection, job_id):
            return
        if not reopen(connection, job_id, remote, fingerprint=context.fingerprint, now=now):
            return
        # At once: a job that carries nothing is cancelled by the next poll.
        for other_id, other_name in rivals(connection, job_id):
            other = None if other_name is None else listed.get(other_name)
            if (other is not None or other_name is None) and _is_first(remote, other):
                hand_over(connection, other_id, job_id)
    reach(FailPoint.LATE_REOPENED)
    _log.warning(
        "Batch job %s was given up, and the provider lists it now (%s, %s). Its results are used. "
        "Texts of it that were sent again meanwhile may be billed twice; a job that brings nothing "
        "any more is cancelled.",
        job_id,
        remote.name,
        remote.raw_state,
    )


def _is_first(late: RemoteJob, other: RemoteJob | None) -> bool:
    """Return whether of two jobs for one text the late one brings it; neither has results then.

    Existing results need no decision: once stored, they settle the text in either job.
    """
    if _has_results(late) or (other is not None and _has_results(other)):
        return False
    # Of one that is not listed nobody knows yet whether it exists.
    if other is None or other.is_barren:
        return True
    return (late.created_at or 0.0) <= (other.created_at or 0.0)


def _has_results(job: RemoteJob) -> bool:
    return job.state is RemoteState.SUCCEEDED or job.result_file is not None
