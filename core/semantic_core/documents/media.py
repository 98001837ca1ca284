"""Documents with pictures and PDFs: what their chunks are."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from semantic_core.domain.media import Media, MediaBytes, as_media, read_file, stored_media
from semantic_core.domain.pdf import page_of, page_texts
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk, Document
from semantic_core.domain.validation import has_words
from semantic_core.providers.facts import check_media


def media_chunks(document: Document, metadata: Mapping[str, Any], *, what: str) -> Iterator[Chunk]:
    """Yield the chunks of a document with media, which have no ids yet.

    The content and the pictures make one chunk; each page of a PDF is another, with ``page`` in
    its metadata. A page's text is found by keyword; what is embedded is the page itself, which
    shows it.

    Raises:
        UnreadableFileError: a file is gone, or may not be read.
        InvalidInputError: a PDF cannot be read.
        MissingExtraError: a PDF without the ``media`` extra.
    """
    parts = as_media(document.media, what=what)
    pdfs = [part for part in parts if part.page is None and _is_pdf(part, what=what)]
    others = [part for part in parts if part not in pdfs]
    if others or has_words(document.content):
        yield Chunk(text=document.content, metadata=metadata, media=others)
    for pdf in pdfs:
        for number, text in enumerate(page_texts(_data(pdf, what=what)), start=1):
            yield Chunk(
                text=text,
                metadata={**metadata, "page": number},
                vector_source="",
                media=replace(pdf, page=number),
            )


def media_identity(document: Document, *, what: str) -> str:
    """Return a text that tells documents with different media apart."""
    return "".join(
        f"\n{hashlib.sha256(_data(part, what=what)).hexdigest()}"
        for part in as_media(document.media, what=what)
    )


def query_media(media: Media | Sequence[Media], spec: EmbeddingSpec) -> tuple[MediaBytes, ...]:
    """Return pictures to look for as they are sent.

    Raises:
        InvalidInputError: the spec's model does not take them.
        UnreadableFileError: a file is gone, or may not be read.
    """
    what = "the query"
    parts = as_media(media, what=what)
    looked = [stored_media(part, what=what)[0] for part in parts]
    check_media(looked, spec, what=what)
    return tuple(
        MediaBytes(known.mime_type, page_of(_data(part, what=what), known.page))
        for part, known in zip(parts, looked, strict=True)
    )


def _is_pdf(part: Media, *, what: str) -> bool:
    return _data(part, what=what).startswith(b"%PDF-")


def _data(part: Media, *, what: str) -> bytes:
    if isinstance(part.content, bytes):
        return part.content
    return read_file(str(Path(part.content).absolute()), what=what)
