"""Work in a thread of its own: waited for, and let go of."""

from __future__ import annotations

import threading
import weakref
from functools import partial

import pytest

from semantic_core.domain.uninterrupted import Task, side_by_side


class Mapped:
    """Stands for a map of a file, which cannot be closed while anybody holds it."""


def test_what_a_task_worked_on_is_free_when_it_was_waited_for() -> None:
    for _ in range(50):
        mapped = Mapped()
        gone = weakref.ref(mapped)
        task = Task(partial(id, mapped))
        del mapped
        task.result()
        assert gone() is None


def test_results_come_in_order_and_an_error_is_raised_where_it_is_waited_for() -> None:
    assert side_by_side([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1, lambda: 1 // 0])


def test_a_task_is_done_when_its_work_is() -> None:
    may_end = threading.Event()
    task = Task(may_end.wait)
    assert not task.is_done
    may_end.set()
    assert task.result() is True
