"""Which serving vectors came, went or were replaced: for every process's index, and for targets."""

from collections.abc import Sequence

from semantic_core.database import among
from semantic_core.database.port import Connection

# An index that is further behind than this is read again from the rows, which costs no more.
KEPT = 1_000_000


def note_changed(connection: Connection, chunks: list[tuple[int, int]]) -> None:
    """Note chunks, given as (collection, row key), whose serving vector is another one or gone."""
    if not chunks:
        return
    connection.insert("changes", ("collection_id", "chunk_pk"), chunks)
    # The newest row always stays, so the sequence never seems to begin anew.
    connection.execute(
        "DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?", (KEPT,)
    )


def note_wishes(
    connection: Connection, pks: Sequence[int], *, may_be_there: bool, now: float
) -> None:
    """Note that the targets of their collections are to be told of chunks, each once.

    Args:
        connection: within the transaction of the change; a chunk is told of as it is later.
        pks: chunks that are READY, or were and are about to be deleted.
        may_be_there: False for chunks that had no vector before. Of a chunk that is noted already,
            what is known stays.
        now: epoch seconds.
    """
    if not pks:
        return
    named = among("c.pk", pks)
    connection.execute(
        # Targets first: where there is none, nothing else is looked at.
        "INSERT INTO outbox (target_id, chunk_id, may_be_there, noted_at) "
        "SELECT t.id, c.chunk_id, ?, ? FROM targets t CROSS JOIN chunks c "
        f"WHERE c.collection_id = t.collection_id AND {named.sql} "
        "ON CONFLICT (target_id, chunk_id) DO UPDATE "
        "SET seq = excluded.seq, tries = 0, not_before = NULL, error = NULL",
        (may_be_there, now, *named.values),
    )
