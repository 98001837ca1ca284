"""One ingest: documents in, pages of chunks saved, in bounded memory."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from semantic_core.documents.file_metadata import title_of
from semantic_core.documents.foreign import embed_foreign
from semantic_core.documents.front_matter import take_front_matter
from semantic_core.documents.live import embed_missing, fail_if_too_long
from semantic_core.documents.media import looked_media, media_chunks
from semantic_core.documents.names import Naming
from semantic_core.documents.readers import FileDocument
from semantic_core.documents.roots import Roots, find_gone
from semantic_core.documents.splitter import Splitter
from semantic_core.documents.walk import FoundFiles
from semantic_core.domain.errors import BlankTextError, DuplicateIdError, InvalidInputError
from semantic_core.domain.media import as_media
from semantic_core.domain.metadata import copy_metadata, dump_metadata
from semantic_core.domain.pages import pages
from semantic_core.domain.reports import MOST_NAMED, IngestReport
from semantic_core.domain.types import Chunk, Document, SplitDocument
from semantic_core.domain.validation import check_id, check_text
from semantic_core.providers.facts import takes_media
from semantic_core.providers.port import Embedder, ForeignEmbedder
from semantic_core.store import BaseVectorStore
from semantic_core.store.writing.documents import delete_sources
from semantic_core.store.writing.prepare import prepare_chunks

# Chunks in one transaction: large enough for the full-text index, small enough for others' writes.
PAGE = 1000

# Bytes of pictures that count as one chunk more, so that a page of them fits into memory.
BYTES_OF_A_CHUNK = 16_000


class Ingestion:
    """Splits documents and saves them page by page.

    An ``embedder`` embeds each page before it is saved. A document that cannot be saved is raised
    for at once, or counted. ``replace_sources`` removes, at the end, what earlier calls saved under
    the same sources.
    """

    def __init__(
        self,
        store: BaseVectorStore,
        *,
        collection: str,
        languages: Iterable[str] | None,
        splitter: Splitter,
        embedder: Embedder | ForeignEmbedder | None,
        raise_at_once: bool,
        replace_sources: bool,
        prune: bool,
    ) -> None:
        self._store = store
        self._collection = collection
        self._spec = store.collection(collection, languages=languages).spec
        self._splitter = splitter
        self._embedder = embedder
        self._raise_at_once = raise_at_once
        self._replace_sources = replace_sources
        self._prune = prune
        self._naming = Naming()
        self._roots = Roots(store)
        self._report = IngestReport()

    def run(self, documents: Iterable[Any], tell: Callable[[IngestReport], None]) -> IngestReport:
        """Ingest everything; ``tell`` is given the report so far after each page."""
        started, began_at = time.perf_counter(), self._store.clock.now()
        if isinstance(documents, FoundFiles):
            documents.takes_media = takes_media(self._spec)
        with self._naming:
            page: list[tuple[int, SplitDocument]] = []
            size = 0
            for position, item in enumerate(documents):
                try:
                    entry = self._split(item, position)
                except InvalidInputError as error:
                    if isinstance(error, BlankTextError) and isinstance(item, FileDocument):
                        self._skip(item)
                    else:
                        self._reject(position, item, error)
                    continue
                weight = len(entry.chunks) + _held_bytes(entry.document) // BYTES_OF_A_CHUNK
                if page and size + weight > PAGE:
                    self._save(page)
                    tell(self._report_after(started))
                    page, size = [], 0
                page.append((position, entry))
                size += weight
            if page:
                self._save(page)
            if self._replace_sources:
                # Last of all: if the call ends earlier, nothing that was saved before is removed.
                self._remove_replaced(began_at)
            if isinstance(documents, FoundFiles):
                self._remove_gone(documents)
            report = self._report_after(started)
            tell(report)
            return report

    def _report_after(self, started: float) -> IngestReport:
        return replace(self._report, seconds=time.perf_counter() - started)

    def _split(self, item: Any, position: int) -> SplitDocument:
        name = _name(item, position)
        root = None
        if isinstance(item, FileDocument):
            root, document_id = self._roots.place(item)
            document = replace(item.read(), id=document_id)
        else:
            document = _as_document(item, position)
        check_text(document.content, what=name)
        whose = f"the metadata of {name}"
        metadata, text = copy_metadata(document.metadata, what=whose), document.content
        if document.format == "markdown":
            front, text = take_front_matter(text, what=name)
            metadata = front | metadata
        if root is not None:
            title = title_of(text)
            known = {} if title is None else {"title": title}
            metadata = known | metadata | {"file_path": document.id}
        # Refused here and not per chunk, so that an error names the document once.
        dump_metadata(metadata, what=whose)
        document = replace(document, metadata=metadata)
        for field, value in (("id", document.id), ("source", document.source)):
            if value is not None:
                check_id(value, what=f"the {field} of {name}")
        looked = [*looked_media(document, what=name)]
        identity = "".join(f"\n{part.sha256}" for part, _ in looked)
        document_id = document.id or self._naming.make_id(
            document.content + identity, document.source
        )
        # Its chunks have this id and their number.
        check_id(f"{document_id}#{2**31}", what=f"the id of {name}")
        if looked:
            chunks = tuple(
                replace(piece, id=f"{document_id}#{number}", document_id=document_id)
                for number, piece in enumerate(media_chunks(document, metadata, looked))
            )
        else:
            chunks = tuple(
                Chunk(
                    id=f"{document_id}#{number}",
                    document_id=document_id,
                    text=piece.text,
                    metadata=metadata,
                    vector_source=piece.vector_source,
                )
                for number, piece in enumerate(
                    self._splitter.split(text, format=document.format, spec=self._spec)
                )
            )
        if not chunks:
            raise BlankTextError(
                f"{name} is blank: without a letter or a digit there is nothing to embed."
            )
        taken_at = self._naming.take_id(document_id, position)
        if taken_at != position:
            raise DuplicateIdError(
                f"{name} has the id of document number {taken_at} of the same call. Give each its "
                "own id, or none; the first one is saved."
            )
        if self._replace_sources and document.source is not None:
            self._naming.add_source(document.source, is_whole=True)
        return SplitDocument(
            id=document_id, document=document, chunks=chunks, root_id=root.id if root else None
        )

    def _save(self, page: list[tuple[int, SplitDocument]]) -> None:
        entries = [entry for _, entry in page]
        try:
            if self._embedder is not None:
                entries = self._embed(entries, self._embedder)
            self._write(entries)
        except InvalidInputError as error:
            if len(page) == 1:
                position, entry = page[0]
                self._reject(position, entry.document, error)
                return
            # Nothing of the page was written: save each document by itself, so that a bad one
            # loses nothing of the others. What was embedded is not embedded again.
            for (position, _), entry in zip(page, entries, strict=True):
                self._save([(position, entry)])

    def _write(self, entries: list[SplitDocument]) -> None:
        saved, removed = self._store.save_documents(entries, collection=self._collection)
        report = self._report
        self._report = replace(
            report,
            documents=report.documents + len(entries),
            chunks=report.chunks + replace(saved, ids=()),
            removed=report.removed + removed,
        )

    def _embed(
        self, entries: list[SplitDocument], embedder: Embedder | ForeignEmbedder
    ) -> list[SplitDocument]:
        """Embed what has no vector; return the documents, chunks that are too long as FAILED."""
        chunks = [chunk for entry in entries for chunk in entry.chunks]
        if not isinstance(embedder, Embedder):
            made = iter(
                embed_foreign(self._store, chunks, embedder=embedder, collection=self._collection)
            )
            return [
                replace(entry, chunks=tuple(islice(made, len(entry.chunks)))) for entry in entries
            ]
        rows = prepare_chunks(chunks, self._spec)
        too_long = embed_missing(
            self._store, rows, collection=self._collection, spec=self._spec, embedder=embedder
        )
        if not too_long:
            return entries
        hashes = {row.chunk_id: row.content_hash for row in rows}
        return [
            replace(
                entry,
                chunks=tuple(
                    fail_if_too_long(chunk, hashes[str(chunk.id)], too_long)
                    for chunk in entry.chunks
                ),
            )
            for entry in entries
        ]

    def _remove_replaced(self, began_at: float) -> None:
        for sources in self._naming.whole_sources():
            removed = delete_sources(
                self._store.database,
                sources,
                collection=self._collection,
                keep=self._naming.has_id,
                until=began_at,
                now=self._store.clock.now(),
            )
            self._report = replace(self._report, removed=self._report.removed + removed)

    def _remove_gone(self, found: FoundFiles) -> None:
        """Delete what has another id now and, where that is asked for, what has no file any more."""
        gone, renamed = find_gone(
            self._store, found, collection=self._collection, has=self._naming.has_id
        )
        # A folder with nothing in it may be a disk that is not there.
        pruned = gone if self._prune and found.found else []
        for page in pages([*renamed, *pruned]):
            self._delete(page)
        self._report = replace(self._report, pruned=len(pruned), gone=len(gone) - len(pruned))

    def _skip(self, item: FileDocument) -> None:
        """Pass over a file that is empty; what it held before is gone."""
        self._delete([self._roots.place(item)[1]])
        skipped = self._report.skipped
        if len(skipped) < MOST_NAMED:
            skipped = (*skipped, item.source)
        self._report = replace(
            self._report, skipped=skipped, skipped_count=self._report.skipped_count + 1
        )

    def _delete(self, document_ids: list[str]) -> None:
        removed = self._store.delete(document_ids=document_ids, collection=self._collection)
        self._report = replace(self._report, removed=self._report.removed + removed)

    def _reject(self, position: int, item: Any, error: InvalidInputError) -> None:
        if self._raise_at_once:
            raise error
        name, source = _name(item, position), getattr(item, "source", None)
        if self._replace_sources and isinstance(source, str):
            # What was to take its place is not all there.
            self._naming.add_source(source, is_whole=False)
        self._report = self._report.with_rejected(position, name, str(error))


def _held_bytes(document: Document) -> int:
    media = as_media(document.media, what="the document")
    return sum(len(part.content) for part in media if isinstance(part.content, bytes))


def _as_document(item: Any, position: int) -> Document:
    if isinstance(item, Document):
        return item
    try:
        content, metadata = item.content, item.metadata
    except AttributeError as error:
        raise InvalidInputError(
            f"document number {position} is a {type(item).__name__} without content and metadata. "
            "Pass Document(content=..., metadata=...)."
        ) from error
    return Document(
        content=content,
        metadata=metadata or {},
        id=getattr(item, "id", None),
        source=getattr(item, "source", None),
        format=getattr(item, "format", "text"),
        media=getattr(item, "media", ()),
    )


def _name(item: Any, position: int) -> str:
    known = getattr(item, "id", None) or getattr(item, "source", None)
    return f"document {known!r}" if known else f"document number {position}"
