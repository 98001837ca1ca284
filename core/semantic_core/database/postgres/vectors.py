"""Vectors that the server itself searches: a table a collection, with an HNSW index of pgvector.

``embeddings`` stays the truth. Such a table has the serving vectors of a collection once more, as
float16 of length 1. A trigger on ``changes``, where every writer notes which of them came, went or
was replaced, keeps it in step within the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any, cast

import psycopg
from psycopg import errors

from semantic_core.database.conditions import IS_SERVED
from semantic_core.database.port import Connection
from semantic_core.database.postgres.connection import PostgresConnection
from semantic_core.database.postgres.failures import typed
from semantic_core.database.postgres.nearest import TableSearch, fits
from semantic_core.database.strategies import Collection, Database, Nearest
from semantic_core.database.tables import SCHEMA
from semantic_core.domain.errors import (
    DatabaseBusyError,
    InvalidInputError,
    UnsupportedDatabaseError,
)
from semantic_core.domain.pages import PAGE

# The first with iterative scans, without which a filter leaves an HNSW scan with few hits or none.
_OLDEST = (0, 8)

# What an HNSW index of float16 takes. So long, a vector still fits into a page of 8 kB.
_MOST_DIMENSIONS = 4_000

# Memory for building the graph in kB, at most and for a vector beside its numbers. What does not fit
# is put in row by row, which takes some five times as long.
_MOST_MEMORY = 1024 * 1024
_MEMORY_OF_NODE = 0.8

_EXTENSION = (
    "SELECT extnamespace::regnamespace::text, extversion FROM pg_extension WHERE extname = 'vector'"
)

# SQL has no cast from bytes to float32: each is put together from its bits. That is exact, and takes
# a seventh of what it takes to put the vector into an index.
_FLOATS = f"""CREATE OR REPLACE FUNCTION {SCHEMA}.floats(packed bytea) RETURNS real[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg((CASE WHEN get_byte(packed, i + 3) > 127 THEN -1 ELSE 1 END
        * ((get_byte(packed, i + 2) | 128) * 65536
            + get_byte(packed, i + 1) * 256 + get_byte(packed, i))
        * power(2::float8, (get_byte(packed, i + 3) & 127) * 2
            + get_byte(packed, i + 2) / 128 - 150))::real)
    FROM generate_series(0, length(packed) - 4, 4) AS i $$"""


class PgVectors:
    """The tables of one database; see `semantic_core.database.strategies.VectorTables`.

    Args:
        database: whose.
        connect: opens a connection outside of any transaction, which building an index needs.
    """

    def __init__(self, database: Database, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._database = database
        self._connect = connect

    def nearest(self, connection: Connection, collection: Collection) -> Nearest | None:
        """Return what finds vectors in a collection's table, or None until its index is done.

        A table is full before its index is begun, and that becomes valid when no snapshot from
        before it is in use any more.
        """
        row = connection.execute(
            "SELECT e.extnamespace::regnamespace::text, t.reltuples FROM pg_index i "
            "JOIN pg_class t ON t.oid = i.indrelid JOIN pg_extension e ON e.extname = 'vector' "
            "WHERE i.indexrelid = to_regclass(?) AND i.indisvalid "
            "AND has_table_privilege(t.oid, 'SELECT')",
            (f"{_table(collection)}_near",),
        ).fetchone()
        if row is None:
            return None
        return TableSearch(
            cast("PostgresConnection", connection), collection, _table(collection), *row
        )

    def make(self, collection: Collection, progress: Callable[[int], object] | None) -> int:
        """Make the table of a collection and its index, or go on with what is there."""
        with self._database.transaction() as connection:
            schema = self._extension(connection)
            _make_table(connection, collection, schema)
        done, last = 0, 0
        while (page := self._database.save(partial(_fill, collection, schema, last))) is not None:
            put, last = page
            done += put
            if progress is not None:
                progress(done)
        self._build(collection, schema)
        return done

    def drop(self, collection: Collection) -> None:
        with self._database.transaction() as connection:
            # With the function goes the trigger.
            connection.execute(f"DROP FUNCTION IF EXISTS {_table(collection)}() CASCADE")
            connection.execute(f"DROP TABLE IF EXISTS {_table(collection)}")

    def differing(self, connection: Connection, collection: Collection) -> list[int]:
        """Return the row keys of chunks of which the table has another vector than the rows."""
        schema, _ = connection.execute(_EXTENSION).fetchone()
        rows = connection.execute(
            f"SELECT coalesce(c.pk, v.pk) FROM (SELECT c.pk, {_half(schema)} AS vector "
            "FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
            f"WHERE c.collection_id = ? AND {fits(collection)}) c "
            f"FULL JOIN {_table(collection)} v ON v.pk = c.pk "
            f"WHERE c.pk IS NULL OR v.pk IS NULL OR v.vector OPERATOR({schema}.<>) c.vector",
            (collection.id,),
        )
        return [pk for (pk,) in rows]

    def _extension(self, connection: Connection) -> str:
        """Return the schema that pgvector is in, made if need be.

        Raises:
            UnsupportedDatabaseError: there is none, or an older one, or it may not be made.
        """
        problem: psycopg.Error | None = None
        try:
            # Not into the schema of semcore, which somebody may drop.
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            schema, version = connection.execute(_EXTENSION).fetchone()
            if tuple(map(int, version.split(".")[:2])) >= _OLDEST:
                return str(schema)
            found = f"has pgvector {version}"
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            problem, found = error, "is on a server without pgvector"
        except errors.InsufficientPrivilege as error:
            problem, found = error, "does not let this user make the extension"
        raise UnsupportedDatabaseError(
            f"{self._database.name} {found}. An index there needs pgvector "
            f"{'.'.join(map(str, _OLDEST))} or newer: let an administrator install it, and say "
            "CREATE EXTENSION vector (or ALTER EXTENSION vector UPDATE) in this database. Nothing "
            "was changed; search goes on as before."
        ) from problem

    def _build(self, collection: Collection, schema: str) -> None:
        table = _table(collection)
        try:
            # Not in a transaction, for which the building itself would wait.
            with closing(self._connect()) as raw:
                # Not by a lock of the session, which a connection pooler would keep.
                building = "SELECT count(*) FROM pg_stat_progress_create_index WHERE relid = "
                if _value(raw, f"{building} to_regclass(%s)", table):
                    raise DatabaseBusyError(
                        f"The index of collection {collection.name!r} is being built already, by "
                        "another process or by the server for one that was stopped. Search goes on "
                        "as before. Call again later to see that it is done."
                    )
                is_valid = (
                    "SELECT bool_or(indisvalid) FROM pg_index WHERE indexrelid = to_regclass(%s)"
                )
                if _value(raw, is_valid, f"{table}_near"):
                    return
                _value(
                    raw,
                    "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes("
                    "current_setting('maintenance_work_mem')) / 1024, least(%s, count(*) * %s)"
                    f"::bigint)::text, false) FROM {table}",
                    *(_MOST_MEMORY, _MEMORY_OF_NODE + 2 * (collection.spec.dimensions or 0) / 1024),
                )
                # What is left of one that was interrupted.
                raw.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {table}_near")
                raw.execute(
                    f"CREATE INDEX CONCURRENTLY {table.partition('.')[2]}_near ON {table} "
                    f"USING hnsw (vector {schema}.halfvec_ip_ops)"
                )
                raw.execute("RESET maintenance_work_mem")
        except psycopg.Error as error:
            raise typed(error, self._database.name) from error


def _make_table(connection: Connection, collection: Collection, schema: str) -> None:
    dimensions, table = collection.spec.dimensions, _table(collection)
    if dimensions is None or dimensions > _MOST_DIMENSIONS:
        has = "no vector yet" if dimensions is None else f"vectors of {dimensions:,} dimensions"
        raise InvalidInputError(
            f"Collection {collection.name!r} has {has}; an index on the server takes those of up to "
            f"{_MOST_DIMENSIONS:,}. Nothing was changed; search goes on as before."
        )
    connection.execute(_FLOATS)
    # In line: comparing all takes four times as long otherwise.
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} (pk bigint PRIMARY KEY, "
        f"vector {schema}.halfvec({dimensions}) STORAGE PLAIN NOT NULL)"
    )
    connection.execute(
        f"CREATE OR REPLACE FUNCTION {table}() RETURNS trigger LANGUAGE plpgsql "
        "SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN "
        f"DELETE FROM {table} v USING noted WHERE v.pk = noted.chunk_pk; "
        f"INSERT INTO {table} (pk, vector) SELECT c.pk, {_half(schema)} "
        f"FROM {SCHEMA}.chunks c JOIN {SCHEMA}.embeddings e ON e.id = c.embedding_id "
        f"WHERE c.pk IN (SELECT chunk_pk FROM noted WHERE collection_id = {collection.id}) "
        f"AND {fits(collection)}; RETURN NULL; END $$"
    )
    connection.execute(
        f"CREATE OR REPLACE TRIGGER vectors_{collection.id} AFTER INSERT ON changes "
        f"REFERENCING NEW TABLE AS noted FOR EACH STATEMENT EXECUTE FUNCTION {table}()"
    )


def _fill(
    collection: Collection,
    schema: str,
    after: int,
    connection: Connection,
    is_alone: bool,  # noqa: ARG001, FBT001  # as `save` calls it
) -> tuple[int, int] | None:
    """Put a page of vectors into a table; return how many, and the last key that was looked at.

    Beside others who save, since these only add.
    """
    put, last = connection.execute(
        "WITH page AS (SELECT pk, embedding_id FROM chunks WHERE collection_id = ? "
        f"AND {IS_SERVED} AND pk > ? ORDER BY pk LIMIT {PAGE}), "
        f"put AS (INSERT INTO {_table(collection)} (pk, vector) SELECT c.pk, {_half(schema)} "
        f"FROM page c JOIN embeddings e ON e.id = c.embedding_id WHERE {fits(collection)} "
        f"AND NOT EXISTS (SELECT FROM {_table(collection)} v WHERE v.pk = c.pk) "
        "ORDER BY c.pk ON CONFLICT (pk) DO NOTHING RETURNING pk) "
        "SELECT (SELECT count(*) FROM put), (SELECT max(pk) FROM page)",
        (collection.id, after),
    ).fetchone()
    return None if last is None else (put, last)


def _table(collection: Collection) -> str:
    return f"{SCHEMA}.vectors_{collection.id}"


def _half(schema: str) -> str:
    """Return a vector ``e`` as float16 of length 1: as it came, it may be too long for float16."""
    return f"{schema}.l2_normalize({SCHEMA}.floats(e.vector)::{schema}.vector)::{schema}.halfvec"


def _value(raw: psycopg.Connection[Any], sql: str, *values: object) -> Any:
    row = raw.execute(sql, values).fetchone()
    return None if row is None else row[0]
