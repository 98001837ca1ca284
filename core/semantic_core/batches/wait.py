"""Syncing until nothing runs any more."""

from __future__ import annotations

import logging
from collections.abc import Callable

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import ProviderError, RateLimitError, WaitTimeoutError
from semantic_core.domain.types import QueueStats
from semantic_core.views.progress import QueueProgress, queue_progress

_log = logging.getLogger(__name__)


def wait_for_jobs(
    sync: Callable[[], object],
    look: Callable[[], QueueStats],
    *,
    clock: Clock,
    poll_interval: float,
    timeout: float | None,
    progress: QueueProgress,
) -> QueueStats:
    """Sync until every job has ended or is held; see ``BatchManager.wait`` for the contract."""
    deadline = None if timeout is None else clock.monotonic() + timeout
    with queue_progress(progress, look=look) as report:
        while True:
            cause: ProviderError | None = None
            try:
                sync()
            except ProviderError as error:
                if error.is_definite and not isinstance(error, RateLimitError):
                    raise
                _log.warning("Waiting on: %s", error)
                cause = error
            stats = look()
            report(stats)
            running = len(stats.open_jobs) - len(stats.held_jobs)
            if not running:
                return stats
            now = clock.monotonic()
            if deadline is not None and now >= deadline:
                raise WaitTimeoutError(
                    f"{running} batch jobs were still running after {timeout:.0f} s. They go "
                    "on; call wait() or sync_status() later."
                ) from cause
            clock.sleep(poll_interval if deadline is None else min(poll_interval, deadline - now))
