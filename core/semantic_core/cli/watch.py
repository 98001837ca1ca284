import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from semantic_core.batches import Watch, WatchOptions, WatchRound
from semantic_core.cli.notify import Notifier, Notify
from semantic_core.cli.options import (
    DEFAULT_DB,
    AttachedTargets,
    BaseUrl,
    Db,
    MaxCost,
    MonthlyBudget,
    OnlyCollection,
    open_manager,
)
from semantic_core.cli.output import say, warn
from semantic_core.domain.clock import Clock
from semantic_core.views.wording import counted, moment


def watch(
    db: Db = DEFAULT_DB,
    collection: OnlyCollection = None,
    min_size: Annotated[
        int, typer.Option(min=1, help="Send as soon as this many distinct texts wait.")
    ] = 100,
    max_age: Annotated[
        float, typer.Option(min=0, help="Send fewer once the oldest waited this many seconds.")
    ] = 3600,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 60,
    max_cost: MaxCost = None,
    monthly_budget: MonthlyBudget = None,
    notify: Notify = None,
    target: AttachedTargets = None,
    base_url: BaseUrl = None,
) -> None:
    """Flush and sync in a loop until it is stopped. Several may run at once."""
    options = WatchOptions(min_size=min_size, max_age=max_age, interval=every, max_cost=max_cost)
    with open_manager(
        db, collection=collection, base_url=base_url, monthly_budget=monthly_budget, targets=target
    ) as manager:
        watching = Watch(manager, options)
        say(f"Watching {db}; Ctrl-C stops it.")
        with _stopped_by_signals(watching):
            watching.run(_reporter(Notifier(manager, notify), manager.clock))
    say("Stopped; whatever runs at the provider goes on, and the next sync finds it.")


def _reporter(notifier: Notifier, clock: Clock) -> Callable[[WatchRound], None]:
    """Return what prints a round only if it differs from the one before: a log should hold news."""
    last: str | None = None
    trouble: str | None = None

    def report(done: WatchRound) -> None:
        nonlocal last, trouble
        now = moment(clock.now())
        say(*(f"{now}: Sent batch job {batch_id}." for batch_id in done.sent))
        if done.trouble is not None and done.trouble != trouble:
            warn(f"{now}: Later: {done.trouble}")
        trouble = done.trouble
        stats = done.stats
        line = (
            f"{stats.ready:,} ready, {stats.waiting:,} waiting, {stats.in_flight:,} in flight, "
            f"{stats.failed:,} failed, {counted(len(stats.open_jobs), 'job')} open, "
            f"{len(stats.held_jobs)} held."
        )
        if line != last:
            say(f"{now}: {line}")
            last = line
        notifier.tell()

    return report


@contextmanager
def _stopped_by_signals(watching: Watch) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the watch after the step it is at."""
    before = {
        number: signal.signal(number, lambda *_: watching.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
