"""Taking over a database from before batching: documents and chunks with inline vectors."""

import datetime as dt
import hashlib
import json
from typing import Any

import numpy as np

from semantic_core.database.conditions import IS_CACHED
from semantic_core.database.port import Connection
from semantic_core.database.sqlite.connection import any_text
from semantic_core.domain.errors import SpecMismatchError
from semantic_core.domain.metadata import dump_metadata
from semantic_core.domain.pages import pages
from semantic_core.domain.pricing import source_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.domain.validation import has_words

LEGACY_COLUMNS = {
    "documents": {"id", "content", "metadata", "created_at"},
    "chunks": {"id", "document_id", "chunk_index", "content", "metadata", "vector", "created_at"},
}

LEGACY_SPACE = "legacy"

# A column of SQLite holds whatever was put into it: CAST makes text of numbers and bytes. A
# document that was never cut into chunks becomes one, or its text would be gone.
_CHUNKS = """
    SELECT CAST(id AS TEXT), CAST(document_id AS TEXT), CAST(content AS TEXT),
        CAST(metadata AS TEXT), vector, created_at
    FROM legacy_chunks
    UNION ALL
    SELECT 'document-' || id, CAST(id AS TEXT), CAST(content AS TEXT),
        CAST(metadata AS TEXT), NULL, created_at
    FROM legacy_documents
    WHERE trim(content) <> '' AND id NOT IN (
        SELECT document_id FROM legacy_chunks WHERE document_id IS NOT NULL
    )"""


def is_legacy(connection: Connection, tables: set[str]) -> bool:
    """Return whether these are the tables from before batching, and nothing else."""
    if tables != set(LEGACY_COLUMNS):
        return False
    return all(
        {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} == columns
        for table, columns in LEGACY_COLUMNS.items()
    )


def set_legacy_aside(connection: Connection) -> bool:
    """Rename the old tables out of the way; return whether there were any."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "chunks" not in names:
        return False
    for table in LEGACY_COLUMNS:
        connection.execute(f"ALTER TABLE {table} RENAME TO legacy_{table}")
    # An index keeps its name when its table is renamed, and could collide with a new one.
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall():
        quoted = name.replace('"', '""')
        connection.execute(f'DROP INDEX "{quoted}"')
    return True


def move_legacy_rows(connection: Connection, legacy_spec: EmbeddingSpec | None, now: float) -> None:
    """Copy the old rows into collection ``default`` and drop the old tables.

    Rows with a vector become READY, rows without PENDING, blank ones FAILED. Without
    ``legacy_spec`` nobody knows which model made the vectors: they become given vectors of an
    external space. Where they have another size than it says, it raises a SpecMismatchError.
    """
    dimensions = _dimensions(connection)
    spec = legacy_spec
    if spec is None:
        spec = EmbeddingSpec() if dimensions is None else EmbeddingSpec.external(LEGACY_SPACE)
    if dimensions is not None and spec.dimensions not in (None, dimensions):
        raise SpecMismatchError(
            f"legacy_spec has {spec.dimensions} dimensions, the stored vectors have {dimensions}. "
            "Pass the spec of the model that made them. Nothing was changed."
        )
    connection.execute(
        "INSERT INTO spaces (id, digest, model, dimensions, is_external) VALUES (1, ?, ?, ?, ?)",
        (spec.space_digest, spec.model, spec.dimensions or dimensions, spec.is_external),
    )
    connection.execute(
        "INSERT INTO collections (id, name, space_id, spec, created_at) "
        "VALUES (1, 'default', 1, ?, ?)",
        (spec.to_json(), now),
    )
    with any_text(connection, "replace"):  # U+FFFD for what has no meaning
        _move_documents(connection, now)
        rows = connection.execute(_CHUNKS)
        for page in pages(rows):
            _move_page(connection, page, spec, dimensions, now)
    # The same text without its own vector: it is there, so it must not be paid for.
    connection.execute(
        "UPDATE chunks SET embedding_status = 'READY', embedding_id = (SELECT id FROM embeddings e "
        f"WHERE e.content_id = chunks.content_id AND {IS_CACHED}) WHERE embedding_status = 'PENDING' "
        f"AND content_id IN (SELECT content_id FROM embeddings WHERE {IS_CACHED})"
    )
    for table in ("legacy_chunks", "legacy_documents"):
        connection.execute(f"DROP TABLE {table}")


def _dimensions(connection: Connection) -> int | None:
    """Return the vector size most rows have, or None if there is no usable vector."""
    row = connection.execute(
        "SELECT length(vector) / 4 FROM legacy_chunks WHERE typeof(vector) = 'blob' "
        "AND length(vector) > 0 AND length(vector) % 4 = 0 GROUP BY 1 "
        "ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def _move_documents(connection: Connection, now: float) -> None:
    rows = connection.execute(
        "SELECT CAST(id AS TEXT), CAST(content AS TEXT), CAST(metadata AS TEXT), created_at "
        "FROM legacy_documents ORDER BY id"
    )
    for page in pages(rows):
        connection.executemany(
            "INSERT INTO documents (collection_id, document_id, content_hash, metadata, "
            "created_at, updated_at) VALUES (1, ?, ?, ?, ?, ?)",
            [
                (
                    document_id,
                    hashlib.sha256((content or "").encode()).digest(),
                    _metadata(metadata),
                    _time(created_at, now),
                    now,
                )
                for document_id, content, metadata, created_at in page
            ],
        )


def _move_page(
    connection: Connection,
    page: list[tuple[Any, ...]],
    spec: EmbeddingSpec,
    dimensions: int | None,
    now: float,
) -> None:
    hasher = spec.hasher()
    chunks = []
    texts = [row[2] or "" for row in page]
    tokens = [0] * len(page) if spec.is_external else source_tokens(texts, spec)
    for text, estimated, (chunk_id, document_id, _, metadata, vector, created_at) in zip(
        texts, tokens, page, strict=True
    ):
        content_id = _content(connection, hasher(text))
        embedding_id = None
        status, error = EmbeddingStatus.PENDING, None
        data = _usable(vector, dimensions, spec)
        if data is not None:
            # With the model named, the vector is the one its text asks for: a paid one, which
            # serves as cache and outlives its chunk.
            origin = VectorOrigin.GIVEN if spec.is_external else VectorOrigin.LIVE
            embedding_id = _embedding(connection, content_id, data, origin, now)
            status = EmbeddingStatus.READY
        elif not has_words(text):
            status, error = EmbeddingStatus.FAILED, "blank text: nothing to embed"
        chunks.append(
            (
                chunk_id,
                document_id,
                text,
                _metadata(metadata),
                content_id,
                estimated,
                embedding_id,
                status,
                error,
                _time(created_at, now),
                now,
            )
        )
    connection.executemany(
        "INSERT INTO chunks (collection_id, chunk_id, document_id, text, metadata, content_id, "
        "tokens, embedding_id, embedding_status, error_message, created_at, updated_at) "
        "VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        chunks,
    )


def _content(connection: Connection, content_hash: bytes) -> int:
    connection.execute(
        "INSERT INTO contents (hash) VALUES (?) ON CONFLICT (hash) DO NOTHING", (content_hash,)
    )
    found = connection.execute("SELECT id FROM contents WHERE hash = ?", (content_hash,))
    return int(found.fetchone()[0])


def _embedding(
    connection: Connection, content_id: int, vector: bytes, origin: VectorOrigin, now: float
) -> int:
    """Return the new vector; of a content that has a paid one already, that one."""
    made = connection.execute(
        "INSERT INTO embeddings (content_id, space_id, vector, origin, created_at) "
        f"VALUES (?, 1, ?, ?, ?) ON CONFLICT (content_id) WHERE {IS_CACHED} DO NOTHING RETURNING id",
        (content_id, vector, origin, now),
    ).fetchone()
    there = f"SELECT id FROM embeddings WHERE content_id = ? AND {IS_CACHED}"
    return int((made or connection.execute(there, (content_id,)).fetchone())[0])


def _usable(vector: object, dimensions: int | None, spec: EmbeddingSpec) -> bytes | None:
    """Return the vector as its spec keeps it, or None if it cannot be searched with."""
    if not isinstance(vector, bytes) or dimensions is None or len(vector) != 4 * dimensions:
        return None
    values = np.frombuffer(vector, dtype="<f4").astype(np.float64)
    if not (np.isfinite(values).all() and values.any()):
        return None
    if not spec.normalized:
        return vector
    return (values / np.linalg.norm(values)).astype("<f4").tobytes()


def _metadata(text: str | None) -> str:
    """Return the row's metadata as a JSON object, keeping what is not one under a key."""
    try:
        # NaN and Infinity, which Python writes and SQLite's JSON does not read, become null.
        value = json.loads(text or "{}", parse_constant=lambda _: None)
        return dump_metadata(value if isinstance(value, dict) else {"metadata": value})
    except (ValueError, RecursionError):  # no JSON, or more of it than metadata may be
        return json.dumps({"metadata": text}, ensure_ascii=False)


def _time(value: object, now: float) -> float:
    """Return epoch seconds of a number, or of a time as SQLite and Python write it (UTC)."""
    if isinstance(value, int | float):
        return float(value)
    try:
        moment = dt.datetime.fromisoformat(str(value))
    except ValueError:
        return now
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
