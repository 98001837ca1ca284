import os
from collections.abc import Generator
from itertools import islice
from queue import SimpleQueue

from semantic_core.domain.certain_exit import certain_exit


class Turns:
    """Lets so many threads in; the others wait, in the order they came.

    By default as many as this process may use cores: more only hand Python's global lock to each
    other, and eight threads on two cores get half the searches done that two do.
    """

    def __init__(self, count: int | None = None) -> None:
        has_affinity = hasattr(os, "sched_getaffinity")
        cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()
        self._count = count or cores or 1
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self._count):
            self._free.put(None)

    @property
    def are_shared(self) -> bool:
        return self._count - self._free.qsize() > 1

    @certain_exit
    def one(self) -> Generator[None]:
        """Wait for a turn, and give it back at the end."""
        taken: list[None] = []
        # One call, and written in C: an interrupt between two calls would lose the turn.
        turns = islice(iter(self._free.get, self), 1)
        try:
            taken.extend(turns)
            yield
        finally:
            for turn in taken:
                self._free.put(turn)
