"""Pictures and PDF pages: what a user hands in, and what is stored of it."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from semantic_core.domain.errors import DatabaseCorruptError, InvalidInputError, UnreadableFileError

PDF = "application/pdf"

# What files begin with (the PNG and PDF specifications, JPEG's SOI, and so on): a name may lie.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"%PDF-": PDF,
    b"GIF8": "image/gif",
    b"RIFF": "image/webp, audio/wav or video/avi",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"OggS": "audio/ogg",
    b"\x1aE\xdf\xa3": "video/webm",
}


@dataclass(frozen=True, slots=True)
class Media:
    """A picture, or a page of a PDF, that is embedded together with a text.

    Attributes:
        content: a path, of which reference and digest are kept: the file is read again when it is
            sent; or the bytes, which are kept in the database. No URL is ever fetched.
        mime_type: such as ``image/png``; told from the bytes if absent.
        page: of a PDF, from 1. A document's PDF without one is cut into its pages.
    """

    content: str | os.PathLike[str] | bytes = field(repr=False)
    mime_type: str | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMedia:
    """What is stored of a picture or page.

    Attributes:
        sha256: hex digest of its bytes; of a page, of the whole file.
        mime_type: what it is.
        size: bytes of the file.
        path: where the file is, or None where the bytes are in the database.
        page: of a PDF, from 1.
    """

    sha256: str
    mime_type: str
    size: int
    path: str | None = None
    page: int | None = None

    @property
    def identity(self) -> str:
        """What a vector depends on: which bytes, and which page of them."""
        return self.sha256 if self.page is None else f"{self.sha256}#{self.page}"

    @property
    def name(self) -> str | None:
        """The file's name, by which it is found; None for bytes."""
        return None if self.path is None else os.path.basename(self.path)  # noqa: PTH119  # of any system


@dataclass(frozen=True, slots=True)
class MediaBytes:
    """A picture or page as it is sent."""

    mime_type: str
    data: bytes = field(repr=False)


def as_media(value: object, *, what: str) -> tuple[Media, ...]:
    """Return what was handed in as media: one, several or none.

    Raises:
        InvalidInputError: it is something else.
    """
    if value is None:
        return ()
    found = (value,) if isinstance(value, Media) else value
    if isinstance(found, str | bytes) or not isinstance(found, Iterable):
        raise InvalidInputError(
            f"The media of {what} is a {type(value).__name__}. Pass Media(path) or Media(bytes)."
        )
    parts = tuple(found)
    for part in parts:
        if not isinstance(part, Media):
            raise InvalidInputError(
                f"The media of {what} holds a {type(part).__name__}. Pass Media(path) or "
                "Media(bytes)."
            )
    return parts


def stored_media(media: Media, *, what: str) -> tuple[StoredMedia, bytes | None]:
    """Look at the bytes; return what is stored of them, and the bytes that have no path.

    Raises:
        UnreadableFileError: there is no such file, or it may not be read.
        InvalidInputError: the bytes are not of the type that is named, or of none known.
    """
    if isinstance(media.content, bytes):
        data, path = media.content, None
    else:
        path = str(Path(media.content).absolute())
        data = read_file(path, what=what)
    mime_type = _mime_type(data, media, what=what)
    if (mime_type == PDF) != (media.page is not None):
        raise InvalidInputError(
            f"{what}: " + "a PDF is embedded page by page. Name one: Media(path, page=1)."
            if mime_type == PDF
            else f"{what}: only a PDF has pages, and this is {mime_type}."
        )
    if media.page is not None and not (isinstance(media.page, int) and media.page >= 1):
        raise InvalidInputError(f"{what}: page={media.page!r}. Pages are whole numbers from 1.")
    digest = hashlib.sha256(data).hexdigest()
    part = StoredMedia(
        sha256=digest, mime_type=mime_type, size=len(data), path=path, page=media.page
    )
    return part, data if path is None else None


def read_file(path: str, *, what: str) -> bytes:
    """Return a file's bytes.

    Raises:
        UnreadableFileError: it is gone, is no regular file, or may not be read.
    """
    try:
        # Reading a pipe or a device would wait forever.
        if not Path(path).is_file():
            raise FileNotFoundError(None, "there is no such file", path)  # said once, below
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFileError(
            f"{what}: {path!r} cannot be read: {reason}. Check that it is there and may be read."
        ) from error


def dump_media(parts: Sequence[StoredMedia]) -> str | None:
    """Return them as JSON text; None for none."""
    if not parts:
        return None
    known = [
        {key: value for key, value in asdict(part).items() if value is not None} for part in parts
    ]
    return orjson.dumps(known).decode()


def load_media(text: str | None) -> tuple[StoredMedia, ...]:
    """Read what `dump_media` wrote, or raise `DatabaseCorruptError`."""
    if text is None:
        return ()
    try:
        values: list[dict[str, Any]] = orjson.loads(text)
        return tuple(StoredMedia(**value) for value in values)
    except (TypeError, ValueError) as error:
        raise DatabaseCorruptError.unreadable("The media of a chunk", error) from error


def sent_bytes(text: str | None) -> int:
    """Return about how many bytes of a request media take, which is sent as base64.

    A page's own are known once it is cut out of its PDF; few have more than a megabyte.
    """
    return sum(
        -(-4 * (part.size if part.page is None else min(part.size, 1_000_000)) // 3)
        for part in load_media(text)
    )


def _mime_type(data: bytes, media: Media, *, what: str) -> str:
    found = next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), None)
    if data[4:8] == b"ftyp":
        found = "video/mp4 or audio/mp4"
    if found is None:
        raise InvalidInputError(
            f"{what}: these {len(data):,} bytes are no picture and no PDF. Pass a PNG or JPEG "
            "picture, or a page of a PDF."
        )
    if media.mime_type not in (None, found):
        raise InvalidInputError(f"{what}: the bytes are {found}, not {media.mime_type!r}.")
    return found
