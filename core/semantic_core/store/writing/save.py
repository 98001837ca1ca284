"""Saving checked chunks: what is new, what changed, what stays, and what each waits for."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from semantic_core.database import IDS, LOCKED, id_set
from semantic_core.database.conditions import IS_CACHED, IS_CARRIED, IS_FAILED, WANTS
from semantic_core.database.port import Connection, MustBeAloneError
from semantic_core.database.strategies import Collection, Database
from semantic_core.domain.clock import Clock
from semantic_core.domain.media import load_media
from semantic_core.domain.reports import SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import TOO_LONG, EmbeddingStatus
from semantic_core.keywords import Said
from semantic_core.providers.facts import content_tokens
from semantic_core.queue.changes import note_changed, note_wishes
from semantic_core.queue.contents import note_contents
from semantic_core.queue.counts import (
    ChunkState,
    WaitingSums,
    absent_vector,
    count_changes,
    waiting_moves,
)
from semantic_core.queue.vectors import release_vectors, use_vectors
from semantic_core.store.collections import open_collection
from semantic_core.store.writing.given import store_given
from semantic_core.store.writing.known import Known, read_known
from semantic_core.store.writing.media import drop_media, keep_media
from semantic_core.store.writing.prepare import Content, PreparedChunk

_Row = TypeVar("_Row", PreparedChunk, Known)

# What a save decides of a chunk, in the order in which it is written.
_WRITTEN = (
    *Content._fields,
    "content_id",
    "tokens",
    "embedding_id",
    "embedding_status",
    "batch_job_id",
    "error_message",
    "updated_at",
)
_INSERTED = (*_WRITTEN, "created_at", "collection_id", "chunk_id")


# What is known of texts: a stored vector, the job that carries one, and why one was not embedded.
_KNOWN_TEXTS = f"""SELECT t.id, e.id, j.id, c.error_message FROM {IDS} AS t
    LEFT JOIN embeddings e ON e.content_id = t.id AND e.{IS_CACHED}
    LEFT JOIN batch_items i ON i.content_id = t.id AND i.{IS_CARRIED}
    LEFT JOIN batch_jobs j ON j.pk = i.job_pk
    LEFT JOIN chunks c ON c.content_id = t.id AND c.{WANTS} AND c.{IS_FAILED}
        AND c.error_message LIKE '{TOO_LONG}%'
    WHERE e.id IS NOT NULL OR j.id IS NOT NULL OR c.error_message IS NOT NULL"""


def save_chunks(
    database: Database, rows: list[PreparedChunk], *, name: str, spec: EmbeddingSpec, clock: Clock
) -> SaveReport:
    """Save prepared chunks into a collection, all or nothing; see ``BaseVectorStore.save``."""

    def work(connection: Connection, is_alone: bool) -> SaveReport:  # noqa: FBT001  # as `save` calls it
        now = clock.now()
        target = open_collection(connection, name, spec, now=now)
        return save_rows(database, connection, rows, collection=target, now=now, is_alone=is_alone)

    return database.save(work)


def save_rows(
    database: Database,
    connection: Connection,
    rows: list[PreparedChunk],
    *,
    collection: Collection,
    now: float,
    is_alone: bool,
) -> SaveReport:
    """Write prepared chunks; the caller's transaction makes it all or nothing.

    Where a chunk lets go of its vector while others save, it raises a MustBeAloneError.
    """
    contents, new = note_contents(connection, [row.content_hash for row in rows])
    for row in rows:
        row.content_id = contents[row.content_hash]
    known = read_known(
        connection, collection.id, [row.chunk_id for row in rows if not row.is_new_id]
    )
    given = [row for row in rows if row.given is not None]
    if given:
        store_given(connection, given, known, collection, now)
    _decide(connection, rows, new)
    absent = absent_vector(connection, collection.id) if collection.has_targets else None
    inserts: list[PreparedChunk] = []
    updates: list[tuple[Known, PreparedChunk]] = []
    for row in rows:
        old = known.get(row.chunk_id)
        if old is None:
            inserts.append(row)
        elif not _keep_what_stands(row, old, absent):
            updates.append((old, row))
    moved = [(old, row) for old, row in updates if row.embedding_id != old.embedding_id]
    if not is_alone and any(old.embedding_id is not None for old, _ in moved):
        raise MustBeAloneError
    written = [*inserts, *(row for _, row in updates)]
    sources = [(row.content.source, row.content.media) for row in written]
    for row, tokens in zip(written, content_tokens(sources, collection.spec), strict=True):
        row.tokens = tokens
    waiting = _waiting(written)
    moved_texts = {row.content_id for row in waiting} - new
    moved_texts |= {old.content_id for old in _waiting(old for old, _ in updates)}
    if moved_texts and not is_alone:
        # Others may save the same texts: each counts what the one before has left.
        locked = f"SELECT id FROM contents WHERE id IN {IDS} ORDER BY id {LOCKED}"
        connection.execute(locked, id_set(moved_texts))
    with waiting_moves(connection, moved_texts) as sums:
        _update(database, connection, updates, collection, now)
        _insert(database, connection, inserts, collection, now)
        _count(connection, inserts, updates, collection.id)
        sums.extend(_sums_of_new([row for row in waiting if row.content_id in new], collection))
    _keep_media(connection, inserts, updates)
    # A given vector goes with its last chunk, so none is ever there unused.
    taken_up = [row for row in [*inserts, *(row for _, row in moved)] if row.given is None]
    use_vectors(connection, {row.content_id for row in taken_up if row.embedding_id is not None})
    # Last of all: a vector that one chunk no longer uses may now be used by another.
    release_vectors(
        connection, {old.embedding_id for old, _ in moved if old.embedding_id is not None}, now=now
    )
    statuses = [row.status for row in rows]
    return SaveReport(
        ids=tuple(row.chunk_id for row in rows),
        inserted=len(inserts),
        updated=len(updates),
        unchanged=len(rows) - len(inserts) - len(updates),
        ready=statuses.count(EmbeddingStatus.READY),
        pending=statuses.count(EmbeddingStatus.PENDING),
        failed=statuses.count(EmbeddingStatus.FAILED),
    )


def _decide(connection: Connection, rows: list[PreparedChunk], new: set[int]) -> None:
    """Give each row the status a new chunk of its content has; of new contents nothing is known."""
    wanted = {row.content_id for row in rows if row.given is None and row.refusal is None} - new
    known: dict[int, tuple[int | None, str | None, str | None]] = {
        content: (embedding_id, job_id, error)
        for content, embedding_id, job_id, error in connection.execute(_KNOWN_TEXTS, id_set(wanted))
    }
    pending = EmbeddingStatus.PENDING
    for row in rows:
        embedding_id, job_id, too_long = known.get(row.content_id, (None, None, None))
        # Decided anew, since the work may have to be done again.
        row.status, row.batch_job_id, row.error = pending, None, None
        if row.given is None:
            row.embedding_id = None
        if row.refusal is not None:
            row.status, row.error = EmbeddingStatus.FAILED, row.refusal
        elif row.given is not None:
            row.status = EmbeddingStatus.READY
        elif embedding_id is not None:
            row.status, row.embedding_id = EmbeddingStatus.READY, embedding_id
        elif job_id is not None:
            row.batch_job_id = job_id
        elif too_long is not None:
            # It was tried, and perhaps billed, under another id.
            row.status, row.error = EmbeddingStatus.FAILED, too_long


def _keep_what_stands(row: PreparedChunk, old: Known, absent: int | None) -> bool:
    """Carry over what the same content keeps; return whether nothing changes at all.

    A vector that only targets have cannot be told once more, so a changed chunk needs a new one.
    """
    is_asked_for = absent is not None and old.embedding_id == absent and row.content != old.content
    asks_same = (
        row.refusal is None
        and row.content_id == old.content_id
        and (row.given is None or row.embedding_id == old.embedding_id)
    )
    is_better = row.status is EmbeddingStatus.READY and old.status is not EmbeddingStatus.READY
    if asks_same and not is_better and not is_asked_for:
        row.status, row.embedding_id, row.error = old.status, old.embedding_id, old.error
        row.batch_job_id = old.batch_job_id
        return row.content == old.content
    if row.status is not EmbeddingStatus.READY:
        # The vector of the older text serves on as stale until the new one arrives.
        row.embedding_id = old.embedding_id
    return (
        row.content == old.content
        and row.content_id == old.content_id
        and (row.status, row.error) == (old.status, old.error)
        and row.embedding_id == old.embedding_id
    )


def _written(row: PreparedChunk, now: float) -> tuple[object, ...]:
    decided = (
        row.content_id,
        row.tokens,
        row.embedding_id,
        row.status,
        row.batch_job_id,
        row.error,
    )
    return (*row.content, *decided, now)


def _update(
    database: Database,
    connection: Connection,
    updates: list[tuple[Known, PreparedChunk]],
    collection: Collection,
    now: float,
) -> None:
    if not updates:
        return
    # The text, or what is embedded for it, which has its headings.
    retold = {
        old.pk: row
        for old, row in updates
        if collection.drops_text
        or row.content.text != old.content.text
        or row.content.vector_source != old.content.vector_source
        or row.content.media != old.content.media
    }
    retagged = [old.pk for old, row in updates if row.content.metadata != old.content.metadata]
    if retold:
        database.keywords.remove(connection, list(retold))
    if retagged:
        database.metadata.remove(connection, retagged)
    connection.update(
        "chunks",
        ("pk", *_WRITTEN, "not_before"),
        [
            (
                old.pk,
                *_written(row, now),
                old.not_before if row.content_id == old.content_id else None,
            )
            for old, row in updates
        ],
    )
    if retold:
        database.keywords.add(connection, _said(retold.items(), collection))
    if retagged:
        database.metadata.add(connection, retagged)
    note_changed(
        connection,
        [(collection.id, old.pk) for old, row in updates if row.embedding_id != old.embedding_id],
    )
    # A stale chunk stays at its targets as it was until the vector of its new text is here.
    ready = [old.pk for old, row in updates if row.status is EmbeddingStatus.READY]
    note_wishes(connection, ready, may_be_there=True, now=now)


def _insert(
    database: Database,
    connection: Connection,
    rows: list[PreparedChunk],
    collection: Collection,
    now: float,
) -> None:
    if not rows:
        return
    inserted = connection.insert(
        "chunks",
        _INSERTED,
        [(*_written(row, now), now, collection.id, row.chunk_id) for row in rows],
        ending="RETURNING pk, chunk_id",
    )
    by_id = {row.chunk_id: row for row in rows}
    new = [(pk, by_id[name]) for pk, name in inserted]
    database.keywords.add(connection, _said(new, collection))
    database.metadata.add(connection, [pk for pk, _ in new])
    served = [pk for pk, row in new if row.embedding_id is not None]
    note_changed(connection, [(collection.id, pk) for pk in served])
    note_wishes(connection, served, may_be_there=False, now=now)


def _keep_media(
    connection: Connection, inserts: list[PreparedChunk], updates: list[tuple[Known, PreparedChunk]]
) -> None:
    with_media = [row for row in [*inserts, *(row for _, row in updates)] if row.content.media]
    if with_media:
        given = {
            digest: data for row in with_media for digest, data in (row.media_bytes or {}).items()
        }
        keep_media(connection, given, [str(row.content.media) for row in with_media])
    # Last: what a chunk had before may be what it has now.
    drop_media(connection, [old.content.media for old, _ in updates if old.content.media])


def _said(rows: Iterable[tuple[int, PreparedChunk]], collection: Collection) -> list[Said]:
    return [
        Said.of(
            pk,
            row.content.text,
            row.content.vector_source,
            row.content.media,
            languages=collection.languages,
        )
        for pk, row in rows
    ]


def _count(
    connection: Connection,
    inserts: list[PreparedChunk],
    updates: list[tuple[Known, PreparedChunk]],
    collection_id: int,
) -> None:
    changes = _states(inserts, collection_id)
    changes.update(_states([row for _, row in updates], collection_id))
    changes.subtract(_states([old for old, _ in updates], collection_id))
    count_changes(connection, changes)


def _waiting(rows: Iterable[_Row]) -> list[_Row]:
    pending = EmbeddingStatus.PENDING
    return [row for row in rows if row.status is pending and row.batch_job_id is None]


def _sums_of_new(rows: list[PreparedChunk], collection: Collection) -> list[WaitingSums]:
    """Return what waits of contents that no other chunk has."""
    if not rows:
        return []
    texts = {row.content_id: row for row in rows}.values()
    tokens = sum(row.tokens for row in texts)
    repeated = sum(row.tokens for row in rows) - tokens
    pictures = sum(len(load_media(row.content.media)) for row in texts if row.content.media)
    sums = (len(texts), len(rows), tokens, repeated, pictures)
    return [(collection.space_id, scope, *sums) for scope in (0, collection.id)]


def _states(rows: Sequence[PreparedChunk | Known], collection_id: int) -> Counter[ChunkState]:
    """Count by state; a state for each row would take as long as its tokens."""
    counts: Counter[ChunkState] = Counter()
    for is_served in (False, True):
        found = [row.status for row in rows if (row.embedding_id is not None) is is_served]
        for status in EmbeddingStatus:
            counts[ChunkState(collection_id, status, is_served)] = found.count(status)
    return counts
