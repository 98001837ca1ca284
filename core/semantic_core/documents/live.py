"""Live embedding of what is saved: the expensive way to a vector, for those who cannot wait."""

import logging
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.errors import StorageError, TransitionError, UnreadableFileError
from semantic_core.domain.media import MediaBytes, load_media, sent_bytes
from semantic_core.domain.reports import SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import model_facts
from semantic_core.providers.port import Embedder
from semantic_core.queue.contents import content_ids
from semantic_core.queue.items import fail_chunks, known_too_long
from semantic_core.queue.live_claims import claim_live, free_live, keep_live
from semantic_core.store import DEFAULT_COLLECTION, BaseVectorStore
from semantic_core.store.collections import get_collection
from semantic_core.store.writing.known import unchanged_absent
from semantic_core.store.writing.media import MediaChangedError, sent_media
from semantic_core.store.writing.prepare import PreparedChunk, prepare_chunks
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
        InvalidInputError: as ``store.save``; nothing was sent or saved. Or the provider refused a
            picture; nothing was saved, but every vector that came is.
        MissingDefaultKeyError: there is no default key; nothing was saved.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        ProviderError: live embedding failed; no chunk was saved, but every vector that came is.
        StorageError: the database could not be written.
    """
    batch = list(chunks)
    spec = store.collection(collection).spec
    rows = prepare_chunks(batch, spec, keep_refused=keep_refused)
    too_long = embed_missing(store, rows, collection=collection, spec=spec, embedder=embedder)
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
    store: BaseVectorStore,
    rows: Sequence[PreparedChunk],
    *,
    collection: str,
    spec: EmbeddingSpec,
    embedder: Embedder,
) -> dict[bytes, str]:
    """Embed contents that have no vector yet and are in no batch job; store the vectors.

    The same content twice is embedded once. Each answer is stored as it comes: what was paid for is
    in the cache, where the next try finds it, whatever fails after it. A content that another live
    call embeds at this moment is waited for, until its vector is here or that call is given up: no
    longer than its lease. One whose file was changed since it was looked at is left to a batch.

    Returns:
        By content hash, why a text is too long for the model: now, or when it was tried before.

    Raises:
        MissingDefaultKeyError: there is no default key; nothing was sent.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        InvalidInputError: the provider refused a picture; what earlier requests brought is stored.
        ProviderError: a request failed; what earlier ones brought is stored.
    """
    with store.database.snapshot() as connection:
        kept = unchanged_absent(connection, get_collection(connection, collection), rows)
    wanted = {
        row.content_hash: row
        for row in rows
        if row.given is None and row.refusal is None and row.chunk_id not in kept
    }
    refused = _refused_before(store, wanted)
    left = _unknown(store, [key for key in wanted if key not in refused])
    if left:
        store.fix_provenance(embedder.provenance)
    while left:
        busy: list[bytes] = []
        for group in _groups(left, wanted, spec=spec, most=embedder.group_size):
            with _claimed(store, group, spec=spec, lease=embedder.longest_call) as ours:
                busy += [key for key in group if key not in ours.hashes]
                try:
                    mine = [wanted[key] for key in ours.hashes]
                    refused |= _embed(store, mine, spec=spec, embedder=embedder, keep=ours.keep)
                except TransitionError as error:
                    _log.info("%s", error)
                    busy += ours.hashes
        is_stuck = len(busy) == len(left)
        left = _unknown(store, [key for key in busy if key not in refused])
        if left and is_stuck:
            store.clock.sleep(_PAUSE)
    return refused


@dataclass(frozen=True, slots=True)
class _Claim:
    """Texts that this call alone embeds: ``keep`` proves it before a request, or raises."""

    hashes: list[bytes]
    keep: Callable[[], None]


@certain_exit
def _claimed(
    store: BaseVectorStore, group: list[bytes], *, spec: EmbeddingSpec, lease: float
) -> Generator[_Claim]:
    """Claim those texts of a group that nobody else embeds, and free them at the end.

    The lease is the longest time from one request to the next, in seconds.
    """
    database, token, ours = store.database, uuid.uuid4().hex, list[bytes]()

    def keep() -> None:
        with database.transaction() as connection:
            until = store.clock.now() + lease
            keep_live(connection, token=token, count=len(ours), until=until)

    try:
        with database.transaction() as connection:
            now, space_id = store.clock.now(), space_of(connection, spec)
            ours += claim_live(
                connection, group, space_id=space_id, token=token, now=now, until=now + lease
            )
        yield _Claim(ours, keep)
    finally:
        if ours:
            # It raises nothing: what the work itself raised must reach the caller.
            try:
                with database.transaction() as connection:
                    free_live(connection, token=token)
            except StorageError as error:
                _log.warning("Texts stay reserved until their lease is over: %s", error)


def _groups(
    keys: Iterable[bytes], rows: Mapping[bytes, PreparedChunk], *, spec: EmbeddingSpec, most: int
) -> Iterator[list[bytes]]:
    """Yield the hashes of each request: what it carries has a largest size."""
    room = 4 * model_facts(spec.model).media_bytes // 3
    group: list[bytes] = []
    total = 0
    for key in keys:
        size = sent_bytes(rows[key].content.media)
        if group and (len(group) == most or total + size > room):
            yield group
            group, total = [], 0
        group.append(key)
        total += size
    if group:
        yield group


def _embed(
    store: BaseVectorStore,
    rows: Sequence[PreparedChunk],
    *,
    spec: EmbeddingSpec,
    embedder: Embedder,
    keep: Callable[[], None],
) -> dict[bytes, str]:
    """Embed claimed contents and store each answer; return which are too long, and why."""
    refused: dict[bytes, str] = {}
    contents: dict[bytes, tuple[str, tuple[MediaBytes, ...]]] = {}
    for row in rows:
        parts = load_media(row.content.media)
        try:
            media = sent_media(store.database, parts, spec, given=row.media_bytes)
        except (MediaChangedError, UnreadableFileError):
            _log.info("A picture's file was changed or is gone: its chunk waits for a batch.")
            continue
        contents[row.content_hash] = (row.content.source, media)
    keys = list(contents)
    for answered in embedder.embed_in_parts(
        [text for text, _ in contents.values()],
        media=[media for _, media in contents.values()],
        spec=spec,
        before_each=keep,
    ):
        outcomes = {keys[position]: outcome for position, outcome in answered.items()}
        failed = {key: reason for key, reason in outcomes.items() if isinstance(reason, str)}
        made = [(k.hex(), vector) for k, vector in outcomes.items() if not isinstance(vector, str)]
        store.bulk_update_vectors(made, spec=spec, origin=VectorOrigin.LIVE)
        if failed:
            with store.database.transaction() as connection:
                ids = content_ids(connection, failed)
                reasons = {ids[key]: reason for key, reason in failed.items() if key in ids}
                fail_chunks(connection, reasons, now=store.clock.now())
        refused |= failed
    return refused


def _unknown(store: BaseVectorStore, keys: list[bytes]) -> list[bytes]:
    known = store.known_vectors([key.hex() for key in keys])
    return [key for key in keys if key.hex() not in known]


def _refused_before(store: BaseVectorStore, keys: Iterable[bytes]) -> dict[bytes, str]:
    with store.database.snapshot() as connection:
        return known_too_long(connection, list(keys))
