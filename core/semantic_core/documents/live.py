"""Live embedding of what is saved: the expensive way to a vector, for those who cannot wait."""

import logging
import uuid
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Self

from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.errors import StorageError, TransitionError
from semantic_core.domain.pages import pages
from semantic_core.domain.reports import SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.domain.types import Chunk
from semantic_core.providers.port import Embedder
from semantic_core.queue.items import fail_chunks, known_too_long
from semantic_core.queue.live_claims import claim_live, free_live, keep_live
from semantic_core.store import DEFAULT_COLLECTION, BaseVectorStore
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.vectors import space_of

_log = logging.getLogger(__name__)

# Seconds between two looks at what another live call embeds.
_PAUSE = 0.5


def save_embedded(
    store: BaseVectorStore,
    chunks: Iterable[Chunk],
    *,
    embedder: Embedder,
    collection: str = DEFAULT_COLLECTION,
    keep_refused: bool = False,
) -> SaveReport:
    """Embed live what has no vector yet, then save all chunks in one transaction.

    Everything is checked before anything is sent. A text whose vector is stored costs nothing;
    one that a batch job carries waits for it, PENDING; one that is too long for the model is
    saved as FAILED. Chunks with a vector, and FAILED ones, are saved as they are.

    Args:
        store: where to save.
        chunks: what to save; a whole call is held in memory.
        embedder: makes the vectors.
        collection: created with the default spec if it does not exist.
        keep_refused: as in ``store.save``.

    Raises:
        InvalidInputError: as ``store.save``; nothing was sent or saved.
        MissingDefaultKeyError: there is no default key; nothing was saved.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        ProviderError: live embedding failed; no chunk was saved, but every vector that came is.
        StorageError: the database could not be written.
    """
    batch = list(chunks)
    spec = store.collection(collection).spec
    rows = prepare_chunks(batch, spec, keep_refused=keep_refused)
    wanted = [
        row.content.vector_source or row.content.text
        for row in rows
        if row.given is None and row.refusal is None
    ]
    too_long = embed_missing(store, wanted, spec=spec, embedder=embedder)
    return store.save(
        [
            fail_if_too_long(chunk, row.content_hash, too_long)
            for chunk, row in zip(batch, rows, strict=True)
        ],
        collection=collection,
        keep_refused=keep_refused,
    )


def fail_if_too_long(chunk: Chunk, content_hash: bytes, too_long: dict[bytes, str]) -> Chunk:
    """Return the chunk, as FAILED where the model does not take its text."""
    reason = too_long.get(content_hash)
    if reason is None or chunk.vector is not None:
        return chunk
    return replace(chunk, embedding_status=EmbeddingStatus.FAILED, error_message=reason)


def embed_missing(
    store: BaseVectorStore, sources: Iterable[str], *, spec: EmbeddingSpec, embedder: Embedder
) -> dict[bytes, str]:
    """Embed texts that have no vector yet and are in no batch job; store the vectors.

    The same text twice is embedded once. Each answer is stored as it comes: what was paid for is in
    the cache, where the next try finds it, whatever fails after it. A text that another live call
    embeds at this moment is waited for, until its vector is here or that call is given up: no
    longer than its lease.

    Returns:
        By content hash, why a text is too long for the model: now, or when it was tried before.

    Raises:
        MissingDefaultKeyError: there is no default key; nothing was sent.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        ProviderError: a request failed; what earlier ones brought is stored.
    """
    hasher = spec.hasher()
    texts = {hasher(source): source for source in sources}
    refused = _refused_before(store, texts)
    left = _unknown(store, [key for key in texts if key not in refused])
    if left:
        store.fix_provenance(embedder.provenance)
    while left:
        busy: list[bytes] = []
        for group in pages(left, embedder.group_size):
            with LiveClaim.take(store, group, spec=spec, lease=embedder.longest_call) as ours:
                busy += [key for key in group if key not in ours.hashes]
                try:
                    refused |= _embed(ours, {key: texts[key] for key in ours.hashes}, embedder)
                except TransitionError as error:
                    _log.info("%s", error)
                    busy += ours.hashes
        is_stuck = len(busy) == len(left)
        left = _unknown(store, [key for key in busy if key not in refused])
        if left and is_stuck:
            store.clock.sleep(_PAUSE)
    return refused


class LiveClaim:
    """Texts that this call alone embeds, until it frees them or its lease is over.

    The lease is the longest time from one request to the next, in seconds.
    """

    def __init__(self, store: BaseVectorStore, *, spec: EmbeddingSpec, lease: float) -> None:
        self.store = store
        self.spec = spec
        self.hashes: list[bytes] = []
        self._lease = lease
        self._token = uuid.uuid4().hex

    @classmethod
    @certain_exit
    def take(
        cls, store: BaseVectorStore, group: list[bytes], *, spec: EmbeddingSpec, lease: float
    ) -> Generator[Self]:
        """Claim those texts of a group that nobody else embeds, and free them at the end."""
        claim = cls(store, spec=spec, lease=lease)
        try:
            with store.database.transaction() as connection:
                now = store.clock.now()
                claim.hashes = claim_live(
                    connection,
                    group,
                    space_id=space_of(connection, spec),
                    token=claim._token,
                    now=now,
                    until=now + claim._lease,
                )
            yield claim
        finally:
            if claim.hashes:
                claim._free()

    def _free(self) -> None:
        # It raises nothing: what the work itself raised must reach the caller.
        try:
            with self.store.database.transaction() as connection:
                free_live(connection, token=self._token)
        except StorageError as error:
            _log.warning("Texts stay reserved until their lease is over: %s", error)

    def keep(self) -> None:
        """Prove before a request that no other process took over, and extend the lease.

        Raises:
            TransitionError: another one did; nothing may be sent.
        """
        with self.store.database.transaction() as connection:
            keep_live(
                connection,
                token=self._token,
                count=len(self.hashes),
                until=self.store.clock.now() + self._lease,
            )


def _embed(claim: LiveClaim, texts: dict[bytes, str], embedder: Embedder) -> dict[bytes, str]:
    """Embed claimed texts and store each answer; return which are too long, and why."""
    store, keys = claim.store, list(texts)
    refused: dict[bytes, str] = {}
    for answered in embedder.embed_in_parts(
        list(texts.values()), spec=claim.spec, before_each=claim.keep
    ):
        outcomes = {keys[position]: outcome for position, outcome in answered.items()}
        failed = {key: reason for key, reason in outcomes.items() if isinstance(reason, str)}
        store.bulk_update_vectors(
            [
                (key.hex(), vector)
                for key, vector in outcomes.items()
                if not isinstance(vector, str)
            ],
            spec=claim.spec,
            origin=VectorOrigin.LIVE,
        )
        if failed:
            with store.database.transaction() as connection:
                fail_chunks(connection, failed, now=store.clock.now())
        refused |= failed
    return refused


def _unknown(store: BaseVectorStore, keys: list[bytes]) -> list[bytes]:
    known = store.known_vectors([key.hex() for key in keys])
    return [key for key in keys if key.hex() not in known]


def _refused_before(store: BaseVectorStore, keys: Iterable[bytes]) -> dict[bytes, str]:
    with store.database.snapshot() as connection:
        return known_too_long(connection, list(keys))
