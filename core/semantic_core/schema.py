"""The schema and its history: an append-only list of migrations, run in one transaction."""

from __future__ import annotations

import secrets
import sqlite3
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semantic_core.database import Database
from semantic_core.errors import (
    ConfigurationError,
    DatabaseCorruptError,
    NotASemcoreDatabaseError,
    SchemaTooNewError,
)
from semantic_core.failpoints import FailPoint, reach
from semantic_core.legacy import is_legacy, move_legacy_rows, set_legacy_aside
from semantic_core.spec import EmbeddingSpec

# Marks the file as ours in its header, so that no other database is ever taken for one.
APPLICATION_ID = 0x53454D43

DEFAULT_TOKENIZER = "porter unicode61 remove_diacritics 2"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """What a new or migrated database is made with.

    Attributes:
        tokenizer: FTS5 tokenizer of the full-text index; fixed once the database exists.
        legacy_spec: the spec of the vectors in a database from before batching; without it
            they become given vectors of an external space.
    """

    tokenizer: str = DEFAULT_TOKENIZER
    legacy_spec: EmbeddingSpec | None = None


def ensure_schema_compatibility(database: Database, options: SchemaOptions) -> None:
    """Bring the database to the schema of this version, in one transaction. Idempotent.

    Raises:
        SchemaTooNewError: a newer semcore wrote it.
        NotASemcoreDatabaseError: it holds other tables; nothing was changed in it.
        DatabaseReadOnlyError: it needs a migration and cannot be written.
        SpecMismatchError: ``legacy_spec`` does not fit the vectors that are there.
        ConfigurationError: SQLite does not know the tokenizer.
    """
    with database.snapshot() as connection:
        tables = _tables(connection)
        version = _version(connection, tables, database.path)
    if not tables:
        database.use_write_ahead_log()
    if version < len(MIGRATIONS):
        _migrate(database, options)
    # After a migration, so that an interrupted one leaves an old file exactly as it was.
    database.use_write_ahead_log()


def _migrate(database: Database, options: SchemaOptions) -> None:
    with database.transaction() as connection:
        # Read again under the write lock: another process may have migrated meanwhile.
        version = _version(connection, _tables(connection), database.path)
        for migrate in MIGRATIONS[version:]:
            migrate(connection, options)
            reach(FailPoint.MIGRATE_STEP)
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('schema_version', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (str(len(MIGRATIONS)),),
        )


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' "
            "ESCAPE '@'"
        )
    }


def _version(connection: sqlite3.Connection, tables: set[str], path: Path) -> int:
    """Return the schema version, 0 for an empty database or one from before batching."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        recorded = read_meta(connection, "schema_version") if "meta" in tables else None
        if recorded is None:
            raise DatabaseCorruptError(
                f"{path} is marked as semcore's but has no schema version. Keep the file, restore "
                "a backup, do not write to it."
            )
        if int(recorded) > len(MIGRATIONS):
            raise SchemaTooNewError(
                f"{path} has schema {recorded}, this semcore knows {len(MIGRATIONS)}. "
                "Upgrade: pip install -U semcore. Nothing was changed in it."
            )
        return int(recorded)
    if not tables or is_legacy(connection, tables):
        return 0
    raise NotASemcoreDatabaseError(
        f"{path} is a database, but not one of semcore's (it holds "
        f"{', '.join(sorted(tables)[:5])}). Choose another path; nothing was changed in it."
    )


def m001_batching(connection: sqlite3.Connection, options: SchemaOptions) -> None:
    """Create the tables; take over the rows of a database from before batching."""
    had_rows = set_legacy_aside(connection)
    for statement in _SCHEMA_001:
        connection.execute(statement)
    try:
        connection.execute(
            "CREATE VIRTUAL TABLE chunks_fts USING fts5(text, content = 'chunks', "
            f"content_rowid = 'pk', tokenize = {_quoted(options.tokenizer)})"
        )
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise ConfigurationError(
            f"SQLite cannot make a full-text index with the tokenizer {options.tokenizer!r} "
            f"({error}). Leave it out, or name one of FTS5's. Nothing was changed."
        ) from error
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)",
        [
            ("database_uuid", str(uuid.uuid4())),
            ("install_id", secrets.token_hex(4)),
            ("hmac_salt", secrets.token_hex(32)),
        ],
    )
    if had_rows:
        move_legacy_rows(connection, options.legacy_spec, time.time())
        connection.execute(
            "INSERT INTO chunk_counts (collection_id, embedding_status, is_served, chunks) "
            "SELECT collection_id, embedding_status, vector_key IS NOT NULL, count(*) "
            "FROM chunks GROUP BY 1, 2, 3"
        )
        connection.execute(
            "INSERT INTO tags SELECT c.collection_id, e.key, CASE e.type WHEN 'true' THEN x'01' "
            "WHEN 'false' THEN x'00' ELSE e.value END, c.pk FROM chunks c, json_each(c.metadata) e "
            "WHERE e.type IN ('text', 'integer', 'real', 'true', 'false') "
            "AND (e.type <> 'text' OR length(e.value) <= 64)"
        )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one_of(column: str, *values: str) -> str:
    return f"{column} IN ({', '.join(_quoted(value) for value in values)})"


# Literals, not the enums: a migration must stay what it was when the enums grow.
_SCHEMA_001 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE spaces (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        model TEXT NOT NULL,
        dimensions INTEGER,
        is_external INTEGER NOT NULL CHECK (is_external IN (0, 1)),
        passed_over TEXT,
        passed_at REAL,
        CHECK (is_external OR dimensions IS NOT NULL),
        CHECK ((passed_over IS NULL) = (passed_at IS NULL))
    )""",
    """CREATE TABLE collections (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        spec TEXT NOT NULL,
        created_at REAL NOT NULL
    )""",
    """CREATE TABLE documents (
        pk INTEGER PRIMARY KEY,
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        document_id TEXT NOT NULL,
        source TEXT,
        content_hash BLOB NOT NULL,
        metadata TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        UNIQUE (collection_id, document_id)
    )""",
    "CREATE INDEX documents_source ON documents (collection_id, source) WHERE source IS NOT NULL",
    # A rowid table: with the hash as clustered key, inserts are five times slower.
    f"""CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        vector BLOB NOT NULL,
        origin TEXT NOT NULL CHECK ({_one_of("origin", "batch", "live", "given")}),
        token_count INTEGER,
        created_at REAL NOT NULL,
        unreferenced_since REAL
    )""",
    """CREATE INDEX embeddings_unreferenced ON embeddings (unreferenced_since)
        WHERE unreferenced_since IS NOT NULL""",
    f"""CREATE TABLE batch_jobs (
        id TEXT PRIMARY KEY,
        google_job_id TEXT UNIQUE,
        status TEXT NOT NULL
            CHECK ({
        _one_of("status", "CREATED", "SUBMITTED", "PROCESSING", "COMPLETED", "FAILED")
    }),
        step TEXT NOT NULL
            CHECK ({
        _one_of(
            "step", "claimed", "uploaded", "creating", "submitted", "fetched", "applied", "cleaned"
        )
    }),
        failure_reason TEXT
            CHECK ({
        _one_of(
            "failure_reason",
            "abandoned before create",
            "never reached the provider",
            "refused by the provider",
            "failed at the provider",
            "expired at the provider",
            "cancelled",
            "released",
        )
    }),
        hold_reason TEXT
            CHECK ({
        _one_of(
            "hold_reason",
            "cancelled elsewhere",
            "lost",
            "result expired",
            "other project",
            "bad results",
            "unreadable",
            "spot check failed",
        )
    }),
        display_name TEXT NOT NULL UNIQUE,
        input_file TEXT,
        result_file TEXT,
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        spec TEXT NOT NULL,
        model TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        provider_state TEXT,
        request_count INTEGER NOT NULL,
        byte_count INTEGER NOT NULL,
        estimated_tokens INTEGER NOT NULL,
        token_count INTEGER,
        uncounted_tokens INTEGER NOT NULL DEFAULT 0,
        cost_usd REAL,
        live_price REAL,
        batch_price REAL,
        done_count INTEGER NOT NULL DEFAULT 0,
        failed_count INTEGER NOT NULL DEFAULT 0,
        error_message TEXT,
        lease_token TEXT,
        lease_until REAL,
        absence TEXT,
        cancel_requested_at REAL,
        is_adopted INTEGER NOT NULL DEFAULT 0 CHECK (is_adopted IN (0, 1)),
        cleanup_tries INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        uploaded_at REAL,
        creating_at REAL,
        reopened_at REAL,
        submitted_at REAL,
        finished_at REAL,
        fetched_at REAL,
        applied_at REAL,
        cleaned_at REAL,
        CHECK ((status = 'FAILED') = (failure_reason IS NOT NULL)),
        CHECK (hold_reason IS NULL OR status NOT IN ('COMPLETED', 'FAILED')),
        CHECK (status NOT IN ('SUBMITTED', 'PROCESSING', 'COMPLETED') OR google_job_id IS NOT NULL),
        CHECK ((status = 'COMPLETED') = (step IN ('applied', 'cleaned')))
    )""",
    "CREATE INDEX batch_jobs_open ON batch_jobs (status) WHERE status NOT IN ('COMPLETED', 'FAILED')",
    "CREATE INDEX batch_jobs_unclean ON batch_jobs (id) WHERE cleaned_at IS NULL",
    """CREATE TABLE ceilings (
        fingerprint TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL CHECK (requests > 0),
        tokens INTEGER NOT NULL CHECK (tokens > 0),
        open_jobs INTEGER NOT NULL CHECK (open_jobs >= 0),
        not_before REAL,
        message TEXT,
        noted_at REAL NOT NULL,
        PRIMARY KEY (fingerprint, model)
    ) WITHOUT ROWID""",
    f"""CREATE TABLE batch_items (
        id INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL REFERENCES batch_jobs (id),
        content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
        state TEXT NOT NULL
            CHECK ({_one_of("state", "open", "done", "failed", "missing", "released", "unsent")}),
        attempt INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        budget_use TEXT NOT NULL DEFAULT 'nothing'
            CHECK ({
        _one_of(
            "budget_use",
            "nothing",
            "attempt",
            "job failure",
            "expiry",
            "everything",
            "forgiven",
        )
    }),
        error TEXT,
        UNIQUE (job_id, content_hash)
    )""",
    # "Never in two jobs at once" as a constraint.
    "CREATE UNIQUE INDEX batch_items_open ON batch_items (content_hash) WHERE state = 'open'",
    "CREATE INDEX batch_items_job_open ON batch_items (job_id, id) WHERE state = 'open'",
    """CREATE INDEX batch_items_released ON batch_items (content_hash)
        WHERE state = 'released'""",
    """CREATE INDEX batch_items_budget ON batch_items (content_hash, budget_use)
        WHERE budget_use NOT IN ('nothing', 'forgiven')""",
    # Paid for live to see whether vectors can be trusted.
    """CREATE TABLE spot_checks (
        id INTEGER PRIMARY KEY, job_id TEXT REFERENCES batch_jobs (id),
        model TEXT NOT NULL, texts INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_usd REAL,
        worst_cosine REAL, is_passed INTEGER CHECK (is_passed IN (0, 1)), created_at REAL NOT NULL
    )""",
    """CREATE TABLE live_claims (
        content_hash BLOB PRIMARY KEY CHECK (length(content_hash) = 32),
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        lease_token TEXT NOT NULL, lease_until REAL NOT NULL
    ) WITHOUT ROWID""",
    f"""CREATE TABLE chunks (
        pk INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        chunk_id TEXT NOT NULL,
        document_id TEXT,
        text TEXT NOT NULL,
        metadata TEXT NOT NULL,
        vector_source TEXT,
        payload TEXT,
        content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
        vector_key BLOB REFERENCES embeddings (key),
        embedding_status TEXT NOT NULL
            CHECK ({_one_of("embedding_status", "READY", "PENDING", "FAILED")}),
        batch_job_id TEXT REFERENCES batch_jobs (id),
        not_before REAL,
        error_message TEXT,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        UNIQUE (collection_id, chunk_id),
        CHECK (embedding_status <> 'READY' OR vector_key IS NOT NULL),
        CHECK ((embedding_status = 'FAILED') = (error_message IS NOT NULL)),
        CHECK (batch_job_id IS NULL OR embedding_status = 'PENDING')
    )""",
    """CREATE INDEX chunks_document ON chunks (collection_id, document_id)
        WHERE document_id IS NOT NULL""",
    # SQLite uses a partial index only where a query repeats its condition word for word.
    "CREATE INDEX chunks_wanting ON chunks (content_hash) WHERE embedding_status <> 'READY'",
    """CREATE INDEX chunks_waiting ON chunks (collection_id, not_before)
        WHERE embedding_status = 'PENDING' AND batch_job_id IS NULL""",
    "CREATE INDEX chunks_failed ON chunks (collection_id) WHERE embedding_status = 'FAILED'",
    "CREATE INDEX chunks_served ON chunks (vector_key) WHERE vector_key IS NOT NULL",
    # Counting a million rows at every search would cost more than the search.
    f"""CREATE TABLE chunk_counts (
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        embedding_status TEXT NOT NULL
            CHECK ({_one_of("embedding_status", "READY", "PENDING", "FAILED")}),
        is_served INTEGER NOT NULL CHECK (is_served IN (0, 1)),
        chunks INTEGER NOT NULL,
        PRIMARY KEY (collection_id, embedding_status, is_served)
    ) WITHOUT ROWID""",
    # The mark tells a change from that of the same number in the lost future of a restored backup.
    """CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL,
        chunk_pk INTEGER NOT NULL,
        mark INTEGER NOT NULL DEFAULT (random())
    )""",
    # BLOB has no affinity: text stays text, and whole numbers compare with floats.
    """CREATE TABLE tags (
        collection_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        chunk_pk INTEGER NOT NULL,
        PRIMARY KEY (collection_id, key, value, chunk_pk)
    ) WITHOUT ROWID""",
)

MIGRATIONS: tuple[Callable[[sqlite3.Connection, SchemaOptions], None], ...] = (m001_batching,)


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """Return a value of the meta table, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def database_uuid(connection: sqlite3.Connection) -> uuid.UUID:
    """Return the name of this database that no other has, but its copies.

    Raises:
        DatabaseCorruptError: it has none any more.
    """
    try:
        return uuid.UUID(read_meta(connection, "database_uuid"))
    except (TypeError, ValueError) as error:
        raise DatabaseCorruptError.unreadable("The name of the database", error) from error
