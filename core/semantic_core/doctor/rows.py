"""Checks of a database's rows and files, and repairs of what follows from other rows."""

from collections.abc import Callable, Iterator
from functools import partial

from semantic_core.database import open_to_others, tighten
from semantic_core.database.conditions import (
    IS_CACHED,
    IS_CARRIED,
    IS_ENDED,
    IS_HERE,
    IS_OPEN,
    WANTS,
)
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column, first_value
from semantic_core.database.strategies import Database
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import DatabaseCorruptError, DatabaseReadOnlyError, StoreMovedError
from semantic_core.domain.media import load_media
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.queue.counts import read_served, recount
from semantic_core.queue.jobs import far_leases
from semantic_core.queue.retries import count_failed_chunks, count_pauses, end_pauses
from semantic_core.queue.vectors import serve_vectors
from semantic_core.store import BaseVectorStore
from semantic_core.views.wording import counted

# No lease is meant to last so long: the clock was wrong when it was taken.
LONGEST_LEASE = 86_400.0

# A server that can search them itself is faster from about here on.
MANY_VECTORS = 1_000_000

# What semcore itself never writes. Each gives one number.
_CONTRADICTIONS = {
    "chunks are READY with the vector of another text": (
        "SELECT count(*) FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
        "WHERE c.embedding_status = 'READY' AND e.content_id <> c.content_id "
        f"AND e.{IS_HERE}"
    ),
    "chunks are served by a vector of another space": (
        "SELECT count(*) FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "JOIN embeddings e ON e.id = c.embedding_id WHERE e.space_id <> k.space_id"
    ),
    "vectors have another size than their space": (
        "SELECT count(*) FROM embeddings e JOIN spaces s ON s.id = e.space_id "
        f"WHERE length(e.vector) IS NOT 4 * s.dimensions AND e.{IS_HERE}"
    ),
    "texts are carried by a job of another model": (
        "SELECT count(*) FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
        f"JOIN chunks c ON c.content_id = i.content_id AND c.{WANTS} "
        "JOIN collections k ON k.id = c.collection_id "
        "WHERE i.state = 'open' AND j.space_id <> k.space_id"
    ),
}

_STUCK = (
    "SELECT (SELECT count(*) FROM chunks c WHERE c.embedding_status = 'PENDING' "
    "AND c.batch_job_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM batch_items i "
    f"JOIN batch_jobs j ON j.pk = i.job_pk AND j.{IS_OPEN} "
    "WHERE i.content_id = c.content_id AND i.state = 'open' AND j.id = c.batch_job_id)) "
    "+ (SELECT count(*) FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
    f"WHERE i.{IS_CARRIED} AND j.{IS_ENDED})"
)

_FREE = (
    "SELECT DISTINCT c.content_id FROM chunks c JOIN embeddings e "
    f"ON e.content_id = c.content_id AND e.{IS_CACHED} WHERE c.embedding_status = 'PENDING'"
)

_Look = Callable[[Connection], int]


def open_files(database: Database, *, fix: bool) -> Iterator[Finding]:
    """Find files of the database that somebody else may write; let only their owner."""
    if found := open_to_others(database.path):
        tightened = [tighten(file) for file in found] if fix else [False]
        yield Finding.of(
            Trouble.OPEN_FILE,
            len(found),
            is_fixed=all(tightened),
            files=counted(len(found), "file"),
            names=[file.name for file in found],
        )


def damage(database: Database) -> Finding | None:
    """Ask the database whether it is whole. Reads all of it."""
    try:
        problems = database.damage()
    except DatabaseCorruptError as error:
        problems = [str(error)]
    if not problems:
        return None
    return Finding.of(
        Trouble.DAMAGE, len(problems), file=database.path, problems="; ".join(problems)
    )


def contradictions(database: Database) -> Iterator[Finding]:
    looks: dict[str, _Look] = {
        **{what: partial(first_value, sql=query) for what, query in _CONTRADICTIONS.items()},
        "chunks have another text than the one they were saved with": _changed_texts,
    }
    with database.snapshot() as connection:
        for what, look in looks.items():
            if count := look(connection):
                yield Finding.of(Trouble.CONTRADICTION, count, what=what)


def _changed_texts(connection: Connection) -> int:
    """Return how many texts do not have the hash they are stored under."""
    changed = 0
    for collection_id, spec in connection.execute("SELECT id, spec FROM collections").fetchall():
        hash_of = EmbeddingSpec.from_json(spec).hasher()
        changed += sum(
            not isinstance(source, str) or hash_of(source, load_media(media)) != content_hash
            for source, media, content_hash in connection.execute(
                "SELECT coalesce(c.vector_source, c.text), c.media, k.hash FROM chunks c "
                "LEFT JOIN contents k ON k.id = c.content_id WHERE c.collection_id = ?",
                (collection_id,),
            )
        )
    return changed


def wrong_counts(database: Database, *, fix: bool, now: float) -> Iterator[Finding]:
    """Count what should not be there, and repair what follows from other rows."""
    for trouble, look, repair in _checks(database, now):
        with database.snapshot() as connection:
            count = look(connection)
        if count:
            if fix and repair is not None:
                with database.transaction() as connection:
                    repair(connection)
            is_fixed = None if repair is None else fix
            chunks = counted(count, "chunk")
            yield Finding.of(trouble, count, is_fixed=is_fixed, chunks=chunks)


def _checks(
    database: Database, now: float
) -> list[tuple[Trouble, _Look, Callable[[Connection], object] | None]]:
    """Return each trouble with how it is counted and, where that is safe, how it is repaired."""
    stored = partial(first_column, sql=_FREE)
    # Whoever still works under a lease finds it gone at the next write, and changes nothing.
    far = partial(far_leases, after=now + LONGEST_LEASE)
    return [
        (Trouble.STUCK_CLAIM, partial(first_value, sql=_STUCK), None),
        (Trouble.TAGS, database.metadata.check, database.metadata.rebuild),
        (Trouble.COUNTS, partial(recount, write=False), partial(recount, write=True)),
        (
            Trouble.FREE_VECTOR,
            lambda connection: len(stored(connection)),
            lambda connection: serve_vectors(connection, stored(connection), now=now),
        ),
        (Trouble.FAR_LEASE, partial(far, end=False), partial(far, end=True)),
        (Trouble.FAILED_CHUNK, count_failed_chunks, None),
    ]


def full_text(database: Database, *, fix: bool) -> Iterator[Finding]:
    """Compare the full-text index with the texts; rebuild it."""
    try:
        with database.transaction() as connection:
            database.keywords.check(connection)
    except (DatabaseReadOnlyError, StoreMovedError) as error:
        yield Finding.of(Trouble.NOT_LOOKED, what=f"The full-text index: {error}")
    except DatabaseCorruptError:
        if fix:
            with database.transaction() as connection:
                database.keywords.rebuild(connection)
        yield Finding.of(Trouble.FULL_TEXT, is_fixed=fix)


def vector_index(store: BaseVectorStore, *, fix: bool) -> Iterator[Finding]:
    """Compare the vector index with the rows; drop it."""
    if differing := store.compare_indexes():
        if fix:
            store.rebuild_indexes()
        yield Finding.of(Trouble.VECTOR_INDEX, differing, is_fixed=fix)
    tables = store.database.vectors
    if tables is None:
        return
    with store.database.snapshot() as connection:
        for one in store.collections():
            served = read_served(connection, one.id)
            if served > MANY_VECTORS and tables.nearest(connection, one) is None:
                yield Finding.of(Trouble.LARGE_INDEX, served, name=one.name)


def pauses(database: Database, *, fix: bool, now: float, beyond: float) -> Iterator[Finding]:
    """Find texts and models that wait longer than ``beyond`` seconds; end that.

    Only the provider can ask for a longer pause than that.
    """
    with database.snapshot() as connection:
        chunks, models = count_pauses(connection, now=now, beyond=beyond)
    if chunks or models:
        if fix:
            with database.transaction() as connection:
                end_pauses(connection, collection_id=None, now=now, beyond=beyond)
        yield Finding.of(
            Trouble.FAR_PAUSE,
            chunks + models,
            is_fixed=fix,
            chunks=counted(chunks, "chunk"),
            models=counted(models, "model"),
            hours=beyond / HOUR,
        )
