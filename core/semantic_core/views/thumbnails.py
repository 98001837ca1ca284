"""Thumbnails of pictures: few, small, and of nothing but the bytes that were stored."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

from semantic_core.domain.errors import SemanticCoreError
from semantic_core.domain.media import StoredMedia
from semantic_core.views import html
from semantic_core.views.html import Html
from semantic_core.views.wording import media_name

# Bytes of one: a notebook is saved with all that it shows.
MOST_BYTES = 60_000

_SIDE = 160
_MOST_PIXELS = 50_000_000
_KINDS = {"image/png": "PNG", "image/jpeg": "JPEG"}


def thumbnail(part: StoredMedia, read: Callable[[StoredMedia], bytes]) -> Html:
    """Return a small picture and its name; or its name and why it is not shown."""
    name, kind = media_name(part), _KINDS.get(part.mime_type)
    if kind is None:
        return html.line(name)
    data = _stored_bytes(part, read)
    if isinstance(data, str):
        return html.line(f"{name} ({data})")
    kind, small = _scaled(data, kind)
    if not 0 < len(small) <= MOST_BYTES:
        return html.line(f"{name} (too large to be shown)")
    shown = part.name or name
    picture = html.picture(small, f"image/{kind.lower()}", name=shown, side=_SIDE)
    return Html(picture + html.line(shown))


def _stored_bytes(part: StoredMedia, read: Callable[[StoredMedia], bytes]) -> bytes | str:
    try:
        # Before it is read: it may be another file by now, of any size.
        if part.path is not None and Path(part.path).stat().st_size != part.size:
            return "the file was changed"
        data = read(part)
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError, SemanticCoreError):
        return "cannot be read"
    return data if hashlib.sha256(data).hexdigest() == part.sha256 else "the file was changed"


def _scaled(data: bytes, kind: str) -> tuple[str, bytes]:
    """Return a picture scaled down, and its kind: as it is without pillow, nothing if it is too large."""
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415  # an extra's
    except ImportError:
        return kind, data
    try:
        with Image.open(io.BytesIO(data), formats=[kind]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return kind, b""
            image.thumbnail((_SIDE, _SIDE))
            ImageOps.exif_transpose(image, in_place=True)
            is_clear = image.has_transparency_data
            mode, small_kind = ("RGBA", "PNG") if is_clear else ("RGB", "JPEG")
            written = io.BytesIO()
            image.convert(mode).save(written, small_kind)
    except Exception:  # noqa: BLE001  # nobody knows what a damaged picture raises
        return kind, data
    return small_kind, written.getvalue()
