"""What the API's messages hold, and what it objects to in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from batch_emulator.config import ModelInfo
from batch_emulator.media import TOKENS_PER_PICTURE, MediaPart, objections, read_inline_data
from batch_emulator.messages import (
    FieldError,
    Fields,
    list_of,
    message_of,
    read_anything,
    read_bool,
    read_int,
    read_message,
    read_text,
)
from batch_emulator.replies import ApiError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRequest:
    """One content to embed, as a request asks for it."""

    text: str
    model: str | None
    task_type: str | None
    title: str | None
    dimensions: int | None
    parts: int
    media: tuple[MediaPart, ...] = ()

    @property
    def embedded_text(self) -> str:
        """The text the vector stands for."""
        return f"{self.title}\n{self.text}" if self.title else self.text

    @property
    def identity(self) -> str:
        """What the ledger knows it by: its text, and the digests of what is none."""
        return "\0".join([self.embedded_text, *(part.sha256 for part in self.media)])

    @property
    def media_tokens(self) -> int:
        """Tokens of its pictures and pages."""
        return TOKENS_PER_PICTURE * sum(part.pages for part in self.media)


def read_embed_request(value: Any, path: str) -> EmbedRequest:
    """Read an EmbedContentRequest; its newer ``embedContentConfig`` counts like its own fields.

    Raises:
        FieldError: it is none.
    """
    found = read_message(value, _EMBED_REQUEST, path)
    nested = found.pop("embedContentConfig", {})
    twice = sorted(nested.keys() & found.keys())
    if twice:
        raise FieldError(f"field '{twice[0]}' is given more than once", name=twice[0], path=path)
    found |= nested
    parts = found.get("content", {}).get("parts", [])
    task = found.get("taskType")
    return EmbedRequest(
        text="\n".join(part["text"] for part in parts if "text" in part),
        model=found.get("model"),
        task_type=None if task == TASK_TYPES[0] else task,
        title=found.get("title") or None,
        dimensions=found.get("outputDimensionality") or None,
        parts=len(parts),
        media=tuple(part["inlineData"] for part in parts if "inlineData" in part),
    )


def objection(request: EmbedRequest, *, model: str, info: ModelInfo) -> str | None:
    """Return why the model does not embed this request, in a sentence, or None."""
    return next(_objections(request, model=model, info=info), None)


def _objections(request: EmbedRequest, *, model: str, info: ModelInfo) -> Iterator[str]:
    if request.model not in (None, f"models/{model}"):
        yield f"The request's model {request.model} is not models/{model}, which the call names."
    if not request.parts:
        yield "content is required and must have at least one part."
    yield from objections(request.media, model=model, takes_media=info.takes_media)
    if not request.text.strip() and not request.media:
        yield "content is empty: there is no text to embed."
    if request.dimensions is not None and not 1 <= request.dimensions <= info.largest_dimensions:
        yield f"output_dimensionality must be between 1 and {info.largest_dimensions}."
    if request.task_type is not None and not info.takes_task:
        yield f"task_type is not supported by models/{model}."
    if request.title is not None and request.task_type != "RETRIEVAL_DOCUMENT":
        yield "title is only supported with task_type RETRIEVAL_DOCUMENT."
    tokens = info.tokens(request.embedded_text) + request.media_tokens
    if tokens > info.token_limit:
        yield (
            f"The input token count ({tokens}) exceeds the maximum number of tokens allowed "
            f"({info.token_limit})."
        )


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


def _read_task(value: Any, path: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(TASK_TYPES):
        return TASK_TYPES[value]
    if value not in TASK_TYPES:
        raise FieldError(f"unknown task type {value!r}", path=path)
    return cast("str", value)


_PART: Fields = {"text": read_text, "inlineData": read_inline_data}
_CONTENT: Fields = {"parts": list_of(message_of(_PART)), "role": read_text}
_EMBED_CONFIG: Fields = {
    "taskType": _read_task,
    "title": read_text,
    "outputDimensionality": read_int,
    "autoTruncate": read_bool,
}
_EMBED_REQUEST: Fields = {
    "model": read_text,
    "content": message_of(_CONTENT),
    "taskType": _read_task,
    "title": read_text,
    "outputDimensionality": read_int,
    "embedContentConfig": message_of(_EMBED_CONFIG),
}

LIVE_BODY: Fields = {"requests": list_of(read_embed_request)}

_FILE: Fields = {
    "name": read_text,
    "displayName": read_text,
    "mimeType": read_text,
    "sizeBytes": read_int,
}
UPLOAD_BODY: Fields = {"file": message_of(_FILE)}

_INPUT: Fields = {"fileName": read_text, "requests": read_anything}
_BATCH: Fields = {
    "name": read_text,
    "model": read_text,
    "displayName": read_text,
    "inputConfig": message_of(_INPUT),
    "priority": read_int,
}
CREATE_BODY: Fields = {"batch": message_of(_BATCH)}
