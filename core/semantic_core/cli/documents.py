"""Commands on what was ingested: list, show, delete and collections. They need no key."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from semantic_core.cli.options import DEFAULT_DB, AsJson, CollectionName, Db
from semantic_core.cli.output import print_json, say, show_table, to_json
from semantic_core.cli.target import Target
from semantic_core.documents.file_metadata import printable
from semantic_core.documents.roots import ids_at
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.pages import pages
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from semantic_core.store.collections import collection_id
from semantic_core.store.reading.documents import ListedDocument
from semantic_core.store.reading.documents import list_documents as read_list
from semantic_core.views.wording import counted, media_name

_WHICH = "A document's id, the path of its file, or a folder with all in it."


def list_documents(
    which: Annotated[str, typer.Argument(help=f"{_WHICH} All if left out.")] = "",
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    as_json: AsJson = False,
) -> None:
    """List the documents of a collection. Needs no key."""
    with _open(db, collection) as store:
        found = _find(store, collection, which) if which else _all(store, collection)
    if as_json:
        print_json({"documents": found})
        return
    rows = [(one.id, f"{one.chunks:,}", f"{one.ready:,}", f"{one.failed:,}") for one in found]
    numbers = ("chunks", "ready", "failed")
    show_table(counted(len(found), "document"), ("document", *numbers), rows, numbers=numbers)


def show(
    which: Annotated[str, typer.Argument(help="A document's id, or the path of its file.")],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    as_json: AsJson = False,
) -> None:
    """Show a document: its metadata, and its chunks as they are found. Needs no key."""
    with _open(db, collection) as store:
        listed, *others = _find(store, collection, which)
        if others:
            raise typer.BadParameter(f"{which!r} is {len(others) + 1:,} documents. Name one.")
        ids = [listed.id]
        chunks = (
            store.get(ids, collection=collection)
            if listed.is_chunk
            else store.chunks(document_ids=ids, collection=collection)
        )
    if as_json:
        print_json({"document": listed, "chunks": chunks})
        return
    # What one chunk alone has, such as its page, is not the document's.
    common = set.intersection(*({*map(repr, chunk.metadata.items())} for chunk in chunks))
    facts = [one for one in chunks[0].metadata.items() if repr(one) in common]
    # As --filter takes them.
    said = ((key, value if isinstance(value, str) else to_json(value)) for key, value in facts)
    say(listed.id, *(f"   {key}: {value}" for key, value in said))
    for number, chunk in enumerate(chunks, start=1):
        stale = ", found by the vector of an older text" if chunk.is_stale else ""
        media = "; ".join(map(media_name, chunk.media))
        say("", f"{number}. [{chunk.status}{stale}] {media}".rstrip())
        say(*(chunk.text.split("\n") if chunk.text else ()))


def delete(
    which: Annotated[list[str], typer.Argument(help=_WHICH)],
    db: Db = DEFAULT_DB,
    collection: CollectionName = DEFAULT_COLLECTION,
    as_json: AsJson = False,
) -> None:
    """Delete documents; their paid vectors are kept, so that the same text is free again."""
    with _open(db, collection) as store:
        # All of them are looked for first: with a typing error nothing is deleted.
        found = {one.id: one for typed in which for one in _find(store, collection, typed)}
        chunks = 0
        for page in pages(found.values()):
            ids = [one.id for one in page if one.is_chunk]
            document_ids = [one.id for one in page if not one.is_chunk]
            chunks += store.delete(ids=ids, collection=collection)
            chunks += store.delete(document_ids=document_ids, collection=collection)
    if as_json:
        print_json({"documents": list(found), "chunks": chunks})
    else:
        say(f"Deleted {counted(len(found), 'document')} ({counted(chunks, 'chunk')}).")


def collections(db: Db = DEFAULT_DB, as_json: AsJson = False) -> None:
    """List the collections of a database, with model and languages. Needs no key."""
    db.check_there()
    with db.open() as store:
        found = [(one, store.stats(one.name)) for one in store.collections()]
    if as_json:
        print_json({"collections": [one for one, _ in found]})
        return
    columns = ("collection", "model", "dimensions", "languages", "chunks", "ready")
    rows = [
        (
            one.name,
            one.spec.model,
            str(one.spec.dimensions or "-"),
            ",".join(one.languages),
            f"{stats.ready + stats.waiting + stats.in_flight + stats.failed:,}",
            f"{stats.ready:,}",
        )
        for one, stats in found
    ]
    show_table("Collections", columns, rows, numbers=columns[-2:])


@contextmanager
def _open(db: Target, collection: str) -> Iterator[PeeweeVectorStore]:
    db.check_there()
    with db.open() as store:
        store.stats(collection)
        yield store


def _all(store: PeeweeVectorStore, collection: str) -> list[ListedDocument]:
    with store.database.snapshot() as connection:
        return read_list(connection, collection_id(connection, collection), "")


def _find(store: PeeweeVectorStore, collection: str, typed: str) -> list[ListedDocument]:
    """Return the documents that were meant: by id, by path or by their folder; or raise."""
    # A variable of the shell that is not set is neither all documents nor the current folder.
    is_name = bool(typed.strip()) and "\0" not in typed
    named = (printable(typed), *ids_at(store, typed)) if is_name else ()
    with store.database.snapshot() as connection:
        target = collection_id(connection, collection)
        for name in (*named, *(f"{name.rstrip('/')}/" for name in named)):
            if found := read_list(connection, target, name):
                return found
    raise InvalidInputError(
        f"There is no document {typed!r} in collection {collection!r}. Nothing was changed. "
        "semcore list shows which there are."
    )
