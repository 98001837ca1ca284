"""Input files: JSONL, one request a line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from batch_emulator.messages import FieldError, read_text
from batch_emulator.replies import ApiError
from batch_emulator.validation import EmbedRequest, read_embed_request

_MOST_ERRORS = 20


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


def read_input(parts: Iterator[bytes]) -> list[InputLine]:
    """Read an input file, whose blank lines count for nothing.

    Raises:
        ApiError: 400, naming the lines that are no requests: Google then refuses the whole file.
    """
    lines: list[InputLine] = []
    problems: list[str] = []
    for number, raw in enumerate(_split_lines(parts), start=1):
        if not raw.strip():
            continue
        try:
            lines.append(_read_line(raw))
        except FieldError as error:
            problems.append(_words_for(error, number, raw))
            if len(problems) >= _MOST_ERRORS:
                break
    if problems:
        raise ApiError(400, "\n".join(problems))
    if not lines:
        raise ApiError(400, "The input file holds no requests.")
    return lines


def _read_line(line: bytes) -> InputLine:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise FieldError(str(error)) from error
    if not isinstance(value, dict):
        raise FieldError("expected an object")
    key = value.pop("key", None)
    if key is not None:
        read_text(key, "key")
    if not isinstance(value.get("request"), dict):
        raise FieldError("missing field: 'request'", name="request")
    return InputLine(
        key=key, request=read_embed_request(value.pop("request"), "request"), extras=value
    )


def _words_for(error: FieldError, number: int, line: bytes) -> str:
    column = line.find(f'"{error.name}"'.encode()) + 1 if error.name else 1
    return f"Error on line {number}: invalid JSON, near column {max(column, 1)}: {error}"


def _split_lines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Split on line feeds only: other Unicode line ends may stand in a text."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    if rest:
        yield rest
