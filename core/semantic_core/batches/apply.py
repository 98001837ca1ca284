"""Applying a job's results: by content hash, in bounded transactions, never by position."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from semantic_core.batches.job.bill import Bill
from semantic_core.batches.job.check import passes_check
from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.end import Ending, settle_open
from semantic_core.batches.job.hold import HOLDABLE, hold
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import RemoteNotFoundError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.pages import pages
from semantic_core.domain.statuses import (
    BudgetUse,
    HoldReason,
    ItemState,
    JobStatus,
    JobStep,
    VectorOrigin,
)
from semantic_core.providers.types import RemoteJob, ResultLine
from semantic_core.queue import jobs
from semantic_core.queue.items import (
    Outcome,
    carried_tokens,
    count_open,
    count_states,
    settle_items,
)
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.store.writing.vectors import write_page

_log = logging.getLogger(__name__)

_HASH_BYTES = 32


@dataclass(slots=True)
class Tally:
    """What a result file held, as far as it was read.

    Attributes:
        lines: all of them.
        unknown: of no text that was asked for.
        served: texts with a usable vector.
        failures: texts with a line that gives none; a text can be in both.
        bill: what they cost.
    """

    lines: int = 0
    unknown: int = 0
    served: set[bytes] = field(default_factory=set)
    failures: dict[bytes, ResultLine] = field(default_factory=dict)
    bill: Bill = field(default_factory=Bill)

    @property
    def answered(self) -> int:
        """How many texts the file has a line for."""
        return len(self.served | self.failures.keys())

    @property
    def wrong_size(self) -> int:
        """How many texts have nothing but a vector of another size."""
        return sum(
            line.is_wrong_size for key, line in self.failures.items() if key not in self.served
        )


def apply_results(job: LeasedJob, remote: RemoteJob, ending: Ending | None) -> bool:
    """Download a job's results, store its vectors, settle the rest, complete the job.

    May be interrupted anywhere and run again: a vector that is stored stays as it is, and an
    item that is settled stays settled. Nothing remote is deleted here.

    Args:
        job: the job, under lease.
        remote: as the provider describes it, with a result file.
        ending: how it ended; None if nobody knows: then nothing is sent again.

    Returns:
        Whether the job is completed or held; False where the file decides nothing: it is empty,
        or nobody knows how the job ended and texts of it are still open.

    Raises:
        ProviderError: the download failed; the job stays as it is.
        StorageError: the disk or the database failed; pages already written stay.
        TransitionError: another process took the job over.
    """
    with fetched(job, remote) as path:
        if path is None:
            _miss_results(job)
            return True
        if not passes_check(job, path, [job.spec()]):
            return True
        tally = _store_vectors(job, path)
    doubt = None if ending is None else doubt_of(job, remote, ending, tally)
    if doubt is not None:
        hold_bad(job, doubt)
        return True
    if ending is None:
        with job.context.store.database.snapshot() as connection:
            if count_open(connection, job.id):
                return False
    elif not tally.answered:
        return False
    else:
        _settle_rest(job, tally, ending)
    reach(FailPoint.APPLY_SETTLED)
    complete(job, tally, ending)
    reach(FailPoint.APPLY_RECORDED)
    job.context.store.refresh_indexes()
    return True


@contextmanager
def fetched(job: LeasedJob, remote: RemoteJob) -> Iterator[Path | None]:
    """Give a job's downloaded results, or None if the provider no longer has them.

    Raises:
        ProviderError: the download failed; the job stays as it is.
        StorageError: the disk failed.
        TransitionError: another process took the job over.
    """
    with job.context.workspace.file(job.id, "results") as path:
        try:
            job.context.provider.fetch(remote, path, keep=job.keep)
        except RemoteNotFoundError:
            yield None
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
        yield path


def _store_vectors(job: LeasedJob, path: Path) -> Tally:
    """Store every trusted vector of a file, page by page."""
    tally = Tally()
    for page in pages(job.context.provider.results(path, job.spec())):
        known = _known_keys(job, page)
        arrived: dict[bytes, ArrivedVector] = {}
        for line in page:
            tally.lines += 1
            if (line.key or "") not in known:
                tally.unknown += 1
                continue
            key, estimate = known[line.key or ""]
            tally.bill.add(key, line, estimate=estimate)
            if line.vector is None:
                tally.failures[key] = line
            else:
                arrived[key] = ArrivedVector(
                    content_hash=key,
                    vector=line.vector.tobytes(),
                    token_count=line.token_count,
                )
        _write(job, list(arrived.values()))
        tally.served |= arrived.keys()
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


def _known_keys(job: LeasedJob, page: list[ResultLine]) -> dict[str, tuple[bytes, int]]:
    """Return the keys of a page that this job really sent: nothing else is ever stored.

    Each with the content hash it spells, and the tokens estimated when it was sent.
    """
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
        carried = carried_tokens(connection, job.id, list(asked))
    return {asked[key]: (key, tokens) for key, tokens in carried.items()}


def doubt_of(job: LeasedJob, remote: RemoteJob, ending: Ending, tally: Tally) -> str | None:
    """Return why the file as a whole is not to be trusted, or None.

    Where it is not, nothing is sent again by itself: that could be paid for twice.
    """
    wrong, answered, embedded = tally.wrong_size, tally.answered, tally.bill.texts
    if wrong and (
        wrong == answered or (wrong > 1 and wrong > answered * job.context.config.wrong_size_share)
    ):
        return f"{wrong} of {answered} texts have vectors of another size."
    if not answered and (tally.lines or ending.reason is None):
        return f"none of its {tally.lines} lines belongs to a text that was sent."
    # A line with an error may be counted either way, or not be written at all.
    counted = remote.successful_count + remote.failed_count
    if min(counted - answered, remote.successful_count - embedded) > 0:
        return (
            f"the provider counts {remote.successful_count} embedded texts, the file holds "
            f"{embedded}: it is cut short."
        )
    sent = job.record().request_count
    if ending.reason is None and not counted and answered < sent:
        # A file that lost its end at a line's end looks whole.
        return f"it has results for {answered} of {sent} texts, and the provider counts none."
    return None


def _settle_rest(job: LeasedJob, tally: Tally, ending: Ending) -> None:
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
    settle_open(job, state=ending.item_state, use=ending.use, error=ending.error)


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


def complete(
    job: LeasedJob, tally: Tally, ending: Ending | None, *, stored: int | None = None
) -> None:
    """Record that a job's results are stored, and what they cost.

    Args:
        job: the job, under lease, at step ``fetched``.
        tally: what its file held.
        ending: how it ended.
        stored: vectors taken from a job without items; None to count the items.
    """
    record = job.record()
    said = None
    if ending is not None and ending.reason is not None:
        said = f"{ending.error}; the results that it has are stored"
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
            error_message=said,
            applied_at=job.context.clock.now(),
            done_count=states[ItemState.DONE] if stored is None else stored,
            failed_count=states[ItemState.FAILED] + states[ItemState.MISSING],
            **tally.bill.columns(record, job.context.config.prices),
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
        f"{job.context.provider.limits.result_lifetime / HOUR:.0f} hours). Its texts were billed; "
        "release(batch_id, accept_rebilling=True) sends them again.",
    )


def hold_bad(job: LeasedJob, what: str) -> None:
    """Hold a job whose results are missing or not to be trusted; they are looked at again later."""
    job.move(*HOLDABLE, fetched_at=job.context.clock.now())
    hold(
        job,
        HoldReason.BAD_RESULTS,
        f"{what} They are looked at again later; release(batch_id, accept_rebilling=True) sends "
        "its texts again.",
    )
