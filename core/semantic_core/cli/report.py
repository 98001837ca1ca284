from pathlib import Path
from typing import Annotated

import typer

from semantic_core.batches.overview import look_over
from semantic_core.cli.options import DEFAULT_DB, Db, MonthlyBudget, open_manager
from semantic_core.cli.output import say
from semantic_core.cli.terms import in_terminal
from semantic_core.views.report import MARK, report_page


def report(
    html: Annotated[
        Path, typer.Option("--html", metavar="FILE", help="Where to write it, in one step.")
    ],
    db: Db = DEFAULT_DB,
    monthly_budget: MonthlyBudget = None,
) -> None:
    """Write a page that shows coverage, queue, jobs, money and failures. Needs no key.

    It loads nothing, so it can be mailed or put on any web server. It holds names of collections
    and jobs, and messages, but no text.
    """
    if html.exists() and not html.read_bytes().startswith(MARK.encode()):
        raise typer.BadParameter(
            f"{html} is there already and is no report. Nothing was written; name another file.",
            param_hint="--html",
        )
    with open_manager(db, monthly_budget=monthly_budget) as manager:
        page = in_terminal(report_page(look_over(manager)))
    new = html.with_name(f"{html.name}.new")
    new.write_text(page, encoding="utf-8")
    new.replace(html)
    say(f"Wrote {html} ({html.stat().st_size:,} bytes).")
