"""Finding jobs that are ours at the provider but unknown here, and taking their results.

It happens after a restored backup or a lost row. Sending their texts again would pay twice, so
nothing is sent while such a job runs: its texts are known only once its results are here.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from semantic_core.batches.apply import Tally, complete, doubt_of, fetched, hold_bad
from semantic_core.batches.clean import remove_spent
from semantic_core.batches.job.check import is_hash, passes_check
from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.batches.job.end import Ending, end_job
from semantic_core.batches.job.hold import HOLDABLE
from semantic_core.batches.job.listing import Listing, found_job
from semantic_core.database.port import Connection
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.pages import pages
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import FailureReason, VectorOrigin
from semantic_core.providers.types import RemoteJob, ResultLine
from semantic_core.queue.adoption import (
    adopt,
    possible_spaces,
    unknown_names,
    wanted_hashes,
)
from semantic_core.queue.costs import token_guesser
from semantic_core.queue.items import fail_chunks
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.store.writing.vectors import write_page

_log = logging.getLogger(__name__)


def adopt_unknown_jobs(context: BatchContext, listing: Listing) -> None:
    """Give a row to every job under this database's prefix that has none.

    The rows are read after the listing: one is always committed before its job is created, so
    that a listed job without a row is not one that another process is just submitting.
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
        remote = found[name]
        job_id = name.removeprefix(context.prefix)
        job = found_job(context, remote, job_id=job_id, display_name=name)
        with context.store.database.transaction() as connection:
            is_adopted = adopt(
                connection, job, prices=context.config.prices.prices, now=context.clock.now()
            )
        reach(FailPoint.FOUND_RECORDED)
        if is_adopted:
            _log.warning("Found batch job %s (%s), unknown here until now.", name, remote.name)


def apply_adopted(job: LeasedJob, remote: RemoteJob, ending: Ending | None) -> bool:
    """Store the results of an adopted job that chunks here are waiting for; complete it.

    Only keys that a chunk wants are taken. May be interrupted anywhere and run again. See
    `apply_results` for the arguments, what is returned and what is raised; where nobody knows how
    the job ended, it is not completed, since nobody knows its texts.
    """
    with fetched(job, remote) as path:
        if path is None:
            end_job(
                job,
                steps=HOLDABLE,
                reason=FailureReason.EXPIRED,
                error="a job found later: its results are gone",
            )
            return True
        with job.context.store.database.snapshot() as connection:
            spaces = possible_spaces(connection, remote.model or job.record().model)
        if not passes_check(job, path, [spec for _, spec in spaces]):
            return True
        tally, stored = _store_wanted(job, path, spaces)
    doubt = None if ending is None else doubt_of(job, remote, ending, tally)
    if doubt is not None:
        hold_bad(job, doubt)
        return True
    if ending is None or not tally.answered:
        return False
    complete(job, tally, ending, stored=stored)
    return True


def _store_wanted(
    job: LeasedJob, path: Path, spaces: Sequence[tuple[int, EmbeddingSpec]]
) -> tuple[Tally, int]:
    """Store the vectors of a file that chunks want; return what it held, and how many were stored."""
    tally, stored = Tally(), 0
    database = job.context.store.database
    for space_id, spec in spaces:
        tally.lines = 0
        for page in pages(job.context.provider.results(path, spec)):
            tally.lines += len(page)
            lines = {bytes.fromhex(line.key): line for line in page if is_hash(line.key)}
            usable = {
                key: _arrived(key, line) for key, line in lines.items() if line.vector is not None
            }
            with database.snapshot() as connection:
                estimate = token_guesser(
                    connection,
                    space_id,
                    spec,
                    [key for key, line in lines.items() if line.token_count is None],
                )
            for key, line in lines.items():
                tally.bill.add(key, line, estimate=estimate(key))
                if key not in usable:
                    tally.failures[key] = line
            tally.served |= usable.keys()
            with job.transaction() as connection:
                wanted = wanted_hashes(connection, space_id, list(usable))
                arrived = [usable[key] for key in sorted(wanted)]
                write_page(
                    connection,
                    arrived,
                    spec=spec,
                    origin=VectorOrigin.BATCH,
                    job_id=None,
                    now=job.context.clock.now(),
                )
                _fail_too_long(connection, space_id, lines, now=job.context.clock.now())
                reach(FailPoint.APPLY_PAGE_WRITTEN)
            reach(FailPoint.APPLY_PAGE_COMMITTED)
            stored += len(arrived)
    return tally, stored


def _fail_too_long(
    connection: Connection, space_id: int, lines: Mapping[bytes, ResultLine], *, now: float
) -> None:
    """Let no text go again that its model did not take whole."""
    found = {key: line.error for key, line in lines.items() if line.is_too_long}
    wanted = wanted_hashes(connection, space_id, list(found))
    fail_chunks(connection, {key: str(found[key]) for key in sorted(wanted)}, now=now)


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
