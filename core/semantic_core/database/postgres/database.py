import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, suppress
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, TypeVar

import peewee
import platformdirs
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from semantic_core.database.marks import check_marks
from semantic_core.database.port import Connection, MustBeAloneError
from semantic_core.database.postgres.clock import ServerClock
from semantic_core.database.postgres.connection import LOCK, PostgresConnection, adapt
from semantic_core.database.postgres.failures import RIVALRY, typed
from semantic_core.database.postgres.keywords import TextVectors
from semantic_core.database.postgres.metadata import JsonMetadata
from semantic_core.database.postgres.vectors import PgVectors
from semantic_core.database.schema import database_uuid
from semantic_core.database.strategies import Keywords, MetadataIndex, VectorTables
from semantic_core.database.tables import SCHEMA, TABLES
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import InvalidTextError, StorageError, UnsupportedDatabaseError

T = TypeVar("T")

# Connections that are kept open while nobody uses them.
_KEPT = 8

_SETTINGS = (
    f"SET LOCAL search_path = {SCHEMA}, public; SET LOCAL lock_timeout = '{{patience}}ms'; "
    "SET LOCAL statement_timeout = '120s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; "
    # A number that is read must be the number that was written.
    "SET LOCAL extra_float_digits = 1; "
)


class _Kind(StrEnum):
    """What a transaction does, and the statements that begin it.

    Whoever moves states (claims, applies, settles, deletes) is alone; savers go side by side. A
    saver that looks while another process applies would else see the text carried and no vector,
    and leave its chunk PENDING for a job that has ended. Each waits for the lock before it reads.

    One lock for all vector spaces: most who move states know a job, and its space only once they
    have read it. What it costs is that a saver waits for a page of vectors of another space.
    """

    # The claim, the intent to create and the job id decide about money: a crash of the server must
    # not take them back. Where a role reads by one snapshot by default, that would be one of before
    # the lock.
    MOVE = (
        f"BEGIN ISOLATION LEVEL READ COMMITTED; {_SETTINGS}SET LOCAL synchronous_commit = on; "
        f"SELECT pg_advisory_xact_lock({LOCK}, 1)"
    )
    SAVE = MOVE.replace("advisory_xact_lock", "advisory_xact_lock_shared")
    READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {_SETTINGS}"


class PostgresDatabase:
    """A PostgreSQL database that holds a schema ``semcore``.

    May be shared between threads; connections are opened as they are needed. A process may be
    forked: the child opens connections of its own.

    Args:
        target: a ``postgresql://`` URL (libpq's; PGPASSFILE and ``service=`` work), or a ready
            `peewee.PostgresqlDatabase`, whose settings are taken.
        patience: seconds to wait for another process's lock.

    Attributes:
        name: what it is called in messages, without a password.
        peewee: for users, who may read through it.

    Raises:
        UnsupportedDatabaseError: the URL cannot be used.
    """

    keywords: Keywords = TextVectors()
    metadata: MetadataIndex = JsonMetadata()
    sessions: int | None = _KEPT

    def __init__(self, target: str | peewee.PostgresqlDatabase, *, patience: float = 10.0) -> None:
        if isinstance(target, peewee.Database):
            self._settings = {"dbname": target.database, **target.connect_params}
        else:
            self._settings = _read_url(target)
        self._target = target
        self._patience = patience
        # Whatever PGCLIENTENCODING says: words are sent in it, and texts must be what they were.
        self._settings["client_encoding"] = "UTF8"
        host = self._settings.get("host") or "this machine"
        self.name = f"the PostgreSQL database {self._settings.get('dbname', '')!r} on {host}"
        settings = {key: value for key, value in self._settings.items() if key != "dbname"}
        self.peewee = peewee.PostgresqlDatabase(
            self._settings.get("dbname"), prefer_psycopg3=True, **settings
        )
        self.vectors: VectorTables | None = PgVectors(
            self, partial(psycopg.connect, **self._settings, autocommit=True)
        )
        self._local = threading.local()
        self._is_closed = False
        self._start_over()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...]]:
        """Pickle where the database is; whoever loads that opens connections of its own.

        Raises:
            StorageError: the URL holds a password, which would lie in the pickle.
        """
        if not isinstance(self._target, str) or "password" in self._settings:
            raise StorageError(
                f"{self.name} was opened with a password, which must not lie in a pickle. Give the "
                "password by PGPASSFILE or PGPASSWORD, or open the store in the other process."
            )
        return partial(type(self), patience=self._patience), (self._target,)

    def __deepcopy__(self, memo: object) -> Self:
        return type(self)(self._target, patience=self._patience)

    @cached_property
    def path(self) -> Path:
        """Where files that belong to it lie on this machine: a cache that may go at any time."""
        with self.snapshot() as connection:
            uuid = database_uuid(connection)
        folder = platformdirs.user_cache_path("semcore", ensure_exists=True) / f"{uuid}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "postgres"

    def clock(self) -> Clock:
        """Return the server's clock: those of the machines that work on one queue differ."""
        with self.snapshot() as connection:
            return ServerClock.read(connection)

    def look_around(self) -> None:
        """Do nothing: the server guards its files."""

    def transaction(self, *, ignores_marks: bool = False) -> AbstractContextManager[Connection]:
        """Open a write transaction that is alone; commit at the end, roll back on any error.

        Raises:
            StoreMovedError: the database was moved, or is not whole yet.
            StorageError: the subclass that says why the database could not do it.
        """
        return self._transaction(_Kind.MOVE, ignores_marks=ignores_marks)

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Open a read transaction, in which every statement sees the same state.

        Within a transaction it is that transaction's state.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        return self._transaction(_Kind.READ, ignores_marks=True)

    def number_on(self, connection: Connection) -> None:
        """Bring the sequences of the tables to their largest keys."""
        for model in TABLES.all():
            key = model._meta.primary_key  # noqa: SLF001  # peewee's documented place for it
            if isinstance(key, peewee.BigAutoField):
                name, table = key.column_name, model._meta.table_name  # noqa: SLF001
                connection.execute(
                    f"SELECT setval(pg_get_serial_sequence('{SCHEMA}.{table}', '{name}'), "
                    f"max({name})) FROM {table}"
                )

    def save(self, work: Callable[[Connection, bool], T]) -> T:
        """Do what only adds, beside others who do; see `Database.save`."""
        try:
            with self._transaction(_Kind.SAVE, ignores_marks=False) as connection:
                return work(connection, False)
        except MustBeAloneError:
            pass
        except StorageError as error:
            # Two savers met in the same rows. The work holds no request to anyone, so that it can
            # be done again.
            if not isinstance(error.__cause__, RIVALRY):
                raise
        with self.transaction() as connection:
            return work(connection, True)

    @certain_exit
    def _transaction(self, kind: _Kind, *, ignores_marks: bool) -> Generator[Connection]:
        # One generator with one `try`, since an interrupt may come between any two context managers.
        current = getattr(self._local, "current", None)
        raw: psycopg.Connection[Any] | None = None
        try:
            if current is None:
                raw = self._begun(kind)
                self._local.current = current = PostgresConnection(raw)
            elif kind is not _Kind.READ:
                raise StorageError.within_transaction(self.name)
            if not ignores_marks:
                check_marks(current, self.name)
            yield current
            if raw is not None:
                # Who loses the answer is told so, and asks nobody: after a crash of the server, or at
                # another one, its number may be that of another transaction.
                raw.execute("COMMIT")
        except psycopg.Error as error:
            raise typed(error, self.name) from error
        except UnicodeEncodeError as error:
            raise InvalidTextError.unstorable(error) from error
        finally:
            if raw is not None:
                self._local.current = None
                self._give(raw)

    def _begun(self, statements: str) -> psycopg.Connection[Any]:
        """Return a connection in a transaction."""
        statements = statements.format(patience=int(self._patience * 1000))
        while True:
            raw, is_new = self._take()
            try:
                # psycopg would prepare what was interrupted once, and several statements it cannot.
                raw.execute(statements, prepare=False)
            except BaseException as error:
                # Of one that was kept, the server may have ended the session; nothing is begun.
                was_ended = isinstance(error, psycopg.OperationalError) and raw.closed
                self._give(raw)
                if is_new or not was_ended:
                    raise
            else:
                return raw

    def damage(self) -> list[str]:
        """Return what is wrong with its files: the server itself looks after them."""
        return []

    def back_up(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:  # noqa: ARG002  # those of the port
        """Refuse: a server has means of its own.

        Raises:
            UnsupportedDatabaseError: always; it names them.
        """
        raise UnsupportedDatabaseError(
            f"{self.name} is on a server. Back it up there: pg_dump --schema={SCHEMA}."
        )

    def close(self) -> None:
        """Close every connection that nobody uses; the others close after their use. Idempotent."""
        self._is_closed = True
        self.peewee.close()
        while self._idle:
            self._idle.pop().close()

    def _start_over(self) -> None:
        self._pid = os.getpid()
        self._idle: deque[psycopg.Connection[Any]] = deque()

    def _take(self) -> tuple[psycopg.Connection[Any], bool]:
        """Return a connection that nobody else uses, and whether it is a new one."""
        if self._is_closed:
            raise StorageError.closed(self.name)
        if self._pid != os.getpid():
            # Those of the parent must not even be closed: that would end its sessions.
            _inherited.append(self._idle)
            self._start_over()
        try:
            return self._idle.pop(), False
        except IndexError:
            raw = psycopg.connect(**self._settings, autocommit=True)
            adapt(raw)
            return raw, True

    def _give(self, raw: psycopg.Connection[Any]) -> None:
        """Keep a connection for the next use, if it is fit for one."""
        if raw.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            # Of a connection that was lost meanwhile the server has rolled it back, and what is being
            # raised tells more.
            with suppress(psycopg.OperationalError):
                raw.execute("ROLLBACK")
        is_idle = raw.info.transaction_status is TransactionStatus.IDLE
        if is_idle and not self._is_closed and len(self._idle) < _KEPT:
            self._idle.append(raw)
        else:
            raw.close()


# Connections of a parent process, which a child keeps as they are.
_inherited: list[deque[psycopg.Connection[Any]]] = []


def _read_url(url: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # Without the cause, which may quote the password.
        raise UnsupportedDatabaseError(
            "This is no URL of a PostgreSQL database. Use postgresql://user@host/name, with "
            "characters like @ in a password written as %40."
        ) from None
