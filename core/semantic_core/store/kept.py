"""What is kept here of chunks that every target of their collection has: all, unless told otherwise.

Words leave the keyword index: the chunk is indexed as one without any. Paid vectors are deleted:
the chunk stays READY, with one that stands for what only the targets have.
"""

from collections.abc import Sequence
from typing import Literal, TypedDict

from semantic_core.database import IDS, among, id_set
from semantic_core.database.conditions import IS_CACHED, IS_PAID, IS_UNUSED
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database, Sql
from semantic_core.domain.errors import ConfigurationError
from semantic_core.domain.pages import PAGE
from semantic_core.domain.spec import absent_vector_key
from semantic_core.domain.statuses import VectorOrigin
from semantic_core.keywords import Said
from semantic_core.providers.facts import DEFAULT_PRICES
from semantic_core.queue.changes import note_changed
from semantic_core.queue.contents import note_contents
from semantic_core.queue.counts import absent_vector
from semantic_core.queue.retries import ask_again

KeepText = Literal["always", "until delivered"]
KEEPS_TEXT = {"always": True, "until delivered": False}


class Keep(TypedDict, total=False):
    """What is kept, see `Delivery.attach`."""

    keep_text: KeepText | None
    keep_vectors: bool | None


# READY, and there is nothing that a target of its collection is still to be told of it.
_IS_SETTLED = (
    "c.embedding_status = 'READY' AND NOT EXISTS (SELECT 1 FROM targets t "
    "WHERE t.collection_id = c.collection_id AND (t.filled_pk IS NOT NULL OR EXISTS "
    "(SELECT 1 FROM outbox o WHERE o.target_id = t.id AND o.chunk_id = c.chunk_id)))"
)


def check_all_here(connection: Connection, collection: Collection, what: str) -> None:
    """Raise a `ConfigurationError` that begins with ``what`` if only targets have some vectors."""
    chunks, tokens = connection.execute(
        "SELECT count(*), sum(tokens) FROM chunks WHERE embedding_id = ?",
        (absent_vector(connection, collection.id),),
    ).fetchone()
    if chunks:
        cost = DEFAULT_PRICES.cost(collection.spec.model, tokens)
        price = "" if cost is None else f", ${cost.batch_usd:,.2f} in a batch"
        raise ConfigurationError(
            f"{what}: the vectors of {chunks:,} chunks of {collection.name!r} are only where they "
            "were delivered to, since keep_vectors=False. Nothing was changed. Attach that target "
            f"with keep_vectors=True, and the next jobs bring them once more, for about {tokens:,} "
            f"tokens{price}. When they have come, do this again."
        )


def let_go(
    database: Database, connection: Connection, collection: Collection, chosen: Sql, *, now: float
) -> None:
    """Drop what is not to be kept of chunks that a target was told of just now."""
    if not (collection.drops_text or collection.drops_vectors):
        return
    rows = connection.execute(
        f"SELECT c.pk, c.embedding_id, e.{IS_PAID} FROM chunks c JOIN embeddings e "
        f"ON e.id = c.embedding_id WHERE c.collection_id = ? AND {chosen.sql} AND {_IS_SETTLED}",
        (collection.id, *chosen.values),
    ).fetchall()
    if collection.drops_text:
        _index(database, connection, [Said(pk, "") for pk, _, _ in rows])
    paid = [(pk, embedding_id) for pk, embedding_id, is_paid in rows if is_paid]
    if not (collection.drops_vectors and paid):
        return
    (content,) = note_contents(connection, [absent_vector_key(collection.id)])[0].values()
    connection.execute(
        "INSERT INTO embeddings (content_id, space_id, vector, origin, created_at) "
        f"VALUES (?, ?, ?, ?, ?) ON CONFLICT (content_id) WHERE {IS_CACHED} DO NOTHING",
        (content, collection.space_id, b"", VectorOrigin.DELIVERED, now),
    )
    absent, pks = absent_vector(connection, collection.id), among("pk", [pk for pk, _ in paid])
    connection.execute(f"UPDATE chunks SET embedding_id = ? WHERE {pks.sql}", (absent, *pks.values))
    connection.execute(
        f"DELETE FROM embeddings WHERE id IN {IDS} AND {IS_UNUSED}",
        id_set(embedding_id for _, embedding_id in paid),
    )
    note_changed(connection, [(collection.id, pk) for pk, _ in paid])


def take_back(
    database: Database, connection: Connection, collection: Collection, chosen: Sql, *, now: float
) -> None:
    """Let chunks whose vectors only targets have wait for new ones; index a page of the chosen anew.

    The targets keep what they have until those are here.
    """
    ask_again(connection, collection.id, chosen, now=now)
    index_words(database, connection, collection, chosen)


def index_words(
    database: Database, connection: Connection, collection: Collection, chosen: Sql
) -> list[int]:
    """Index a page of chunks anew, those without words whose words go; return their keys."""
    rows = connection.execute(
        f"SELECT c.pk, c.text, c.vector_source, c.media, {_IS_SETTLED} FROM chunks c "
        # The plus keeps SQLite from an index by which it would sort the collection for each page.
        f"WHERE +c.collection_id = ? AND {chosen.sql} ORDER BY c.pk LIMIT {PAGE}",
        (collection.id, *chosen.values),
    ).fetchall()
    said = [
        Said(given[0], "")
        if collection.drops_text and is_settled
        else Said.of(*given, languages=collection.languages)
        for *given, is_settled in rows
    ]
    _index(database, connection, said)
    return [row.pk for row in said]


def _index(database: Database, connection: Connection, said: Sequence[Said]) -> None:
    database.keywords.remove(connection, [row.pk for row in said])
    database.keywords.add(connection, said)
