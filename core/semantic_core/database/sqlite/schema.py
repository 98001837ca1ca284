"""The schema and its history: an append-only list of migrations, run in one transaction."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from semantic_core.database.counted import count_anew
from semantic_core.database.port import Connection
from semantic_core.database.schema import check_version, name_database, read_meta, write_meta
from semantic_core.database.sqlite.database import Database
from semantic_core.database.sqlite.keywords import VIEW, VIEW_SQL, create_index
from semantic_core.database.sqlite.legacy import is_legacy, move_legacy_rows, set_legacy_aside
from semantic_core.database.tables import TABLES, build_tables
from semantic_core.domain.errors import DatabaseCorruptError, NotASemcoreDatabaseError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.spec import EmbeddingSpec

OWN_TABLES = {
    # The mark tells a change from that of the same number in the lost future of a restored backup.
    "changes": """CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL,
        chunk_pk INTEGER NOT NULL,
        mark INTEGER NOT NULL DEFAULT (random())
    )""",
    # BLOB has no affinity: text stays text, and whole numbers compare with floats.
    "tags": """CREATE TABLE tags (
        collection_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        chunk_pk INTEGER NOT NULL,
        PRIMARY KEY (collection_id, key, value, chunk_pk)
    ) WITHOUT ROWID""",
    # Of a chunk whose text is no plain English, or has headings: what the full-text index holds of
    # it. An entry is only taken out by the same words, and a later version may make others.
    "chunk_words": "CREATE TABLE chunk_words (chunk_pk INTEGER PRIMARY KEY, text TEXT, more TEXT)",
}


# Marks the file as ours in its header, so that no other database is ever taken for one.
APPLICATION_ID = 0x53454D43

_FULL_TEXT = "chunks_fts"


def ensure_schema(database: Database, legacy_spec: EmbeddingSpec | None) -> None:
    with database.snapshot() as connection:
        tables = _tables(connection)
        version = _version(connection, tables, database.path)
        if version:
            _check_nothing_runs(connection, database.path)
    if not tables:
        database.use_write_ahead_log()
    if version < len(MIGRATIONS):
        _migrate(database, legacy_spec)
    # After a migration, so that an interrupted one leaves an old file exactly as it was.
    database.use_write_ahead_log()


def _check_nothing_runs(connection: Connection, path: Path) -> None:
    """Raise `DatabaseCorruptError` where what is written to our tables runs something of others."""
    ours = json.dumps([*TABLES.names(), *OWN_TABLES, _FULL_TEXT, VIEW])
    found = connection.execute(
        "SELECT type, name, tbl_name FROM sqlite_master WHERE "
        "(type = 'trigger' AND lower(tbl_name) IN (SELECT value FROM json_each(?1))) OR "
        "(lower(name) IN (SELECT value FROM json_each(?1)) AND (type <> 'table' OR "
        "(sql LIKE 'CREATE VIRTUAL%' AND lower(name) <> ?2)) AND sql <> ?3)",
        (ours, _FULL_TEXT, VIEW_SQL),
    ).fetchone()
    if found is not None:
        kind, name, table = found
        raise DatabaseCorruptError(
            f"{path} has the {kind} {name!r} on {table!r}, which semcore never makes: it would run "
            "whenever something is written. Remove it if it is yours, and open the database again; "
            "a file from somebody else may mean harm. Nothing was changed."
        )


def _migrate(database: Database, legacy_spec: EmbeddingSpec | None) -> None:
    with database.transaction(ignores_marks=True) as connection:
        # Read again under the write lock: another process may have migrated meanwhile.
        version = _version(connection, _tables(connection), database.path)
        for migrate in MIGRATIONS[version:]:
            migrate(database, connection, legacy_spec)
            reach(FailPoint.MIGRATE_STEP)
        write_meta(connection, {"schema_version": str(len(MIGRATIONS))})


def _tables(connection: Connection) -> set[str]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' "
            "ESCAPE '@'"
        )
    }


def _version(connection: Connection, tables: set[str], path: Path) -> int:
    """Return the schema version, 0 for an empty database or one from before batching."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        recorded = read_meta(connection, "schema_version") if "meta" in tables else None
        return check_version(recorded, newest=len(MIGRATIONS), name=str(path))
    if not tables or is_legacy(connection, tables):
        return 0
    raise NotASemcoreDatabaseError(
        f"{path} is a database, but not one of semcore's (it holds "
        f"{', '.join(sorted(tables)[:5])}). Choose another path; nothing was changed in it."
    )


def m001_batching(
    database: Database, connection: Connection, legacy_spec: EmbeddingSpec | None
) -> None:
    """Create the tables; take over the rows of a database from before batching."""
    had_rows = set_legacy_aside(connection)
    # On this thread's connection, and so in this transaction.
    database.peewee.create_tables(build_tables(database.peewee).all(), safe=False)
    for statement in OWN_TABLES.values():
        connection.execute(statement)
    create_index(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    name_database(connection)
    if had_rows:
        move_legacy_rows(connection, legacy_spec, time.time())
        count_anew(connection)
        database.keywords.rebuild(connection)
        database.metadata.rebuild(connection)


# The first makes the tables as the models are now, so that a second one must skip a database that
# the first has just made.
MIGRATIONS: tuple[Callable[[Database, Connection, EmbeddingSpec | None], None], ...] = (
    m001_batching,
)
