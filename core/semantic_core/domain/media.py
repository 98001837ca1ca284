"""Pictures and PDF pages: what a user hands in, and what is stored of it."""

import hashlib
import os
from collections.abc import Sequence
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
class LookedMedia(Media):
    """Media whose bytes were looked at: none of a PDF's pages reads the file again."""

    content: str | bytes
    mime_type: str
    sha256: str
    size: int


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
    mime_type: str
    data: bytes = field(repr=False)


def as_media(value: object, *, what: str) -> tuple[Media, ...]:
    """Return what was handed in, one, several or none; or raise `InvalidInputError`."""
    if value is None:
        return ()
    found = (value,) if isinstance(value, Media) else value
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise InvalidInputError(
            f"The media of {what} is a {type(value).__name__}. Pass Media(path) or Media(bytes)."
        )
    for part in found:
        held = part.content if isinstance(part, Media) else None
        if not isinstance(held, str | bytes | os.PathLike):
            raise InvalidInputError(
                f"The media of {what} holds a {type(part if held is None else held).__name__}. "
                "Pass Media(path) or Media(bytes)."
            )
    return tuple(found)


def look_at(media: Media, *, what: str) -> tuple[LookedMedia, bytes]:
    """Read the bytes, once; return what they are, and the bytes themselves.

    Raises:
        UnreadableFileError: there is no such file, or it may not be read.
        InvalidInputError: the bytes are not of the type that is named, or of none known.
    """
    given = media.content
    content = given if isinstance(given, bytes) else str(Path(given).absolute())
    data = content if isinstance(content, bytes) else read_file(content, what=what)
    looked = LookedMedia(
        content=content,
        mime_type=_mime_type(data, media, what=what),
        page=media.page,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
    )
    return looked, data


def stored_media(media: Media, *, what: str) -> tuple[StoredMedia, bytes | None]:
    """Return what is stored of media, and the bytes that have no path; see `look_at`."""
    looked = media if isinstance(media, LookedMedia) else look_at(media, what=what)[0]
    if (looked.mime_type == PDF) != (looked.page is not None):
        raise InvalidInputError(
            f"{what}: " + "a PDF is embedded page by page. Name one: Media(path, page=1)."
            if looked.mime_type == PDF
            else f"{what}: only a PDF has pages, and this is {looked.mime_type}."
        )
    if looked.page is not None and not (isinstance(looked.page, int) and looked.page >= 1):
        raise InvalidInputError(f"{what}: page={looked.page!r}. Pages are whole numbers from 1.")
    content = looked.content
    part = StoredMedia(
        sha256=looked.sha256,
        mime_type=looked.mime_type,
        size=looked.size,
        path=content if isinstance(content, str) else None,
        page=looked.page,
    )
    return part, content if isinstance(content, bytes) else None


def read_file(path: str, *, what: str) -> bytes:
    """Return the bytes of a regular file that may be read, or raise `UnreadableFileError`."""
    try:
        path.encode()
        # Reading a pipe or a device would wait forever.
        if not Path(path).is_file():
            raise FileNotFoundError(None, "there is no such file", path)  # said once, below
        return Path(path).read_bytes()
    except UnicodeEncodeError as error:
        name = os.fsencode(path).decode(errors="backslashreplace")
        raise UnreadableFileError(
            f"{what}: {name} has a name that is no UTF-8 and cannot be stored. Rename it."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        named = what if path in what else f"{what}: {path!r}"
        raise UnreadableFileError(
            f"{named} cannot be read: {reason}. Check that it is there and may be read."
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
