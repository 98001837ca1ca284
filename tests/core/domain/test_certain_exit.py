"""Blocks that end whatever interrupts them."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from semantic_core.domain.certain_exit import certain_exit
from support.processes import Python


class Journal:
    """What a block went through."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @certain_exit
    def block(self, *, fails: bool = False) -> Generator[int]:
        self.lines.append("begun")
        try:
            yield 7
            if fails:
                raise OSError("at the end")  # noqa: TRY301  # what is tested
            self.lines.append("committed")
        except BaseException as error:
            self.lines.append(f"taken back: {type(error).__name__}")
            if isinstance(error, LookupError):
                raise ValueError("typed") from error  # noqa: TRY004  # no type is checked
            raise
        finally:
            self.lines.append("ended")


def test_a_block_is_entered_and_left() -> None:
    journal = Journal()
    with journal.block() as value:
        assert value == 7
        assert journal.lines == ["begun"]
    assert journal.lines == ["begun", "committed", "ended"]


def test_a_block_is_left_by_return_break_and_continue() -> None:
    journal = Journal()

    def leave() -> int:
        for number in range(3):
            with journal.block():
                if number == 0:
                    continue
                if number == 1:
                    break
        with journal.block() as value:
            return value

    assert leave() == 7
    assert journal.lines == ["begun", "committed", "ended"] * 3


@pytest.mark.parametrize(
    "error", [KeyError("x"), StopIteration(1), KeyboardInterrupt(), GeneratorExit(), OSError("x")]
)
def test_a_block_hears_of_every_error(error: BaseException) -> None:
    journal = Journal()
    with pytest.raises(BaseException) as caught, journal.block():  # noqa: PT011  # any of them
        raise error
    assert journal.lines == ["begun", f"taken back: {type(error).__name__}", "ended"]
    if isinstance(error, LookupError):
        assert isinstance(caught.value, ValueError)
        assert caught.value.__cause__ is error
    else:
        assert caught.value is error
        # As short as with contextlib: the test and nothing within.
        assert len(caught.traceback) == 1


def test_an_error_of_the_blocks_own_end_reaches_the_caller() -> None:
    journal = Journal()
    with pytest.raises(OSError, match="at the end"), journal.block(fails=True):
        pass
    assert journal.lines == ["begun", "taken back: OSError", "ended"]


def test_no_interrupt_leaves_a_block_open(python: Python) -> None:
    """With contextlib's, one in thirty does: beside a busy thread many signals come at its end."""
    child = python("""
        import threading
        from semantic_core.domain.certain_exit import certain_exit
        from support.signals import interrupts

        held = set()
        tracebacks = []

        @certain_exit
        def block():
            mark = object()
            try:
                held.add(mark)
                yield
            finally:
                held.discard(mark)

        def work():
            with block():
                pass

        def spin():
            while True:
                sum(range(50))

        threading.Thread(target=spin, daemon=True).start()
        lost = 0
        for interrupt in interrupts(work, 700):
            tracebacks.append(interrupt)  # as Jupyter keeps them
            lost += len(held)
            held.clear()
        say(f"{len(tracebacks)} interrupts, {lost} lost exits")
    """)
    assert child.hear() == "700 interrupts, 0 lost exits"
    child.end()
