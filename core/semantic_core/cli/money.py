from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from semantic_core.cli.options import DEFAULT_DB, AsJson, Db, OnlyCollection, open_manager
from semantic_core.cli.output import print_json, say, show_table
from semantic_core.cli.queue import ID_WIDTH
from semantic_core.domain.receipts import Receipt
from semantic_core.views.sentences import (
    estimate_sentences,
    job_cost,
    job_tokens,
    receipt_sentences,
)
from semantic_core.views.wording import money


def estimate(
    db: Db = DEFAULT_DB, collection: OnlyCollection = None, as_json: AsJson = False
) -> None:
    """Say what sending everything that waits would cost. Needs no key."""
    with open_manager(db, collection=collection) as manager:
        found = manager.estimate()
    if as_json:
        print_json(found)
    else:
        say(*estimate_sentences(found))


def receipt(
    db: Db = DEFAULT_DB,
    month: Annotated[
        str | None, typer.Option(help="Only jobs sent in this month, such as 2026-11 (UTC).")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs sent in this month or later, such as 2026-11.")
    ] = None,
    by_month: Annotated[
        bool, typer.Option("--by-month", help="Add up by month and collection, not job by job.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what batch jobs cost, job by job. Needs no key."""
    start, end = _time_of(month, since)
    with open_manager(db) as manager:
        found = manager.receipt(start, until=end)
    if as_json:
        print_json(
            {
                **asdict(found),
                "parts": found.parts,
                "saved_usd": found.saved_usd,
                "cancelled_tokens": found.cancelled_tokens,
            }
        )
    else:
        (_show_parts if by_month else _show_jobs)(found)
        say(*receipt_sentences(found))


def _time_of(month: str | None, since: str | None) -> tuple[float, float | None]:
    if month is not None and since is not None:
        raise typer.BadParameter("--month and --since exclude each other; give one of them.")
    if month is not None:
        return _bounds(month)
    return (0.0, None) if since is None else (_bounds(since)[0], None)


def _bounds(month: str) -> tuple[float, float]:
    try:
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        end = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"{month!r} is no month; write it as 2026-11.") from error
    if start > datetime.now(UTC):
        raise typer.BadParameter(
            f"{month} has not begun (UTC), so nothing was sent in it. Ask for a month up to "
            f"{datetime.now(UTC):%Y-%m}; semcore estimate says what sending what waits would cost."
        )
    return start.timestamp(), end.timestamp()


def _show_parts(found: Receipt) -> None:
    rows = [
        (part.month, part.collection or "(not known)", f"{part.tokens:,}", money(part.batch_usd))
        for part in found.parts
    ]
    columns = ("month", "collection", "tokens", "cost")
    show_table("Receipt by month and collection", columns, rows, numbers=("tokens", "cost"))


def _show_jobs(found: Receipt) -> None:
    rows = [
        (
            job.id[:ID_WIDTH],
            f"{datetime.fromtimestamp(job.created_at, UTC):%Y-%m-%d}",
            str(job.status),
            f"{job.done_count:,}",
            job_tokens(job),
            job_cost(job),
        )
        for job in found.jobs
    ]
    show_table(
        "Receipt",
        ("job", "sent", "status", "texts", "tokens", "cost"),
        rows,
        numbers=("texts", "tokens", "cost"),
    )
