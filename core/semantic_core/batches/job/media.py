"""Pictures and pages as they are sent: read again, and compared with what the hash names."""

from collections.abc import Sequence
from contextlib import suppress

from semantic_core.batches.job.context import LeasedJob
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.media import MediaBytes, StoredMedia
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, ItemState
from semantic_core.queue.items import Outcome, settle_items
from semantic_core.queue.renew import renew_media, wanted_media
from semantic_core.store.writing.media import MediaChangedError, sent_media


def load_bytes(
    job: LeasedJob, content_hash: bytes, parts: Sequence[StoredMedia], spec: EmbeddingSpec
) -> tuple[MediaBytes, ...]:
    """Return what is sent of a content's media; any chunk's copy of a file will do.

    It raises what `sent_media` does.
    """
    database = job.context.store.database
    try:
        return sent_media(database, parts, spec)
    except (MediaChangedError, InvalidInputError):
        with database.snapshot() as connection:
            copies = wanted_media(connection, content_hash)
        for copy in copies:
            if [part.identity for part in copy] == [part.identity for part in parts]:
                with suppress(MediaChangedError, InvalidInputError):
                    return sent_media(database, copy, spec)
        raise


def let_it_wait(
    job: LeasedJob, content_hash: bytes, spec: EmbeddingSpec, changed: MediaChangedError
) -> None:
    """Release a content whose file was changed, unsent: its chunks wait under their new hash."""
    context, now = job.context, job.context.clock.now()
    unsent = Outcome(
        content_hash=content_hash,
        state=ItemState.UNSENT,
        use=BudgetUse.NOTHING,
        error=f"{changed.now.path} was changed: it waits for the next job",
    )
    with job.transaction() as connection:
        renew_media(connection, content_hash, spec.hasher(), changed.renewed, now=now)
        settle_items(connection, job.id, [unsent], budget=context.config.budget, now=now)
    reach(FailPoint.MEDIA_RELEASED)
