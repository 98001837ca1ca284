"""Work in other threads, where no interrupt can stop it in the middle."""

import _thread
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def uninterrupted(work: Callable[[], T]) -> T:
    """Do a piece of work to its end, even if an interrupt comes; raise what the work raises.

    Python raises interrupts in the main thread only. An interrupt ends the waiting, and the work
    goes on to its end. This is mainly for first imports: a package whose import was interrupted
    cannot be imported again in the same process.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    return side_by_side([work])[0]


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do pieces of work, each in its own thread; return their results, or raise the first error."""
    return [task.result() for task in [Task(work) for work in works]]


class Task:
    """A piece of work in a thread of its own, which the end of the process does not wait for."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._results: list[object] = []
        self._errors: list[BaseException] = []
        self._is_running = threading.Lock()
        self._is_running.acquire()
        # Not threading.Thread, whose start waits in steps that an interrupt can leave half done.
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            self._errors.append(error)
        finally:
            # What it holds must be free for whoever has waited: a mapped file is then closed.
            del self._work
            self._is_running.release()

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return not self._is_running.locked()

    def result(self) -> Any:
        """Wait for the end of it, once; return its result, or raise its error."""
        self._is_running.acquire()
        if self._errors:
            raise self._errors[0]
        return self._results[0]
