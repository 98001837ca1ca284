from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import peewee
import pytest

from semantic_core.database import PAGE_SIZE, Database
from semantic_core.database.sqlite.database import CACHE_SIZE, CHECKPOINT_PAGES
from semantic_core.database.sqlite.engine import OLDEST_SQLITE, what_is_missing
from semantic_core.domain.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseMovedError,
    DatabaseReadOnlyError,
    NotASemcoreDatabaseError,
    StorageError,
    StorageFullError,
    UnsupportedDatabaseError,
)
from support.disk import binding_permissions


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """In a folder that may be moved."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "notes.db"


@pytest.fixture
def database(database_path: Path) -> Iterator[Database]:
    opened = Database(database_path, busy_timeout=0.05)
    opened.use_write_ahead_log()
    with opened.transaction(ignores_marks=True) as connection:
        connection.execute("CREATE TABLE notes (pk INTEGER PRIMARY KEY, text TEXT UNIQUE)")
    yield opened
    opened.close()


def add(database: Database, text: str) -> None:
    with database.transaction(ignores_marks=True) as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def texts(path: Path) -> list[str]:
    """Return what another program reads in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM notes ORDER BY pk")]


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


Caller = Callable[[Callable[[], object]], list[object]]


def here(work: Callable[[], object]) -> list[object]:
    """Return what a function gives, or raises."""
    try:
        return [work()]
    except Exception as error:  # noqa: BLE001  # handed to the caller
        return [error]


def in_thread(work: Callable[[], object]) -> list[object]:
    """Return what a function gives, or raises, in a thread of its own."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.extend(here(work)))
    thread.start()
    thread.join()
    return answers


def in_process(code: str, *arguments: object) -> str:
    """Run Python in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stderr == ""
    return done.stdout.strip()


# --- what a database may be called -------------------------------------------------------------


def shown(value: object) -> str:
    """Name a parameter without its address: every worker has to collect the same tests."""
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(
    "target",
    [
        ":memory:",
        "",
        " ",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "file::memory:",
        "file::memory:?cache=shared",
        "file:notes.db?mode=memory&cache=shared",
        peewee.SqliteDatabase(":memory:"),
        peewee.SqliteDatabase("file::memory:?cache=shared", uri=True),
    ],
    ids=shown,
)
def test_memory_is_refused_with_the_reason(target: str | peewee.SqliteDatabase) -> None:
    with pytest.raises(UnsupportedDatabaseError, match=r"each thread would see another.*a file"):
        Database(target)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("postgresql://user:secret@host/db", "postgresql databases are not supported"),
        ("mysql://user:secret@host:no-port/db", "mysql databases are not supported"),
        ("sqlite:///x.db?mode=ro", "Pass a file: URI"),
        (peewee.PostgresqlDatabase("x"), "PostgresqlDatabase is not supported"),
        (peewee.SqliteDatabase(None), r"has no file yet. Call its init\(path\)"),
        ("no/such/folder/x.db", r"no/such/folder does not exist\. Create it"),
        ("a\0b", "has a NUL"),
        (".", "is a folder"),
    ],
    ids=shown,
)
def test_what_is_no_sqlite_file_is_refused(
    target: str | peewee.Database, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsupportedDatabaseError, match=says) as caught:
        Database(target)  # type: ignore[arg-type]  # some are what is refused
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnsupportedDatabaseError, match="does not exist"):
        Database(tmp_path / "file" / "x.db")


@pytest.mark.parametrize(
    "target",
    [
        "my notes%20.db",
        "sqlite:///my notes%20.db",
        "sqlite:///{folder}/my notes%20.db",
        "file:my%20notes%2520.db",
        "file:{folder}/my%20notes%2520.db",
        "file://{folder}/my%20notes%2520.db?cache=private",
    ],
)
def test_paths_urls_and_uris_name_the_same_file(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a thread that connects after the process went to another folder."""
    monkeypatch.chdir(tmp_path)
    database = Database(target.format(folder=tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with database.transaction(ignores_marks=True) as connection:
        connection.execute("CREATE TABLE notes (pk INTEGER PRIMARY KEY, text TEXT)")
    in_thread(lambda: add(database, "hello"))
    database.close()
    assert database.path == tmp_path / "my notes%20.db"
    assert texts(database.path) == ["hello"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("target", ["{path}", "sqlite:///{path}", "file:{path}"])
def test_a_new_file_is_for_its_owner_only(target: str, database_path: Path) -> None:
    """It will hold the user's text; and so will the files that SQLite puts beside it."""
    database = Database(target.format(path=database_path))
    database.use_write_ahead_log()
    with database.transaction(ignores_marks=True) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in database_path.parent.iterdir()
    }
    database.close()
    assert modes == {"notes.db": 0o600, "notes.db-wal": 0o600, "notes.db-shm": 0o600}


def test_an_existing_file_keeps_its_mode(database_path: Path) -> None:
    database_path.touch(mode=0o640)
    Database(database_path).close()
    assert stat.S_IMODE(database_path.stat().st_mode) == 0o640


# --- connections -------------------------------------------------------------------------------


def test_a_connection_is_set_up(database: Database) -> None:
    connection = database.connection()
    assert pragma(connection, "journal_mode") == "wal"
    assert pragma(connection, "page_size") == PAGE_SIZE
    assert pragma(connection, "foreign_keys") == 1
    assert pragma(connection, "synchronous") == 2
    assert pragma(connection, "busy_timeout") == 50
    assert pragma(connection, "cache_size") == -CACHE_SIZE
    assert pragma(connection, "wal_autocheckpoint") == CHECKPOINT_PAGES
    assert connection.execute("SELECT unicode_lower('ÄÖ')").fetchone() == ("äö",)


def test_connections_are_per_thread_and_each_is_set_up(database: Database) -> None:
    here = database.connection()
    assert database.connection() is here

    def other() -> list[object]:
        there = database.connection()
        return [there is here, pragma(there, "foreign_keys"), pragma(there, "synchronous")]

    assert in_thread(other) == [[False, 1, 2]]


def test_an_existing_file_keeps_its_page_size(database_path: Path) -> None:
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    database = Database(database_path)
    database.use_write_ahead_log()
    assert pragma(database.connection(), "page_size") == 4096
    assert pragma(database.connection(), "journal_mode") == "wal"
    database.close()


def test_connecting_changes_nothing_in_the_file(database_path: Path) -> None:
    """It may turn out not to be ours."""
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    before = database_path.read_bytes()
    database = Database(database_path)
    with database.snapshot() as opened:
        opened.execute("SELECT * FROM notes").fetchall()
    database.close()
    assert database_path.read_bytes() == before


def test_close_closes_the_connections_of_every_thread(database: Database) -> None:
    connections = [database.connection(), *in_thread(database.connection)]
    # The thread has ended, but no other has taken over from it yet.
    database.close()
    database.close()
    for connection in connections:
        assert isinstance(connection, sqlite3.Connection)
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    with pytest.raises(StorageError, match=r"is closed\. Open it again"):
        database.connection()
    assert sorted(path.name for path in database.path.parent.iterdir()) == ["notes.db"]


def test_threads_that_come_and_go_leave_no_connection_open(database: Database) -> None:
    """A server that starts a thread a request must not run out of file handles."""
    opened = [in_thread(database.connection)[0] for _ in range(20)]
    database.connection()
    still_open = 0
    for connection in opened:
        assert isinstance(connection, sqlite3.Connection)
        try:
            connection.execute("SELECT 1")
            still_open += 1
        except sqlite3.ProgrammingError:
            pass
    assert still_open == 0


def test_a_database_closed_under_a_running_call_says_so(database: Database) -> None:
    def call() -> None:
        with database.snapshot() as connection:
            in_thread(database._connections.close)
            connection.execute("SELECT 1")

    with pytest.raises(StorageError, match="was closed while it was in use"):
        call()


# --- a ready peewee database -------------------------------------------------------------------


def test_a_ready_database_is_set_up_and_stays_open(database_path: Path) -> None:
    ready = peewee.SqliteDatabase(
        database_path, pragmas={"cache_size": -64_000, "wal_autocheckpoint": 0}
    )
    ready.connect()
    database = Database(ready)
    connection = database.connection()
    assert connection is ready.connection()
    assert pragma(connection, "foreign_keys") == 1
    assert pragma(connection, "synchronous") == 2
    database.use_write_ahead_log()
    assert pragma(connection, "page_size") == PAGE_SIZE
    assert pragma(connection, "cache_size") == -64_000
    assert pragma(connection, "wal_autocheckpoint") == 0
    database.close()
    assert ready.execute_sql("SELECT 1").fetchone() == (1,)
    ready.close()


def test_a_ready_database_that_was_closed_is_set_up_again(database_path: Path) -> None:
    ready = peewee.SqliteDatabase(database_path, autoconnect=False)
    database = Database(ready)
    first = database.connection()
    ready.close()
    second = database.connection()
    assert second is not first
    assert pragma(second, "foreign_keys") == 1
    ready.close()


def test_a_ready_database_in_a_transaction_is_refused(database_path: Path) -> None:
    """What semcore commits must be on disk, which an outer transaction would put off."""
    ready = peewee.SqliteDatabase(database_path)
    database = Database(ready)
    with ready.atomic(), pytest.raises(StorageError, match="Open the store outside of it"):
        database.connection()
    database.connection()
    with (
        ready.atomic(),
        pytest.raises(StorageError, match="Call semcore outside of it"),
        database.transaction(ignores_marks=True),
    ):
        pass
    ready.close()


# --- transactions ------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    def interrupted() -> None:
        with database.transaction(ignores_marks=True) as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('lost')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    add(database, "kept")
    assert texts(database.path) == ["kept"]


def test_what_the_rows_forbid_is_typed_and_changes_nothing(database: Database) -> None:
    add(database, "same")
    with pytest.raises(DatabaseCorruptError):
        add(database, "same")
    assert texts(database.path) == ["same"]


def test_a_transaction_takes_the_write_lock_at_once(database: Database) -> None:
    """So that what it read is still so when it writes."""
    with database.transaction(ignores_marks=True):
        (answer,) = in_thread(lambda: add(database, "second"))
    assert isinstance(answer, DatabaseBusyError)


def test_a_snapshot_sees_one_state(database: Database) -> None:
    add(database, "before")
    with database.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (1,)
        in_thread(lambda: add(database, "meanwhile"))
        assert texts(database.path) == ["before", "meanwhile"]
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (1,)


def test_a_transaction_within_another_is_refused(database: Database) -> None:
    alone = partial(database.transaction, ignores_marks=True)
    for outer in (database.snapshot, alone):
        with outer(), pytest.raises(StorageError, match="is open in this thread"):
            add(database, "inner")
    assert texts(database.path) == []


def test_a_snapshot_within_a_transaction_sees_what_it_wrote(database: Database) -> None:
    with database.transaction(ignores_marks=True) as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('outer')")
        with database.snapshot() as inner:
            assert inner.execute("SELECT text FROM notes").fetchall() == [("outer",)]
    assert texts(database.path) == ["outer"]


def test_a_failed_commit_takes_everything_back(database: Database) -> None:
    with database.transaction(ignores_marks=True) as connection:
        connection.execute(
            "CREATE TABLE tags (note INTEGER REFERENCES notes (pk) DEFERRABLE INITIALLY DEFERRED)"
        )

    def dangling() -> None:
        with database.transaction(ignores_marks=True) as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('lost')")
            connection.execute("INSERT INTO tags (note) VALUES (99)")

    with pytest.raises(DatabaseCorruptError, match="FOREIGN KEY"):
        dangling()
    add(database, "kept")
    assert texts(database.path) == ["kept"]


# --- what can be wrong with a file -------------------------------------------------------------


def test_a_lock_held_too_long_is_busy(database: Database) -> None:
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusyError, match=r"notes\.db locked.*Nothing was changed"):
            add(database, "text")
        other.execute("ROLLBACK")
    add(database, "text")
    assert texts(database.path) == ["text"]


def test_a_lock_on_the_switch_to_wal_is_waited_for(database_path: Path) -> None:
    database = Database(database_path, busy_timeout=0.05)
    with closing(sqlite3.connect(database_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseBusyError):
            database.use_write_ahead_log()
        other.execute("ROLLBACK")
    database.use_write_ahead_log()
    assert pragma(database.connection(), "journal_mode") == "wal"
    database.close()


def test_a_file_without_a_log_is_used_as_it_is(database_path: Path) -> None:
    """Some places have no shared memory, and SQLite then quietly keeps the old journal."""
    ready = peewee.SqliteDatabase(f"file:{database_path}?vfs=unix-dotfile", uri=True)
    database = Database(ready)
    database.use_write_ahead_log()
    with database.transaction(ignores_marks=True) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    assert pragma(database.connection(), "journal_mode") == "delete"
    ready.close()


def test_a_read_only_file_is_read_and_not_written(database: Database) -> None:
    add(database, "text")
    reader = Database(f"file:{database.path}?mode=ro")
    reader.use_write_ahead_log()
    with reader.snapshot() as connection:
        assert connection.execute("SELECT text FROM notes").fetchall() == [("text",)]
    with pytest.raises(DatabaseReadOnlyError, match=r"cannot be written \(.*readonly.*permissions"):
        add(reader, "more")
    reader.close()


def test_a_read_only_file_without_a_log_stays_so(database_path: Path) -> None:
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    reader = Database(f"file:{database_path}?mode=ro")
    reader.use_write_ahead_log()
    assert pragma(reader.connection(), "journal_mode") == "delete"
    reader.close()


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_missing_file_is_not_made_unless_wanted(mode: str, database_path: Path) -> None:
    database = Database(f"file:{database_path}?mode={mode}")
    with pytest.raises(DatabaseReadOnlyError, match=r"cannot be opened.*that it exists"):
        database.connection()
    assert not database_path.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with (
        binding_permissions(),
        pytest.raises(DatabaseReadOnlyError, match=r"Cannot create.*permissions of its folder"),
    ):
        Database(folder / "x.db")


def test_a_name_too_long_for_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseReadOnlyError, match="Cannot create"):
        Database(tmp_path / ("x" * 300))


def test_a_file_of_another_kind_is_not_touched(database_path: Path) -> None:
    database_path.write_text("Dear diary, " * 1000)
    database = Database(database_path)
    with (
        pytest.raises(NotASemcoreDatabaseError, match=r"notes\.db is not a SQLite database"),
        database.snapshot() as connection,
    ):
        connection.execute("SELECT * FROM sqlite_master")
    with pytest.raises(NotASemcoreDatabaseError):
        database.use_write_ahead_log()
    database.close()
    assert database_path.read_text() == "Dear diary, " * 1000


def test_a_damaged_file_is_told_from_an_empty_one(database: Database) -> None:
    with database.transaction(ignores_marks=True) as connection:
        connection.executemany(
            "INSERT INTO notes (text) VALUES (?)", [(f"{n} " * 100,) for n in range(2000)]
        )
    database.close()
    with database.path.open("r+b") as file:
        file.seek(PAGE_SIZE)
        file.write(b"\xff" * 3 * PAGE_SIZE)
    damaged = Database(database.path)
    with (
        pytest.raises(DatabaseCorruptError, match=r"is damaged.*restore a backup"),
        damaged.snapshot() as connection,
    ):
        connection.execute("SELECT * FROM notes").fetchall()
    damaged.close()


def test_a_full_disk_keeps_nothing_of_the_step(database: Database) -> None:
    add(database, "before")
    connection = database.connection()
    connection.execute(f"PRAGMA max_page_count = {pragma(connection, 'page_count')}")

    def step() -> None:
        with database.transaction(ignores_marks=True):
            connection.execute("INSERT INTO notes (text) VALUES ('small')")
            connection.executemany(
                "INSERT INTO notes (text) VALUES (?)", [(f"{n}" * 9000,) for n in range(1, 50)]
            )

    with pytest.raises(StorageFullError, match=r"No room left.*Nothing of this step was kept"):
        step()
    assert texts(database.path) == ["before"]
    connection.execute("PRAGMA max_page_count = 1000000")
    add(database, "after")
    assert texts(database.path) == ["before", "after"]


# --- which SQLite --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "modules", "says"),
    [
        ((3, 36, 9), {"fts5", "json_each"}, "is older than 3.37.0"),
        ((2, 99, 0), set(), "is older than 3.37.0"),
        ((3, 40, 1), {"json_each", "fts3"}, "was built without fts5"),
        ((3, 37, 0), set(), "was built without fts5 and json_each"),
        (OLDEST_SQLITE, {"fts5", "json_each", "rtree"}, None),
        ((4, 0, 0), {"fts5", "json_each"}, None),
    ],
)
def test_an_sqlite_that_cannot_do_it_is_named(
    version: tuple[int, ...], modules: set[str], says: str | None
) -> None:
    """It would be called a damaged database, at the first statement that it does not know."""
    reason = what_is_missing(version, modules)
    assert bool(reason) is bool(says)
    assert (reason or "").startswith(says or "")


def test_this_sqlite_is_looked_at_before_a_file_is_made(database_path: Path) -> None:
    """An old one can only be pretended: a child is told that it has one."""
    printed = in_process(
        """
    import sqlite3, sys
    sqlite3.sqlite_version, sqlite3.sqlite_version_info = "3.31.1", (3, 31, 1)
    from semantic_core import PeeweeVectorStore, StorageError

    try:
        PeeweeVectorStore(sys.argv[1])
    except StorageError as error:
        print(type(error).__name__, error)
    """,
        database_path,
    )
    assert printed.startswith(
        "UnsupportedDatabaseError This Python uses SQLite 3.31.1, which is older"
    )
    assert "No file was opened" in printed
    assert not database_path.exists()


# --- a file that goes away while it is open ----------------------------------------------------


def _delete(path: Path) -> None:
    path.unlink()


def _rename(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def _move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.replace(path)


def _empty_anew(path: Path) -> None:
    path.unlink()
    path.touch()


def _replace_by_a_link(path: Path) -> None:
    _rename(path)
    other = path.with_name("other.db")
    shutil.copy(path.with_name("moved.db"), other)
    path.symlink_to(other)


_GONE = (_delete, _rename, _move_the_folder, _replace, _empty_anew, _replace_by_a_link)


@pytest.mark.parametrize("happen", _GONE, ids=lambda happen: happen.__name__)
@pytest.mark.parametrize("call", [here, in_thread])
def test_nothing_is_accepted_for_a_file_that_is_gone(
    happen: Callable[[Path], None], call: Caller, database: Database
) -> None:
    """SQLite would go on, and say that it saved."""
    add(database, "before")
    happen(database.path)
    before = sorted(database.path.parent.parent.rglob("*"))

    def read() -> None:
        with database.snapshot() as connection:
            connection.execute("SELECT * FROM notes").fetchall()

    for work in (lambda: add(database, "lost"), read):
        (error,) = call(work)
        assert isinstance(error, DatabaseMovedError)
        assert re.search(
            r"notes\.db was .*Nothing of this step was accepted.*open it again", str(error)
        )
    assert sorted(database.path.parent.parent.rglob("*")) == before, "a new file was made"


def test_a_file_that_goes_away_within_a_transaction_is_noticed(database: Database) -> None:
    def step() -> None:
        with database.transaction(ignores_marks=True) as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('lost')")
            database.path.unlink()

    with pytest.raises(DatabaseMovedError):
        step()


def test_a_file_that_comes_back_is_used_again(database: Database) -> None:
    _rename(database.path)
    with pytest.raises(DatabaseMovedError):
        add(database, "lost")
    database.path.with_name("moved.db").rename(database.path)
    add(database, "kept")
    assert texts(database.path) == ["kept"]


def test_a_log_that_is_deleted_is_noticed_and_its_changes_are_kept(database: Database) -> None:
    add(database, "kept")
    Path(f"{database.path}-wal").unlink()
    for _ in range(2):
        with pytest.raises(DatabaseMovedError, match=r"The log .*notes\.db-wal.*Close the store"):
            add(database, "lost")
    database.close()
    assert texts(database.path) == ["kept"]


def _fill(database: Database) -> None:
    with database.transaction(ignores_marks=True) as connection:
        connection.executemany(
            "INSERT INTO notes (text) VALUES (?)", [(f"{n} " * 500,) for n in range(500)]
        )
    with closing(sqlite3.connect(database.path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("call", [here, in_thread])
def test_a_file_that_is_cut_while_it_is_open_is_noticed(
    share: float, call: Caller, database: Database
) -> None:
    _fill(database)
    add(database, "in the log")
    os.truncate(database.path, int(database.path.stat().st_size * share))
    for _ in range(2):
        (error,) = call(lambda: add(database, "lost"))
        assert isinstance(error, DatabaseCorruptError)
        assert "was cut off while it was open" in str(error)
    assert Path(f"{database.path}-wal").stat().st_size


def test_a_file_that_another_program_made_smaller_is_used(database: Database) -> None:
    _fill(database)
    size = database.path.stat().st_size
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("DELETE FROM notes")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert database.path.stat().st_size < size
    add(database, "kept")
    add(database, "kept, too")
    assert texts(database.path) == ["kept", "kept, too"]


@pytest.mark.parametrize("happen", [_delete, lambda path: os.truncate(path, 0)])
@pytest.mark.parametrize("target", [Path, peewee.SqliteDatabase])
def test_a_log_without_its_database_is_not_thrown_away(
    happen: Callable[[Path], None],
    target: Callable[[Path], Path | peewee.SqliteDatabase],
    database: Database,
    tmp_path: Path,
) -> None:
    """SQLite would delete the log, and begin with an empty database."""
    add(database, "in the log alone")
    folder = tmp_path / "copy"
    shutil.copytree(database.path.parent, folder)
    path = folder / database.path.name
    happen(path)
    log = Path(f"{path}-wal")
    held = log.read_bytes()
    assert held
    before = sorted(folder.iterdir())
    with pytest.raises(
        DatabaseCorruptError, match=r"notes\.db-wal holds changes.*Restore a backup"
    ):
        Database(target(path))
    assert log.read_bytes() == held
    assert sorted(folder.iterdir()) == before


# --- interrupts, and what they leave behind ----------------------------------------------------


def test_a_cursor_that_somebody_keeps_makes_no_later_read_old(database: Database) -> None:
    """A traceback does, for as long as it lives, and SQLite keeps the state that it reads."""
    add(database, "first")
    add(database, "second")
    kept = []

    def interrupted() -> None:
        with database.snapshot() as connection:
            rows = connection.execute("SELECT text FROM notes")
            kept.append(rows)
            next(rows)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    in_thread(lambda: add(database, "third"))
    with database.snapshot() as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (3,)
    add(database, "fourth")
    assert texts(database.path) == ["first", "second", "third", "fourth"]


def test_no_file_handle_left_is_not_called_a_matter_of_permissions(database_path: Path) -> None:
    printed = in_process(
        """
    import os, resource, sys
    from pathlib import Path
    from semantic_core.database import Database
    from semantic_core.domain.errors import DatabaseReadOnlyError, StorageError

    database = Database(sys.argv[1])
    missing = sys.argv[1] + ".new"
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    for work in (database.connection, lambda: Database(missing)):
        try:
            work()
        except StorageError as error:
            print(not isinstance(error, DatabaseReadOnlyError), error)
    """,
        database_path,
    )
    opened, created = printed.splitlines()
    for line in (opened, created):
        assert line.startswith("True")
        assert "Too many open files" in line
        assert "ulimit -n" in line
        assert "ermission" not in line


# --- forks -------------------------------------------------------------------------------------

SET_UP = """
    import os, sys, threading, time
    from pathlib import Path
    import peewee
    from semantic_core.database import Database
    from semantic_core.domain.errors import StorageError

    def add(database, text):
        with database.transaction(ignores_marks=True) as connection:
            connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    def fork(work):
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)

    def wait_for(pid):
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    path = Path(sys.argv[1])
    database = Database(path)
"""


def test_what_a_child_saves_outlives_its_parents_close(database: Database) -> None:
    """SQLite deletes the log at the last close, and counts no connection made across a fork."""
    in_process(
        SET_UP
        + """
    add(database, "parent")
    reading, writing = os.pipe()

    def work():
        add(database, "child")
        os.read(reading, 1)
        add(database, "child, after the parent closed")

    pid = fork(work)
    while True:
        with database.snapshot() as connection:
            if connection.execute("SELECT count(*) FROM notes").fetchone() == (2,):
                break
        time.sleep(0.01)
    database.close()
    os.write(writing, b"x")
    wait_for(pid)
    """,
        database.path,
    )
    database.close()
    assert texts(database.path) == ["parent", "child", "child, after the parent closed"]


def test_parent_and_children_go_on_side_by_side(database: Database) -> None:
    """With connections of their own, in every thread, also in a child's child."""
    in_process(
        SET_UP
        + """
    def often(name):
        for number in range(20):
            add(database, f"{name} {number}")

    def work(name):
        thread = threading.Thread(target=often, args=(f"thread of {name}",))
        thread.start()
        if name == "child 0":
            wait_for(fork(lambda: often("grandchild")))
        often(name)
        thread.join()

    add(database, "first")
    busy = threading.Thread(target=often, args=("other thread",))
    busy.start()
    children = [fork(lambda n=number: work(f"child {n}")) for number in range(3)]
    often("parent")
    busy.join()
    for pid in children:
        wait_for(pid)
    """,
        database.path,
    )
    assert len(texts(database.path)) == 1 + 20 * (1 + 1 + 3 * 2 + 1)
    assert pragma(database.connection(), "integrity_check") == "ok"


def test_a_fork_within_a_call_leaves_the_child_without_the_database(database: Database) -> None:
    """It could not be closed, so the child must not write to it; the parent goes on."""
    printed = in_process(
        SET_UP
        + """
    def work(generation):
        try:
            add(database, "child")
        except StorageError as error:
            print(error, flush=True)
        if generation == 1:
            wait_for(fork(lambda: work(2)))
            work(2)
        database.close()

    with database.transaction(ignores_marks=True) as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('parent')")
        wait_for(fork(lambda: work(1)))
        connection.execute("INSERT INTO notes (text) VALUES ('parent, after the child closed')")
    add(database, "parent again")
    """,
        database.path,
    )
    assert printed.count("was in use when this process was forked") == 3
    assert "'spawn'" in printed
    assert texts(database.path) == ["parent", "parent, after the child closed", "parent again"]


def test_a_fork_waits_for_calls_in_other_threads(database: Database) -> None:
    in_process(
        SET_UP
        + """
    started = threading.Event()

    def slow():
        with database.transaction(ignores_marks=True) as connection:
            started.set()
            time.sleep(0.2)
            connection.execute("INSERT INTO notes (text) VALUES ('thread')")

    thread = threading.Thread(target=slow)
    thread.start()
    started.wait()
    wait_for(fork(lambda: add(database, "child")))
    thread.join()
    """,
        database.path,
    )
    assert texts(database.path) == ["thread", "child"]


def test_an_open_ready_database_is_not_used_across_a_fork(database: Database) -> None:
    """Whoever opened it closes it before a fork; then both processes may use it."""
    printed = in_process(
        SET_UP
        + """
    ready = peewee.SqliteDatabase(path)
    passed = Database(ready)
    passed.connection()

    def refused():
        try:
            add(passed, "child")
        except StorageError as error:
            print(error)

    wait_for(fork(refused))
    ready.close()
    wait_for(fork(lambda: add(passed, "second child")))
    add(passed, "parent")
    """,
        database.path,
    )
    assert "was in use when this process was forked" in printed
    assert texts(database.path) == ["second child", "parent"]
