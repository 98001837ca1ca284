"""Reads JSON as protobuf does: known fields only, each once, of the right type.

Field names may be camelCase or snake_case; null means absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from batch_emulator.replies import ApiError

_UPPER = re.compile(r"[A-Z]")


class FieldError(Exception):
    """A value does not fit its message.

    Attributes:
        name: the field as it was spelled; by default the last one of the path.
        path: where it is, outermost field first.
        is_unknown: there is no such field.
    """

    def __init__(
        self, message: str, *, path: str = "", name: str | None = None, is_unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.name = path.rpartition(".")[2] if name is None else name
        self.path = path
        self.is_unknown = is_unknown


Reader = Callable[[Any, str], Any]
Fields = Mapping[str, Reader]


def read_message(value: Any, fields: Fields, path: str = "") -> dict[str, Any]:
    """Return a message's values by camelCase name.

    Raises:
        FieldError: a field is unknown, given in both spellings, or of the wrong type.
    """
    if not isinstance(value, dict):
        raise FieldError("expected an object", path=path)
    found: dict[str, Any] = {}
    for name, given in value.items():
        camel = name if name in fields else camel_name(name)
        reader = fields.get(camel)
        if reader is None:
            raise FieldError(f"no such field: '{name}'", name=name, path=path, is_unknown=True)
        if camel in found:
            raise FieldError(f"field '{camel}' is given more than once", name=name, path=path)
        if given is not None:
            found[camel] = reader(given, f"{path}.{camel}" if path else camel)
    return found


def read_body(body: bytes, fields: Fields) -> dict[str, Any]:
    """Read a request body.

    Raises:
        ApiError: 400, in the words Google uses for bodies.
    """
    try:
        value = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"Invalid JSON payload received. {error}") from error
    try:
        return read_message(value, fields)
    except FieldError as error:
        place = f" at '{_snake_name(error.path)}'" if error.path else ""
        text = (
            f'Invalid JSON payload received. Unknown name "{error.name}"{place}: Cannot find field.'
            if error.is_unknown
            else f"Invalid value{place}: {error}"
        )
        violation = {"field": _snake_name(error.path), "description": text}
        details = [
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        ]
        raise ApiError(400, text, details=details) from error


def camel_name(name: str) -> str:
    """Return a snake_case name in camelCase, as protobuf's JSON names it."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _snake_name(path: str) -> str:
    return _UPPER.sub(lambda match: "_" + match.group().lower(), path)


def read_text(value: Any, path: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise FieldError(f"expected a string at '{path}'", path=path)
    return value


def read_bool(value: Any, path: str) -> bool:
    """Read a bool."""
    if not isinstance(value, bool):
        raise FieldError(f"expected a bool at '{path}'", path=path)
    return value


def read_int(value: Any, path: str) -> int:
    """Read an integer; protobuf's JSON takes it as a number or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    raise FieldError(f"expected an integer at '{path}'", path=path)


def read_anything(value: Any, path: str) -> Any:
    """Read a value that is judged later."""
    del path
    return value


def message_of(fields: Fields) -> Reader:
    """Return a reader of an object with these fields."""

    def read(value: Any, path: str) -> dict[str, Any]:
        return read_message(value, fields, path)

    return read


def list_of(reader: Reader) -> Reader:
    """Return a reader of a list of such values."""

    def read(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise FieldError(f"expected a list at '{path}'", path=path)
        return [reader(one, f"{path}[{number}]") for number, one in enumerate(value)]

    return read
