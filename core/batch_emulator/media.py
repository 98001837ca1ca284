"""Pictures and PDF pages in a request: what they count, and what their vectors are made of.

The bytes are not kept: a job of ten thousand pictures must fit the memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from batch_emulator.messages import FieldError, Fields, read_message, read_text

# https://ai.google.dev/gemini-api/docs/embeddings and the cookbook's Embeddings notebook, read
# 2026-11: at most 6 images, one PDF of at most 6 pages; a picture counts 258 tokens, a page too.
MOST_IMAGES = 6
MOST_PAGES = 6
TOKENS_PER_PICTURE = 258

_IMAGES = {"image/png": "PNG", "image/jpeg": "JPEG"}
_PDF = "application/pdf"
_GRID = 8
_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPart:
    """One part of a request that is no text.

    Attributes:
        mime_type: as the request says.
        sha256: hex digest of its bytes.
        pages: pictures that it counts as.
        text: what a PDF says.
        pixels: a picture's colours in 8 x 8 fields, from -128 to 127; empty for a PDF.
        problem: why it cannot be embedded, or None.
    """

    mime_type: str
    sha256: str
    pages: int = 1
    text: str = ""
    pixels: bytes = b""
    problem: str | None = None


def read_inline_data(value: Any, path: str) -> MediaPart:
    """Read a Blob.

    Raises:
        FieldError: it is none.
    """
    found = read_message(value, _BLOB, path)
    # As protobuf's JSON has bytes: in either alphabet of base64, with padding or without.
    text = found.get("data", "").translate(_STANDARD)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise FieldError(f"Base64 decoding failed at '{path}.data'", path=f"{path}.data") from error
    mime_type = found.get("mimeType", "")
    digest = hashlib.sha256(data).hexdigest()
    if mime_type in _IMAGES:
        return _read_picture(data, mime_type, digest)
    if mime_type == _PDF:
        return _read_pdf(data, digest)
    problem = f"Unsupported MIME type: {mime_type}"
    return MediaPart(mime_type=mime_type, sha256=digest, problem=problem)


def objections(parts: Sequence[MediaPart], *, model: str, takes_media: bool) -> Iterator[str]:
    """Yield why the model does not embed these parts."""
    if parts and not takes_media:
        yield f"models/{model} takes text only."
    for part in parts:
        if part.problem is not None:
            yield part.problem
    pdfs = [part for part in parts if part.mime_type == _PDF]
    if len(parts) - len(pdfs) > MOST_IMAGES:
        yield f"At most {MOST_IMAGES} images can be in one request."
    if len(pdfs) > 1:
        yield "At most one PDF file can be in one request."
    if any(part.pages > MOST_PAGES for part in pdfs):
        yield f"A PDF file can have at most {MOST_PAGES} pages."


def picture_vector(
    parts: Sequence[MediaPart], *, model: str, dimensions: int
) -> npt.NDArray[np.float64]:
    """Return the sum of the pictures' vectors, in whole numbers: near for a re-scaled copy."""
    vector = np.zeros(dimensions)
    for part in parts:
        if part.pixels:
            colours = np.frombuffer(part.pixels, dtype=np.int8).astype(np.float64)
            vector += colours @ _signs(model, dimensions)
    return vector


@cache
def _signs(model: str, dimensions: int) -> npt.NDArray[np.float64]:
    count = 3 * _GRID * _GRID * dimensions
    bits = hashlib.shake_256(f"pictures\0{model}".encode()).digest(-(-count // 8))
    ones = np.unpackbits(np.frombuffer(bits, dtype=np.uint8))[:count]
    return ones.astype(np.float64).reshape(-1, dimensions) * 2 - 1


def _read_picture(data: bytes, mime_type: str, digest: str) -> MediaPart:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  # a text's request needs no PIL

    try:
        with Image.open(io.BytesIO(data), formats=[_IMAGES[mime_type]]) as image:
            small = image.convert("RGB").resize((_GRID, _GRID), Image.Resampling.BOX)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        problem = "Unable to process input image."
        return MediaPart(mime_type=mime_type, sha256=digest, problem=problem)
    pixels = (np.asarray(small, dtype=np.int16) - 128).astype(np.int8).tobytes()
    return MediaPart(mime_type=mime_type, sha256=digest, pixels=pixels)


def _read_pdf(data: bytes, digest: str) -> MediaPart:
    from pypdf import PdfReader  # noqa: PLC0415  # a text's request needs no pypdf
    from pypdf.errors import PyPdfError  # noqa: PLC0415  # likewise

    try:
        pages = PdfReader(io.BytesIO(data)).pages
        text = "\n".join(page.extract_text() for page in pages)
        return MediaPart(mime_type=_PDF, sha256=digest, pages=len(pages), text=text)
    except (PyPdfError, ValueError, KeyError):
        problem = "The document has no pages, or cannot be read."
        return MediaPart(mime_type=_PDF, sha256=digest, problem=problem)


_BLOB: Fields = {"mimeType": read_text, "data": read_text}
