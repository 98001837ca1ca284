from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Any

import peewee
import pytest

from semantic_core.database import Database
from semantic_core.database.opening import ensure_schema_compatibility
from semantic_core.database.schema import read_meta
from semantic_core.database.sqlite.schema import MIGRATIONS
from semantic_core.database.tables import Tables, build_tables
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    DatabaseReadOnlyError,
    NotASemcoreDatabaseError,
    SchemaTooNewError,
    SpecMismatchError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import (
    BudgetUse,
    EmbeddingStatus,
    ItemState,
    JobStatus,
    JobStep,
    VectorOrigin,
)
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.legacy import as_blob, write_legacy
from support.processes import Python


@pytest.fixture
def database(database_path: Path) -> Iterator[Database]:
    """A new database with the schema of this version."""
    opened = Database(database_path)
    ensure_schema_compatibility(opened)
    yield opened
    opened.close()


@pytest.fixture
def legacy_path(database_path: Path) -> Path:
    write_legacy(
        database_path,
        documents=[(1, "all of it", "{}", 1.0)],
        chunks=[
            (number, 1, number, f"text {number}", "{}", as_blob(1, number), 1.0)
            for number in range(3000)
        ],
    )
    return database_path


def dump(path: Path) -> list[str]:
    """Return a whole database as SQL."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


# --- models and tables -------------------------------------------------------------------------

TABLES = build_tables(peewee.SqliteDatabase(None))
MODELS = TABLES.all()

AFFINITIES: dict[type[peewee.Field], str] = {
    peewee.BigAutoField: "INTEGER",
    peewee.TextField: "TEXT",
    peewee.BigIntegerField: "INTEGER",
    peewee.BooleanField: "INTEGER",
    peewee.DoubleField: "REAL",
    peewee.BlobField: "BLOB",
}


def column_type(field: peewee.Field) -> str:
    if isinstance(field, peewee.ForeignKeyField):
        return column_type(field.rel_field)
    return AFFINITIES[type(field)]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_is_its_table_column_by_column(model: Any, database: Database) -> None:
    meta = model._meta
    connection = database.connection()
    columns = connection.execute(f"PRAGMA table_info({meta.table_name})").fetchall()
    # By name: peewee's fields build an expression when they are compared.
    keys = {field.column_name for field in meta.get_primary_keys()}
    assert [column[1] for column in columns] == [field.column_name for field in meta.sorted_fields]
    for (_, name, kind, is_not_null, _, key), field in zip(
        columns, meta.sorted_fields, strict=True
    ):
        assert kind == column_type(field), name
        assert bool(key) == (name in keys), name
        assert bool(is_not_null or key) == (not field.null), name


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_model_knows_what_is_unique_and_what_is_referenced(
    model: Any, database: Database
) -> None:
    meta = model._meta
    connection = database.connection()
    unique = set()
    for index in connection.execute(f"PRAGMA index_list({meta.table_name})").fetchall():
        _, name, is_unique, origin, is_partial = index
        columns = connection.execute(f"PRAGMA index_info({name})").fetchall()
        if is_unique and origin != "pk" and not is_partial and len(columns) == 1:
            unique.add(columns[0][2])
    referenced = {
        (row[3], row[2], row[4])
        for row in connection.execute(f"PRAGMA foreign_key_list({meta.table_name})")
    }
    fields = meta.sorted_fields
    assert unique == {field.column_name for field in fields if field.unique}
    assert referenced >= {
        (field.column_name, field.rel_model._meta.table_name, field.rel_field.column_name)
        for field in fields
        if isinstance(field, peewee.ForeignKeyField)
    }


def test_every_table_has_a_model_but_for_those_of_sqlite_alone(database: Database) -> None:
    names = {
        row[0]
        for row in database.connection().execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' "
            "AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'chunks_fts%'"
        )
    }
    assert names - {"changes", "chunk_words", "tags"} == {
        model._meta.table_name for model in MODELS
    }


def test_models_of_two_databases_are_apart(tmp_path: Path) -> None:
    """No global: each store has models bound to its own file."""
    stores = [PeeweeVectorStore(tmp_path / name) for name in ("a.db", "b.db")]
    tables: list[Tables] = [store.tables for store in stores]
    stores[0].save([Chunk(text="only in a", id="1", metadata={"k": [1]})])
    row = tables[0].ChunkModel.get()
    assert (row.text, row.metadata, row.embedding_status) == ("only in a", '{"k":[1]}', "PENDING")
    assert row.collection.name == "default"
    assert tables[1].ChunkModel.select().count() == 0
    for store in stores:
        store.close()


# --- constraints -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column", "states"),
    [
        ("embeddings", "origin", VectorOrigin),
        ("batch_jobs", "status", JobStatus),
        ("batch_jobs", "step", JobStep),
        ("batch_items", "state", ItemState),
        ("batch_items", "budget_use", BudgetUse),
        ("chunks", "embedding_status", EmbeddingStatus),
        ("chunk_counts", "embedding_status", EmbeddingStatus),
    ],
)
def test_a_state_column_takes_exactly_the_states(
    table: str, column: str, states: type[StrEnum], database: Database
) -> None:
    (sql,) = (
        database.connection()
        .execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
        .fetchone()
    )
    checks = re.findall(rf"CHECK \(\s*{column} IN \(([^)]*)\)\s*\)", sql)
    assert [set(re.findall(r"'([^']*)'", check)) for check in checks] == [set(states)]


ROWS = """
    INSERT INTO spaces (id, digest, model, dimensions, is_external)
        VALUES (1, 'digest', 'model', 2, 0);
    INSERT INTO ceilings VALUES ('f', 'm', 1, 1, 0, NULL, NULL, 0);
    INSERT INTO collections VALUES (1, 'default', 1, '{}', 'en', NULL, NULL, 0);
    INSERT INTO documents VALUES (1, 1, 'd', NULL, NULL, zeroblob(32), '{}', 0, 0);
    INSERT INTO contents VALUES (1, zeroblob(32));
    INSERT INTO embeddings VALUES (1, 1, 1, zeroblob(8), 'batch', NULL, 0, NULL);
    INSERT INTO batch_jobs (id, provider, status, step, display_name, space_id, spec, model,
        fingerprint, request_count, byte_count, estimated_tokens, created_at)
        VALUES ('j', 'gemini', 'CREATED', 'claimed', 'n', 1, '{}', 'm', 'f', 1, 1, 1, 0);
    INSERT INTO batch_items VALUES (1, 1, 1, 'open', 1, 1, 'nothing', NULL);
    INSERT INTO chunks (pk, collection_id, chunk_id, text, metadata, content_id, embedding_id,
        embedding_status, created_at, updated_at)
        VALUES (1, 1, 'c', 'text', '{}', 1, 1, 'READY', 0, 0);
    INSERT INTO chunk_counts VALUES (1, 'READY', 1, 1);
"""


@pytest.mark.parametrize(
    "bad",
    [
        # States that do not exist.
        "UPDATE chunks SET embedding_status = 'ready'",
        "UPDATE chunk_counts SET embedding_status = 'DONE'",
        "UPDATE chunk_counts SET is_served = 2",
        "UPDATE batch_jobs SET status = 'QUEUED'",
        "UPDATE batch_jobs SET step = 'sent'",
        "UPDATE batch_items SET state = 'OPEN'",
        "UPDATE batch_items SET budget_use = 'some'",
        "UPDATE embeddings SET origin = 'found'",
        "UPDATE spaces SET is_external = 2",
        # States that contradict the rest of their row.
        "UPDATE chunks SET embedding_id = NULL",
        "UPDATE chunks SET embedding_status = 'FAILED'",
        "UPDATE chunks SET error_message = 'but READY'",
        "UPDATE chunks SET batch_job_id = 'j'",
        "UPDATE chunks SET tokens = -1",
        "UPDATE batch_jobs SET status = 'FAILED'",
        "UPDATE batch_jobs SET failure_reason = 'cancelled'",
        "UPDATE batch_jobs SET status = 'SUBMITTED'",
        "UPDATE batch_jobs SET status = 'COMPLETED', google_job_id = 'g'",
        "UPDATE batch_jobs SET step = 'applied'",
        "UPDATE batch_jobs SET (status, step, google_job_id, hold_reason) = ('COMPLETED', 'applied', 'g', 'lost')",
        "UPDATE batch_jobs SET (status, failure_reason, hold_reason) = ('FAILED', 'cancelled', 'lost')",
        "UPDATE spaces SET dimensions = NULL",
        "UPDATE spaces SET (passed_over, obstacle) = ('since nobody knows when', 'later')",
        "UPDATE spaces SET (passed_over, passed_at) = ('for no kind of reason', 1)",
        "UPDATE spaces SET (passed_over, passed_at, obstacle) = ('so', 1, 'unheard of')",
        "UPDATE ceilings SET tokens = 0",
        "UPDATE ceilings SET requests = 0",
        "UPDATE ceilings SET open_jobs = -1",
        # Keys of another size.
        "UPDATE contents SET hash = zeroblob(31)",
        "UPDATE contents SET hash = zeroblob(33)",
    ],
)
def test_a_row_that_cannot_be_is_refused(bad: str, database: Database) -> None:
    connection = database.connection()
    connection.executescript(ROWS)
    connection.execute("PRAGMA foreign_keys = OFF")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        connection.execute(bad)


@pytest.mark.parametrize(
    "bad",
    [
        "DELETE FROM spaces",
        "DELETE FROM collections",
        "DELETE FROM embeddings",
        "DELETE FROM batch_jobs",
        "UPDATE chunks SET embedding_id = 2",
        "UPDATE chunks SET collection_id = 2",
        "UPDATE batch_items SET job_pk = 3",
        "UPDATE documents SET collection_id = 2",
        "UPDATE embeddings SET space_id = 2",
    ],
)
def test_nothing_refers_to_what_is_not_there(bad: str, database: Database) -> None:
    connection = database.connection()
    connection.executescript(ROWS)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        connection.execute(bad)


def test_a_text_is_never_in_two_open_jobs(database: Database) -> None:
    """The promise not to pay twice, as a constraint."""
    connection = database.connection()
    connection.executescript(ROWS)
    connection.execute(
        "INSERT INTO batch_jobs (id, provider, status, step, display_name, space_id, spec, model, "
        "fingerprint, request_count, byte_count, estimated_tokens, created_at) "
        "VALUES ('k', 'gemini', 'CREATED', 'claimed', 'other', 1, '{}', 'm', 'f', 1, 1, 1, 0)"
    )
    second = "INSERT INTO batch_items VALUES (2, 2, 1, ?, 2, 1, 'nothing', NULL)"
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*content_id"):
        connection.execute(second, ("open",))
    connection.execute("UPDATE batch_items SET state = 'released'")
    connection.execute(second, ("open",))


# --- opening -----------------------------------------------------------------------------------


def test_opening_again_changes_nothing(database_path: Path) -> None:
    PeeweeVectorStore(database_path).close()
    before = dump(database_path)
    PeeweeVectorStore(database_path).close()
    assert dump(database_path) == before


def test_every_database_has_names_of_its_own(tmp_path: Path) -> None:
    """Job names must not be mistaken for another installation's; keys are hashed with a salt."""
    named = []
    for name in ("a.db", "b.db"):
        with PeeweeVectorStore(tmp_path / name) as store:
            connection = store.database.connection()
            named.append(
                [read_meta(connection, k) for k in ("database_uuid", "install_id", "hmac_salt")]
            )
    assert all(one and other and one != other for one, other in zip(*named, strict=True))


def test_statistics_of_sqlite_are_no_foreign_tables(database_path: Path) -> None:
    PeeweeVectorStore(database_path).close()
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("ANALYZE")
    PeeweeVectorStore(database_path).close()


def test_a_new_file_gets_large_pages_and_the_log(store: PeeweeVectorStore) -> None:
    connection = store.database.connection()
    assert connection.execute("PRAGMA page_size").fetchone() == (16_384,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_schema_is_refused_with_both_versions(database_path: Path) -> None:
    PeeweeVectorStore(database_path).close()
    newer = len(MIGRATIONS) + 1
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", (str(newer),))
        connection.commit()
    before = database_path.read_bytes()
    says = f"has schema {newer}, this semcore knows {len(MIGRATIONS)}.*pip install -U"
    with pytest.raises(SchemaTooNewError, match=says):
        PeeweeVectorStore(database_path)
    assert database_path.read_bytes() == before


@pytest.mark.parametrize(
    "tables",
    [
        "CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY, text TEXT); CREATE TABLE documents (id)",
        "CREATE TABLE documents (id, content, metadata, created_at)",
        "CREATE TABLE meta (key TEXT, value TEXT)",
        """
        CREATE TABLE documents (id, content, metadata, created_at);
        CREATE TABLE chunks (id, document_id, chunk_index, content, metadata, vector, created_at);
        CREATE TABLE more (x);
        """,
    ],
)
def test_a_database_of_another_program_is_not_touched(tables: str, database_path: Path) -> None:
    """Not even its journal mode changes, and no file is left beside it."""
    with closing(sqlite3.connect(database_path)) as connection:
        connection.executescript(tables)
    before = database_path.read_bytes()
    with pytest.raises(NotASemcoreDatabaseError, match=r"not one of semcore's .it holds .*nothing"):
        PeeweeVectorStore(database_path)
    assert database_path.read_bytes() == before
    assert [path.name for path in database_path.parent.iterdir()] == ["notes.db"]


@pytest.mark.parametrize(
    "damage", ["DROP TABLE meta", "DELETE FROM meta WHERE key = 'schema_version'"]
)
def test_a_database_of_ours_without_a_version_is_damaged(damage: str, database_path: Path) -> None:
    PeeweeVectorStore(database_path).close()
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute(damage)
        connection.commit()
    with pytest.raises(DatabaseCorruptError, match=r"no schema version.*restore a backup"):
        PeeweeVectorStore(database_path)


def test_a_read_only_database_of_this_version_opens(database_path: Path) -> None:
    with PeeweeVectorStore(database_path) as store:
        store.save([Chunk(text="hello world", id="1")])
    with PeeweeVectorStore(f"file:{database_path}?mode=ro") as reader:
        assert [hit.chunk.id for hit in reader.search(text="hello")] == ["1"]


def test_a_read_only_database_that_needs_a_migration_says_so(legacy_path: Path) -> None:
    before = legacy_path.read_bytes()
    with pytest.raises(DatabaseReadOnlyError, match=r"notes\.db cannot be written"):
        PeeweeVectorStore(f"file:{legacy_path}?mode=ro")
    assert legacy_path.read_bytes() == before


# --- migrating ---------------------------------------------------------------------------------


def test_a_migrated_database_has_the_schema_of_a_new_one(tmp_path: Path, legacy_path: Path) -> None:
    PeeweeVectorStore(legacy_path).close()
    PeeweeVectorStore(tmp_path / "new.db").close()
    schemas = []
    for path in (legacy_path, tmp_path / "new.db"):
        with closing(sqlite3.connect(path)) as connection:
            schemas.append(
                connection.execute(
                    "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"
                ).fetchall()
            )
    assert schemas[0] == schemas[1]


class PulledPlugError(Exception):
    """What ends a migration in its middle."""


class PullsThePlug(EmbeddingSpec):
    """A spec that is asked for its space after the new tables were made, and fails."""

    @property
    def space_digest(self) -> str:
        raise PulledPlugError


@pytest.mark.parametrize(
    ("spec", "error"),
    [(PullsThePlug.external("other"), PulledPlugError), (EmbeddingSpec(), SpecMismatchError)],
)
def test_a_migration_that_fails_leaves_the_old_file_as_it_was(
    spec: EmbeddingSpec, error: type[BaseException], legacy_path: Path
) -> None:
    before = legacy_path.read_bytes()
    with pytest.raises(error):
        PeeweeVectorStore(legacy_path, legacy_spec=spec)
    assert legacy_path.read_bytes() == before
    PeeweeVectorStore(legacy_path).close()
    assert count(legacy_path, "chunks") == 3000


@pytest.mark.parametrize(
    "moment",
    [
        "BEGIN IMMEDIATE",
        "ALTER TABLE chunks",
        'CREATE TABLE "chunks" ',
        "INSERT INTO chunks ",
        "UPDATE chunks",
        "DROP TABLE legacy_documents",
        "INSERT INTO meta",
        "COMMIT",
    ],
)
def test_a_migration_that_is_killed_leaves_the_old_file_as_it_was(
    moment: str, legacy_path: Path, python: Python
) -> None:
    """And the next one does all of it."""
    before = dump(legacy_path)
    child = python(f"""
        import os, signal
        from semantic_core.database import Database
        from semantic_core.store import PeeweeVectorStore

        database = Database({str(legacy_path)!r})
        seen = []

        def die(sql):
            seen.append(sql)
            if sql.startswith({moment!r}) and "BEGIN IMMEDIATE" in seen:
                say("dead")
                os.kill(os.getpid(), signal.SIGKILL)

        database.connection().set_trace_callback(die)
        PeeweeVectorStore(database)
        say("alive")
    """)
    assert child.hear() == "dead"
    child.kill()
    assert dump(legacy_path) == before
    with PeeweeVectorStore(legacy_path) as store:
        assert len(store.get([str(number) for number in range(3000)])) == 3000
        assert store.search(text="2999").hits[0].chunk.id == "2999"


def test_processes_that_open_at_the_same_moment_migrate_once(
    legacy_path: Path, python: Python
) -> None:
    """The one that comes second finds it done, although it saw the old tables before."""
    with closing(sqlite3.connect(legacy_path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        children = [
            python(f"""
                from semantic_core.database import Database
                from semantic_core.database.schema import read_meta
                from semantic_core.store import PeeweeVectorStore

                database = Database({str(legacy_path)!r})
                database.connection().set_trace_callback(
                    lambda sql: say("waits") if sql == "BEGIN IMMEDIATE" else None
                )
                with PeeweeVectorStore(database) as store:
                    say(read_meta(store.database.connection(), "install_id"))
            """)
            for _ in range(2)
        ]
        assert [child.hear() for child in children] == ["waits", "waits"]
        writer.execute("ROLLBACK")
    assert len({child.hear() for child in children}) == 1
    for child in children:
        child.end()
    assert count(legacy_path, "chunks") == 3000


def test_processes_that_make_a_database_at_the_same_moment_make_one(
    database_path: Path, python: Python
) -> None:
    children = [
        python(f"""
            from semantic_core.store import PeeweeVectorStore
            from semantic_core.domain.types import Chunk

            hear()
            with PeeweeVectorStore({str(database_path)!r}) as store:
                store.save([Chunk(text="text {number}", id="{number}")])
            say("saved")
        """)
        for number in range(3)
    ]
    for child in children:
        child.say("go")
    for child in children:
        assert child.hear() == "saved"
        child.end()
    with PeeweeVectorStore(database_path) as store:
        assert [chunk.text for chunk in store.get(["0", "1", "2"])] == [
            "text 0",
            "text 1",
            "text 2",
        ]
        assert store.database.connection().execute("PRAGMA page_size").fetchone() == (16_384,)
