"""Progress of long work: reported to a callable, or shown as a bar where one is asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from semantic_core.domain.errors import MissingExtraError
from semantic_core.domain.extras import load_extra
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import QueueStats

IngestProgress = Callable[[IngestReport], None] | bool | None
QueueProgress = Callable[[QueueStats], None] | bool | None

# With its words it fits into a terminal of 80 characters.
_WIDTH = 20


@contextmanager
def ingest_progress(
    progress: IngestProgress, *, total: int | None
) -> Iterator[Callable[[IngestReport], None]]:
    """Yield what is to be told of each saved page: a bar of documents, a callable, or nothing."""
    if progress is not True:
        yield progress if callable(progress) else _ignore
        return
    with open_bar("saved", unit="documents") as bar:

        def show(report: IngestReport) -> None:
            chunks = report.chunks
            bar(
                report.documents + report.rejected_count,
                total,
                ready=chunks.ready,
                pending=chunks.pending,
                failed=chunks.failed,
            )

        yield show


@contextmanager
def queue_progress(
    progress: QueueProgress, *, look: Callable[[], QueueStats]
) -> Iterator[Callable[[QueueStats], None]]:
    """Yield what is to be told of the queue after each poll: a bar, a callable, or nothing.

    A bar looks at the queue once before the first poll.
    """
    if progress is not True:
        yield progress if callable(progress) else _ignore
        return
    with open_bar("embedded", unit="texts") as bar:
        seen: dict[str, int] = {}

        def show(stats: QueueStats) -> None:
            """Show how many texts of the jobs seen so far the provider is done with."""
            seen.update({job.id: job.request_count for job in stats.open_jobs})
            open_ids = {job.id for job in stats.open_jobs}
            ended = sum(count for job_id, count in seen.items() if job_id not in open_ids)
            running = sum(job.done_count + job.failed_count for job in stats.open_jobs)
            bar(
                ended + running,
                sum(seen.values()),
                jobs=len(open_ids),
                held=len(stats.held_jobs),
                failed=stats.failed,
            )

        show(look())
        yield show


@contextmanager
def open_bar(description: str, *, unit: str) -> Iterator[Callable[..., None]]:
    """Open a bar beside the answer, on stderr; without rich there is none.

    It is told how much is done, the total or None, and other numbers by name.
    """
    try:
        console = load_extra("rich.console", extra="cli", task="A progress bar")
        progress = load_extra("rich.progress", extra="cli", task="A progress bar")
    except MissingExtraError:
        yield _ignore
        return
    # Without its own thread, which would draw while the interrupted thread cleans up.
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=_WIDTH),
        progress.TextColumn("{task.fields[words]}"),
        console=console.Console(stderr=True),
        auto_refresh=False,
    ) as shown:
        task = shown.add_task(description, total=None, words="")

        def show(done: int, total: int | None, /, **facts: int) -> None:
            amount = f"{done:,} {unit}" if total is None else f"{done:,}/{total:,} {unit}"
            words = ", ".join([amount, *(f"{name}={count:,}" for name, count in facts.items())])
            shown.update(task, completed=done, total=total, words=words, refresh=True)

        yield show


def _ignore(*_: Any, **__: Any) -> None:
    pass
