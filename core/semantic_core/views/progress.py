"""Progress of long work: reported to a callable, or shown as a bar where one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import QueueStats
from semantic_core.domain.uninterrupted import uninterrupted

IngestProgress = Callable[[IngestReport], None] | bool | None
QueueProgress = Callable[[QueueStats], None] | bool | None


@contextmanager
def ingest_progress(
    progress: IngestProgress, *, total: int | None
) -> Iterator[Callable[[IngestReport], None]]:
    """Yield what is to be told of each saved page.

    Args:
        progress: True for a bar of documents, a callable for itself, else nothing.
        total: how many documents there are, if that is known.
    """
    if progress is not True:
        yield progress if callable(progress) else _ignore
        return
    with _bar(desc="saved", unit=" documents", total=total) as bar:

        def show(report: IngestReport) -> None:
            chunks = report.chunks
            bar.set_postfix(
                ready=chunks.ready, pending=chunks.pending, failed=chunks.failed, refresh=False
            )
            bar.update(report.documents + report.rejected_count - bar.n)

        yield show


@contextmanager
def queue_progress(
    progress: QueueProgress, *, look: Callable[[], QueueStats]
) -> Iterator[Callable[[QueueStats], None]]:
    """Yield what is to be told of the queue after each poll.

    Args:
        progress: True for a bar of texts, a callable for itself, else nothing.
        look: returns the queue as it is before the first poll.
    """
    if progress is not True:
        yield progress if callable(progress) else _ignore
        return
    first = look()
    total = sum(job.request_count for job in first.open_jobs)
    with _bar(desc="embedded", unit=" texts", total=total) as bar:
        show = _JobsBar(bar)
        show(first)
        yield show


class _JobsBar:
    """Shows how many texts of the jobs seen so far the provider is done with."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._seen: dict[str, int] = {}

    def __call__(self, stats: QueueStats) -> None:
        self._seen |= {job.id: job.request_count for job in stats.open_jobs}
        open_ids = {job.id for job in stats.open_jobs}
        ended = sum(count for job_id, count in self._seen.items() if job_id not in open_ids)
        running = sum(job.done_count + job.failed_count for job in stats.open_jobs)
        self._bar.total = sum(self._seen.values())
        self._bar.n = ended + running
        self._bar.set_postfix(
            jobs=len(open_ids), held=len(stats.held_jobs), failed=stats.failed, refresh=False
        )
        self._bar.refresh()


def _bar(**options: Any) -> Any:
    # Only here: in a notebook without ipywidgets the import itself warns.
    return uninterrupted(lambda: import_module("tqdm.auto")).tqdm(**options)


def _ignore(_: object) -> None:
    pass
