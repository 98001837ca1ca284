"""Readers: text files and folders of them, and Python's own language reference, as documents."""

import importlib
import logging
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semantic_core.documents.decode import decode
from semantic_core.documents.html_text import html_to_markdown
from semantic_core.domain.errors import InvalidInputError, UnreadableFileError
from semantic_core.domain.types import Document

_log = logging.getLogger(__name__)

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

    Where a folder could not be listed (``unlisted``), its content raises just that.
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
        """The text; HTML as Markdown. Its encoding is what it declares, or is told from its bytes.

        Raises:
            UnreadableFileError: it is gone, no file, too large, may not be read, or is in an
                encoding that nobody can tell.
        """
        try:
            if self.unlisted is not None:
                raise self.unlisted
            data = _read(self.path)
        except OSError as error:
            raise UnreadableFileError(
                f"{self.source} cannot be read: {error.strerror or error}. Check that it is there "
                "and may be read, then ingest it again."
            ) from error
        is_html = self.path.suffix.lower().startswith(".htm")
        text = decode(data, name=self.source, is_html=is_html)
        return html_to_markdown(text) if is_html else text


def read_documents(paths: Iterable[str | os.PathLike[str]]) -> Iterator[FileDocument]:
    """Find the named text files, and those in the named folders.

    They come lazily, a folder's in the order of their paths, and each once. Hidden files and
    folders are left out. Links to folders are not followed, nor are links to files that lie
    outside of the folder that is named: these are skipped with a warning in the log. A link
    that is named itself is followed. What cannot be read raises when its content is asked for,
    so that ``SemanticCore.ingest`` names it and goes on with the others.

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
    return _once(document for root in roots for document in _found(root))


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


def _once(documents: Iterable[FileDocument]) -> Iterator[FileDocument]:
    """Leave out what was found before: a file that is named, and so is its folder."""
    seen: set[str] = set()
    for document in documents:
        if document.id not in seen:
            seen.add(document.id)
            yield document


def _found(root: Path) -> Iterator[FileDocument]:
    if not root.is_dir():
        yield FileDocument(path=root)
        return
    inside = os.path.join(os.path.realpath(root), "")  # noqa: PTH118  # pathlib drops the slash
    unlisted: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=unlisted.append):
        yield from _drain(unlisted)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                _log.warning("%r is skipped: it is a link to a folder.", _printable(path))
        for name in sorted(files):
            path = Path(folder, name)
            if name.startswith(".") or path.suffix.lower() not in FORMATS:
                continue
            # A file outside the folder was not named: it may be any file that this user can read.
            if path.is_symlink() and not os.path.realpath(path).startswith(inside):
                _log.warning(
                    "%r is skipped: it is a link to a file outside of %r. Name it itself to "
                    "ingest it.",
                    _printable(path),
                    _printable(root),
                )
                continue
            yield FileDocument(path=path)
    yield from _drain(unlisted)


def _drain(errors: list[OSError]) -> Iterator[FileDocument]:
    while errors:
        error = errors.pop(0)
        yield FileDocument(path=Path(error.filename), unlisted=error)


def _read(path: Path) -> bytes:
    found = path.stat()
    # Reading a pipe or a device would wait forever.
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFileError(f"{_printable(path)} is not a regular file. Leave it out.")
    if found.st_size > MOST_BYTES:
        raise UnreadableFileError(
            f"{_printable(path)} has {found.st_size:,} bytes, more than {MOST_BYTES:,}. Split it "
            "into several files."
        )
    return path.read_bytes()


def _printable(path: Path) -> str:
    """Return the path with the bytes that are no UTF-8 escaped: two names stay two."""
    return os.fsencode(path).decode(errors="backslashreplace")
