"""What is counted in tables of its own, so that asking reads a handful of rows."""

from semantic_core.database.conditions import WAITS
from semantic_core.database.port import Connection


def waiting(which: str = "") -> str:
    """Return the rows of ``waiting_counts`` as they follow from the chunks ``k``, or some of them.

    Those of a collection, and under 0 those of all collections of a space, in which a text counts
    once.
    """
    return (
        "SELECT space_id, scope, count(*), sum(chunks), sum(tokens), sum((chunks - 1) * tokens), "
        "sum(pictures) FROM (SELECT c.space_id, c.id * n AS scope, k.content_id, "
        "count(*) AS chunks, min(k.tokens) AS tokens, "
        "min(coalesce(json_array_length(k.media), 0)) AS pictures "
        "FROM chunks k JOIN collections c ON c.id = k.collection_id "
        f"JOIN (SELECT 0 AS n UNION ALL SELECT 1) AS scopes ON TRUE WHERE {WAITS} {which} "
        "GROUP BY 1, 2, 3) AS texts GROUP BY 1, 2"
    )


# Each table with how many columns are its key, and its rows as they follow from the chunks.
COUNTED = {
    "chunk_counts": (
        3,
        (
            "SELECT collection_id, embedding_status, embedding_id IS NOT NULL, count(*) "
            "FROM chunks GROUP BY 1, 2, 3"
        ),
    ),
    "waiting_counts": (2, waiting()),
}


def count_anew(connection: Connection) -> None:
    for table, (_, rows) in COUNTED.items():
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} {rows}")
