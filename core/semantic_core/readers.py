"""Readers: text files and folders of them, and Python's own language reference, as documents."""

from __future__ import annotations

import codecs
import importlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semantic_core.errors import InvalidInputError, UnreadableFileError
from semantic_core.html_text import html_to_markdown
from semantic_core.types import Document

FORMATS = {
    ".txt": "text",
    ".rst": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "markdown",
    ".htm": "markdown",
}
"""Suffixes that are read, and how what comes of them is split."""

# A document is held in memory whole; what is larger than this is data rather than prose.
MOST_BYTES = 50_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDocument:
    """A file as a document; it is read when its content is asked for, each time anew.

    Attributes:
        path: where it is.
        metadata: empty.
        unlisted: why a folder could not be listed; its content raises just that.
    """

    path: Path
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unlisted: OSError | None = None

    @property
    def id(self) -> str:
        """The absolute path: two folders may each have a README, and neither replaces the other."""
        return _printable(self.path.absolute())

    @property
    def source(self) -> str:
        """The path as it was found."""
        return _printable(self.path)

    @property
    def format(self) -> str:
        """How the content is split."""
        return FORMATS.get(self.path.suffix.lower(), "text")

    @property
    def content(self) -> str:
        """The text; HTML as Markdown. What is neither UTF-8 nor UTF-16 becomes U+FFFD.

        Raises:
            UnreadableFileError: it is gone, no file, too large, or may not be read.
        """
        try:
            if self.unlisted is not None:
                raise self.unlisted
            text = _decode(_read(self.path))
        except OSError as error:
            raise UnreadableFileError(
                f"{self.source} cannot be read: {error.strerror or error}. Check that it is there "
                "and may be read, then ingest it again."
            ) from error
        return html_to_markdown(text) if self.path.suffix.lower().startswith(".htm") else text


def read_documents(paths: Iterable[str | os.PathLike[str]]) -> Iterator[FileDocument]:
    """Find the text files that are named, or that lie under the folders that are named.

    They come lazily, a folder's in the order of their paths. Hidden files and folders are left
    out, and linked folders are not followed. What cannot be read raises when its content is
    asked for, so that ``SemanticCore.ingest`` names it and goes on with the others.

    Raises:
        InvalidInputError: one of the paths is not there, or a file of another kind.
    """
    roots = [Path(path) for path in paths]
    for root in roots:
        if not root.exists():
            raise InvalidInputError(f"There is no {_printable(root)}. Name a file or a folder.")
        if not root.is_dir() and root.suffix.lower() not in FORMATS:
            raise InvalidInputError(
                f"{_printable(root)} is none of {', '.join(FORMATS)}. Convert it to one of them."
            )
    return (document for root in roots for document in _found(root))


def pydoc_topics() -> Iterator[Document]:
    """Yield Python's language reference, which lies in every CPython: about 460 kB of prose.

    Raises:
        InvalidInputError: this Python was packaged without it.
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


def _found(root: Path) -> Iterator[FileDocument]:
    if not root.is_dir():
        yield FileDocument(path=root)
        return
    unlisted: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=unlisted.append):
        yield from _drain(unlisted)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in FORMATS:
                yield FileDocument(path=Path(folder, name))
    yield from _drain(unlisted)


def _drain(errors: list[OSError]) -> Iterator[FileDocument]:
    while errors:
        error = errors.pop(0)
        yield FileDocument(path=Path(error.filename), unlisted=error)


def _read(path: Path) -> bytes:
    found = path.stat()
    # Reading a pipe or a device would wait for ever.
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFileError(f"{_printable(path)} is no regular file. Leave it out.")
    if found.st_size > MOST_BYTES:
        raise UnreadableFileError(
            f"{_printable(path)} has {found.st_size:,} bytes, more than {MOST_BYTES:,}. Split it "
            "into several files."
        )
    return path.read_bytes()


def _decode(data: bytes) -> str:
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_utf_16 else "utf-8-sig", errors="replace")
    # No database takes a NUL, and no text means one.
    return text.replace("\0", "\ufffd")


def _printable(path: Path) -> str:
    """Return the path with what the file system holds but UTF-8 does not as U+FFFD."""
    return os.fsencode(path).decode(errors="replace")
