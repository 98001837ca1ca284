"""A chunk's metadata as JSON text: checked on the way in, exactly the same on the way out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from semantic_core.errors import InvalidMetadataError, InvalidTextError
from semantic_core.validation import check_text

# Metadata is read with every hit; what is larger than this belongs into the text or a file.
MOST_BYTES = 1_048_576

# SQLite's JSON functions stop at 1,000 levels, Python's own at its recursion limit.
MOST_LEVELS = 64


def dump_metadata(metadata: Mapping[str, Any], *, what: str = "the metadata") -> str:
    """Return metadata as JSON text that `load_metadata` turns back into equal values.

    Raises:
        InvalidMetadataError: it is not plain JSON (a tuple, a NaN, a key that is no string),
            too deep or too large.
    """
    _check(metadata, what, what, 0)
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidMetadataError(f"{what} cannot be written as JSON: {error}.") from error
    if len(text) > MOST_BYTES or len(text.encode()) > MOST_BYTES:
        raise InvalidMetadataError(
            f"{what} takes more than {MOST_BYTES:,} bytes as JSON. Keep large values in the text "
            "or in a file, and put their path here. Nothing was saved."
        )
    return text


def load_metadata(text: str) -> dict[str, Any]:
    """Return what `dump_metadata` was given."""
    value: dict[str, Any] = json.loads(text)
    return value


def _check(value: object, path: str, what: str, level: int) -> None:
    """Check one value; exact types first, since almost every value is of one."""
    kind = type(value)
    if kind is str:
        _check_text(value, path)
    elif kind is bool or kind is int or value is None:
        return
    elif kind is float:
        if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  # NaN
            raise InvalidMetadataError(
                f"{path} is {value}, which JSON does not have. Leave it out, or use None. "
                "Nothing was saved."
            )
    elif level >= MOST_LEVELS:
        raise InvalidMetadataError(
            f"{what} is nested more than {MOST_LEVELS} levels deep. Flatten it. Nothing was saved."
        )
    elif isinstance(value, Mapping) and isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidMetadataError(
                    f"{path} has the key {key!r}, which is no string. Use str({key!r}). "
                    "Nothing was saved."
                )
            _check_text(key, f"a key of {path}")
            _check(inner, f"{path}[{key!r}]", what, level + 1)
    elif kind is list:
        for position, inner in enumerate(value):  # type: ignore[arg-type]  # a list, by its kind
            _check(inner, f"{path}[{position}]", what, level + 1)
    elif isinstance(value, str):  # a StrEnum, say: comes back as the plain string it is
        _check_text(value, path)
    else:
        raise InvalidMetadataError(
            f"{path} is a {kind.__name__}, which JSON does not have. Use str, int, float, bool, "
            "None, list or dict. Nothing was saved."
        )


def _check_text(text: Any, path: str) -> None:
    try:
        check_text(text, what=path)
    except InvalidTextError as error:
        raise InvalidMetadataError(str(error)) from error
