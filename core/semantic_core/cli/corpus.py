"""Commands on texts: ingest and search."""

import os
from pathlib import Path
from typing import Annotated

import typer

from semantic_core.cli.options import (
    DEFAULT_DB,
    AsJson,
    BaseUrl,
    CollectionName,
    Db,
    Languages,
    open_core,
)
from semantic_core.cli.output import FAILED, console, errors, print_json, say, show_excerpt, warn
from semantic_core.documents.readers import read_documents
from semantic_core.domain.errors import IngestError, MissingDefaultKeyError, ProviderError
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import SearchResults
from semantic_core.store import DEFAULT_COLLECTION
from semantic_core.views.excerpt import excerpt
from semantic_core.views.wording import counted

# Most that is shown of a hit's text.
TEXT_WIDTH = 160


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(help="Files or folders (.txt, .md, .rst, .html).", exists=True)
    ],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    languages: Languages = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Embed live at full price, instead of by batch.")
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Save documents at once; they are found by keyword from then on.

    Files of other kinds, and links that lead out of a folder, are skipped.
    What was saved of a file that is gone stays.
    """
    refused = None
    with open_core(
        db, collection=collection, languages=languages, base_url=base_url, is_new_fine=True
    ) as core:
        try:
            report = core.ingest(
                read_documents(paths),
                mode="sync" if sync else "async",
                progress=sync and errors.is_terminal and not as_json,
            )
        except IngestError as error:
            refused, report = error, error.report or IngestReport()
        except (MissingDefaultKeyError, ProviderError):
            warn(
                "Embedding live failed, so documents are missing here. Without --sync they are "
                "saved at once and wait for a batch; vectors that came are kept."
            )
            raise
    if as_json:
        print_json(report)
    else:
        chunks = report.chunks
        say(
            f"Saved {counted(report.documents, 'document')} as {counted(len_of(report), 'chunk')} in "
            f"{report.seconds:.2f} s: {chunks.ready:,} ready, {chunks.pending:,} waiting for "
            f"their vectors, {chunks.unchanged:,} unchanged, {report.removed:,} removed."
        )
        for rejected in report.rejected:
            warn(f"Refused {rejected.name}: {rejected.reason}")
        if not report.documents and refused is None:
            say("No .txt, .md, .rst or .html file was found there; others have to be converted.")
        if chunks.failed:
            say(f"{counted(chunks.failed, 'chunk')} failed. Next: semcore failed --db {db}")
        if chunks.pending:
            say(f"Next: semcore flush --db {db}")
    if refused is not None:
        raise typer.Exit(FAILED)


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many hits.")] = 5,
    mode: Annotated[SearchMode, typer.Option(help="What to rank by.")] = SearchMode.HYBRID,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Search by meaning and keyword; works while chunks still wait for their vectors."""
    if context.args:
        whole = " ".join((query, *context.args))
        raise typer.BadParameter(
            f'more than one was given. Put the question in quotes: semcore search "{whole}"',
            param_hint="QUERY",
        )
    with open_core(db, collection=collection, base_url=base_url) as core:
        results = core.search(query, limit, mode=mode)
    if as_json:
        print_json(
            {"hits": list(results), "coverage": results.coverage, "degraded": results.degraded}
        )
    else:
        show_results(results)


def show_results(results: SearchResults) -> None:
    """Print hits, what each was found by, and what the search rests on."""
    # On a terminal a hit's text is one line of it.
    width = min(TEXT_WIDTH, console.width - 3) if console.is_terminal else TEXT_WIDTH
    for position, hit in enumerate(results, start=1):
        stale = ", vector of an older text" if hit.stale else ""
        name = _relative(hit.chunk.document_id or hit.chunk.id)
        say(f"{position}. [{hit.match}{stale}] {name}")
        show_excerpt(excerpt(hit.chunk.text, results.explanation.passages, width), indent=3)
    if not results:
        say("Nothing found.")
    coverage = results.coverage
    has = "has" if coverage.total == 1 else "have"
    say(
        f"{coverage.by_vector:.0%} of {counted(coverage.total, 'chunk')} {has} a vector"
        + (f"; {results.degraded.rstrip('.')}" if results.degraded else "")
        + "."
    )


def _relative(name: str) -> str:
    """Return the path of a file as one would type it here; any other name as it is."""
    here = f"{Path.cwd()}{os.sep}"
    return name.removeprefix(here)


def len_of(report: IngestReport) -> int:
    """Return how many chunks a report is about."""
    chunks = report.chunks
    return chunks.inserted + chunks.updated + chunks.unchanged
