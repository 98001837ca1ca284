"""Applying a job's results: by content hash, in bounded transactions, never by position."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from semantic_core.batches.job.check import key_of, passes_check
from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.end import HOLDABLE, Ending, end_job, hold, hold_bad, settle_open
from semantic_core.batches.job.tally import Tally
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import RemoteNotFoundError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.pages import pages
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import (
    BudgetUse,
    FailureReason,
    HoldReason,
    ItemState,
    JobStatus,
    JobStep,
    VectorOrigin,
)
from semantic_core.providers.facts import takes_media
from semantic_core.providers.types import RemoteJob, ResultLine
from semantic_core.queue import jobs
from semantic_core.queue.adoption import possible_spaces, wanted_contents
from semantic_core.queue.contents import content_ids
from semantic_core.queue.costs import picture_counts, token_guesser
from semantic_core.queue.items import Outcome, carried_texts, count_open, count_states, fail_chunks
from semantic_core.queue.jobs import JobRecord
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.store.writing.vectors import write_page

_log = logging.getLogger(__name__)


def apply_results(
    job: LeasedJob, record: JobRecord, remote: RemoteJob, ending: Ending | None
) -> bool:
    """Download a job's results, store its vectors, settle the rest, complete the job.

    Of an adopted job, whose texts nobody knows, those vectors are stored that a chunk waits for.
    May be interrupted anywhere and run again: a vector that is stored stays as it is, and an
    item that is settled stays settled. Nothing remote is deleted here.

    Returns:
        Whether the job is ended, completed or held; False where the file decides nothing: it is
        empty, or nobody knows how the job ended (``ending`` is None) and texts of it are, or may
        be, still open.

    Raises:
        ProviderError: the download failed; the job stays as it is.
        StorageError: the disk or the database failed; pages already written stay.
    """
    context = job.context
    with _fetched(job, remote) as path:
        if path is None:
            _miss_results(job, record)
            return True
        spaces = _spaces(job, record, remote)
        if not passes_check(job, path, [spec for _, spec in spaces]):
            return True
        tally = _store_vectors(job, record, path, spaces)
    if ending is None:
        with context.store.database.snapshot() as connection:
            if record.is_adopted or count_open(connection, job.id):
                return False
    else:
        share = context.config.wrong_size_share
        doubt = tally.doubt(remote, ending, sent=record.request_count, wrong_size_share=share)
        if doubt is not None:
            hold_bad(job, doubt)
            return True
        if not tally.answered:
            return False
        _settle_rest(job, tally, ending)
    reach(FailPoint.APPLY_SETTLED)
    _complete(job, record, tally, ending)
    reach(FailPoint.APPLY_RECORDED)
    context.store.refresh_indexes()
    return True


@contextmanager
def _fetched(job: LeasedJob, remote: RemoteJob) -> Iterator[Path | None]:
    """Give a job's downloaded results, or None if the provider no longer has them."""
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


def _miss_results(job: LeasedJob, record: JobRecord) -> None:
    if record.is_adopted:
        error = "a job found later: its results are gone"
        end_job(job, FailureReason.EXPIRED, error, steps=HOLDABLE)
        return
    # Not another project's key: it saw the job just now.
    hold(
        job,
        HoldReason.RESULT_EXPIRED,
        "the provider no longer has its results (it keeps them for "
        f"{job.context.provider.limits.result_lifetime / HOUR:.0f} hours). Its texts were billed; "
        "release(batch_id, accept_rebilling=True) sends them again.",
    )


def _spaces(
    job: LeasedJob, record: JobRecord, remote: RemoteJob
) -> list[tuple[int, EmbeddingSpec]]:
    """Return the vector spaces that a job's results may be for: of an adopted one, several."""
    if not record.is_adopted:
        return [(record.space_id, job.spec())]
    with job.context.store.database.snapshot() as connection:
        return possible_spaces(connection, remote.model or record.model)


def _store_vectors(
    job: LeasedJob, record: JobRecord, path: Path, spaces: Sequence[tuple[int, EmbeddingSpec]]
) -> Tally:
    tally = Tally()
    for space_id, spec in spaces:
        tally.lines = tally.unknown = 0
        for page in pages(job.context.provider.results(path, spec)):
            keyed = [(key, line) for line in page if (key := key_of(line))]
            known = _known_texts(job, record, space_id, spec, dict(keyed))
            lines = [(key, line) for key, line in keyed if key in known]
            tally.lines += len(page)
            tally.unknown += len(page) - len(lines)
            pictures: dict[bytes, int] = {}
            if takes_media(spec):
                with job.context.store.database.snapshot() as connection:
                    pictures = picture_counts(connection, [key for key, _ in lines])
            for key, line in lines:
                tally.add(key, line, estimate=known[key][1], pictures=pictures.get(key, 0))
            contents = {key: content for key, (content, _) in known.items()}
            adopted_space = space_id if record.is_adopted else None
            tally.stored += _write(job, contents, lines, spec, adopted_space=adopted_space)
    # A text with a good line and a bad one is served by the good one.
    return tally


def _known_texts(
    job: LeasedJob,
    record: JobRecord,
    space_id: int,
    spec: EmbeddingSpec,
    lines: dict[bytes, ResultLine],
) -> dict[bytes, tuple[int, int]]:
    """Return (content, estimated tokens) of the texts of a page that count.

    Nothing is stored but what this job really sent; of an adopted job that is not known here, nor
    are the contents.
    """
    with job.context.store.database.snapshot() as connection:
        if not record.is_adopted:
            return carried_texts(connection, job.id, list(lines))
        uncounted = [key for key, line in lines.items() if line.token_count is None]
        estimate = token_guesser(connection, space_id, spec, uncounted)
    return {key: (0, estimate(key)) for key in lines}


def _write(
    job: LeasedJob,
    contents: Mapping[bytes, int],
    lines: Sequence[tuple[bytes, ResultLine]],
    spec: EmbeddingSpec,
    *,
    adopted_space: int | None,
) -> int:
    """Store the vectors of a page in one transaction; return how many.

    Of an adopted job, whose space is given, those that are wanted.
    """
    now = job.context.clock.now()
    vectors = {key: line for key, line in lines if line.vector is not None}
    with job.transaction() as connection, job.context.store.ahead(connection):
        if adopted_space is not None:
            contents = wanted_contents(connection, adopted_space, [key for key, _ in lines])
            # No text goes again that its model did not take whole.
            too_long = {key: str(line.error) for key, line in lines if line.is_too_long}
            rest = contents.keys() & too_long.keys() - vectors.keys()
            fail_chunks(connection, {contents[key]: too_long[key] for key in rest}, now=now)
        arrived = [
            ArrivedVector(
                content_id=contents[key], vector=vector.tobytes(), token_count=line.token_count
            )
            for key, line in vectors.items()
            if key in contents and (vector := line.vector) is not None
        ]
        write_page(
            connection,
            arrived,
            spec=spec,
            origin=VectorOrigin.BATCH,
            job_id=job.id if adopted_space is None else None,
            now=now,
        )
        reach(FailPoint.APPLY_PAGE_WRITTEN)
    reach(FailPoint.APPLY_PAGE_COMMITTED)
    return len(arrived)


def _settle_rest(job: LeasedJob, tally: Tally, ending: Ending) -> None:
    """Settle what the job still carries: by its line where it has one, else by how it ended."""
    for page in pages(tally.failures.items()):
        with job.context.store.database.snapshot() as connection:
            ids = content_ids(connection, [key for key, _ in page])
        job.settle([_outcome(job, ids[key], line) for key, line in page if key in ids])
    settle_open(job, state=ending.item_state, use=ending.use, error=ending.error)


def _outcome(job: LeasedJob, content: int, line: ResultLine) -> Outcome:
    use, not_before = BudgetUse.EVERYTHING, None
    if line.is_quota:
        # The provider had no room; that says nothing about the text.
        use = BudgetUse.NOTHING
        not_before = job.context.clock.now() + job.context.config.rate_limit_delay
    elif line.is_transient:
        use = BudgetUse.ATTEMPT
    return Outcome(
        content_id=content, state=ItemState.FAILED, use=use, error=line.error, not_before=not_before
    )


def _complete(job: LeasedJob, record: JobRecord, tally: Tally, ending: Ending | None) -> None:
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
            # An adopted job has no items.
            done_count=tally.stored if record.is_adopted else states[ItemState.DONE],
            failed_count=states[ItemState.FAILED] + states[ItemState.MISSING],
            **tally.bill(record, job.context.config.prices),
        )
    if tally.unknown:
        _log.warning(
            "Batch job %s: %d result lines belong to no text of it and were ignored.",
            job.id,
            tally.unknown,
        )
