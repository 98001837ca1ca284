"""What holds in every database after every step, whatever happened before."""

from __future__ import annotations

import sqlite3

from semantic_core.store import PeeweeVectorStore


def check_invariants(store: PeeweeVectorStore) -> None:
    """Assert that rows, full-text index, counts, claims and vectors agree with each other."""
    with store.database.snapshot() as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert _counted(connection) == _kept(connection)
        for name, query in _MUST_BE_EMPTY.items():
            assert connection.execute(query).fetchall() == [], name
    check_full_text(store)


def check_full_text(store: PeeweeVectorStore) -> None:
    """Assert that the full-text index holds exactly the texts of the chunks."""
    with store.database.transaction() as connection:
        # The 1 asks for a comparison with the content.
        connection.execute(
            "INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)"
        )


def _counted(connection: sqlite3.Connection) -> set[tuple[int, str, int, int]]:
    return set(
        connection.execute(
            "SELECT collection_id, embedding_status, vector_key IS NOT NULL, count(*) "
            "FROM chunks GROUP BY 1, 2, 3"
        )
    )


def _kept(connection: sqlite3.Connection) -> set[tuple[int, str, int, int]]:
    return set(connection.execute("SELECT * FROM chunk_counts WHERE chunks <> 0"))


_MUST_BE_EMPTY = {
    "a READY chunk is served by the vector it wants, or by a given one": (
        "SELECT c.pk FROM chunks c JOIN embeddings e ON e.key = c.vector_key "
        "WHERE c.embedding_status = 'READY' AND c.vector_key <> c.content_hash "
        "AND e.origin <> 'given'"
    ),
    "a chunk is served by a vector of its own space": (
        "SELECT c.pk FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "JOIN embeddings e ON e.key = c.vector_key WHERE e.space_id <> k.space_id"
    ),
    "a PENDING chunk is claimed by the job whose open item carries its text": (
        "SELECT c.pk, c.batch_job_id, i.job_id FROM chunks c LEFT JOIN batch_items i "
        "ON i.content_hash = c.content_hash AND i.state = 'open' "
        "WHERE c.embedding_status = 'PENDING' AND c.batch_job_id IS NOT i.job_id"
    ),
    "no PENDING chunk waits for a vector that is stored": (
        "SELECT c.pk FROM chunks c JOIN embeddings e ON e.key = c.content_hash "
        "WHERE c.embedding_status = 'PENDING'"
    ),
    "an ended job carries nothing": (
        "SELECT j.id FROM batch_jobs j JOIN batch_items i ON i.job_id = j.id "
        "WHERE i.state = 'open' AND j.status IN ('COMPLETED', 'FAILED')"
    ),
    "a given vector goes with its last chunk": (
        "SELECT e.id FROM embeddings e WHERE e.origin = 'given' "
        "AND NOT EXISTS (SELECT 1 FROM chunks WHERE vector_key = e.key)"
    ),
    "a vector counts as unused exactly while no chunk uses it": (
        "SELECT e.id, e.unreferenced_since FROM embeddings e WHERE (e.unreferenced_since IS NULL) "
        "<> EXISTS (SELECT 1 FROM chunks WHERE vector_key = e.key)"
    ),
    "a vector has the size of its space": (
        "SELECT e.id FROM embeddings e JOIN spaces s ON s.id = e.space_id "
        "WHERE length(e.vector) IS NOT 4 * s.dimensions"
    ),
}
