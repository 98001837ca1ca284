"""The net under the suite catches every kind of leak, and no test goes without it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.canary import CASSETTES, files_with_keys, holds_key
from support.keys import CANARY, canary

TESTS = Path(__file__).parent

# A run of its own, of which each test leaks in another way but the last.
LEAKING = """
import logging, sqlite3
import pytest
from support.keys import CANARY

def test_a_debug_log():
    logging.getLogger("httpx2").debug("headers: %s", {"x-goog-api-key": CANARY})

def test_an_argument_of_a_log():
    logging.getLogger("semantic_core.batches").debug("%.3s", CANARY)

def test_a_logged_traceback():
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("semantic_core").exception("it failed")

def test_output():
    print(CANARY)

def test_a_traceback():
    pytest.xfail(CANARY)

def test_a_file(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "note").write_bytes(b"\\0" * 100_000 + CANARY.encode())

def test_a_database(tmp_path):
    connection = sqlite3.connect(tmp_path / "notes.db")
    connection.execute("CREATE TABLE t (key)")
    connection.execute("INSERT INTO t VALUES (?)", (CANARY,))
    connection.commit()
    connection.close()

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")

def test_a_shared_file(shared):
    (shared / "note").write_text(CANARY)

def test_nothing(tmp_path):
    (tmp_path / "note").write_text("nothing")
    logging.getLogger("semantic_core").warning("nothing")
    print("nothing")
"""

CONFTEST = """
from support.canary import (
    no_key_leaks, pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary,
    pytest_testnodedown,
)
"""


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that this very run does not search."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def run(folder: Path, test: str, *, workers: int = 0) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_leaking.py").write_text(LEAKING)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-n", str(workers)),
            *("--basetemp", str(folder / "tmp"), "-k", test),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path[1:]])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_every_kind_of_leak_is_caught_and_named(elsewhere: Path, workers: int) -> None:
    """E21: the net can fail"""
    done = run(elsewhere, "test_a_ or test_an_ or test_output", workers=workers)
    assert done.returncode == 1
    named = done.stdout.partition("keys leaked")[2]
    for leak in (
        r"test_a_debug_log: a log record of httpx2",
        r"test_an_argument_of_a_log: a log record of semantic_core\.batches",
        r"test_a_logged_traceback: a log record of semantic_core ",
        r"test_output: Captured stdout call",
        r"test_a_traceback: its traceback",
        r"test_a_file: the file deep/er/note",
        r"test_a_database: the file notes\.db",
        r"shared0/note: this file",
    ):
        assert re.search(leak, named), (leak, done.stdout)


def test_a_run_without_a_leak_is_green(elsewhere: Path) -> None:
    done = run(elsewhere, "test_nothing")
    assert done.returncode == 0, done.stdout
    assert "keys leaked" not in done.stdout


def test_what_is_looked_for_is_in_every_key() -> None:
    assert holds_key(canary("any"))
    assert not holds_key(CANARY[:-1])
    assert files_with_keys(CASSETTES) == []


def test_no_test_makes_up_a_key_of_its_own() -> None:
    """It would not be looked for."""
    made_up = re.compile(
        r"(?:default_key|batch_key|api_key)=f?\"[^\"\s\\{]+\"|setenv\(\s*\"\w+_KEY\", \"[^\"\s]+\""
    )
    found = [
        f"{path.relative_to(TESTS)}: {match.group()}"
        for path in TESTS.rglob("*.py")
        for match in made_up.finditer(path.read_text())
        if "genai" not in match.group()
    ]
    assert found == []
