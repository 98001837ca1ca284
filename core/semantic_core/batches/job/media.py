"""Pictures and pages as they are sent: read again, and compared with what the hash names."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from semantic_core.batches.job.context import LeasedJob
from semantic_core.domain.media import MediaBytes, StoredMedia
from semantic_core.domain.pdf import page_of
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, ItemState
from semantic_core.queue.items import Outcome, settle_items
from semantic_core.queue.renew import renew_media


class MediaChangedError(Exception):
    """A file is another one than when its chunk was saved.

    Attributes:
        path: which file.
        sha256: hex digest of what it holds now.
        size: bytes of that.
    """

    def __init__(self, path: str, data: bytes) -> None:
        super().__init__(path)
        self.path = path
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.size = len(data)

    def renewed(self, part: StoredMedia) -> StoredMedia:
        """Return what is stored of a part, with the file as it is now."""
        if part.path != self.path:
            return part
        return replace(part, sha256=self.sha256, size=self.size)


def load_bytes(job: LeasedJob, parts: Sequence[StoredMedia]) -> tuple[MediaBytes, ...]:
    """Return what is sent of a content's media.

    Raises:
        UnreadableFileError: a file is gone or may not be read, or the bytes are not in the database.
        InvalidInputError: a PDF has no such page, or cannot be read.
        MediaChangedError: a file was changed since its chunk was saved.
        MissingExtraError: a page without the ``media`` extra.
    """
    return tuple(_load(job, part) for part in parts)


def let_it_wait(
    job: LeasedJob, content_hash: bytes, spec: EmbeddingSpec, changed: MediaChangedError
) -> None:
    """Release a content whose file was changed, unsent: its chunks wait under their new hash."""
    context, now = job.context, job.context.clock.now()
    unsent = Outcome(
        content_hash=content_hash,
        state=ItemState.UNSENT,
        use=BudgetUse.NOTHING,
        error=f"{changed.path} was changed: it waits for the next job",
    )
    with job.transaction() as connection:
        renew_media(connection, content_hash, spec.hasher(), changed.renewed, now=now)
        settle_items(connection, job.id, [unsent], budget=context.config.budget, now=now)


def _load(job: LeasedJob, part: StoredMedia) -> MediaBytes:
    data = job.context.store.media(part)
    if part.path is not None and hashlib.sha256(data).hexdigest() != part.sha256:
        raise MediaChangedError(part.path, data)
    return MediaBytes(part.mime_type, page_of(data, part.page))
