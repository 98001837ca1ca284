import io
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.extras import load_extra


def page_of(data: bytes, number: int | None, *, what: str) -> bytes:
    """Return a PDF of this page alone, or what was given; an InvalidInputError for no such page."""
    if number is None:
        return data
    with _opened(data, what) as (pypdf, pages):
        if number > len(pages):
            raise InvalidInputError(
                f"{what}: the PDF has {len(pages)} pages, and no page {number}. Nothing was sent."
            )
        writer = pypdf.PdfWriter()
        writer.add_page(pages[number - 1])
        written = io.BytesIO()
        writer.write(written)
    return written.getvalue()


def page_texts(data: bytes, *, what: str) -> list[str]:
    """Return the text of each page, which may be empty; an InvalidInputError for no pages."""
    with _opened(data, what) as (_, pages):
        texts = [str(page.extract_text()) for page in pages]
    if not texts:
        raise InvalidInputError(f"{what}: the PDF has no pages.")
    # What no database keeps: NUL, and halves of characters.
    return [text.replace("\0", "").encode(errors="replace").decode() for text in texts]


@contextmanager
def _opened(data: bytes, what: str) -> Generator[tuple[Any, Any]]:
    pypdf = load_extra("pypdf", extra="media", task="Reading a PDF")
    try:
        yield pypdf, pypdf.PdfReader(io.BytesIO(data)).pages
    except (pypdf.errors.PyPdfError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"{what}: the PDF cannot be read ({error}). Check that it opens elsewhere, without a "
            "password."
        ) from error
