"""Which database is meant, and its schema."""

import os
from typing import Any, cast

import peewee

from semantic_core.database.sqlite import schema as sqlite_schema
from semantic_core.database.sqlite.database import Database as SqliteDatabase
from semantic_core.database.strategies import Database
from semantic_core.domain.extras import load_extra
from semantic_core.domain.spec import EmbeddingSpec


def open_database(target: str | os.PathLike[str] | peewee.Database | Database) -> Database:
    """Return the database of a path, a URL or a ready peewee database, or one that is open.

    Nothing is written to it. It is an UnsupportedDatabaseError where it is of a kind that cannot
    be used, and a MissingExtraError on PostgreSQL without semcore[postgres].
    """
    if isinstance(target, peewee.PostgresqlDatabase) or is_on_server(target):
        opened: Database = _postgres("database").PostgresDatabase(target)
        return opened
    if hasattr(target, "snapshot"):
        return cast("Database", target)
    return SqliteDatabase(target)


def is_on_server(target: object) -> bool:
    return isinstance(target, str) and target.startswith(("postgresql://", "postgres://"))


def ensure_schema_compatibility(
    database: Database, legacy_spec: EmbeddingSpec | None = None
) -> None:
    """Bring a database to the schema of this version, in one transaction. Idempotent.

    Raises:
        UnsupportedDatabaseError: the server is too old.
        SchemaTooNewError: a newer semcore wrote it.
        NotASemcoreDatabaseError: it holds other tables; nothing was changed in it.
        DatabaseCorruptError: it has a trigger on a table of ours, or is damaged.
        DatabaseReadOnlyError: it needs a migration and cannot be written.
        SpecMismatchError: ``legacy_spec`` does not fit the vectors that are there.
    """
    if isinstance(database, SqliteDatabase):
        sqlite_schema.ensure_schema(database, legacy_spec)
    else:
        _postgres("schema").ensure_schema(database)


def _postgres(module: str) -> Any:
    return load_extra(
        f"semantic_core.database.postgres.{module}", extra="postgres", task="A PostgreSQL database"
    )
