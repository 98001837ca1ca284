import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from semantic_core.cli.options import DEFAULT_DB, AsJson, BaseUrl, CollectionName, Db, open_core
from semantic_core.cli.output import console, print_json, say, show_excerpt
from semantic_core.domain.media import Media
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import SearchResults, StoredChunk
from semantic_core.store import DEFAULT_COLLECTION
from semantic_core.views.wording import counted, excerpt, media_name

# Most that is shown of a hit's text.
TEXT_WIDTH = 160


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    image: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A picture to look for, alone or with words, where the collection's model takes "
            "pictures. It is sent, and billed, live.",
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many hits.")] = 5,
    mode: Annotated[SearchMode, typer.Option(help="What to rank by.")] = SearchMode.HYBRID,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="KEY=VALUE",
            help="Only chunks with this in their metadata, such as file_type=text/markdown or "
            "year=2026. May be repeated.",
        ),
    ] = None,
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
    if not query and image is None:
        raise typer.BadParameter("give words to look for, or --image.", param_hint="QUERY")
    media = () if image is None else Media(image)
    filters = _filters(condition or ())
    with open_core(db, collection=collection, base_url=base_url) as core:
        results = core.search(query, limit, media=media, mode=mode, filters=filters)
    if as_json:
        print_json(
            {"hits": list(results), "coverage": results.coverage, "degraded": results.degraded}
        )
    else:
        show_results(results)


def show_results(results: SearchResults) -> None:
    # On a terminal a hit's text is one line of it.
    width = min(TEXT_WIDTH, console.width - 3) if console.is_terminal else TEXT_WIDTH
    for position, hit in enumerate(results, start=1):
        stale = ", vector of an older text" if hit.stale else ""
        say(f"{position}. [{hit.match}{stale}] {_name(hit.chunk)}")
        if hit.chunk.text.strip():
            show_excerpt(excerpt(hit.chunk.text, results.explanation.passages, width), indent=3)
    if not results:
        say("Nothing found.")
    coverage = results.coverage
    has = "has" if coverage.total == 1 else "have"
    old = f", {coverage.stale:,} of them that of an older text (stale)" if coverage.stale else ""
    say(
        f"{coverage.by_vector:.0%} of {counted(coverage.total, 'chunk')} {has} a vector{old}"
        + (f"; {results.degraded.rstrip('.')}" if results.degraded else "")
        + "."
    )


def _name(chunk: StoredChunk) -> str:
    name, shown = chunk.document_id or chunk.id, "; ".join(map(media_name, chunk.media))
    # A file that is a picture, or has pages, is named by its path alone.
    if len(chunk.media) == 1 and name.endswith(f"/{chunk.media[0].name}"):
        return shown
    return f"{name} ({shown})" if shown else name


def _filters(conditions: Sequence[str]) -> dict[str, Any] | None:
    """Return a filter that every KEY=VALUE meets; a value is text or, where it can be, JSON."""
    parts = []
    for typed in conditions:
        key, equals, value = typed.partition("=")
        if not equals:
            raise typer.BadParameter(f"{typed!r} is no KEY=VALUE.", param_hint="--filter")
        values: list[Any] = [value]
        with suppress(ValueError):
            parsed = json.loads(value)
            if not isinstance(parsed, dict | list):
                values.append(parsed)
        parts.append({key: {"$in": values}})
    return {"$and": parts} if parts else None
