"""The schema and its history: an append-only list of migrations, run in one transaction."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semantic_core.database import Database
from semantic_core.database.port import Connection
from semantic_core.database.sqlite.keywords import VIEW, VIEW_SQL, create_index
from semantic_core.database.sqlite.legacy import is_legacy, move_legacy_rows, set_legacy_aside
from semantic_core.database.sqlite.tables import OWN_TABLES
from semantic_core.database.tables import TABLES, build_tables
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    NotASemcoreDatabaseError,
    SchemaTooNewError,
)
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.spec import EmbeddingSpec

# Marks the file as ours in its header, so that no other database is ever taken for one.
APPLICATION_ID = 0x53454D43

_FULL_TEXT = "chunks_fts"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """What a new or migrated database is made with.

    Attributes:
        legacy_spec: the spec of the vectors in a database from before batching; without it
            they become given vectors of an external space.
    """

    legacy_spec: EmbeddingSpec | None = None


def ensure_schema_compatibility(database: Database, options: SchemaOptions) -> None:
    """Bring the database to the schema of this version, in one transaction. Idempotent.

    Raises:
        SchemaTooNewError: a newer semcore wrote it.
        NotASemcoreDatabaseError: it holds other tables; nothing was changed in it.
        DatabaseCorruptError: it has a trigger on a table of ours, or is damaged.
        DatabaseReadOnlyError: it needs a migration and cannot be written.
        SpecMismatchError: ``legacy_spec`` does not fit the vectors that are there.
    """
    with database.snapshot() as connection:
        tables = _tables(connection)
        version = _version(connection, tables, database.path)
        if version:
            _check_nothing_runs(connection, database.path)
    if not tables:
        database.use_write_ahead_log()
    if version < len(MIGRATIONS):
        _migrate(database, options)
    # After a migration, so that an interrupted one leaves an old file exactly as it was.
    database.use_write_ahead_log()


def _check_nothing_runs(connection: Connection, path: Path) -> None:
    """Check that what is written to our tables runs nothing of somebody else's.

    Raises:
        DatabaseCorruptError: there is a trigger, or something else bears the name of a table.
    """
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


def _migrate(database: Database, options: SchemaOptions) -> None:
    with database.transaction() as connection:
        # Read again under the write lock: another process may have migrated meanwhile.
        version = _version(connection, _tables(connection), database.path)
        for migrate in MIGRATIONS[version:]:
            migrate(database, connection, options)
            reach(FailPoint.MIGRATE_STEP)
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('schema_version', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (str(len(MIGRATIONS)),),
        )


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
        if recorded is None:
            raise DatabaseCorruptError(
                f"{path} is marked as semcore's but has no schema version. Keep the file, restore "
                "a backup, do not write to it."
            )
        try:
            version = int(recorded)
        except ValueError as error:
            raise DatabaseCorruptError.unreadable("The schema version", error) from error
        if version > len(MIGRATIONS):
            raise SchemaTooNewError(
                f"{path} has schema {recorded}, this semcore knows {len(MIGRATIONS)}. "
                "Upgrade: pip install -U semcore. Nothing was changed in it."
            )
        return version
    if not tables or is_legacy(connection, tables):
        return 0
    raise NotASemcoreDatabaseError(
        f"{path} is a database, but not one of semcore's (it holds "
        f"{', '.join(sorted(tables)[:5])}). Choose another path; nothing was changed in it."
    )


def m001_batching(database: Database, connection: Connection, options: SchemaOptions) -> None:
    """Create the tables; take over the rows of a database from before batching."""
    had_rows = set_legacy_aside(connection)
    # On this thread's connection, and so in this transaction.
    database.peewee.create_tables(build_tables(database.peewee).all(), safe=False)
    for statement in OWN_TABLES.values():
        connection.execute(statement)
    create_index(connection)
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
        database.keywords.rebuild(connection)
        database.metadata.rebuild(connection)


# The first makes the tables as the models are now, so that a second one must skip a database that
# the first has just made.
MIGRATIONS: tuple[Callable[[Database, Connection, SchemaOptions], None], ...] = (m001_batching,)


def read_meta(connection: Connection, key: str) -> str | None:
    """Return a value of the meta table, or None."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def database_uuid(connection: Connection) -> uuid.UUID:
    """Return the name of this database that no other has, but its copies.

    Raises:
        DatabaseCorruptError: it has none any more.
    """
    try:
        return uuid.UUID(read_meta(connection, "database_uuid"))
    except (TypeError, ValueError) as error:
        raise DatabaseCorruptError.unreadable("The name of the database", error) from error
