"""Files of other programs as Markdown: PDF, Office, EPUB and notebooks, read by kreuzberg."""

import importlib.util

from semantic_core.domain.errors import UnreadableFileError
from semantic_core.domain.extras import load_extra

_OFFICE = "application/vnd.openxmlformats-officedocument"

CONVERTED = {
    ".pdf": "application/pdf",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".epub": "application/epub+zip",
    ".ipynb": "application/x-ipynb+json",
}
"""Suffixes of files that the ``files`` extra reads, and their types."""


def can_convert() -> bool:
    return importlib.util.find_spec("kreuzberg") is not None


def convert(data: bytes, suffix: str, *, name: str) -> tuple[str, str | None]:
    """Return what a file holds as Markdown, and the title that it gives itself.

    Pictures in it are left out, and a scan has no text: nothing is recognized, fetched or sent.

    Raises:
        UnreadableFileError: it is broken, encrypted, or grows without measure.
        MissingExtraError: the ``files`` extra is not installed.
    """
    kreuzberg = load_extra("kreuzberg", extra="files", task=f"Reading {name}")
    # Its cache would lie in the current folder.
    config = kreuzberg.ExtractionConfig(output_format="markdown", use_cache=False)
    try:
        found = kreuzberg.extract_bytes_sync(data, CONVERTED[suffix], config)
    except kreuzberg.KreuzbergError as error:
        raise UnreadableFileError(
            f"{name} cannot be read: {error}. Check that it opens and has no password, or convert "
            "it. Nothing of it was saved."
        ) from error
    title = found.metadata.get("title")
    return found.content.replace("\0", ""), title if isinstance(title, str) else None
