"""A report: one page of HTML on a database, which loads nothing and needs no JavaScript."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from semantic_core.domain.receipts import Receipt
from semantic_core.domain.types import BatchJob, QueueStats
from semantic_core.views import html
from semantic_core.views.html import Html, Tone
from semantic_core.views.notebook import MOST_ROWS, job_status, left_out, message, queue_parts
from semantic_core.views.sentences import job_cost, next_step, receipt_sentences, troubles
from semantic_core.views.wording import counted, moment, money, span


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What waits, runs and failed, what it cost, and how coverage came to be.

    Attributes:
        database: its path or URL, without a password.
        made_at: epoch seconds.
        coverage: (moment, chunks by then, those found by vector by then), of the chunks that are
            here now, oldest first; empty where there is none.
        receipt: of all jobs of the database.
        spent_usd: what counts against this month's budget (UTC).
        budget_usd: this month's budget; None for no limit.
    """

    database: str
    made_at: float
    stats: QueueStats
    coverage: tuple[tuple[float, int, int], ...]
    receipt: Receipt
    spent_usd: float
    budget_usd: float | None


# The first bytes of a report, by which another one may replace it.
MARK = "<!doctype html><!-- semcore report -->"

# A dark page where the reader's system asks for one: the system's colours, no others. On a phone
# each row of a table is a card.
_STYLE = """
:root{color-scheme:light dark}
body{margin:0;background:Canvas;color:CanvasText;font:15px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:1rem 1rem 3rem;overflow-wrap:break-word}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.15rem;margin:2rem 0 .5rem;padding-top:1rem;border-top:1px solid rgba(128,128,128,.35)}
table{width:100%!important}
td:last-child{width:40%}
.line{white-space:nowrap}
caption{text-align:left;font-weight:600;padding:.4em 0}
pre{white-space:pre-wrap;margin:.3em 0}
summary{cursor:pointer;padding:.3em 0}
svg{display:block;width:100%;height:9rem;margin:.5rem 0}
meter{width:100%;min-width:8rem;height:1rem}
.ends{display:flex;justify-content:space-between;font-size:.85em}
.verdict{font-size:1.1rem}
@media (max-width:40rem){
table,caption,tbody,tr,td:last-child{display:block;width:auto!important}
thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{padding:.5em 0;border-bottom:1px solid rgba(128,128,128,.35)}
td{display:inline-block;box-sizing:border-box;max-width:100%!important;text-align:left!important;border:0!important;padding:.1em 1em .1em 0!important}
td::before{content:attr(data-label) ": ";opacity:.75}
td>div,td>code{display:inline!important}
}
"""

# Nothing that a text brings with it is loaded or run, whatever a browser makes of it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_MOST_ENDED = 10


def report_page(overview: Overview) -> str:
    title = html.shown(f"semcore: {overview.database}")
    sections = {
        "Coverage": _coverage(overview.coverage),
        "Queue": queue_parts(overview.stats),
        "Batch jobs": _jobs(overview),
        "Money": _money(overview),
        "Failures": _failures(overview),
    }
    said = "".join(f"<h2>{name}</h2>{''.join(parts)}" for name, parts in sections.items())
    return (
        f'{MARK}\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{html.line(f'As it was on {moment(overview.made_at)}.')}"
        f"{_verdict(overview)}{said}</main></body></html>\n"
    )


def _verdict(overview: Overview) -> Html:
    stats = overview.stats
    if found := troubles(stats, now=overview.made_at):
        return Html("".join(html.warning(text, Tone.BAD) for text in found))
    running = counted(len(stats.open_jobs), "job")
    if stats.open_jobs:
        said, tone = f"Nothing is stuck. {running} under way.", Tone.BUSY
    elif stats.waiting:
        said, tone = "Nothing is stuck. What waits goes with the next flush.", Tone.WAITING
    else:
        said, tone = "Nothing is stuck, and nothing waits.", Tone.GOOD
    return Html(f'<div class="verdict">{html.warning(said, tone)}</div>')


def _coverage(points: Sequence[tuple[float, int, int]]) -> list[Html]:
    if not points:
        return [html.line("There is no chunk yet.")]
    (first, *_), (now, chunks, by_vector) = points[0], points[-1]
    share = f"{by_vector / max(1, chunks):.0%}"
    said = f"{share} of {counted(chunks, 'chunk')} found by vector, the others by keyword."
    curves = "".join(
        f'<path fill="{tone}" d="{_area([point[place] / max(1, chunks) for point in points])}"/>'
        for place, tone in ((1, Tone.FAINT), (2, Tone.GOOD))
    )
    numbers = html.table(
        ("until", "chunks", "vectors"),
        [(moment(at), *counts) for at, *counts in points[::4]],
        numbers="chunks vectors",
        caption="Chunks that are here now, by when they came and got their vector",
    )
    return [
        html.line(said),
        Html(
            '<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
            f'aria-label="Coverage over time: {said}">{curves}</svg>'
            f'<div class="ends"><span>{moment(first)}</span><span>{moment(now)}</span></div>'
        ),
        html.line(
            Html(f"{html.dot('by vector', Tone.GOOD)} &emsp; {html.dot('chunks', Tone.FAINT)}")
        ),
        Html(f"<details><summary>The same in numbers</summary>{numbers}</details>"),
    ]


def _area(heights: Sequence[float]) -> str:
    """Return the path of an area below a curve, in a square of 100."""
    width = 100 / max(1, len(heights) - 1)
    curve = " ".join(
        f"L{width * n:.2f} {100 - 100 * height:.2f}" for n, height in enumerate(heights)
    )
    return f"M0 100 {curve} L100 100Z"


def _jobs(overview: Overview) -> list[Html]:
    ended = [job for job in overview.receipt.jobs if not job.is_open][::-1]
    kinds = (
        ("Open", overview.stats.open_jobs, MOST_ROWS),
        ("Ended, the last first", ended, _MOST_ENDED),
    )
    columns = ("job", "status", "texts", "done", "failed", "cost", "age", "what next")
    parts: list[Html] = []
    for caption, found, most in kinds:
        if jobs := found[:most]:
            rows = [_job(job, overview) for job in jobs]
            numbers = "texts done failed cost"
            parts.append(html.table(columns, rows, numbers=numbers, caption=caption))
            parts += left_out(len(found), len(jobs), "more")
    return parts or [html.line("No batch job was sent yet.")]


def _job(job: BatchJob, overview: Overview) -> tuple[object, ...]:
    return (
        html.code(job.id[:8]),
        Html(f'<span class="line">{job_status(job)}</span>'),
        job.request_count,
        job.done_count,
        job.failed_count,
        job_cost(job),
        Html(f'<span class="line">{span(overview.made_at - job.created_at)}</span>'),
        message(next_step(job, overview.stats)),
    )


def _money(overview: Overview) -> list[Html]:
    budget = overview.budget_usd
    now = f"{datetime.fromtimestamp(overview.made_at, UTC):%Y-%m}"
    spent: dict[str, float] = {}
    for part in overview.receipt.parts:
        spent[part.month] = spent.get(part.month, 0.0) + (part.batch_usd or 0.0)
    spent[now] = overview.spent_usd
    most = max(*spent.values(), budget or 0.0, 1e-9)
    months = [
        (
            month,
            money(usd),
            Html(
                f'<meter max="{most:f}" value="{usd:f}" aria-label="{month}: {money(usd)}"></meter>'
            ),
        )
        for month, usd in sorted(spent.items(), reverse=True)[:MOST_ROWS]
    ]
    columns = ("month", "cost", "of the budget" if budget else "of the dearest month")
    limit = "no budget is set" if budget is None else f"the budget is {money(budget)}"
    return [
        html.line(
            f"{money(overview.spent_usd)} in {now} so far, with what still runs by estimate; {limit}."
        ),
        html.table(columns, months, numbers="cost", caption="By month (UTC)"),
        *map(html.line, receipt_sentences(overview.receipt)),
    ]


def _failures(overview: Overview) -> list[Html]:
    stats, db = overview.stats, html.shown(shlex.quote(overview.database))
    if not stats.failed:
        return [html.line("Nothing failed.")]
    rows = [(count, message(why)) for why, count in stats.failures[:MOST_ROWS]]
    return [
        html.table(("chunks", "because"), rows, caption="Why they failed"),
        html.line("See them, fix and ingest them again, delete them, or try them all once more:"),
        Html(f"<pre>semcore failed --db {db}\nsemcore retry --db {db}</pre>"),
    ]
