"""What the rows of a database must say, and mending what follows from other rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from semantic_core.database import open_to_others, tighten
from semantic_core.database.conditions import IS_CARRIED, IS_ENDED, IS_OPEN, WANTS
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.database.strategies import Database
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import DatabaseCorruptError, DatabaseReadOnlyError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.queue.counts import recount
from semantic_core.queue.jobs import far_leases
from semantic_core.queue.retries import count_failed_chunks, count_pauses, end_pauses
from semantic_core.queue.vectors import serve_vectors
from semantic_core.store import BaseVectorStore
from semantic_core.views.wording import counted

# No lease is meant to last so long: the clock was wrong when it was taken.
LONGEST_LEASE = 86_400.0

# What semcore itself never writes. Each gives one number.
_CONTRADICTIONS = {
    "chunks are READY with the vector of another text": (
        "SELECT count(*) FROM chunks c JOIN embeddings e ON e.key = c.vector_key "
        "WHERE c.embedding_status = 'READY' AND c.vector_key <> c.content_hash "
        "AND e.origin <> 'given'"
    ),
    "chunks are served by a vector of another space": (
        "SELECT count(*) FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "JOIN embeddings e ON e.key = c.vector_key WHERE e.space_id <> k.space_id"
    ),
    "vectors have another size than their space": (
        "SELECT count(*) FROM embeddings e JOIN spaces s ON s.id = e.space_id "
        "WHERE length(e.vector) IS NOT 4 * s.dimensions"
    ),
    "texts are carried by a job of another model": (
        "SELECT count(*) FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
        f"JOIN chunks c ON c.content_hash = i.content_hash AND c.{WANTS} "
        "JOIN collections k ON k.id = c.collection_id "
        "WHERE i.state = 'open' AND j.space_id <> k.space_id"
    ),
}

_STUCK = (
    "SELECT count(*) FROM chunks c WHERE c.embedding_status = 'PENDING' "
    "AND c.batch_job_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM batch_items i "
    f"JOIN batch_jobs j ON j.pk = i.job_pk AND j.{IS_OPEN} "
    "WHERE i.content_hash = c.content_hash AND i.state = 'open' AND j.id = c.batch_job_id)"
)

_STUCK_ITEMS = (
    "SELECT count(*) FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
    f"WHERE i.{IS_CARRIED} AND j.{IS_ENDED}"
)

_FREE = (
    "SELECT DISTINCT c.content_hash FROM chunks c JOIN embeddings e ON e.key = c.content_hash "
    "WHERE c.embedding_status = 'PENDING'"
)


def open_files(database: Database, *, fix: bool) -> Finding | None:
    """Find files of the database that somebody else may write; let only their owner."""
    found = open_to_others(database.path)
    if not found:
        return None
    tightened = [tighten(file) for file in found] if fix else []
    names = ", ".join(file.name for file in found[:5])
    return Finding(
        trouble=Trouble.OPEN_FILE,
        count=len(found),
        message=f"{counted(len(found), 'file')} of the database can be written by others than "
        f"their owner ({names}): they could change what is found, and what is sent and paid for. "
        "chmod go-w ends that.",
        is_fixable=True,
        is_fixed=fix and all(tightened),
    )


def damage(database: Database) -> Finding | None:
    """Ask the database whether it is whole. Reads all of it."""
    try:
        problems = database.damage()
    except DatabaseCorruptError as error:
        problems = [str(error)]
    if not problems:
        return None
    return Finding(
        trouble=Trouble.DAMAGE,
        count=len(problems),
        message=f"{database.path} is damaged ({'; '.join(problems)}). Keep the file, restore a "
        "backup, and do not write to this one.",
    )


def contradictions(database: Database) -> Iterator[Finding]:
    """Find rows that cannot all be true."""
    with database.snapshot() as connection:
        for what, query in _CONTRADICTIONS.items():
            count = _number(connection, query)
            if count:
                yield _contradiction(count, what)
        changed = _changed_texts(connection)
    if changed:
        yield _contradiction(changed, "chunks have another text than the one they were saved with")


def _contradiction(count: int, what: str) -> Finding:
    return Finding(
        trouble=Trouble.CONTRADICTION,
        count=count,
        message=f"{count:,} {what}. Semcore never writes this: restore a backup, or save these "
        "chunks again, which pays for their vectors again.",
    )


def _changed_texts(connection: Connection) -> int:
    """Return how many texts do not have the hash they are stored under."""
    changed = 0
    for collection_id, spec in connection.execute("SELECT id, spec FROM collections").fetchall():
        hash_of = EmbeddingSpec.from_json(spec).hasher()
        changed += sum(
            not isinstance(source, str) or hash_of(source) != content_hash
            for source, content_hash in connection.execute(
                "SELECT coalesce(vector_source, text), content_hash FROM chunks "
                "WHERE collection_id = ?",
                (collection_id,),
            )
        )
    return changed


def stuck_claims(database: Database) -> Finding | None:
    """Find chunks that wait for a job which brings nothing any more."""
    return _counted(
        database,
        Trouble.STUCK_CLAIM,
        lambda connection: _number(connection, _STUCK) + _number(connection, _STUCK_ITEMS),
        "{count:,} claims are held by batch jobs that have ended, so these texts are "
        "never sent. They may have been paid for, so they are not freed here. Semcore never "
        "leaves this behind: restore a backup, which takes what the provider still has.",
    )


def full_text(database: Database, *, fix: bool) -> Finding | None:
    """Compare the full-text index with the texts; build it anew."""
    try:
        with database.transaction() as connection:
            database.keywords.check(connection)
    except DatabaseReadOnlyError as error:
        return Finding(trouble=Trouble.NOT_LOOKED, message=f"The full-text index: {error}")
    except DatabaseCorruptError:
        pass
    else:
        return None
    if fix:
        with database.transaction() as connection:
            database.keywords.rebuild(connection)
    return Finding(
        trouble=Trouble.FULL_TEXT,
        message="The full-text index differs from the texts, so that keyword search may miss "
        "some. It can be built anew from them.",
        is_fixable=True,
        is_fixed=fix,
    )


def tags(database: Database, *, fix: bool) -> Finding | None:
    """Compare the metadata that filters look up with the chunks'; write it anew."""
    return _counted(
        database,
        Trouble.TAGS,
        database.metadata.check,
        "{count:,} entries of the metadata index differ from the chunks, so that a search "
        "with a filter may miss some. It can be built anew from them.",
        repair=database.metadata.rebuild,
        fix=fix,
    )


def counts(database: Database, *, fix: bool) -> Finding | None:
    """Compare the kept counts with the rows; count anew."""
    return _counted(
        database,
        Trouble.COUNTS,
        partial(recount, write=False),
        "{count:,} kept counts differ from the rows, so that status shows wrong numbers. "
        "They can be counted anew.",
        repair=partial(recount, write=True),
        fix=fix,
    )


def vector_index(store: BaseVectorStore, *, fix: bool) -> Finding | None:
    """Compare the vectors that search uses with the rows; throw them away."""
    differing = store.compare_indexes()
    if not differing:
        return None
    if fix:
        store.rebuild_indexes()
    return Finding(
        trouble=Trouble.VECTOR_INDEX,
        count=differing,
        message=f"The vector index differs from the rows for {differing:,} chunks. It can be "
        "thrown away: the next search reads the rows.",
        is_fixable=True,
        is_fixed=fix,
    )


def free_vectors(database: Database, *, fix: bool, now: float) -> Finding | None:
    """Find chunks that wait for a vector which is stored; give it to them."""
    return _counted(
        database,
        Trouble.FREE_VECTOR,
        lambda connection: len(first_column(connection, _FREE)),
        "The vectors of {count:,} waiting texts are stored already, and would be "
        "paid for again. They can be used at once.",
        repair=lambda connection: serve_vectors(
            connection, first_column(connection, _FREE), now=now
        ),
        fix=fix,
    )


def failed_chunks(database: Database) -> Finding | None:
    """Tell of chunks that the provider refused: nothing but a person brings their vectors."""
    return _counted(
        database,
        Trouble.FAILED_CHUNK,
        count_failed_chunks,
        "{chunks} failed at the provider, found by keyword alone. "
        "`semcore failed` says why; fix the text, delete it, or `semcore retry`.",
    )


def leases(database: Database, *, fix: bool, now: float) -> Finding | None:
    """Find leases that keep everybody from a job for no reason; end them.

    Whoever still works under one finds it gone at the next write, and changes nothing.
    """
    return _counted(
        database,
        Trouble.FAR_LEASE,
        partial(far_leases, after=now + LONGEST_LEASE, end=False),
        "{count:,} batch jobs or live texts are reserved for more than a day: the clock was "
        "wrong when they were worked on. The reservation can be ended.",
        repair=partial(far_leases, after=now + LONGEST_LEASE, end=True),
        fix=fix,
    )


def pauses(database: Database, *, fix: bool, now: float, beyond: float) -> Finding | None:
    """Find texts and models that wait for longer than semcore lets them by itself; end that.

    Args:
        database: open.
        fix: end these pauses.
        now: epoch seconds.
        beyond: seconds; the longest pause that is not the provider's wish.
    """
    with database.snapshot() as connection:
        chunks, models = count_pauses(connection, now=now, beyond=beyond)
    if not chunks and not models:
        return None
    if fix:
        with database.transaction() as connection:
            end_pauses(connection, collection_id=None, now=now, beyond=beyond)
    return Finding(
        trouble=Trouble.FAR_PAUSE,
        count=chunks + models,
        message=f"{counted(chunks, 'chunk')} and {counted(models, 'model')} wait for more than "
        f"{beyond / HOUR:.1f} hours before they are sent again: the provider asked for it, or the "
        "clock was wrong when it was noted. Ending the pause costs nothing; `semcore retry` ends "
        "every one.",
        is_fixable=True,
        is_fixed=fix,
    )


def _number(connection: Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _counted(
    database: Database,
    trouble: Trouble,
    look: Callable[[Connection], int],
    message: str,
    *,
    repair: Callable[[Connection], object] | None = None,
    fix: bool = False,
) -> Finding | None:
    """Return how many things are wrong, if any are, having repaired them where that is asked for."""
    with database.snapshot() as connection:
        count = look(connection)
    if not count:
        return None
    is_fixed = fix and repair is not None
    if repair is not None and fix:
        with database.transaction() as connection:
            repair(connection)
    return Finding(
        trouble=trouble,
        count=count,
        message=message.format(count=count, chunks=counted(count, "chunk")),
        is_fixable=repair is not None,
        is_fixed=is_fixed,
    )
