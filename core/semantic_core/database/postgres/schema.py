"""The schema on PostgreSQL: the tables of the models, what it alone has, and functions of SQLite."""

import peewee

from semantic_core.database.port import Connection
from semantic_core.database.postgres import keywords, metadata
from semantic_core.database.postgres.connection import LOCK
from semantic_core.database.postgres.database import PostgresDatabase
from semantic_core.database.schema import check_version, name_database, read_meta, write_meta
from semantic_core.database.tables import SCHEMA, build_tables
from semantic_core.domain.errors import NotASemcoreDatabaseError, UnsupportedDatabaseError
from semantic_core.domain.failpoints import FailPoint, reach

# The oldest that the tests run on. https://www.postgresql.org/support/versioning/
OLDEST_SERVER = 16

VERSION = 1

# What the shared statements use and PostgreSQL does not have. SQLite's `value` of a JSON list is
# text or a number; here it is text, so that statements cast numbers.
FUNCTIONS = (
    (
        "CREATE FUNCTION json_each(items text, OUT key bigint, OUT value text) RETURNS SETOF record "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT place - 1, item FROM "
        "pg_catalog.json_array_elements_text(items::json) WITH ORDINALITY AS each(item, place) $$"
    ),
    (
        "CREATE FUNCTION json_extract(item text, path text) RETURNS text "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT item::json "
        "#>> ARRAY[substr(path, 3, length(path) - 3)] $$"
    ),
    (
        "CREATE FUNCTION json_array_length(items text) RETURNS bigint "
        "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT json_array_length(items::json) $$"
    ),
    *(
        f"CREATE FUNCTION typeof(item {kind}) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE "
        f"AS $$ SELECT CASE WHEN item IS NULL THEN 'null' ELSE '{name}' END $$"
        for kind, name in (("bigint", "integer"), ("double precision", "real"), ("text", "text"))
    ),
    *(
        f"CREATE FUNCTION {name}(one double precision, other double precision) "
        "RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT "
        f"CASE WHEN one IS NULL OR other IS NULL THEN NULL ELSE {word}(one, other) END $$"
        for name, word in (("min", "least"), ("max", "greatest"))
    ),
    (
        "CREATE AGGREGATE total(double precision) "
        "(SFUNC = float8pl, STYPE = double precision, INITCOND = '0')"
    ),
)

# A reader follows changes by their number. Numbers are given out in the order of the commits, since
# whoever notes changes holds a lock from before the first number to the end of the transaction.
CHANGES = (
    (
        "CREATE TABLE changes (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
        "collection_id bigint NOT NULL, chunk_pk bigint NOT NULL, "
        "mark bigint NOT NULL DEFAULT (random() * 9e15)::bigint)"
    ),
    (
        "CREATE FUNCTION in_turn() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_advisory_xact_lock({LOCK}, 2); RETURN NULL; END $$"
    ),
    "CREATE TRIGGER in_turn BEFORE INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION in_turn()",
)

# A row of the queue is written three times, and none of these updates can leave the indexes alone.
_STORAGE = (
    "ALTER TABLE chunks SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
    "ALTER TABLE batch_items SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
    # A float32 does not compress, and reading vectors in pieces takes four times as long.
    "ALTER TABLE embeddings ALTER COLUMN vector SET STORAGE EXTERNAL",
    # A check of each row, 3 % of adding it. These rows are never deleted: a collection's counts and
    # its space refer to them, too.
    "ALTER TABLE chunks DROP CONSTRAINT chunks_collection_id_fkey",
    "ALTER TABLE embeddings DROP CONSTRAINT embeddings_space_id_fkey",
    # Up to 2,000 numbers stay in their row: in a table of its own, a vector is two rows more.
    "ALTER TABLE embeddings SET (toast_tuple_target = 8160)",
)


def ensure_schema(database: PostgresDatabase) -> None:
    """Make the schema, or check that it is one of this version. Idempotent.

    Any number of processes may do so at once: one makes it, the others wait.
    """
    with database.snapshot() as connection:
        _check_server(connection, database.name)
        if _version(connection, database.name) == VERSION:
            return
    with database.transaction(ignores_marks=True) as connection:
        # Read again under the lock: another process may have made it meanwhile.
        if _version(connection, database.name) == 0:
            _make(connection)
            reach(FailPoint.MIGRATE_STEP)
        write_meta(connection, {"schema_version": str(VERSION)})


def _check_server(connection: Connection, name: str) -> None:
    number, encoding = connection.execute(
        "SELECT current_setting('server_version_num'), current_setting('server_encoding')"
    ).fetchone()
    if (server := int(number) // 10_000) < OLDEST_SERVER:
        raise UnsupportedDatabaseError(
            f"{name} runs on PostgreSQL {server}; semcore needs {OLDEST_SERVER} or newer. "
            "Nothing was changed in it."
        )
    if encoding != "UTF8":
        raise UnsupportedDatabaseError(
            f"{name} is encoded in {encoding}, which does not hold every text. Make another one: "
            "CREATE DATABASE notes ENCODING 'UTF8' TEMPLATE template0. Nothing was changed in it."
        )


def _version(connection: Connection, name: str) -> int:
    tables = {
        row[0]
        for row in connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = to_regnamespace(?)::oid",
            (SCHEMA,),
        )
    }
    if not tables:
        return 0
    if "meta" not in tables:
        raise NotASemcoreDatabaseError(
            f"{name} has a schema {SCHEMA!r} that is not semcore's (it holds "
            f"{', '.join(sorted(tables)[:5])}). Choose another database; nothing was changed in it."
        )
    return check_version(read_meta(connection, "schema_version"), newest=VERSION, name=name)


def _make(connection: Connection) -> None:
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for statement in FUNCTIONS:
        connection.execute(statement)
    # Peewee writes the statements; the transaction is ours.
    for model in build_tables(peewee.PostgresqlDatabase(None)).all():
        manager = model._schema  # noqa: SLF001  # peewee's documented place for it
        for made in (manager._create_table(safe=False), *manager._create_indexes(safe=False)):  # noqa: SLF001
            connection.execute(*made.query())
    for statement in (*CHANGES, *_STORAGE, *keywords.TABLES.values(), *metadata.TABLES.values()):
        connection.execute(statement)
    name_database(connection)
