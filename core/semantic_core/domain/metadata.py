"""A chunk's metadata as JSON text: checked on the way in, exactly the same on the way out."""

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from semantic_core.domain.errors import DatabaseCorruptError, InvalidMetadataError
from semantic_core.domain.validation import check_text, is_storable

# Metadata is read with every hit; what is larger than this belongs into the text or a file.
MOST_BYTES = 1_048_576

# SQLite's JSON functions stop at 1,000 levels, Python's own at its recursion limit.
MOST_LEVELS = 64

# For what orjson does not write: whole numbers of more than 64 bits, and keys of the user's classes.
_write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

# Of these orjson refuses what JSON does not have, but for a NUL. Of floats it writes NaN as null.
_FLAT = frozenset({str, int, bool, type(None)})
_NUL = b"\\u0000"

# json.loads() looks for white space around it, which takes as long as reading it.
_read = json.JSONDecoder().raw_decode

# What is checked, then keys and places down to one value; spelled out only for an error.
_Path = tuple[object, ...]


RESULT_KEY = "_semcore"
"""Where the metadata of what a search found tells what one query says of it."""


class FoundMetadata(dict[str, Any]):
    """The metadata of a hit, and beside it what one query says of that hit.

    ``metadata["_semcore"]``, ``metadata.get("_semcore")`` and ``"_semcore" in metadata`` see it.
    Nothing else does: neither equality nor a hash, a loop, JSON, a copy as a plain dict, or what
    saves it. So the same hit of two queries is the same document.
    """

    __slots__ = ("_found",)

    def __init__(self, metadata: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        super().__init__(metadata)
        self._found = dict(found)

    def __missing__(self, key: str) -> Any:
        if key != RESULT_KEY:
            raise KeyError(key)
        return self._found

    def __contains__(self, key: object) -> bool:
        return key == RESULT_KEY or super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default where there is none."""
        return self[key] if key in self else default  # noqa: SIM401  # that would call itself


def copy_metadata(metadata: object, *, what: str = "the metadata") -> dict[str, Any]:
    """Return a shallow copy that may be changed, or raise `InvalidMetadataError`."""
    if not isinstance(metadata, Mapping):
        raise InvalidMetadataError(
            f"{what} is a {type(metadata).__name__}. Use a dict. Nothing was saved."
        )
    return dict(metadata)


def dump_metadata(metadata: Mapping[str, Any], *, what: str = "the metadata") -> str:
    """Return metadata as JSON text that `load_metadata` turns back into equal values.

    Raises:
        InvalidMetadataError: it is not plain JSON (a tuple, a NaN, a key that is not a string),
            too deep or too large.
    """
    if not isinstance(metadata, dict):
        metadata = copy_metadata(metadata, what=what)
    data = _dump_flat(metadata)
    if data is None:
        _check(metadata, (what,), 0)
        try:
            data = orjson.dumps(metadata)
        except orjson.JSONEncodeError:
            try:
                data = _write(metadata).encode()
            except ValueError as error:  # a whole number of thousands of digits
                raise InvalidMetadataError(f"{what} cannot be written as JSON: {error}.") from error
    if len(data) > MOST_BYTES:
        raise _too_large(what)
    return data.decode()


def _dump_flat(metadata: dict[str, Any]) -> bytes | None:
    """Return what most metadata are as JSON, in a third of the time; None: look more closely."""
    if not _FLAT.issuperset(map(type, metadata.values())):
        return None
    try:
        data = orjson.dumps(metadata)
    except orjson.JSONEncodeError:
        return None
    return data if data.find(_NUL) < 0 else None


def load_metadata(text: str) -> dict[str, Any]:
    """Return what `dump_metadata` was given, or raise `DatabaseCorruptError`."""
    try:
        value: dict[str, Any]
        value, end = _read(text)
        if end < len(text):  # white space, or damage
            value = json.loads(text)
    except (TypeError, ValueError) as error:
        raise DatabaseCorruptError.unreadable("Metadata", error) from error
    return value


def _check(value: object, path: _Path, level: int) -> None:
    """Check one value. Subclasses, such as enums and numpy's float64, come back as plain equals."""
    if isinstance(value, str):
        if not is_storable(value):
            check_text(value, what=_spelled(path), kind=InvalidMetadataError)
    elif value is None or isinstance(value, int):
        return
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidMetadataError(
                f"{_spelled(path)} is {value}, which JSON does not have. Leave it out, or use "
                "None. Nothing was saved."
            )
    elif isinstance(value, dict | list):
        _check_items(value, path, level + 1)
    else:
        raise InvalidMetadataError(
            f"{_spelled(path)} is a {type(value).__name__}, which JSON does not have. Use str, "
            "int, float, bool, None, list or dict. Nothing was saved."
        )


def _check_items(values: dict[Any, Any] | list[Any], path: _Path, level: int) -> None:
    if level > MOST_LEVELS:
        raise InvalidMetadataError(
            f"{path[0]} is nested more than {MOST_LEVELS} levels deep. Flatten it. "
            "Nothing was saved."
        )
    if len(values) > MOST_BYTES:  # before each of its items is looked at
        raise _too_large(str(path[0]))
    if isinstance(values, list):
        for position, inner in enumerate(values):
            _check(inner, (*path, position), level)
        return
    for key, inner in values.items():
        if not isinstance(key, str):
            raise InvalidMetadataError(
                f"{_spelled(path)} has the key {key!r}, which is not a string. Use str({key!r}). "
                "Nothing was saved."
            )
        if not is_storable(key):
            check_text(key, what=f"a key of {_spelled(path)}", kind=InvalidMetadataError)
        _check(inner, (*path, key), level)


def _spelled(path: _Path) -> str:
    return str(path[0]) + "".join(f"[{part!r}]" for part in path[1:])


def _too_large(what: str) -> InvalidMetadataError:
    return InvalidMetadataError(
        f"{what} takes more than {MOST_BYTES:,} bytes as JSON. Keep large values in the text or "
        "in a file, and put their path here. Nothing was saved."
    )
