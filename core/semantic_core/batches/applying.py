"""Applying a job's results: by content hash, in bounded transactions, never by position."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from semantic_core.batches.context import LeasedJob
from semantic_core.batches.ending import settle_open
from semantic_core.batches.holding import HOLDABLE, hold
from semantic_core.batches.pages import pages
from semantic_core.errors import RemoteNotFoundError
from semantic_core.failpoints import FailPoint, reach
from semantic_core.gemini import (
    RemoteJob,
    RemoteState,
    ResultLine,
    find_conflicting_keys,
    read_results,
)
from semantic_core.limits import GEMINI_LIMITS, HOUR
from semantic_core.queue import jobs
from semantic_core.queue.items import Outcome, carried_hashes, count_states, settle_items
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.statuses import (
    BudgetUse,
    HoldReason,
    ItemState,
    JobStatus,
    JobStep,
    VectorOrigin,
)
from semantic_core.store.vectors import write_page

_log = logging.getLogger(__name__)

_HASH_BYTES = 32


@dataclass(slots=True)
class _Tally:
    """What a result file held, as far as it was read."""

    lines: int = 0
    applied: int = 0
    unknown: int = 0
    wrong_size: int = 0
    tokens: int = 0
    is_token_count_known: bool = False
    failures: dict[bytes, ResultLine] = field(default_factory=dict)


def apply_results(job: LeasedJob, remote: RemoteJob) -> None:
    """Download a finished job's results, store its vectors, settle the rest, complete the job.

    May be interrupted anywhere and run again: a vector that is stored stays as it is, and an
    item that is settled stays settled. Nothing remote is deleted here.

    Raises:
        ProviderError: the download failed; the job stays as it is.
        StorageError: the disk or the database failed; pages already written stay.
        TransitionError: another process took the job over.
    """
    if remote.result_file is None:
        _hold_bad(job, "the provider calls it finished but names no result file.")
        return
    with job.context.workspace.file(job.id, "results") as path:
        try:
            job.context.client.retrieve_results(remote, path, on_progress=job.keep)
        except RemoteNotFoundError:
            _miss_results(job)
            return
        reach(FailPoint.DOWNLOAD_DONE)
        job.move(
            *HOLDABLE,
            step=JobStep.FETCHED,
            status=JobStatus.PROCESSING,
            result_file=remote.result_file,
            fetched_at=job.context.clock.now(),
        )
        reach(FailPoint.DOWNLOAD_RECORDED)
        tally = _store_vectors(job, path)
    doubt = _doubt(job, remote, tally)
    if doubt is not None:
        _hold_bad(job, doubt)
        return
    _settle_rest(job, tally)
    reach(FailPoint.APPLY_SETTLED)
    _complete(job, tally)
    reach(FailPoint.APPLY_RECORDED)
    job.context.store.refresh_indexes()


def _store_vectors(job: LeasedJob, path: Path) -> _Tally:
    """Store every trusted vector of a file, page by page."""
    tally = _Tally()
    conflicting = find_conflicting_keys(path)
    if conflicting:
        _log.warning(
            "Batch job %s has %d texts with two different results; neither is used.",
            job.id,
            len(conflicting),
        )
    for page in pages(read_results(path, spec=job.spec())):
        known = _known_keys(job, page)
        arrived: dict[bytes, ArrivedVector] = {}
        for line in page:
            tally.lines += 1
            tally.wrong_size += line.is_wrong_size
            key = known.get(line.key or "")
            if key is None:
                tally.unknown += 1
            elif line.key in conflicting:
                tally.failures[key] = ResultLine(
                    key=line.key, error="two different vectors came back", is_transient=True
                )
            elif line.vector is None:
                tally.failures[key] = line
            else:
                arrived[key] = ArrivedVector(
                    content_hash=key,
                    vector=line.vector.tobytes(),
                    token_count=line.token_count,
                )
                if line.token_count is not None:
                    tally.is_token_count_known = True
                    tally.tokens += line.token_count
        _write(job, list(arrived.values()))
        tally.applied += len(arrived)
    # A text with a good line and a bad one is served by the good one.
    return tally


def _write(job: LeasedJob, arrived: list[ArrivedVector]) -> None:
    context = job.context
    with job.transaction() as connection:
        write_page(
            connection,
            arrived,
            spec=job.spec(),
            origin=VectorOrigin.BATCH,
            job_id=job.id,
            now=context.clock.now(),
        )
        reach(FailPoint.APPLY_PAGE_WRITTEN)
    reach(FailPoint.APPLY_PAGE_COMMITTED)


def _known_keys(job: LeasedJob, page: list[ResultLine]) -> dict[str, bytes]:
    """Return the keys of a page that this job really sent: nothing else is ever stored."""
    asked = {}
    for line in page:
        if line.key is None:
            continue
        try:
            key = bytes.fromhex(line.key)
        except ValueError:
            continue
        if len(key) == _HASH_BYTES:
            asked[key] = line.key
    with job.context.store.database.snapshot() as connection:
        return {asked[key]: key for key in carried_hashes(connection, job.id, list(asked))}


def _doubt(job: LeasedJob, remote: RemoteJob, tally: _Tally) -> str | None:
    """Return why the file as a whole is not to be trusted, or None.

    Where it is not, nothing is sent again by itself: that could be paid for twice.
    """
    config = job.context.config
    if tally.wrong_size and (
        tally.wrong_size == tally.lines
        or (tally.wrong_size > 1 and tally.wrong_size > tally.lines * config.wrong_size_share)
    ):
        return f"{tally.wrong_size} of {tally.lines} lines have vectors of another size."
    if not tally.applied and not tally.failures:
        return f"none of its {tally.lines} lines belongs to a text that was sent."
    missing = remote.successful_count - tally.applied - len(tally.failures)
    if remote.state is RemoteState.SUCCEEDED and missing > 0:
        return (
            f"the provider counts {remote.successful_count} embedded texts, the file holds "
            f"{tally.applied}: it is cut short."
        )
    sent = job.record().request_count
    is_counted = remote.successful_count or remote.failed_count
    if remote.state is RemoteState.SUCCEEDED and not is_counted and tally.lines < sent:
        # A file that lost its end at a line's end looks whole.
        return f"it has {tally.lines} lines for {sent} texts, and the provider counts none of them."
    return None


def _settle_rest(job: LeasedJob, tally: _Tally) -> None:
    context = job.context
    for page in pages(tally.failures.items()):
        now = context.clock.now()
        with job.transaction() as connection:
            settle_items(
                connection,
                job.id,
                [_outcome(key, line, now, context.config.rate_limit_delay) for key, line in page],
                budget=context.config.budget,
                now=now,
            )
    settle_open(
        job,
        state=ItemState.MISSING,
        use=BudgetUse.ATTEMPT,
        error="the result has no usable line for this text",
    )


def _outcome(key: bytes, line: ResultLine, now: float, quota_delay: float) -> Outcome:
    use, not_before = BudgetUse.EVERYTHING, None
    if line.is_quota:
        # The provider had no room; that says nothing about the text.
        use, not_before = BudgetUse.NOTHING, now + quota_delay
    elif line.is_transient:
        use = BudgetUse.ATTEMPT
    return Outcome(
        content_hash=key,
        state=ItemState.FAILED,
        use=use,
        error=line.error,
        not_before=not_before,
    )


def _complete(job: LeasedJob, tally: _Tally) -> None:
    record = job.record()
    tokens = tally.tokens if tally.is_token_count_known else None
    cost = None if tokens is None else job.context.config.prices.cost(record.model, tokens)
    with job.transaction() as connection:
        states = Counter(count_states(connection, job.id))
        jobs.move(
            connection,
            job.id,
            token=job.token,
            steps=[JobStep.FETCHED],
            step=JobStep.APPLIED,
            status=JobStatus.COMPLETED,
            hold_reason=None,
            error_message=None,
            applied_at=job.context.clock.now(),
            done_count=states[ItemState.DONE],
            failed_count=states[ItemState.FAILED] + states[ItemState.MISSING],
            token_count=tokens,
            cost_usd=None if cost is None else cost.batch_usd,
        )
    if tally.unknown:
        _log.warning(
            "Batch job %s: %d result lines belong to no text of it and were ignored.",
            job.id,
            tally.unknown,
        )


def _miss_results(job: LeasedJob) -> None:
    # Not another project's key: it saw the job just now.
    hold(
        job,
        HoldReason.RESULT_EXPIRED,
        "the provider no longer has its results (it keeps them for "
        f"{GEMINI_LIMITS.result_lifetime / HOUR:.0f} hours). Its texts were billed; "
        "release(batch_id, accept_rebilling=True) sends them again.",
    )


def _hold_bad(job: LeasedJob, what: str) -> None:
    job.move(*HOLDABLE, fetched_at=job.context.clock.now())
    hold(
        job,
        HoldReason.BAD_RESULTS,
        f"{what} They are looked at again later; release(batch_id, accept_rebilling=True) sends "
        "its texts again.",
    )
