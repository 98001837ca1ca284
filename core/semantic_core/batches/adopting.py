"""Finding jobs that are ours at the provider but unknown here, and taking their results.

It happens after a restored backup or a lost row. Sending their texts again would pay twice, so
nothing is sent while such a job runs: its texts are known only once its results are here.
"""

from __future__ import annotations

import logging
import uuid

from semantic_core.batches.cleaning import remove_spent
from semantic_core.batches.context import BatchContext, LeasedJob
from semantic_core.batches.ending import end_job
from semantic_core.batches.holding import HOLDABLE
from semantic_core.batches.pages import pages
from semantic_core.errors import RemoteNotFoundError
from semantic_core.failpoints import FailPoint, reach
from semantic_core.gemini import (
    RemoteJob,
    RemoteStatus,
    ResultLine,
    find_conflicting_keys,
    read_results,
)
from semantic_core.queue import jobs
from semantic_core.queue.adoption import (
    FoundJob,
    adopt,
    possible_spaces,
    unknown_names,
    wanted_hashes,
)
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.statuses import FailureReason, JobStatus, JobStep, VectorOrigin
from semantic_core.store.vectors import write_page

_log = logging.getLogger(__name__)

_HASH_HEX = 64


def adopt_unknown_jobs(context: BatchContext) -> None:
    """Give a row to every job under this database's prefix that has none.

    Raises:
        ProviderError: the listing failed or was incomplete; nothing was changed.
    """
    # List first: a row is always committed before its job is created, so that a listed job
    # without a row is not one that another process is just submitting.
    listed = context.client.list_jobs(context.prefix)
    found = {
        remote.display_name: remote
        for remote in listed
        if remote.display_name is not None
        and remote.status is not RemoteStatus.FAILED
        and is_ours(context, remote)
    }
    reach(FailPoint.FOUND_LISTED)
    remove_spent(context, listed)
    if not found:
        return
    with context.store.database.snapshot() as connection:
        unknown = unknown_names(connection, found)
    for name in sorted(unknown):
        remote = found[name]
        job = FoundJob(
            id=name.removeprefix(context.prefix),
            display_name=name,
            google_job_id=remote.name,
            model=remote.model or "",
            request_count=remote.request_count,
            provider_state=remote.raw_state,
            fingerprint=context.fingerprint,
            submitted_at=remote.created_at or context.clock.now(),
        )
        with context.store.database.transaction() as connection:
            is_usable = adopt(connection, job, now=context.clock.now())
        reach(FailPoint.FOUND_RECORDED)
        if is_usable:
            _log.warning("Found batch job %s (%s), unknown here until now.", name, remote.name)


def apply_adopted(job: LeasedJob, remote: RemoteJob) -> None:
    """Store the results of an adopted job that chunks here are waiting for; complete it.

    Only keys that a chunk wants are taken. May be interrupted anywhere and run again.

    Raises:
        ProviderError: the download failed; the job stays as it is.
    """
    if remote.result_file is None:
        _give_up(job, "it names no result file")
        return
    with job.context.workspace.file(job.id, "results") as path:
        try:
            job.context.client.retrieve_results(remote, path, on_progress=job.keep)
        except RemoteNotFoundError:
            _give_up(job, "its results are gone")
            return
        conflicting = find_conflicting_keys(path)
        with job.context.store.database.snapshot() as connection:
            spaces = possible_spaces(connection, job.record().model)
        applied = 0
        for space_id, spec in spaces:
            for page in pages(read_results(path, spec=spec)):
                by_key = {
                    bytes.fromhex(line.key): line
                    for line in page
                    if line.key is not None
                    and line.vector is not None
                    and line.key not in conflicting
                    and _is_hash(line.key)
                }
                with job.transaction() as connection:
                    wanted = wanted_hashes(connection, space_id, list(by_key))
                    arrived = [_arrived(key, by_key[key]) for key in sorted(wanted)]
                    write_page(
                        connection,
                        arrived,
                        spec=spec,
                        origin=VectorOrigin.BATCH,
                        job_id=None,
                        now=job.context.clock.now(),
                    )
                    reach(FailPoint.APPLY_PAGE_WRITTEN)
                reach(FailPoint.APPLY_PAGE_COMMITTED)
                applied += len(arrived)
    now = job.context.clock.now()
    with job.transaction() as connection:
        jobs.move(
            connection,
            job.id,
            token=job.token,
            steps=HOLDABLE,
            step=JobStep.APPLIED,
            status=JobStatus.COMPLETED,
            hold_reason=None,
            error_message=None,
            result_file=remote.result_file,
            fetched_at=now,
            applied_at=now,
            done_count=applied,
        )


def _give_up(job: LeasedJob, why: str) -> None:
    end_job(job, steps=HOLDABLE, reason=FailureReason.EXPIRED, error=f"a job found later: {why}")


def _arrived(key: bytes, line: ResultLine) -> ArrivedVector:
    assert line.vector is not None  # noqa: S101  # chosen by the caller
    return ArrivedVector(
        content_hash=key, vector=line.vector.tobytes(), token_count=line.token_count
    )


def is_ours(context: BatchContext, remote: RemoteJob) -> bool:
    """Return whether a listed job bears a name as this database gives them.

    What follows the prefix will name files here, and came from outside.
    """
    text = (remote.display_name or "").removeprefix(context.prefix)
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _is_hash(key: str) -> bool:
    return len(key) == _HASH_HEX and all(letter in "0123456789abcdef" for letter in key)
