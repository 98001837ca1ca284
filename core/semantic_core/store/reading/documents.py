from dataclasses import dataclass

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Sql

_NAME = "coalesce(c.document_id, c.chunk_id)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDocument:
    """A document, or a chunk that belongs to none.

    Attributes:
        is_chunk: whether it is a chunk that belongs to no document.
        ready: those with the vector of their text.
        failed: those that will not get one without help.
    """

    id: str
    is_chunk: bool
    chunks: int
    ready: int
    failed: int


def list_documents(connection: Connection, collection_id: int, name: str) -> list[ListedDocument]:
    """Return the document of this id; of a name that ends with ``/``, or is empty, all below."""
    chosen = Sql("(c.document_id = ? OR (c.document_id IS NULL AND c.chunk_id = ?))", (name, name))
    if not name or name.endswith("/"):
        chosen = Sql(f"substr({_NAME}, 1, ?) = ?", (len(name), name))
    rows = connection.execute(
        f"SELECT {_NAME}, c.document_id IS NULL, count(*), "
        "sum(CASE WHEN c.embedding_status = 'READY' THEN 1 ELSE 0 END), "
        "sum(CASE WHEN c.embedding_status = 'FAILED' THEN 1 ELSE 0 END) "
        f"FROM chunks c WHERE c.collection_id = ? AND {chosen.sql} GROUP BY 1, 2 ORDER BY 1, 2",
        (collection_id, *chosen.values),
    )
    return [
        ListedDocument(id=row[0], is_chunk=bool(row[1]), chunks=row[2], ready=row[3], failed=row[4])
        for row in rows
    ]
