"""Commands on the batch queue: flush, sync, status."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from semantic_core.cli.notify import Notifier, Notify
from semantic_core.cli.options import (
    DEFAULT_DB,
    AsJson,
    AttachedTargets,
    BaseUrl,
    Db,
    MaxCost,
    MonthlyBudget,
    OnlyCollection,
    open_manager,
    read_keyring,
)
from semantic_core.cli.output import OVER_BUDGET, age, console, print_json, say, show_table, warn
from semantic_core.cli.target import Target
from semantic_core.cli.terms import in_terminal
from semantic_core.domain.statuses import HoldReason, Obstacle
from semantic_core.domain.types import BatchJob, QueueStats
from semantic_core.providers.gemini.keyring import ONE_KEY
from semantic_core.views.sentences import (
    expiring,
    job_cost,
    job_message,
    job_state,
    overdue,
    passed_over,
    passed_over_since,
    receipt_sentences,
    target_state,
)
from semantic_core.views.wording import counted, moment, shorten

Timeout = Annotated[
    float | None, typer.Option(help="While it waits: give up after this many seconds.")
]

# What is shown of a job's id; commands take any beginning that only one job has.
ID_WIDTH = 8


def flush(
    db: Db = DEFAULT_DB,
    collection: OnlyCollection = None,
    min_size: Annotated[
        int, typer.Option(min=1, help="Send nothing below this many distinct texts.")
    ] = 1,
    drain: Annotated[
        bool, typer.Option("--all", help="Send jobs until nothing is left, not just one.")
    ] = False,
    max_cost: MaxCost = None,
    monthly_budget: MonthlyBudget = None,
    notify: Notify = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Send waiting texts to the Batch API. Safe to run at any time, also twice at once.

    Exits with 3 where a budget keeps texts from being sent.
    """
    with (
        open_manager(
            db, collection=collection, base_url=base_url, monthly_budget=monthly_budget
        ) as manager,
        Notifier(manager, notify),
    ):
        if drain:
            sent = manager.drain_queue(min_size, max_cost=max_cost)
        else:
            batch_id = manager.flush_queue(min_size, max_cost=max_cost)
            sent = [] if batch_id is None else [batch_id]
        by_id = {job.id: job for job in manager.jobs()}
        stats = manager.get_queue_stats()
    if read_keyring().is_one_key and len(by_id) == len(sent) > 0:
        warn(ONE_KEY)
    if as_json:
        print_json({"jobs": [by_id[batch_id] for batch_id in sent]})
    else:
        for batch_id in sent:
            texts = counted(by_id[batch_id].request_count, "text")
            say(f"Sent {texts} as batch job {batch_id}.")
        say(*([f"Next: semcore sync --db {db}"] if sent else _why_nothing(stats)))
    if any(passed.obstacle is Obstacle.BUDGET for passed in stats.passed_over):
        raise typer.Exit(OVER_BUDGET)


def wait(
    db: Db = DEFAULT_DB,
    timeout: Timeout = None,
    notify: Notify = None,
    target: AttachedTargets = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring back what is done until every job has ended or is held: sync --wait."""
    sync(db, True, timeout, notify, target, base_url, as_json)  # a flag of its own


def sync(
    db: Db = DEFAULT_DB,
    wait: Annotated[bool, typer.Option("--wait", help="Go on until every job has ended.")] = False,
    timeout: Timeout = None,
    notify: Notify = None,
    target: AttachedTargets = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring back what is done. Safe to run at any time, also twice at once."""
    with open_manager(db, base_url=base_url, targets=target) as manager, Notifier(manager, notify):
        statuses = manager.sync_status()
        if wait:
            manager.wait(timeout=timeout, progress=not as_json)
        by_id = {job.id: job for job in manager.jobs()}
        has_failed = manager.get_queue_stats().failed > 0
        attached = {one.name for one in manager.store.delivery.attached}
        told = [one for one in manager.store.delivery.targets() if one.name in attached]
    touched = [by_id[batch_id] for batch_id in statuses]
    if as_json:
        print_json({"jobs": touched})
    elif not touched:
        say("No batch job is open.")
    else:
        show_jobs(touched)
        # A held job waits for a person: what to do about it is printed below the table.
        running = sum(job.is_open and job.hold_reason is None for job in touched)
        if running:
            verb = "runs" if running == 1 else "run"
            say(f"{counted(running, 'job')} still {verb}. Later: semcore sync --db {db}")
        # What failed for now only waits for the next flush.
        if has_failed and any(job.failed_count for job in touched):
            say(_next_for_failed(db))
    if not as_json:
        say(*map(target_state, told))


def status(
    db: Db = DEFAULT_DB,
    collection: OnlyCollection = None,
    watch: Annotated[
        float | None, typer.Option(min=0.1, help="Show it again every so many seconds.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what waits, what runs, what failed and what it cost. Needs no key."""
    with open_manager(db, collection=collection) as manager:
        while True:
            stats = manager.get_queue_stats()
            receipt = manager.receipt()
            if watch is not None and console.is_terminal:
                console.clear()
            if as_json:
                print_json({**asdict(stats), "receipt": receipt})
            else:
                show_stats(stats)
                # What was sent for one collection alone, semcore receipt --by-month says.
                if receipt.tokens and collection is None:
                    say(f"Sent so far: {receipt_sentences(receipt)[0]}")
                if stats.failed:
                    say(_next_for_failed(db))
            if watch is None:
                return
            time.sleep(watch)


def show_stats(stats: QueueStats) -> None:
    waiting = f"{stats.waiting:,}"
    if stats.waiting:
        waiting += f" ({counted(stats.waiting_texts, 'distinct text')}, oldest {age(stats.oldest_waiting)})"
    total = stats.ready + stats.waiting + stats.in_flight + stats.failed
    rows = [
        ("ready", f"{stats.ready:,}"),
        ("waiting", waiting),
        ("in flight", f"{stats.in_flight:,}"),
        ("failed", f"{stats.failed:,}"),
        ("found by meaning", f"{(stats.ready + stats.stale) / total:.0%}" if total else "-"),
    ]
    if stats.backing_off:
        later = f"{stats.backing_off:,}, the first from {moment(stats.next_try)}"
        rows.insert(2, ("  of these later", later))
    if stats.stale:
        rows.insert(-1, ("stale (by the vector of an older text)", f"{stats.stale:,}"))
    show_table("Chunks", ("", ""), rows)
    say(
        *map(in_terminal, map(passed_over_since, stats.passed_over)),
        *map(target_state, stats.targets),
    )
    if stats.open_jobs:
        show_jobs(stats.open_jobs)
    say(
        *(f"{job.id[:ID_WIDTH]}: {overdue(job)}" for job in stats.overdue_jobs),
        *(f"{job.id[:ID_WIDTH]}: {in_terminal(expiring(job))}" for job in stats.expiring_jobs),
        *map(in_terminal, stats.cautions),
        *(f"{count:,} failed: {shorten(message, 200)}" for message, count in stats.failures[:10]),
    )


def show_jobs(jobs: Sequence[BatchJob]) -> None:
    rows = [
        (
            job.id[:ID_WIDTH],
            job_state(job),
            f"{job.request_count:,}",
            f"{job.done_count:,}",
            f"{job.failed_count:,}",
            job_cost(job),
            age(job.created_at),
        )
        for job in jobs
    ]
    show_table(
        "Batch jobs",
        ("job", "status", "texts", "done", "failed", "cost", "age"),
        rows,
        numbers=("texts", "done", "failed", "cost"),
    )
    for job in jobs:
        if said := job_message(job):
            say(f"{job.id[:ID_WIDTH]}: {in_terminal(said)}")
        if job.hold_reason not in (None, HoldReason.OTHER_PROJECT):
            say(f"   To give it up: semcore release {job.id[:ID_WIDTH]} --accept-rebilling")


def _next_for_failed(db: Target) -> str:
    return f"Next: semcore failed --db {db}"


def _why_nothing(stats: QueueStats) -> list[str]:
    if not stats.waiting:
        return ["Nothing to send: every text has its vector, is in a batch job, or failed."]
    texts = counted(stats.waiting_texts, "distinct text")
    if stats.backing_off == stats.waiting:
        first = f"Nothing sent: {texts} waiting, the first from {moment(stats.next_try)} on."
        refused = [passed for passed in stats.passed_over if passed.needs_somebody]
        return [first, *(in_terminal(passed_over(passed)) for passed in refused)]
    # A job that was found at the provider is told of already.
    why = [in_terminal(passed_over(passed)) for passed in stats.passed_over]
    return [f"Nothing sent: {texts} waiting.", *(why or ["A later flush sends them."])]
