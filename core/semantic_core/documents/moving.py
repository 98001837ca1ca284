"""Collections that move in: rows of id, text, metadata and vector, from wherever they were."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from semantic_core.documents.names import Naming
from semantic_core.domain.errors import DuplicateIdError, InvalidInputError, NotBatchableError
from semantic_core.domain.extras import load_extra
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import Chunk, VectorLike
from semantic_core.domain.validation import check_id, check_text
from semantic_core.store import BaseVectorStore

# What is read at once; a transaction saves no more, and less where texts and vectors are large.
PAGE = 500
_BYTES = 2**25


class Row(NamedTuple):
    """What one place of a source holds: a chunk, or why it holds none."""

    place: str
    found: Chunk | str


def import_rows(
    store: BaseVectorStore,
    rows: Iterable[Row],
    *,
    collection: str,
    tell: Callable[[IngestReport], object] = lambda _: None,
) -> IngestReport:
    """Save rows, a page a transaction. What cannot be taken is named, and costs no other row.

    Saving the same again changes nothing: an import that was interrupted is run again. ``tell`` is
    given the report so far after each page; a document is a row here.
    """
    report = IngestReport()
    with Naming() as naming:
        for page in _pages(_named(row, number, naming) for number, row in enumerate(rows)):
            report = _save(store, page, collection, report)
            tell(report)
    return report


def _named(row: Row, number: int, naming: Naming) -> Row:
    """Give a row an id, the same one in every import, and refuse the second of the same id."""
    chunk = row.found
    if isinstance(chunk, str):
        return row
    try:
        if chunk.id is None:
            check_text(chunk.text, what="the text")
            return row._replace(found=replace(chunk, id=naming.make_id(chunk.text, None)))
        check_id(chunk.id, what="the id")
        if naming.take_id(chunk.id, number) != number:
            raise DuplicateIdError(f"An earlier row has the id {chunk.id!r}. Give each its own.")
    except InvalidInputError as error:
        return row._replace(found=str(error))
    return row


def _pages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    page: list[Row] = []
    size = 0
    for row in rows:
        page.append(row)
        if isinstance(row.found, Chunk):
            vector = row.found.vector
            size += len(row.found.text) + (0 if vector is None else 4 * len(vector))
        if len(page) == PAGE or size > _BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _save(
    store: BaseVectorStore, page: list[Row], collection: str, report: IngestReport
) -> IngestReport:
    """Save the rows of a page, and add to the report what became of them."""
    for row in page:
        if isinstance(row.found, str):
            report = report.with_rejected(report.rejected_count, row.place, row.found)
    good = [row for row in page if isinstance(row.found, Chunk)]
    try:
        saved = store.save((row.found for row in good), collection=collection)  # type: ignore[misc]  # told apart above
    except (InvalidInputError, NotBatchableError) as error:
        # Nothing of it was written: halves, down to the row that is wrong.
        if len(good) == 1:
            reason = str(error).removesuffix(" Nothing was saved.")
            return report.with_rejected(report.rejected_count, good[0].place, reason)
        middle = len(good) // 2
        report = _save(store, good[:middle], collection, report)
        return _save(store, good[middle:], collection, report)
    return replace(
        report,
        documents=report.documents + len(good),
        chunks=report.chunks + replace(saved, ids=()),
    )


def chroma_rows(path: Path, name: str) -> Iterator[Row]:
    """Return what a collection holds, of a folder of Chroma's PersistentClient.

    Raises:
        MissingExtraError: Chroma's own package, which reads it, is not installed.
        InvalidInputError: there is no such collection, or it has no texts.
    """
    # Chroma would make a folder that is not there.
    if not (path / "chroma.sqlite3").is_file():
        raise InvalidInputError(f"{path} is no folder of Chroma: it has no chroma.sqlite3.")
    chromadb = load_extra("chromadb", extra="chroma", task="Reading a Chroma collection")
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    with _chroma_errors(path):
        client = chromadb.PersistentClient(str(path.resolve()), settings=settings)
        names = sorted(one.name for one in client.list_collections())
        if name not in names:
            there = ", ".join(map(repr, names)) or "none"
            raise InvalidInputError(f"{path} has no collection {name!r} (there is: {there}).")
        # Nothing is to be embedded there.
        collection = client.get_collection(name, embedding_function=None)
        count = collection.count()

    def read(*include: str) -> Iterator[dict[str, Any]]:
        for offset in range(0, count, PAGE):
            with _chroma_errors(path):
                page = collection.get(limit=PAGE, offset=offset, include=list(include))
            yield page

    if not any(any(page["documents"]) for page in read("documents")):
        raise InvalidInputError(
            f"The collection {name!r} of {path} has no texts, and vectors alone are not searched by "
            "word or shown. Save them from Python, each with its text. Nothing was saved."
        )
    return (
        Row(f"id {chunk_id!r}", _chroma_chunk(chunk_id, *row))
        for page in read("documents", "metadatas", "embeddings")
        for chunk_id, *row in zip(
            page["ids"], page["documents"], page["metadatas"], page["embeddings"], strict=True
        )
    )


def _chroma_chunk(
    chunk_id: str, text: str | None, metadata: dict[str, Any] | None, vector: VectorLike
) -> Chunk | str:
    if text is None:
        return "it has no text"
    # Chroma gives the keys in another order each time, and the same row is to be the same again.
    return Chunk(
        id=chunk_id, text=text, metadata=dict(sorted((metadata or {}).items())), vector=vector
    )


@contextmanager
def _chroma_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:
        raise InvalidInputError(f"Chroma cannot read {path}: {error}") from error
