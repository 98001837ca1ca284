"""The texts of a job as the lines of one input file, which has a largest size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.end import settle_open
from semantic_core.domain.statuses import BudgetUse, ItemState
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.queue.claims import claimed_texts
from semantic_core.queue.items import Outcome, settle_items

_PAGE = 500


def lines_of(job: LeasedJob) -> Iterator[bytes]:
    """Yield the lines of a job's input file, one a text.

    What is not yielded is settled: a hash that no chunk wants any more is dropped, a text that
    no file can hold fails, and what the file has no room for goes with a later job. A text that
    is not the one its hash names fails, too: its vector would stay on another text.
    """
    spec = job.spec()
    encode = job.context.provider.line(spec)
    hash_of = spec.hasher()
    most = room = job.context.config.max_file_bytes
    after = 0
    while page := _read(job, after):
        _settle(
            job,
            [
                Outcome(content_hash=content_hash, state=ItemState.UNSENT)
                for _, content_hash, source in page
                if source is None
            ],
        )
        for item, content_hash, source in page:
            if source is None:
                continue
            if hash_of(source) != content_hash:
                _settle(job, [_changed(content_hash)])
                continue
            request = EmbeddingRequest(key=content_hash.hex(), text=spec.document_text(source))
            line = encode(request)
            size = len(line)
            if size > most:
                _settle(job, [_too_large(content_hash, size, most)])
            elif size > room:
                settle_open(
                    job,
                    after=after,
                    state=ItemState.UNSENT,
                    use=BudgetUse.NOTHING,
                    error="the input file had no room for it",
                )
                return
            else:
                room -= size
                after = item
                yield line
        after = page[-1][0]


def _read(job: LeasedJob, after: int) -> list[tuple[int, bytes, str | None]]:
    with job.context.store.database.snapshot() as connection:
        return list(claimed_texts(connection, job.id, after=after, limit=_PAGE))


def _settle(job: LeasedJob, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    context = job.context
    with job.transaction() as connection:
        settle_items(
            connection,
            job.id,
            outcomes,
            budget=context.config.budget,
            now=context.clock.now(),
        )


def _changed(content_hash: bytes) -> Outcome:
    return Outcome(
        content_hash=content_hash,
        state=ItemState.FAILED,
        use=BudgetUse.EVERYTHING,
        error="its text was changed outside of semcore, or is damaged: save the chunk again",
    )


def _too_large(content_hash: bytes, size: int, most: int) -> Outcome:
    return Outcome(
        content_hash=content_hash,
        state=ItemState.FAILED,
        use=BudgetUse.EVERYTHING,
        error=f"too long: {size:,} bytes as a request, and an input file holds {most:,}",
    )
