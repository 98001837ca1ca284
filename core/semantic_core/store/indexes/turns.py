import os
from collections.abc import Generator
from itertools import islice
from queue import SimpleQueue

from semantic_core.domain.certain_exit import certain_exit


class Turns:
    """Lets so many threads in; the others wait, in the order they came.

    By default as many as this process may use cores: more only hand Python's global lock to each
    other, and eight threads on two cores get half the searches done that two do. Brief work is let
    in one at a time: of two searches of a millisecond each mostly waits for that lock, and two
    threads get 0.7 times as much done as one (``benchmarks/threads.py 100000``).
    """

    def __init__(self, count: int | None = None) -> None:
        has_affinity = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
        self._count = count or cores or 1
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._count):
            self._free.put(None)
        self._brief: SimpleQueue[None] = SimpleQueue()
        self._brief.put(None)

    @property
    def are_shared(self) -> bool:
        return self._count - self._free.qsize() > 1

    @certain_exit
    def one(self, *, is_brief: bool = False) -> Generator[None]:
        """Wait for a turn, and give it back at the end."""
        free = self._brief if is_brief else self._free
        taken: list[None] = []
        # One call, and written in C: an interrupt between two calls would lose the turn.
        turns = islice(iter(free.get, self), 1)
        try:
            taken.extend(turns)
            yield
        finally:
            for turn in taken:
                free.put(turn)
