"""Every failpoint, struck in every way: nothing is lost, nothing is paid twice, and work goes on.

The failpoints are enumerated, and which chapter passes which of them is found out by letting all
chapters run once. So a new failpoint is covered as soon as it exists, and one that no chapter
passes fails here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from semantic_core.domain.failpoints import FailPoint, arm, disarm
from support.chapters import CHAPTERS, CONFIG
from support.interrupting import EXIT_CODES, Interruption, Stage
from support.invariants import History
from support.memory import memory_folder
from support.play import Play
from support.postgres_server import postgres_database

# `make stress` strikes every passing of every failpoint in every chapter, not only the first; and on
# PostgreSQL in every way, not only in one.
IS_LONG = "SEMCORE_TEST_STRESS" in os.environ

Hits = dict[str, dict[str, int]]
NewDatabase = Callable[[], AbstractContextManager[str | None]]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    opened = Stage()
    yield opened
    opened.close()


@cache
def count_hits(stage: Stage, new_database: NewDatabase) -> Hits:
    """Return how often each chapter passes each failpoint when nothing happens to it."""
    found: Hits = {}
    for name in CHAPTERS:
        with (
            memory_folder() as folder,
            new_database() as database,
            Play(Path(folder), name, database) as play,
        ):
            assert stage.act(play.order(Interruption.NOTHING)) == 0, play.log()
            play.finish()
            found[name] = json.loads((play.folder / "hits.json").read_text())
    return found


# The same each time: what is counted for it is counted once.
@cache
def _on_server(server: str, template: str) -> NewDatabase:
    return partial(postgres_database, server, template)


@pytest.fixture(scope="module")
def new_database(request: pytest.FixtureRequest) -> NewDatabase:
    """Makes a database on the server, or leaves it to a play to make a file."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return nullcontext
    return _on_server(*request.getfixturevalue("postgres_template"))


@pytest.fixture(scope="module")
def hits(stage: Stage, new_database: NewDatabase) -> Hits:
    """Which chapter passes which failpoint: on both databases the same, but not so often on each."""
    return count_hits(stage, new_database if IS_LONG else nullcontext)


def strike(
    stage: Stage, play: Play, interruption: Interruption, point: FailPoint, hit: int
) -> None:
    code = stage.act(play.order(interruption, point, hit), while_stopped=play.take_over)
    assert code == EXIT_CODES[interruption], play.log()
    play.look()
    play.finish()


def test_every_failpoint_is_passed(hits: Hits) -> None:
    assert set().union(*hits.values()) == set(FailPoint)


def _strikes() -> Iterator[Any]:
    ways = [one for one in Interruption if one is not Interruption.NOTHING]
    for number, point in enumerate(FailPoint):
        for way in ways:
            if way is not Interruption.CUT:  # a file has no connection
                yield pytest.param("sqlite", point, way, marks=pytest.mark.sqlite)
        for way in ways if IS_LONG else [ways[number % len(ways)]]:
            if point is not FailPoint.BACKUP_WRITTEN:  # a server has means of its own
                yield pytest.param("postgres", point, way, marks=pytest.mark.postgres)


@pytest.mark.parametrize(
    ("new_database", "point", "interruption"), [*_strikes()], indirect=["new_database"]
)
def test_work_goes_on(
    stage: Stage,
    hits: Hits,
    new_database: NewDatabase,
    point: FailPoint,
    interruption: Interruption,
) -> None:
    """A1, A2, A4, B2, B3, B4, B15, D1, D2, D5, D11, E4, E9, E22, E23, F1"""
    passed = [(name, found[point]) for name, found in hits.items() if point in found]
    assert passed, f"no chapter passes {point}"
    for name, times in passed if IS_LONG else passed[:1]:
        for hit in range(1, times + 1) if IS_LONG else [1]:
            with (
                memory_folder() as folder,
                new_database() as database,
                Play(Path(folder), name, database) as play,
            ):
                strike(stage, play, interruption, point, hit)


class Files:
    """Copies of a SQLite file."""

    def take(self, play: Play, copy: Path) -> None:
        with (
            closing(sqlite3.connect(play.folder / "world.db")) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)

    def put_back(self, play: Play, copy: Path) -> None:
        for stale in play.folder.glob("world.db*"):
            stale.unlink()
        copy.rename(play.folder / "world.db")


class Dumps:
    """Copies of a database on a server, made by the server's own programs."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs

    def take(self, play: Play, copy: Path) -> None:
        assert play.database
        self._run("pg_dump", "--schema=semcore", "--file", copy, play.database)

    def put_back(self, play: Play, copy: Path) -> None:
        assert play.database
        with psycopg.connect(play.database, autocommit=True) as connection:
            connection.execute("DROP SCHEMA semcore CASCADE")
        self._run("psql", "--set=ON_ERROR_STOP=1", "--file", copy, play.database)

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run([self._programs / program, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize(
    "new_database",
    [
        pytest.param("sqlite", marks=pytest.mark.sqlite),
        pytest.param("postgres", marks=pytest.mark.postgres),
    ],
    indirect=True,
)
def test_a_copy_taken_at_any_failpoint_pays_nothing_again(
    hits: Hits, new_database: NewDatabase, request: pytest.FixtureRequest
) -> None:
    """E14: the copy is put in the place of the database once the whole chapter has been played."""
    copies: Files | Dumps = Files()
    # Before the migration is committed there is no name by which jobs could be found again.
    left_out = {FailPoint.MIGRATE_STEP}
    if new_database is not nullcontext:
        copies = Dumps(request.getfixturevalue("postgres_server").programs)
        left_out.add(FailPoint.BACKUP_WRITTEN)
    # The others are no history that an older copy could take up: a person cancels, a file is old.
    chapters = ("good day", "lost replies", "late job", "left claim", "forgotten job")
    for name in (*chapters, "pictures") if IS_LONG else chapters:
        points = {FailPoint(point) for point in hits[name]} - left_out
        for point in points:
            with (
                memory_folder() as folder,
                new_database() as database,
                Play(Path(folder), name, database) as play,
            ):
                play_and_go_back(play, point, copies)
        if isinstance(copies, Dumps) and not IS_LONG:
            left_out |= points  # each takes twice as long there: one of a failpoint will do


def play_and_go_back(play: Play, point: FailPoint, copies: Files | Dumps) -> None:
    """Play a chapter to its end, then go on with what the database was at a failpoint."""
    copy = play.folder / "copy"

    def take_copy() -> None:
        if not copy.exists():
            copies.take(play, copy)

    with play.office() as office:
        arm(point, take_copy)
        try:
            play.chapter.act(office)
        finally:
            disarm()
    copies.put_back(play, copy)
    play.history = History(CONFIG)
    play.finish()
