from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from batch_emulator import Emulator
from batch_emulator.errors import EmulatorError
from batch_emulator.state import State


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(EmulatorError, match="not a state file"):
        Emulator(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 100)
    with pytest.raises(EmulatorError, match=r"notes\.txt"):
        Emulator(path)
    assert path.read_text() == "my notes " * 100


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="nowhere"):
        Emulator(tmp_path / "nowhere" / "e.db")


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    State(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(EmulatorError, match="99"):
        Emulator(path)


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    state = State(tmp_path / "e.db")

    def fail() -> None:
        with state.transaction() as connection:
            connection.execute("INSERT INTO faults (rule) VALUES ('{}')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert state.rows("SELECT * FROM faults") == []
    state.close()


def test_a_new_state_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """It holds uploaded texts."""
    before = os.umask(0)
    try:
        State(tmp_path / "emulator.db").close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "emulator.db").stat().st_mode) == 0o600
