"""Contents by their hashes: what callers and providers name by a hash, the tables name by a number."""

from collections.abc import Collection

from semantic_core.database import among
from semantic_core.database.conditions import IS_CACHED, IS_GIVEN, IS_HERE, WANTS
from semantic_core.database.port import Connection
from semantic_core.domain.pages import pages

# Joins where nothing has an index for it: both databases make one then.
_UNUSED = f"""SELECT k.id FROM contents k LEFT JOIN batch_items i ON i.content_id = k.id
    LEFT JOIN (SELECT c.content_id FROM embeddings e JOIN chunks c ON c.embedding_id = e.id
        WHERE NOT e.{IS_HERE}) d ON d.content_id = k.id
    WHERE i.content_id IS NULL AND d.content_id IS NULL
    AND NOT EXISTS (SELECT 1 FROM chunks c WHERE c.content_id = k.id AND c.{WANTS})
    AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.content_id = k.id AND e.{IS_CACHED})
    AND NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.content_id = k.id AND e.{IS_GIVEN})
    AND NOT EXISTS (SELECT 1 FROM live_claims l WHERE l.content_id = k.id)"""


def content_ids(connection: Connection, hashes: Collection[bytes]) -> dict[bytes, int]:
    """Return the numbers of those contents that are known."""
    found: dict[bytes, int] = {}
    for page in pages(hashes):
        named = among("hash", page)
        rows = connection.execute(f"SELECT hash, id FROM contents WHERE {named.sql}", named.values)
        found.update(rows.fetchall())
    return found


def note_contents(
    connection: Connection, hashes: Collection[bytes]
) -> tuple[dict[bytes, int], set[int]]:
    """Return the numbers of contents, and which of them are new."""
    noted = dict(
        connection.insert(
            "contents",
            ("hash",),
            # In one order, or two savers on PostgreSQL could each wait for a row that the other has.
            [(one,) for one in sorted(set(hashes))],
            ending="ON CONFLICT (hash) DO NOTHING RETURNING hash, id",
        )
    )
    new = set(noted.values())
    return noted | content_ids(connection, [one for one in hashes if one not in noted]), new


def prune_contents(connection: Connection) -> None:
    """Forget contents that nothing names any more."""
    connection.execute(f"DELETE FROM contents WHERE id IN ({_UNUSED})")
