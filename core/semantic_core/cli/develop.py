"""Commands without a key: the demo and the emulator."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from batch_emulator import Emulator, EmulatorConfig, EmulatorError
from semantic_core.cli.corpus import len_of, show_results
from semantic_core.cli.demo import Answers, Bill, Demo, DemoOptions, open_demo
from semantic_core.cli.output import console, say
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import QueueStats
from semantic_core.views.progress import open_bar
from semantic_core.views.sentences import part_estimated
from semantic_core.views.wording import counted, money


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(demo)
    app.command()(emulator)


def demo(
    documents: Annotated[
        list[Path] | None,
        typer.Argument(help="Your own files or folders instead of Python's reference."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where its database and state live.")] = Path(
        ".demo"
    ),
    ask: Annotated[list[str] | None, typer.Option(help="What to search for.")] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Use Google with your keys; it costs a few cents.")
    ] = False,
) -> None:
    """Show the whole way on real text, without a key: save, search, batch, search better."""
    options = DemoOptions(
        folder=folder,
        documents=tuple(documents or ()),
        questions=tuple(ask or ()),
        is_live=live,
    )
    with open_demo(options) as run:
        _show_demo(run, options)


def emulator(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")] = 8765,
    state: Annotated[Path, typer.Option(help="Where jobs, files and the ledger are kept.")] = Path(
        "emulator.db"
    ),
    pending: Annotated[float, typer.Option(min=0, help="Seconds a job stays queued.")] = 1.0,
    running: Annotated[float, typer.Option(min=0, help="Seconds a job runs.")] = 3.0,
) -> None:
    """Serve Gemini's batch and embedding API on this machine, for tests and demos."""
    config = EmulatorConfig(pending_seconds=pending, running_seconds=running)
    try:
        server = Emulator(state, port=port, config=config).start()
    except EmulatorError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise EmulatorError(f"{error} --port 0 takes any free one.") from error
    say(f"Emulator of the Gemini API on {server.url} (any key works; Ctrl-C stops it).")
    say("In another terminal:")
    say(
        f"  export GOOGLE_GEMINI_BASE_URL={server.url} GEMINI_API_KEY=any-key "
        "GEMINI_BATCH_API_KEY=any-other-key"
    )
    server.serve_forever()


def _show_demo(run: Demo, options: DemoOptions) -> None:
    report = run.ingest()
    _show_ingest(report)
    _show_answers(run.search(SearchMode.KEYWORD), "found by keyword, before any vector exists")
    sent = run.flush()
    number = counted(len(sent), "batch job")
    say(f"Sent {number}." if sent else "Nothing new to send: every text is known.")
    _watch(run)
    _show_answers(run.search(SearchMode.VECTOR), "found by meaning, now that the vectors are here")
    _show_bill(run.bill(), report, run.stats())
    say()
    say("Go on:")
    again = ["demo", *map(str, options.documents), "--folder", str(options.folder)]
    if options.is_live:
        again.append("--live")
    command = _own_name()
    say(f"  {command} {shlex.join([*again, '--ask', 'context manager'])}")
    say(f"  {command} {shlex.join(['status', '--db', str(options.database)])}")


def _own_name() -> str:
    """Return how this command is called here: it need not be on the PATH."""
    if shutil.which("semcore") is not None:
        return "semcore"
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return "python -m semantic_core"
    return os.path.relpath(called)


def _show_ingest(report: IngestReport) -> None:
    chunks = report.chunks
    say(
        f"Saved {counted(report.documents, 'document')} as {counted(len_of(report), 'chunk')}; "
        f"your program was blocked for {report.seconds:.2f} s."
    )
    if chunks.unchanged:
        verb = "was" if chunks.unchanged == 1 else "were"
        say(f"{chunks.unchanged:,} of them {verb} here already, {chunks.ready:,} with a vector.")
    say()


def _show_answers(answers: Answers, title: str) -> None:
    console.rule(title, align="left", style="dim")
    for question, results in answers.found:
        say(f"? {question}")
        show_results(results)
        say()


def _watch(run: Demo) -> None:
    """Show a bar until everything is embedded; without a terminal, a line at the end."""
    with open_bar("embedded", unit="chunks") as bar:
        first = run.stats()
        total = first.ready + first.in_flight + first.waiting

        def show(stats: QueueStats) -> None:
            running = sum(job.done_count for job in stats.open_jobs)
            bar(min(total, stats.ready + running), total)

        show(first)
        bar(run.wait(show).ready, total)
    say()


def _show_bill(bill: Bill, report: IngestReport, stats: QueueStats) -> None:
    console.rule("receipt", align="left", style="dim")
    verb = "has" if stats.ready == 1 else "have"
    guess = part_estimated(bill.tokens, bill.estimated_tokens)
    say(f"{counted(stats.ready, 'chunk')} {verb} a vector, {stats.failed:,} failed.")
    say(
        f"{counted(bill.tokens, 'token')} in {counted(bill.jobs, 'batch job')}, over all runs on "
        f"this database{f'; {guess}' if guess else ''}."
    )
    if bill.cost is not None:
        say(
            f"Live this costs {money(bill.cost.live_usd)}, by batch "
            f"{money(bill.cost.batch_usd)}: saved {money(bill.cost.saved_usd)}."
        )
    if bill.texts_billed is not None and bill.times_billed is not None:
        say(
            f"The ledger shows {counted(bill.texts_billed, 'distinct text')}, billed "
            f"{counted(bill.times_billed, 'time')}."
        )
    say(f"You waited {report.seconds:.2f} s; the rest happened while you were free.")
