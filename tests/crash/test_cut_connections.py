"""The connection to a server is cut at any statement, before it is run or before its answer comes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from semantic_core.domain.errors import DatabaseUnavailableError, SubmissionUncertainError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from support.cutting import Cutter, Side
from support.memory import memory_folder
from support.play import Play
from support.postgres_server import postgres_database

pytestmark = pytest.mark.postgres

# `make stress` cuts at each third statement of more chapters.
IS_LONG = "SEMCORE_TEST_STRESS" in os.environ
CHAPTERS = ("good day", "bad results", "lost replies") if IS_LONG else ("good day",)
STEP = 3 if IS_LONG else 61


@contextmanager
def performance(template: tuple[str, str], chapter: str) -> Iterator[tuple[Play, Cutter]]:
    with (
        memory_folder() as folder,
        postgres_database(*template) as url,
        Play(Path(folder), chapter, url) as play,
        Cutter(url) as cutter,
    ):
        yield play, cutter


def act(play: Play, cutter: Cutter) -> None:
    """Act out the chapter through the cutter; what it may raise says what to do next."""
    with play.office(database=cutter.url) as office:
        try:
            play.chapter.act(office)
        except DatabaseUnavailableError as error:
            office.errors.append(error)
        kinds = {type(error) for error in office.errors}
        assert kinds <= {DatabaseUnavailableError, SubmissionUncertainError}, office.errors


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize("side", Side)
def test_a_connection_cut_at_any_statement(
    postgres_template: tuple[str, str], chapter: str, side: Side
) -> None:
    """D5: nothing is lost, nothing is paid twice, and the next call goes on."""
    with performance(postgres_template, chapter) as (play, cutter):
        act(play, cutter)
        statements = cutter.passed
    for number in range(1, statements + 1, STEP):
        with performance(postgres_template, chapter) as (play, cutter):
            cutter.cut_at(number, side)
            act(play, cutter)
            assert cutter.passed >= number
            play.look()
            play.finish()


# From where a job is about to end: the transaction begins, three statements, and it commits.
@pytest.mark.parametrize("statement", range(1, 9))
def test_the_end_of_a_job_whose_answer_is_lost(
    postgres_template: tuple[str, str], statement: int
) -> None:
    """D5: it may have ended though nobody heard of it, and no other process has it."""
    with performance(postgres_template, "left claim") as (play, cutter):

        def cut() -> None:
            disarm()
            cutter.cut_at(cutter.passed + statement, Side.AFTER)

        arm(FailPoint.END_SETTLED, cut)
        try:
            act(play, cutter)
        finally:
            disarm()
        play.look()
        play.finish()
