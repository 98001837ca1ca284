"""Work that an interrupt must not stop half way."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def uninterrupted(work: Callable[[], T]) -> T:
    """Do a piece of work in another thread, and wait for it.

    Python raises interrupts in the main thread alone. One that comes meanwhile ends the waiting,
    and the work goes on to its end. For first imports above all: a package whose import broke off
    has some of its modules, and can never be imported whole again in the same process.

    Raises:
        BaseException: whatever the work raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []
    is_running = threading.Lock()
    is_running.acquire()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            errors.append(error)
        finally:
            is_running.release()

    # Not threading.Thread, whose start waits in steps that an interrupt can leave half done.
    _thread.start_new_thread(run, ())
    is_running.acquire()
    if errors:
        raise errors[0]
    return results[0]
