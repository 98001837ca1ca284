"""Commands that move collections in and out: import and export. They need no key."""

from collections.abc import Iterable
from dataclasses import asdict
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from semantic_core.cli.options import (
    DEFAULT_DB,
    AsJson,
    CollectionName,
    Db,
    Languages,
    NewCollection,
    language_names,
)
from semantic_core.cli.output import FAILED, counting, print_json, say, warn
from semantic_core.documents.json_lines import read_head, read_json_lines, write_json_lines
from semantic_core.documents.moving import Row, chroma_rows, import_rows
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import DEFAULT_PRICES
from semantic_core.store import DEFAULT_COLLECTION
from semantic_core.views.wording import counted

# Refused rows that are shown, and rows of which one at least must be good.
_SHOWN = 10
_LOOKED_AT = 500

Source = StrEnum("Source", ["CHROMA", "JSONL"])
Sink = StrEnum("Sink", ["JSONL"])


def import_collection(
    source: Annotated[Source, typer.Argument(help="What is there.")],
    path: Annotated[Path, typer.Argument(exists=True, help="Chroma's folder, or the file.")],
    name: Annotated[str, typer.Argument(help="Chroma's collection.")] = "",
    db: Db = DEFAULT_DB,
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="Where it goes; what it was called if left out."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make the collection that --collection names.")
    ] = False,
    external: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The vectors are another embedder's, which embeds queries, too."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The vectors are Gemini's, of this model, made as semcore makes them: as documents "
            "for retrieval (gemini-embedding-001) or with its prefix (gemini-embedding-2)."
        ),
    ] = None,
    languages: Languages = None,
    as_json: AsJson = False,
) -> None:
    """Take over a collection with its vectors, which are not paid for again.

    From a folder of Chroma, or a file of semcore export, which says itself whose vectors it has.
    Another .jsonl has a line a chunk, such as {"id": "a", "text": "...", "metadata": {"year": 2026},
    "vector": [0.1, ...]}, of which all but the text may be left out; without a vector it waits for a
    batch. What cannot be taken is named. The same again changes nothing: after an interrupt, run it
    again.
    """
    if (source is Source.CHROMA) != bool(name):
        raise typer.BadParameter("chroma has a FOLDER and a NAME, jsonl a FILE.", param_hint="NAME")
    head = read_head(path) if source is Source.JSONL else None
    rows: Iterable[Row] = chroma_rows(path, name) if name else read_json_lines(path)
    if head is None:
        spec, rows = _spec(rows, external=external, model=model, is_chroma=bool(name))
    elif external or model:
        raise typer.BadParameter("the file says whose vectors it has.", param_hint="--external")
    else:
        spec = head.spec
    target = collection or (head.collection if head else name or DEFAULT_COLLECTION)
    known = head.languages if head else None
    with db.open() as store:
        if head and head.provenance and not spec.is_external:
            store.check_provenance(head.provenance)
        if store.find(target) is None:
            NewCollection(is_named=new or collection is None).check_new(store, target)
        store.collection(target, spec, languages=language_names(languages) if languages else known)
        with counting("taken", unit="rows") as tell:
            report = import_rows(
                store, rows, collection=target, tell=lambda report: tell(report.documents)
            )
    if as_json:
        print_json(asdict(report))
    else:
        _show(report, target, db=str(db))
    if report.rejected_count:
        raise typer.Exit(FAILED)


def export(
    sink: Annotated[Sink, typer.Argument(help="What to write.")],  # noqa: ARG001  # the only one
    path: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The file.")],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there, in one step.")
    ] = False,
) -> None:
    """Write a collection to a file: a line of JSON a chunk, with text, metadata and vector.

    Others work on it meanwhile. The file is there whole or not at all.
    """
    if path.exists() and (read_head(path) is None or not overwrite):
        raise typer.BadParameter(
            f"{path} is there already. Nothing was written. Name another file, or replace an earlier "
            "export with --overwrite.",
            param_hint="FILE",
        )
    db.check_there()
    with db.open() as store, counting("written", unit="rows") as tell:
        store.stats(collection)
        found = store.collection(collection)
        rows, left_out = write_json_lines(store, found, path, tell=tell)
    say(
        f"Wrote {counted(rows, 'chunk')} of {collection!r} to {path} "
        f"({path.stat().st_size:,} bytes)."
    )
    if left_out:
        warn(f"Left out {counted(left_out, 'chunk')} with pictures: semcore copy moves them.")


def _spec(
    rows: Iterable[Row], *, external: str | None, model: str | None, is_chroma: bool
) -> tuple[EmbeddingSpec, Iterable[Row]]:
    """Return what made the vectors of rows that do not say it, and the rows again."""
    if (external is None) == (model is None):
        raise typer.BadParameter(
            "whose vectors are they? A vector does not tell. Another embedder's: --external NAME. "
            "Gemini's: --model gemini-embedding-001.",
            param_hint="--external",
        )
    source = iter(rows)
    first = list(islice(source, _LOOKED_AT))
    chunks = [row.found for row in first if isinstance(row.found, Chunk)]
    if first and not chunks and not is_chroma:
        raise InvalidInputError(
            f"None of the first {counted(len(first), 'row')} can be taken. {first[0].place}: "
            f"{first[0].found}. Nothing was saved."
        )
    rows = chain(first, source)
    if external is not None:
        return EmbeddingSpec.external(external), rows
    sizes = (len(chunk.vector) for chunk in chunks if chunk.vector is not None)
    spec = NewCollection(model=model, dimensions=next(sizes, None)).spec
    if spec.model not in DEFAULT_PRICES.prices:
        raise typer.BadParameter(
            f"{model!r} is no model of Gemini's. Another embedder's vectors: --external {model}.",
            param_hint="--model",
        )
    return spec, rows


def _show(report: IngestReport, target: str, *, db: str) -> None:
    chunks = report.chunks
    say(
        f"Took {counted(report.documents, 'row')} into {target!r}: {chunks.inserted:,} new, "
        f"{chunks.updated:,} changed, {chunks.unchanged:,} as they were.",
        f"{chunks.ready:,} have their vector, {chunks.pending:,} wait for one, {chunks.failed:,} failed. "
        "Nothing was billed.",
    )
    for row in report.rejected[:_SHOWN]:
        warn(f"Refused {row.name}: {row.reason}")
    if report.rejected_count:
        warn(f"Refused {counted(report.rejected_count, 'row')} in all; the others are saved.")
    if chunks.pending:
        say(f"Next: semcore flush --db {db}")
