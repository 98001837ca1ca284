"""Documents: which chunks they have now, so that the ones of an earlier version go."""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database, Sql
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import DuplicateIdError, InvalidInputError
from semantic_core.domain.metadata import copy_metadata, dump_metadata
from semantic_core.domain.reports import SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import SplitDocument
from semantic_core.domain.validation import check_id, check_text
from semantic_core.store.collections import find_collection, open_collection
from semantic_core.store.reading.read import choose
from semantic_core.store.writing.delete import delete_chunks
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_rows

# What may have changed of a document that is saved again.
_RECORDED = ("root_id", "source", "content_hash", "metadata")


def check_documents(documents: Sequence[SplitDocument]) -> list[tuple[str | None, bytes, str]]:
    """Check what is recorded of documents; return (source, content hash, metadata) of each."""
    seen: set[str] = set()
    rows = []
    for entry in documents:
        what = f"document {entry.id!r}"
        check_id(entry.id, what=f"the id of {what}")
        check_text(entry.document.content, what=what)
        if entry.document.source is not None:
            check_id(entry.document.source, what=f"the source of {what}")
        if entry.id in seen:
            raise DuplicateIdError(
                f"The {what} appears twice in one call. Give each its own id, or save them in two "
                "calls. Nothing was saved."
            )
        seen.add(entry.id)
        if any(chunk.id is None or chunk.document_id != entry.id for chunk in entry.chunks):
            raise InvalidInputError(
                f"A chunk of {what} has no id, or names another document. Give each chunk an id "
                "and its document's id. Nothing was saved."
            )
        content_hash = hashlib.sha256(entry.document.content.encode()).digest()
        whose = f"the metadata of {what}"
        metadata = dump_metadata(copy_metadata(entry.document.metadata, what=whose), what=whose)
        rows.append((entry.document.source, content_hash, metadata))
    return rows


def save_documents(
    database: Database,
    documents: Sequence[SplitDocument],
    *,
    name: str,
    spec: EmbeddingSpec,
    clock: Clock,
) -> tuple[SaveReport, int]:
    checked = check_documents(documents)
    rows = prepare_chunks((chunk for entry in documents for chunk in entry.chunks), spec)

    def work(connection: Connection, is_alone: bool) -> tuple[SaveReport, int]:  # noqa: FBT001  # as `save` calls it
        now = clock.now()
        target = open_collection(connection, name, spec, now=now)
        report = save_rows(
            database, connection, rows, collection=target, now=now, is_alone=is_alone
        )
        removed = _record(
            database, connection, documents, checked, collection=target, now=now, is_alone=is_alone
        )
        return report, removed

    return database.save(work)


def _record(
    database: Database,
    connection: Connection,
    documents: Sequence[SplitDocument],
    rows: Sequence[tuple[str | None, bytes, str]],
    *,
    collection: Collection,
    now: float,
    is_alone: bool,
) -> int:
    """Record checked documents and delete chunks they no longer have; return how many went.

    For that it must be alone, see `delete_chunks`.
    """
    connection.insert(
        "documents",
        ("document_id", "collection_id", *_RECORDED, "created_at", "updated_at"),
        [
            (entry.id, collection.id, entry.root_id, *row, now, now)
            for entry, row in zip(documents, rows, strict=True)
        ],
        ending="ON CONFLICT (collection_id, document_id) DO UPDATE SET "
        f"{', '.join(f'{name} = excluded.{name}' for name in (*_RECORDED, 'updated_at'))} "
        f"WHERE ({', '.join(f'documents.{name}' for name in _RECORDED)}) IS NOT "
        f"({', '.join(f'excluded.{name}' for name in _RECORDED)})",
    )
    # The chunks of the page are saved already: a chunk that another document of it has now names
    # that one.
    of_these = among("c.document_id", [entry.id for entry in documents])
    kept = among("c.chunk_id", [chunk.id or "" for entry in documents for chunk in entry.chunks])
    gone = Sql(
        f"c.collection_id = ? AND {of_these.sql} AND NOT {kept.sql}",
        (collection.id, *of_these.values, *kept.values),
    )
    return delete_chunks(database, connection, gone, purge=False, now=now, is_alone=is_alone)[0]


def delete_sources(
    database: Database,
    sources: Sequence[str],
    *,
    collection: str,
    keep: Callable[[str], bool],
    until: float,
    now: float,
) -> int:
    """Delete the documents of these sources, in one transaction; return how many chunks went.

    Their vectors stay as cache. ``keep`` tells of a document's id whether it stays. Documents that
    were first saved after ``until`` stay, since another process has saved them meanwhile.
    """
    if not sources:
        return 0
    with database.transaction() as connection:
        target = find_collection(connection, collection)
        if target is None:
            return 0
        named = among("source", sources)
        found = connection.execute(
            "SELECT document_id FROM documents WHERE collection_id = ? AND created_at <= ? "
            f"AND {named.sql}",
            (target.id, until, *named.values),
        ).fetchall()
        gone = [document_id for (document_id,) in found if not keep(document_id)]
        chosen = database.metadata.condition(choose(target.id, document_ids=gone))
        deleted, _ = delete_chunks(database, connection, chosen, purge=False, now=now)
        drop_documents(connection, target.id, gone)
    return deleted


def drop_documents(connection: Connection, collection_id: int, document_ids: Iterable[str]) -> None:
    """Forget those of these documents that have no chunk left."""
    named = among("document_id", list(document_ids))
    connection.execute(
        f"DELETE FROM documents AS d WHERE collection_id = ? AND {named.sql} AND NOT EXISTS "
        "(SELECT 1 FROM chunks WHERE collection_id = d.collection_id "
        "AND document_id = d.document_id)",
        (collection_id, *named.values),
    )
