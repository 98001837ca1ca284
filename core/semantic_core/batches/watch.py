"""Flushing and syncing in a loop, for those who do not want a crontab line."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from semantic_core.batches.manager import BatchManager
from semantic_core.domain.errors import (
    BudgetExceededError,
    DatabaseBusyError,
    ProviderUnavailableError,
    RateLimitError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.domain.types import QueueStats

# Errors that may be gone in the next round; anything else needs a person and ends the watch.
_PASSING = (
    ProviderUnavailableError,
    RateLimitError,
    SubmissionUncertainError,
    DatabaseBusyError,
    BudgetExceededError,
    TransitionError,  # the machine slept, and another process took the job over
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """When a watch sends, and how often it looks.

    Attributes:
        min_size: send as soon as this many distinct texts wait.
        max_age: send fewer once the oldest has waited this many seconds.
        interval: seconds between two rounds.
        max_cost: most that one job may cost, in dollars by estimate.
    """

    min_size: int = 100
    max_age: float = 3600.0
    interval: float = 60.0
    max_cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRound:
    """What one round did: the ids of new jobs, the queue after it, and its trouble.

    That is an error which may be gone in the next round, or None.
    """

    sent: tuple[str, ...]
    stats: QueueStats
    trouble: str | None


class Watch:
    """Runs the queue of a manager until it is stopped. Several may run at once."""

    def __init__(self, manager: BatchManager, options: WatchOptions | None = None) -> None:
        self._manager = manager
        self._options = options or WatchOptions()
        self._is_stopped = False
        # Locked until `stop`. No Event: a signal handler that sets one waits forever if its own
        # thread is just then at a step within wait().
        self._pause = threading.Lock()
        self._pause.acquire()

    def stop(self) -> None:
        """End the watch after what it is just doing. May be called from a signal handler."""
        self._is_stopped = True
        with suppress(RuntimeError):  # it was stopped before
            self._pause.release()

    def run(self, report: Callable[[WatchRound], None]) -> None:
        """Flush and sync until `stop`; ``report`` is called after each round.

        It ends with an error that no later round can fix, such as a refused key.
        """
        while not self._is_stopped:
            report(self.round())
            self._pause.acquire(timeout=max(0.0, self._options.interval))

    def round(self) -> WatchRound:
        """Sync, then send what is enough or old enough, once."""
        sent: list[str] = []
        trouble = None
        for step in (self._manager.sync_status, partial(self._flush, sent)):
            try:
                step()
            except _PASSING as error:
                trouble = str(error)
        return WatchRound(sent=tuple(sent), stats=self._manager.get_queue_stats(), trouble=trouble)

    def _flush(self, sent: list[str]) -> None:
        wanted = self._options
        while not self._is_stopped:
            batch_id = self._manager.flush_queue(
                wanted.min_size, max_age=wanted.max_age, max_cost=wanted.max_cost
            )
            if batch_id is None:
                return
            sent.append(batch_id)
