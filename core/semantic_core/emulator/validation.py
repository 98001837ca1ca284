"""Reads JSON as strictly as Google does: known fields only, each once, of the right type.

Field names may be camelCase or snake_case, as protobuf's JSON allows; null means absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from semantic_core.emulator.config import ModelInfo
from semantic_core.emulator.embedding import count_tokens
from semantic_core.emulator.replies import ApiError

MOST_LIVE_REQUESTS = 100

TASK_TYPES = (
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
)

_FILE_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_UPPER = re.compile(r"[A-Z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One text to embed, as a request asks for it."""

    text: str
    model: str | None
    task_type: str | None
    title: str | None
    dimensions: int | None
    parts: int

    @property
    def embedded_text(self) -> str:
        """The text the vector stands for."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLine:
    """One line of an input file.

    Attributes:
        key: the caller's key, or None where the line has none.
        request: what to embed.
        extras: other top-level fields; Google hands them back with the result.
    """

    key: str | None
    request: EmbedRequest
    extras: dict[str, Any]


class FieldError(Exception):
    """A value does not fit its message.

    Attributes:
        name: the field.
        path: where it stands, outermost field first.
        is_unknown: there is no such field.
    """

    def __init__(
        self, message: str, *, name: str, path: str = "", is_unknown: bool = False
    ) -> None:
        super().__init__(message)
        self.name = name
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
        raise FieldError("expected an object", name=path, path=path)
    found: dict[str, Any] = {}
    for name, given in value.items():
        camel = name if name in fields else _camel_name(name)
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


def read_line(line: bytes) -> InputLine:
    """Read one line of an input file.

    Raises:
        FieldError: the line is no such message.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise FieldError(str(error), name="") from error
    if not isinstance(value, dict):
        raise FieldError("expected an object", name="")
    key = value.pop("key", None)
    if key is not None:
        _read_text(key, "key")
    if not isinstance(value.get("request"), dict):
        raise FieldError("missing field: 'request'", name="request")
    return InputLine(
        key=key, request=read_embed_request(value.pop("request"), "request"), extras=value
    )


def line_error(number: int, line: bytes, error: FieldError) -> str:
    """Return Google's words for a line it cannot read; `number` counts from 1."""
    column = line.find(f'"{error.name}"'.encode()) + 1 if error.name else 1
    return f"Error on line {number}: invalid JSON, near column {max(column, 1)}: {error}"


def read_embed_request(value: Any, path: str) -> EmbedRequest:
    """Read an EmbedContentRequest; its newer ``embedContentConfig`` counts like its own fields.

    Raises:
        FieldError: it is none.
    """
    found = read_message(value, _EMBED_REQUEST, path)
    nested = found.pop("embedContentConfig", {})
    for name in nested.keys() & found.keys():
        raise FieldError(f"field '{name}' is given more than once", name=name, path=path)
    found |= nested
    parts = found.get("content", {}).get("parts", [])
    task = found.get("taskType")
    return EmbedRequest(
        text="\n".join(part.get("text", "") for part in parts),
        model=found.get("model"),
        task_type=None if task == TASK_TYPES[0] else task,
        title=found.get("title") or None,
        dimensions=found.get("outputDimensionality") or None,
        parts=len(parts),
    )


def objection(request: EmbedRequest, *, model: str, info: ModelInfo) -> str | None:
    """Return why the model does not embed this request, in a sentence, or None."""
    if request.model not in (None, f"models/{model}"):
        return f"The request's model {request.model} is not models/{model}, which the call names."
    if not request.parts:
        return "content is required and must have at least one part."
    if not request.text.strip():
        return "content is empty: there is no text to embed."
    if request.dimensions is not None and not 1 <= request.dimensions <= info.largest_dimensions:
        return f"output_dimensionality must be between 1 and {info.largest_dimensions}."
    if request.task_type is not None and not info.takes_task:
        return f"task_type is not supported by models/{model}."
    if request.title is not None and request.task_type != "RETRIEVAL_DOCUMENT":
        return "title is only supported with task_type RETRIEVAL_DOCUMENT."
    tokens = count_tokens(request.embedded_text)
    if tokens > info.token_limit:
        return (
            f"The input token count ({tokens}) exceeds the maximum number of tokens allowed "
            f"({info.token_limit})."
        )
    return None


def check_file_id(file_id: str, request_name: str) -> None:
    """Check a caller's file id.

    Raises:
        ApiError: 400, in Google's words.
    """
    check_file_id_length(file_id, request_name)
    if not _FILE_ID.fullmatch(file_id):
        raise ApiError(
            400,
            f"* {request_name}: File ID (name excluding 'files/') may only contain lowercase "
            "alphanumeric characters or dashes (-), and cannot begin or end with a dash.\n",
        )


def check_file_id_length(file_id: str, request_name: str) -> None:
    """Check the length Google allows; its own result files are longer.

    Raises:
        ApiError: 400, in Google's words.
    """
    if len(file_id) > 40:
        raise ApiError(
            400,
            f"* {request_name}: File ID (name excluding 'files/') cannot be more than 40 "
            "characters.\n",
        )


def read_page_size(text: str | None, *, largest: int, default: int) -> int:
    """Read a ``pageSize``; like Google, more than the largest gives the largest.

    Raises:
        ApiError: 400, it is no number.
    """
    if not text:
        return default
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise ApiError(400, f"Invalid value at 'page_size' (TYPE_INT32), \"{text}\"")
    size = int(text)
    if size < 0:
        raise ApiError(400, "page_size must not be negative.")
    return min(size, largest) or default


def _camel_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _snake_name(path: str) -> str:
    return _UPPER.sub(lambda match: "_" + match.group().lower(), path)


def _read_text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise FieldError(f"expected a string at '{path}'", name=path.rpartition(".")[2], path=path)
    return value


def _read_bool(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise FieldError(f"expected a bool at '{path}'", name=path.rpartition(".")[2], path=path)
    return value


def _read_int(value: Any, path: str) -> int:
    """Read an integer; protobuf's JSON takes it as a number or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    raise FieldError(f"expected an integer at '{path}'", name=path.rpartition(".")[2], path=path)


def _read_task(value: Any, path: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(TASK_TYPES):
        return TASK_TYPES[value]
    if value not in TASK_TYPES:
        raise FieldError(f"unknown task type {value!r}", name=path.rpartition(".")[2], path=path)
    return cast("str", value)


def _read_anything(value: Any, path: str) -> Any:
    del path
    return value


def _message(fields: Fields) -> Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        return read_message(value, fields, path)

    return read


def _list_of(reader: Reader) -> Reader:
    def read(value: Any, path: str) -> list[Any]:
        if not isinstance(value, list):
            raise FieldError(
                f"expected a list at '{path}'", name=path.rpartition(".")[2], path=path
            )
        return [reader(one, f"{path}[{number}]") for number, one in enumerate(value)]

    return read


_PART: Fields = {"text": _read_text}
_CONTENT: Fields = {"parts": _list_of(_message(_PART)), "role": _read_text}
_EMBED_CONFIG: Fields = {
    "taskType": _read_task,
    "title": _read_text,
    "outputDimensionality": _read_int,
    "autoTruncate": _read_bool,
}
_EMBED_REQUEST: Fields = {
    "model": _read_text,
    "content": _message(_CONTENT),
    "taskType": _read_task,
    "title": _read_text,
    "outputDimensionality": _read_int,
    "embedContentConfig": _message(_EMBED_CONFIG),
}

LIVE_BODY: Fields = {"requests": _list_of(read_embed_request)}

_FILE: Fields = {
    "name": _read_text,
    "displayName": _read_text,
    "mimeType": _read_text,
    "sizeBytes": _read_int,
}
UPLOAD_BODY: Fields = {"file": _message(_FILE)}

_INPUT: Fields = {"fileName": _read_text, "requests": _read_anything}
_BATCH: Fields = {
    "name": _read_text,
    "model": _read_text,
    "displayName": _read_text,
    "inputConfig": _message(_INPUT),
    "priority": _read_int,
}
CREATE_BODY: Fields = {"batch": _message(_BATCH)}
