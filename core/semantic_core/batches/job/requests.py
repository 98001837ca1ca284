"""The texts of a job as the lines of one input file, which has a largest size."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from semantic_core.batches.job.context import LeasedJob
from semantic_core.batches.job.end import settle_open
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.media import MediaBytes, StoredMedia, load_media
from semantic_core.domain.pages import PAGE
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, ItemState
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.queue.claims import claimed_texts
from semantic_core.queue.items import Outcome, settle_items
from semantic_core.queue.renew import renew_media, wanted_media
from semantic_core.store.writing.media import MediaChangedError, sent_media


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
        unwanted = [content for _, content, _, source, _ in page if source is None]
        job.settle([Outcome(content_id=one, state=ItemState.UNSENT) for one in unwanted])
        for item, content, content_hash, source, stored in page:
            if source is None:
                continue
            parts = load_media(stored)
            if hash_of(source, parts) != content_hash:
                error = (
                    "its text was changed outside of semcore, or is damaged: save the chunk again"
                )
                _fail(job, content, error)
                continue
            try:
                media = load_bytes(job, content, parts, spec) if parts else ()
            except MediaChangedError as changed:
                let_it_wait(job, content, spec, changed)
                continue
            except InvalidInputError as failure:
                _fail(job, content, str(failure))
                continue
            line = encode(
                EmbeddingRequest(
                    key=content_hash.hex(), text=spec.document_text(source), media=media
                )
            )
            size = len(line)
            if size > most:
                error = f"too long: {size:,} bytes as a request, and an input file holds {most:,}"
                _fail(job, content, error)
            elif size > room:
                error = "the input file had no room for it"
                unsent, free = ItemState.UNSENT, BudgetUse.NOTHING
                settle_open(job, after=after, state=unsent, use=free, error=error)
                return
            else:
                room -= size
                after = item
                yield line
        after = page[-1][0]


def _read(job: LeasedJob, after: int) -> list[tuple[int, int, bytes, str | None, str | None]]:
    with job.context.store.database.snapshot() as connection:
        return claimed_texts(connection, job.id, after=after, limit=PAGE)


def _fail(job: LeasedJob, content: int, error: str) -> None:
    """Let a text fail for good, whatever the provider would say of it."""
    use = BudgetUse.EVERYTHING
    job.settle([Outcome(content_id=content, state=ItemState.FAILED, use=use, error=error)])


def load_bytes(
    job: LeasedJob, content: int, parts: Sequence[StoredMedia], spec: EmbeddingSpec
) -> tuple[MediaBytes, ...]:
    """Return what is sent of a content's media; any chunk's copy of a file will do.

    It raises what `sent_media` does.
    """
    database = job.context.store.database
    try:
        return sent_media(database, parts, spec)
    except (MediaChangedError, InvalidInputError):
        with database.snapshot() as connection:
            copies = wanted_media(connection, content)
        for copy in copies:
            if [part.identity for part in copy] == [part.identity for part in parts]:
                with suppress(MediaChangedError, InvalidInputError):
                    return sent_media(database, copy, spec)
        raise


def let_it_wait(
    job: LeasedJob, content: int, spec: EmbeddingSpec, changed: MediaChangedError
) -> None:
    """Release a content whose file was changed, unsent: its chunks wait under their new hash."""
    context, now = job.context, job.context.clock.now()
    unsent = Outcome(
        content_id=content,
        state=ItemState.UNSENT,
        use=BudgetUse.NOTHING,
        error=f"{changed.now.path} was changed: it waits for the next job",
    )
    with job.transaction() as connection:
        renew_media(connection, content, spec.hasher(), changed.renewed, now=now)
        settle_items(connection, job.id, [unsent], budget=context.config.budget, now=now)
    reach(FailPoint.MEDIA_RELEASED)
