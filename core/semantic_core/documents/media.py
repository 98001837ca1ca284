"""Documents with pictures and PDFs: what their chunks are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from semantic_core.domain.media import (
    PDF,
    LookedMedia,
    Media,
    MediaBytes,
    as_media,
    look_at,
    stored_media,
)
from semantic_core.domain.pdf import page_of, page_texts
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk, Document
from semantic_core.domain.validation import has_words
from semantic_core.providers.facts import check_media


def looked_media(document: Document, *, what: str) -> Iterator[tuple[LookedMedia, list[str]]]:
    """Read each file of a document once; yield what it is, and the texts of a whole PDF's pages.

    Raises:
        UnreadableFileError: a file is gone, or may not be read.
        InvalidInputError: a PDF cannot be read.
        MissingExtraError: a PDF without the ``media`` extra.
    """
    for media in as_media(document.media, what=what):
        part, data = look_at(media, what=what)
        is_whole = part.mime_type == PDF and part.page is None
        yield part, page_texts(data, what=what) if is_whole else []


def media_chunks(
    document: Document, metadata: Mapping[str, Any], looked: Iterable[tuple[LookedMedia, list[str]]]
) -> Iterator[Chunk]:
    """Yield the chunks of a document with media, which have no ids yet.

    The content and the pictures make one chunk; each page of a PDF is another, with ``page`` in
    its metadata. A page's text is found by keyword; what is embedded is the page itself, which
    shows it.
    """
    pictures = [part for part, texts in looked if not texts]
    if pictures or has_words(document.content):
        yield Chunk(text=document.content, metadata=metadata, media=pictures)
    for pdf, texts in looked:
        for number, text in enumerate(texts, start=1):
            yield Chunk(
                text=text,
                metadata={**metadata, "page": number},
                vector_source="",
                media=replace(pdf, page=number),
            )


def query_media(media: Media | Sequence[Media], spec: EmbeddingSpec) -> tuple[MediaBytes, ...]:
    """Return pictures to look for as they are sent.

    Raises:
        InvalidInputError: the spec's model does not take them.
        UnreadableFileError: a file is gone, or may not be read.
    """
    what = "the query"
    looked = [look_at(part, what=what) for part in as_media(media, what=what)]
    check_media([stored_media(part, what=what)[0] for part, _ in looked], spec, what=what)
    return tuple(
        MediaBytes(part.mime_type, page_of(data, part.page, what=what)) for part, data in looked
    )
