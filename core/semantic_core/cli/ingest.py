"""The ingest command: files and folders, kept in step with what is searched."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from semantic_core.batches import BatchManager
from semantic_core.cli.options import (
    DEFAULT_DB,
    AsJson,
    BaseUrl,
    CollectionName,
    Db,
    Languages,
    NewCollection,
    open_core,
)
from semantic_core.cli.output import FAILED, errors, print_json, say, warn
from semantic_core.cli.target import Target
from semantic_core.documents.converted import CONVERTED
from semantic_core.documents.readers import MEDIA_FORMATS
from semantic_core.documents.roots import find_gone
from semantic_core.documents.walk import FoundFiles, read_documents
from semantic_core.domain.errors import IngestError, MissingDefaultKeyError, ProviderError
from semantic_core.domain.reports import IngestReport
from semantic_core.facade import SemanticCore
from semantic_core.providers.facts import takes_media
from semantic_core.store import DEFAULT_COLLECTION
from semantic_core.views.sentences import HOW_FAR_OFF, estimate_sentences
from semantic_core.views.wording import counted

# Most kinds, and most names, that are shown.
_SHOWN = 10


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files or folders: texts, Markdown, HTML; with the extra files PDF, Office, EPUB and "
            "notebooks; for a model that takes them pictures and PDF pages.",
            exists=True,
        ),
    ],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    new: Annotated[bool, typer.Option("--new", help="Make the collection.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Model of a collection that is made by this.")
    ] = None,
    dimensions: Annotated[
        int | None, typer.Option(min=1, help="Its dimensions; 768 if left out.")
    ] = None,
    languages: Languages = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="What the folder is called in ids; its own name if left out. A folder that was "
            "moved takes its name along."
        ),
    ] = None,
    glob: Annotated[
        list[str] | None,
        typer.Option(help="Only files like this, such as '*.md' or 'guide/*'. May be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="No files and folders like this. May be repeated.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what came from these folders and is gone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read and removed; change nothing.")
    ] = False,
    sync: Annotated[
        bool, typer.Option("--sync", help="Embed live at full price, instead of by batch.")
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Save documents at once; they are found by keyword from then on.

    A file that was ingested before is replaced; what did not change costs nothing. Hidden files,
    links, folders such as node_modules and files of other kinds are passed over.
    """
    found = read_documents(map(_relative, paths), name=name, glob=glob or (), exclude=exclude or ())
    made = NewCollection(is_named=new, model=model, dimensions=dimensions, languages=languages)
    if dry_run:
        _show_plan(db, collection, found, made=made, prune=prune)
        return
    refused = None
    with open_core(db, collection=collection, base_url=base_url, made=made) as core:
        try:
            report = core.ingest(
                found,
                mode="sync" if sync else "async",
                prune=prune,
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
        spec = core.store.collection(collection).spec
        price = _price(core) if takes_media(spec) and not as_json else []
    if as_json:
        print_json({**asdict(report), "passed_over": found.passed_over})
    else:
        _show_report(report, found, model=spec.model, prune=prune)
        if report.chunks.failed:
            say(f"{counted(report.chunks.failed, 'chunk')} failed. Next: semcore failed --db {db}")
        if report.chunks.pending:
            say(*price, f"Next: semcore flush --db {db}")
    if refused is not None or (prune and report.gone):
        raise typer.Exit(FAILED)


def _relative(path: Path) -> Path:
    return path.relative_to(here) if path.is_relative_to(here := Path.cwd()) else path


def _price(core: SemanticCore) -> list[str]:
    """Say what sending what waits would cost: pictures have no length that one could see."""
    with BatchManager(core.keyring, core.store, collection=core.collection) as manager:
        return [one for one in estimate_sentences(manager.estimate()) if one != HOW_FAR_OFF]


def _show_plan(
    db: Target, collection: str, found: FoundFiles, *, made: NewCollection, prune: bool
) -> None:
    found.takes_media = takes_media(made.spec)
    gone: list[str] = []
    if db.is_there():
        with db.open() as store:
            if (known := store.find(collection)) is not None:
                found.takes_media = takes_media(known.spec)
            gone, _ = find_gone(store, found, collection=collection, has=lambda _: False)
    files = sum(1 for _ in found)
    say(f"Would read {counted(files, 'file')}.{passed_over(found.passed_over)}")
    verb = "remove" if prune else "leave, though it is gone,"
    say(*(f"Would {verb} {document_id}" for document_id in gone), "Nothing was changed.")


def _show_report(report: IngestReport, found: FoundFiles, *, model: str, prune: bool) -> None:
    chunks = report.chunks
    say(
        f"Saved {counted(report.documents, 'document')} as {counted(len_of(report), 'chunk')} in "
        f"{report.seconds:.2f} s: {chunks.ready:,} ready, {chunks.pending:,} waiting for "
        f"their vectors, {chunks.unchanged:,} unchanged, {report.removed:,} removed."
    )
    for rejected in report.rejected:
        warn(f"Refused {rejected.name}: {rejected.reason.removeprefix(f'{rejected.name}: ')}")
    for source in report.skipped[:_SHOWN]:
        say(f"Skipped {source}: nothing to search is in it.")
    if report.skipped_count > _SHOWN:
        say(f"Skipped {report.skipped_count - _SHOWN:,} more with nothing in them.")
    _show_passed_over(found, model)
    _show_gone(report, prune=prune)


def _show_passed_over(found: FoundFiles, model: str) -> None:
    if over := passed_over(found.passed_over):
        say(over.strip())
    if unread := sum(found.passed_over[suffix] for suffix in CONVERTED):
        say(f'For the text of {unread:,} of them: pip install "semcore[files]"')
    if not found.takes_media and any(found.passed_over[suffix] for suffix in MEDIA_FORMATS):
        say(
            f"{model} takes only text. For pictures and pages of PDFs, the same command with "
            "--collection NAME --new --model gemini-embedding-2."
        )
    if not found.found:
        say(f"No {', '.join(found.formats)} file was found there; others have to be converted.")


def _show_gone(report: IngestReport, *, prune: bool) -> None:
    if report.pruned:
        say(f"Removed {counted(report.pruned, 'document')} that {_is(report.pruned)} gone.")
    if report.gone and prune:
        warn(
            f"Nothing was removed: all {report.gone:,} documents from there are gone, as if its disk "
            "were missing. To remove them all the same: semcore delete FOLDER/"
        )
    elif report.gone:
        say(
            f"{counted(report.gone, 'document')} from there {_is(report.gone)} gone, and still "
            f"searched. To remove {'it' if report.gone == 1 else 'them'}: the same command with --prune."
        )


def passed_over(kinds: Mapping[str, int]) -> str:
    """Return what was not read, by kind, as a sentence after others; empty if that is nothing."""
    ranked = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{count:,} {kind}" for kind, count in ranked[:_SHOWN]]
    if len(ranked) > _SHOWN:
        shown.append(f"{sum(count for _, count in ranked[_SHOWN:]):,} others")
    return f" Passed over: {', '.join(shown)}." if shown else ""


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def len_of(report: IngestReport) -> int:
    chunks = report.chunks
    return chunks.inserted + chunks.updated + chunks.unchanged
