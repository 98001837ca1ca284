"""Fixtures every test may ask for."""

from __future__ import annotations

import os

# A server of their own that tests start is forked, and the handlers of gRPC, which a client of
# another store brings, have crashed the child.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from batch_emulator import Emulator
from semantic_core.store import PeeweeVectorStore
from support.canary import (
    no_key_leaks,
    pytest_runtest_logreport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)
from support.clock import ManualClock
from support.invariants import check_invariants
from support.memory import memory_root
from support.postgres_server import (
    own_postgres_server,
    postgres_made,
    postgres_server,
    postgres_store_url,
    postgres_template,
    postgres_url,
)
from support.processes import Child, Python
from support.world import World, open_world

# The same change must get the same answer: a chance find should not fail somebody else's. Anywhere
# else the examples are drawn anew each time.
# No deadline: how long an example takes says how busy the machine is.
settings.register_profile("drawn", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "drawn")

# The folders of `tmp_path`: SQLite syncs to the disk at each commit, which takes most of the time.
if memory := memory_root():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))

__all__ = [  # pytest takes them from here
    "no_key_leaks",
    "own_postgres_server",
    "postgres_made",
    "postgres_server",
    "postgres_store_url",
    "postgres_template",
    "postgres_url",
    "pytest_runtest_logreport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]


# What is promised of the store, the queue and the batches is tried on each database.
_DATABASES = ("sqlite", "postgres")
# Where the server searches vectors itself, too.
_PGVECTOR = "pgvector"
_INDEXED = "core/store/reading/test_search.py"
_ON_BOTH = (
    "core/delivery/",
    "core/documents/test_foreign.py",
    "core/documents/test_moving.py",
    "core/documents/test_roots.py",
    "core/queue/",
    "core/store/",
    "core/batches/",
    "adapters/test_one_file.py",
    "crash/test_delivery.py",
    "crash/test_processes.py",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each database, unless its marker says why one alone has what it needs."""
    test = metafunc.definition
    if (
        "database_target" in metafunc.fixturenames
        and any(folder in test.path.as_posix() for folder in _ON_BOTH)
        and test.get_closest_marker("sqlite_only") is None
    ):
        kinds = [pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in _DATABASES]
        if test.path.as_posix().endswith(_INDEXED):
            kinds.append(pytest.param(_PGVECTOR, marks=pytest.mark.postgres))
        metafunc.parametrize("database_target", kinds, indirect=True)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What belongs to a database on a server lies in the user's cache: not in the developer's."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, endpoint or database of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(("GEMINI_", "GOOGLE_", "PG", "SEMCORE_")):
            monkeypatch.delenv(name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"


@pytest.fixture
def database_target(database_path: Path, request: pytest.FixtureRequest) -> Path | str:
    """Where the database of a test is: a file, or a URL."""
    if getattr(request, "param", _DATABASES[0]) in ("postgres", _PGVECTOR):
        url: str = request.getfixturevalue("postgres_store_url")
        return url
    return database_path


@pytest.fixture
def store(database_target: Path | str, clock: ManualClock) -> Iterator[PeeweeVectorStore]:
    """A new store, whose invariants hold whatever the test did with it."""
    with PeeweeVectorStore(database_target, clock=clock) as opened:
        yield opened
        check_invariants(opened)


@pytest.fixture
def python() -> Iterator[Python]:
    """Start other processes; none of them outlives the test."""
    children: list[Child] = []

    def start(code: str) -> Child:
        children.append(Child(code))
        return children[-1]

    yield start
    for child in children:
        child.kill()


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path / "emulator.db") as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, database_target: Path | str) -> Iterator[World]:
    """A database, a manager's provider and one clock for both."""
    with open_world(
        tmp_path, database_target if isinstance(database_target, str) else None
    ) as opened:
        yield opened
