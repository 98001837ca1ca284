"""Work beside the searches: one piece at a time, in a thread of its own."""

import atexit
import logging
import weakref
from collections.abc import Callable
from threading import Lock

from semantic_core.domain.uninterrupted import Task

_log = logging.getLogger(__name__)


class Beside:
    """Does work that only saves time. An error in it costs time, and is logged once."""

    def __init__(self) -> None:
        self.has_failed = False
        self._task: Task | None = None
        self._is_finishing = False
        self._starting = Lock()
        _all.add(self)

    def start(self, work: Callable[[], object]) -> bool:
        """Start a piece of work, unless another one is under way."""
        if not self._starting.acquire(blocking=False):
            return False
        try:
            if not self.is_busy and not self._is_finishing:
                self._task = Task(lambda: self.do(work))
                return True
            return False
        finally:
            self._starting.release()

    @property
    def is_busy(self) -> bool:
        """Whether there is work under way."""
        task = self._task
        return task is not None and not task.is_done

    def is_hurried(self) -> bool:
        """Whether somebody waits for the end of the work, which may leave out what it can."""
        return self._is_finishing

    def finish(self, last: Callable[[], object] = lambda: None) -> None:
        """Wait for the end of what is under way, and do the last work, in a hurry."""
        self._is_finishing = True
        try:
            task, self._task = self._task, None
            if task is not None:
                task.result()
            last()
        finally:
            self._is_finishing = False

    def do(self, work: Callable[[], object]) -> None:
        """Do it in this thread."""
        try:
            work()
        except Exception:  # noqa: BLE001  # it is logged, and searches do without
            if not self.has_failed:
                _log.warning(
                    "A vector index could not be made beside the searches, which therefore take "
                    "longer. Nothing is lost.",
                    exc_info=True,
                )
            self.has_failed = True


# Not by their threads: a process does not wait for those, and would leave half a file.
_all: weakref.WeakSet[Beside] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    for beside in list(_all):
        beside.finish()
