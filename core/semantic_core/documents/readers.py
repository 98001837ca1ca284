"""Readers: a text file, and Python's own language reference, as documents."""

import importlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semantic_core.documents.converted import CONVERTED, convert
from semantic_core.documents.decode import decode
from semantic_core.documents.file_metadata import file_metadata, printable
from semantic_core.documents.html_text import html_to_markdown
from semantic_core.domain.errors import InvalidInputError, UnreadableFileError
from semantic_core.domain.media import Media
from semantic_core.domain.types import Document

FORMATS = {
    ".txt": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "markdown",
    ".htm": "markdown",
}
"""Suffixes that are read, and how what comes of them is split."""

MEDIA_FORMATS = (".png", ".jpg", ".jpeg", ".pdf")
"""Suffixes of pictures and of pages: for a collection whose model takes them."""

# A document is held in memory whole; what is larger than this is data rather than prose.
MOST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDocument:
    """A file as a document; it is read when its content is asked for, each time anew.

    Attributes:
        path: where it is.
        top: the folder that was named, or that of a named file.
        root_name: what its root is to be called, or None.
        is_media: whether it is taken as a picture, or as the pages of a PDF.
        unlisted: why its folder could not be listed; its content raises just that.
    """

    path: Path
    top: Path
    is_media: bool = False
    root_name: str | None = None
    unlisted: OSError | None = None

    @property
    def source(self) -> str:
        """The path as it was found, for messages."""
        return printable(self.path)

    @property
    def content(self) -> str:
        return self.read().content

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.read().metadata

    def read(self) -> Document:
        """Return the text, HTML as Markdown, or the picture, with what is known of the file as metadata.

        The text's encoding is what it declares, or is told from its bytes.

        Raises:
            UnreadableFileError: it is gone, no file, too large, may not be read, or is in an
                encoding that nobody can tell.
            MissingExtraError: it takes an extra that is not installed.
        """
        try:
            if self.unlisted is not None:
                raise self.unlisted
            found = _checked_file(self.path)
            suffix, known = self.path.suffix.lower(), file_metadata(self.path, found)
            if self.is_media:
                media = Media(self.path) if found.st_size else ()
                return Document(content="", metadata=known, media=media)
            data = self.path.read_bytes()
        except OSError as error:
            raise UnreadableFileError(
                f"{self.source} cannot be read: {error.strerror or error}. Check that it is there "
                "and may be read, then ingest it again."
            ) from error
        if suffix in CONVERTED and data:
            text, title = convert(data, suffix, name=self.source)
            # What begins like front matter is none.
            text = f"\n{text}" if text.startswith("---") else text
            known |= {"title": title} if title else {}
            return Document(content=text, metadata=known, format="markdown")
        is_html = suffix.startswith(".htm")
        text = decode(data, name=self.source, is_html=is_html)
        return Document(
            content=html_to_markdown(text) if is_html else text,
            metadata=known,
            format=FORMATS.get(suffix, "text"),
        )


def pydoc_topics() -> Iterator[Document]:
    """Yield Python's language reference, which is part of every CPython: about 460 kB of prose.

    Where this Python was packaged without it, an InvalidInputError says so.
    """
    name = "pydoc_data.topics"
    try:
        # Imported only here: nobody else wants half a megabyte of text in memory.
        topics: dict[str, str] = importlib.import_module(name).topics
    except ImportError as error:
        raise InvalidInputError(
            f"This Python has no {name}. Name a folder with texts of your own instead."
        ) from error
    for topic, text in sorted(topics.items()):
        yield Document(id=f"python/{topic}", content=text, source=name)


def _checked_file(path: Path) -> os.stat_result:
    found = path.stat()
    # Reading a pipe or a device would wait forever.
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFileError(f"{printable(path)} is not a regular file. Leave it out.")
    if found.st_size > MOST_BYTES:
        raise UnreadableFileError(
            f"{printable(path)} has {found.st_size:,} bytes, more than {MOST_BYTES:,}. Split it "
            "into several files."
        )
    return found
