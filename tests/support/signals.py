"""Interrupts of the main thread at any moment, as Ctrl-C and Jupyter's stop button make them."""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

# Seconds until a child that hangs says where, and ends.
PATIENCE = 240


def interrupts(work: Callable[[], object], times: int) -> Iterator[KeyboardInterrupt]:
    """Run a piece of work over and over, and yield each KeyboardInterrupt that ends it.

    For a process of its own, in its main thread: one that hangs, or swallows an interrupt, ends
    with the stacks of its threads.
    """
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    # What a shell runs in its background ignores interrupts, and so would this process.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Threads change places often, so that a signal finds the main thread waiting at any step.
    sys.setswitchinterval(1e-4)
    main = threading.main_thread().ident
    assert main is not None
    # Locks, and no Event: an interrupt could leave that locked, which is what this looks for.
    wanted = threading.Lock()
    wanted.acquire()

    def strike() -> None:
        moments = random.Random(1)  # no secret
        while True:
            wanted.acquire()
            time.sleep(moments.uniform(0, 0.002))
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=strike, daemon=True).start()
    for _ in range(times):
        try:
            wanted.release()
            while True:
                work()
        except KeyboardInterrupt as interrupt:
            yield interrupt
    faulthandler.cancel_dump_traceback_later()
