"""Progress of long work: reported to a callable, or shown as a bar where one is asked for."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import MissingExtraError
from semantic_core.domain.extras import load_extra
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import BatchJob, QueueStats
from semantic_core.views.sentences import usual_time
from semantic_core.views.wording import visible

IngestProgress = Callable[[IngestReport], None] | bool | None
QueueProgress = Callable[[QueueStats], None] | bool | None

# With its words it fits into a terminal of 80 characters.
_WIDTH = 16


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


class QueueView:
    """What is shown while jobs are waited for: nothing, or what a callable makes of the queue.

    Args:
        clock: passes the time between two polls.
        tell: is given the queue after each poll.
    """

    def __init__(self, clock: Clock, tell: Callable[[QueueStats], None]) -> None:
        self._clock = clock
        self.tell = tell

    def pause(self, seconds: float) -> None:
        """Let the time until the next poll pass."""
        self._clock.sleep(seconds)


class _QueueBar(QueueView):
    """A bar of the texts in open jobs, with a clock that ticks and the time of the next poll."""

    def __init__(self, clock: Clock, bar: Callable[..., None]) -> None:
        super().__init__(clock, self._look)
        self._bar = bar
        self._began = clock.monotonic()
        self._seen: dict[str, int] = {}
        self._stats: QueueStats | None = None

    def pause(self, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0:
            self._draw(f"next look in {math.ceil(left)} s")
            self._clock.sleep(min(1.0, left))
        self._draw("looking")

    def _look(self, stats: QueueStats) -> None:
        self._seen.update({job.id: job.request_count for job in stats.open_jobs})
        self._stats = stats
        self._draw()

    def _draw(self, *words: str) -> None:
        """Show how many texts of the jobs seen so far the provider is done with."""
        stats = self._stats
        if stats is None:
            return
        open_ids = {job.id for job in stats.open_jobs}
        ended = sum(count for job_id, count in self._seen.items() if job_id not in open_ids)
        running = sum(job.done_count + job.failed_count for job in stats.open_jobs)
        held, failed = len(stats.held_jobs), stats.failed
        minutes, seconds = divmod(int(self._clock.monotonic() - self._began), 60)
        self._bar(
            ended + running,
            sum(self._seen.values()),
            f"{minutes}:{seconds:02}",
            *words,
            jobs=len(open_ids),
            **({"held": held} if held else {}),
            **({"failed": failed} if failed else {}),
        )


@contextmanager
def queue_progress(
    progress: QueueProgress,
    *,
    clock: Clock,
    look: Callable[[], QueueStats],
    past: Callable[[], Sequence[BatchJob]],
) -> Iterator[QueueView]:
    """Yield what shows the queue after each poll: a bar, a callable, or nothing.

    A bar looks at the queue once before the first poll, and at past jobs: how long they took.
    """
    if progress is not True:
        yield QueueView(clock, progress if callable(progress) else _ignore)
        return
    with open_bar("embedded", unit="texts", above=usual_time(past())) as bar:
        view = _QueueBar(clock, bar)
        view.tell(look())
        yield view


@contextmanager
def open_bar(description: str, *, unit: str, above: str = "") -> Iterator[Callable[..., None]]:
    """Open a bar beside the answer, on stderr; without rich there is none.

    It is told how much is done, the total or None, other words, and other numbers by name.
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

        if above:
            shown.console.print(visible(above), markup=False, highlight=False)

        def show(done: int, total: int | None, /, *more: str, **facts: int) -> None:
            amount = f"{done:,} {unit}" if total is None else f"{done:,}/{total:,} {unit}"
            numbers = (f"{name}={count:,}" for name, count in facts.items())
            words = ", ".join([amount, *numbers, *more])
            shown.update(task, completed=done, total=total, words=words, refresh=True)

        yield show


def _ignore(*_: Any, **__: Any) -> None:
    pass
