"""Roots: the folders that files were read from, and what was saved of each."""

from dataclasses import dataclass

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.domain.pages import PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A folder that files were read from.

    Attributes:
        name: what the ids of its documents begin with, before a ``/``; no other root has it.
        place: where the folder was when it was last read.
    """

    id: int
    name: str
    place: str


def read_roots(connection: Connection) -> list[Root]:
    rows = connection.execute("SELECT id, name, place FROM roots ORDER BY name")
    return [Root(id=row[0], name=row[1], place=row[2]) for row in rows]


def write_root(connection: Connection, name: str, place: str, *, known: Root | None) -> Root:
    """Note a root: a new one, or what a known one is called and where it is now."""
    if known is None:
        (row,) = connection.execute(
            "INSERT INTO roots (name, place) VALUES (?, ?) RETURNING id", (name, place)
        ).fetchall()
        return Root(id=row[0], name=name, place=place)
    connection.execute("UPDATE roots SET name = ?, place = ? WHERE id = ?", (name, place, known.id))
    return Root(id=known.id, name=name, place=place)


def has_documents(connection: Connection, root: Root, prefix: str) -> bool:
    """Return whether a document of a root has an id that begins so, in any collection."""
    found = connection.execute(
        "SELECT 1 FROM documents WHERE root_id = ? AND substr(document_id, 1, ?) = ? LIMIT 1",
        (root.id, len(prefix), prefix),
    )
    return found.fetchone() is not None


def some_documents(connection: Connection, root: Root, *, most: int) -> list[str]:
    """Return the ids of some documents of a root, in any collection."""
    rows = connection.execute(
        "SELECT document_id FROM documents WHERE root_id = ? ORDER BY pk LIMIT ?", (root.id, most)
    )
    return [document_id for (document_id,) in rows]


def documents_of(
    connection: Connection, root: Root, *, collection_id: int, after: int
) -> dict[int, str]:
    """Return the ids of the documents of a root in a collection after a key: a page, by key."""
    rows = connection.execute(
        "SELECT pk, document_id FROM documents WHERE root_id = ? AND collection_id = ? AND pk > ? "
        f"ORDER BY pk LIMIT {PAGE}",
        (root.id, collection_id, after),
    )
    return dict(rows.fetchall())


def existing(connection: Connection, document_ids: list[str], *, collection_id: int) -> set[str]:
    named = among("document_id", document_ids)
    rows = connection.execute(
        f"SELECT document_id FROM documents WHERE collection_id = ? AND {named.sql}",
        (collection_id, *named.values),
    )
    return {document_id for (document_id,) in rows}
