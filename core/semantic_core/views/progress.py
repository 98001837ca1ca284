"""Progress of long work: reported to a callable, or shown as a bar where one is asked for."""

import math
import time
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

# Seconds between two lines where there is no terminal: in a log, and in the mail of cron.
_BETWEEN_LINES = 300


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
    progress: QueueProgress,
    *,
    clock: Clock,
    look: Callable[[], QueueStats],
    past: Callable[[], Sequence[BatchJob]],
) -> Iterator[Callable[[QueueStats, float], None]]:
    """Yield what shows the queue after a poll, and lets the seconds until the next one pass.

    It tells a callable, or nobody. A bar ticks meanwhile; it looks at the queue once before the
    first poll, and at past jobs: how long they took.
    """
    if progress is not True:
        tell = progress if callable(progress) else _ignore

        def wait(stats: QueueStats, seconds: float) -> None:
            tell(stats)
            clock.sleep(seconds)

        yield wait
        return
    began = clock.monotonic()
    seen: dict[str, int] = {}
    with open_bar("embedded", unit="texts", above=usual_time(past()), now=clock.monotonic) as bar:

        def draw(stats: QueueStats, *words: str) -> None:
            """Show how many texts of the jobs seen so far the provider is done with."""
            seen.update({job.id: job.request_count for job in stats.open_jobs})
            open_ids = {job.id for job in stats.open_jobs}
            ended = sum(count for job_id, count in seen.items() if job_id not in open_ids)
            running = sum(job.done_count + job.failed_count for job in stats.open_jobs)
            minutes, seconds = divmod(int(clock.monotonic() - began), 60)
            troubles = {"held": len(stats.held_jobs), "failed": stats.failed}
            bar(
                ended + running,
                sum(seen.values()),
                f"{minutes}:{seconds:02}",
                *words,
                jobs=len(open_ids),
                **{name: count for name, count in troubles.items() if count},
            )

        def tick(stats: QueueStats, seconds: float) -> None:
            end = clock.monotonic() + seconds
            while (left := end - clock.monotonic()) > 0:
                draw(stats, f"next look in {math.ceil(left)} s")
                clock.sleep(min(1.0, left))
            draw(stats)

        draw(look())
        yield tick


@contextmanager
def open_bar(
    description: str, *, unit: str, above: str = "", now: Callable[[], float] = time.monotonic
) -> Iterator[Callable[..., None]]:
    """Open a bar beside the answer, on stderr; without a terminal lines, without rich nothing.

    It is told how much is done, the total or None, other words, and other numbers by name.
    """
    try:
        console = load_extra("rich.console", extra="cli", task="A progress bar")
    except MissingExtraError:
        yield _ignore
        return
    out = console.Console(stderr=True, highlight=False)
    if above:
        out.print(visible(above), markup=False, soft_wrap=True)
    with (_bar if out.is_terminal or out.is_jupyter else _lines)(out, description, now) as draw:

        def show(done: int, total: int | None, /, *more: str, **facts: int) -> None:
            amount = f"{done:,} {unit}" if total is None else f"{done:,}/{total:,} {unit}"
            numbers = (f"{name}={count:,}" for name, count in facts.items())
            draw(done, total, ", ".join([amount, *numbers]), "".join(f", {one}" for one in more))

        yield show


_Draw = Callable[[int, int | None, str, str], None]


@contextmanager
def _bar(out: Any, description: str, _: Callable[[], float]) -> Iterator[_Draw]:
    progress = load_extra("rich.progress", extra="cli", task="A progress bar")
    # Without its own thread, which would draw while the interrupted thread cleans up.
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=_WIDTH),
        progress.TextColumn("{task.fields[words]}"),
        console=out,
        auto_refresh=False,
    ) as shown:
        task = shown.add_task(description, total=None, words="")

        def draw(done: int, total: int | None, news: str, more: str) -> None:
            shown.update(task, completed=done, total=total, words=f"{news}{more}", refresh=True)

        yield draw


@contextmanager
def _lines(out: Any, description: str, now: Callable[[], float]) -> Iterator[_Draw]:
    """Say what is new as lines: the first at once, others rarely, and the last at the end."""
    told = line = latest = ""
    due = now()

    def say() -> None:
        nonlocal told, due
        told, due = latest, now() + _BETWEEN_LINES
        out.print(line, markup=False, soft_wrap=True)

    def draw(_: int, total: int | None, news: str, more: str) -> None:
        nonlocal latest, line
        if total == 0:
            return  # nothing to wait for
        latest, line = news, f"{description} {news}{more}"
        if latest != told and now() >= due:
            say()

    try:
        yield draw
    finally:
        if latest != told:
            say()


def _ignore(*_: Any, **__: Any) -> None:
    pass
