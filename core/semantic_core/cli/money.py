"""Commands on money: what it will cost, and what it did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from semantic_core.cli.options import DEFAULT_DB, AsJson, Db, OnlyCollection, open_manager
from semantic_core.cli.output import print_json, say, show_table
from semantic_core.cli.queue import ID_WIDTH
from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.views.wording import (
    HOW_FAR_OFF,
    counted,
    job_tokens,
    money,
    part_estimated,
    without_price,
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(estimate)
    app.command()(receipt)


def estimate(
    db: Db = DEFAULT_DB, collection: OnlyCollection = None, as_json: AsJson = False
) -> None:
    """Say what sending everything that waits would cost. Needs no key."""
    with open_manager(db, collection=collection) as manager:
        found = manager.estimate()
    if as_json:
        print_json(found)
    else:
        _show_estimate(found)


def receipt(
    db: Db = DEFAULT_DB,
    month: Annotated[
        str | None, typer.Option(help="Only jobs sent in this month, such as 2026-11 (UTC).")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs sent in this month or later, such as 2026-11.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what batch jobs cost, job by job. Needs no key."""
    start, end = _time_of(month, since)
    with open_manager(db) as manager:
        found = manager.receipt(start, until=end)
    if as_json:
        print_json(
            {
                **_fields(found),
                "saved_usd": found.saved_usd,
                "cancelled_tokens": found.cancelled_tokens,
            }
        )
    else:
        _show_receipt(found)


def _fields(found: Receipt) -> dict[str, object]:
    return {name: getattr(found, name) for name in Receipt.__dataclass_fields__}


def _time_of(month: str | None, since: str | None) -> tuple[float, float | None]:
    """Return when what is asked for begins, and when it is over, in epoch seconds."""
    if month is not None and since is not None:
        raise typer.BadParameter("--month and --since exclude each other; give one of them.")
    if month is not None:
        return _bounds(month)
    return (0.0, None) if since is None else (_bounds(since)[0], None)


def _bounds(month: str) -> tuple[float, float]:
    """Return the start of a calendar month in UTC, and that of the next one."""
    try:
        start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        end = datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)
    except ValueError as error:
        raise typer.BadParameter(f"{month!r} is no month; write it as 2026-11.") from error
    return start.timestamp(), end.timestamp()


def _show_estimate(found: Estimate) -> None:
    if not found.chunks:
        say("Nothing waits: there is nothing to pay for.")
        return
    say(
        f"{counted(found.chunks, 'chunk')} {'waits' if found.chunks == 1 else 'wait'} with "
        f"{counted(found.texts, 'distinct text')} of about "
        f"{counted(found.tokens, 'token')} (estimated)."
    )
    say(
        f"By batch that is about {money(found.batch_usd)}, live about {money(found.live_usd)} "
        f"(prices of {found.priced_as_of})."
    )
    if found.repeated_tokens:
        less = counted(found.repeated_tokens, "token")
        say(f"Repeated texts are sent once: about {less} less.")
    say(HOW_FAR_OFF)
    for caution in found.cautions:
        say(caution)


def _total(found: Receipt) -> str:
    guess = part_estimated(found.tokens, found.estimated_tokens)
    tokens = counted(found.tokens, "token") + (f" ({guess})" if guess else "")
    gap, priced = without_price(found.unpriced), found.priced
    start = f"{counted(found.texts, 'text')}, {tokens}: "
    if gap and not priced.tokens:
        return f"{start}{gap}."
    known = f" for {counted(priced.tokens, 'token')}; {gap}" if gap else ""
    what = "the former" if gap else "it"
    about = "about " if guess else ""
    return (
        f"{start}{about}{money(priced.batch_usd)} by batch{known}. Live {what} would have been "
        f"{money(priced.live_usd)}: saved {money(priced.saved_usd)}."
    )


def _show_receipt(found: Receipt) -> None:
    rows = [
        (
            job.id[:ID_WIDTH],
            f"{datetime.fromtimestamp(job.created_at, UTC):%Y-%m-%d}",
            str(job.status),
            f"{job.done_count:,}",
            job_tokens(job.token_count, job.uncounted_tokens, job.estimated_tokens),
            "-"
            if job.token_count is None
            else ("~" if job.uncounted_tokens else "") + money(job.cost_usd),
        )
        for job in found.jobs
    ]
    show_table(
        "Receipt",
        ("job", "sent", "status", "texts", "tokens", "cost"),
        rows,
        numbers=("texts", "tokens", "cost"),
    )
    say(_total(found))
    if found.reused_chunks:
        share = "shares" if found.reused_chunks == 1 else "share"
        were = "was" if found.reused_tokens == 1 else "were"
        guess = part_estimated(found.reused_tokens, found.reused_estimated_tokens)
        say(
            f"{counted(found.reused_chunks, 'chunk')} {share} the vector of an equal text: "
            f"{counted(found.reused_tokens, 'token')} {were} not paid again"
            f"{f' ({guess})' if guess else ''}."
        )
    if found.cancelled_tokens:
        say(
            f"Of about {counted(found.cancelled_tokens, 'token')} in cancelled jobs, what the "
            "provider had embedded by then may be billed."
        )
    if found.open_tokens:
        tokens = counted(found.open_tokens, "token")
        say(f"Not in it: about {tokens} of jobs without a count yet.")
    if found.check_tokens:
        tokens = counted(found.check_tokens, "token")
        say(f"Spot checks embedded about {tokens} live again: about {money(found.check_usd)}.")
    say("Each job at the price recorded when it was sent; other live embeddings are not in it.")
