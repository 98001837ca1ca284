"""The result file of a batch job: lines in any order, each one checked before it is trusted."""

import hashlib
import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from semantic_core.domain.errors import InvalidVectorError
from semantic_core.domain.pages import pages
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.validation import floats_at_once
from semantic_core.providers.gemini.fields import number_in, object_in
from semantic_core.providers.gemini.line_errors import CUT, find_error, is_full, too_long
from semantic_core.providers.types import ResultLine
from semantic_core.providers.wire.vectors import normalize, to_vector

# A number of a vector has up to 25 characters, and the largest vector Gemini makes 3,072 of
# them: every honest line is shorter, whatever size was asked for. The cap is checked before
# parsing, so that no line can fill the memory.
LONGEST_LINE = 32 * 8192 + 65_536

# Our own keys have 64 characters; a page of lines must not fill the memory with others.
_LONGEST_KEY = 256

# The spellings of a line's key that have been seen or documented.
_KEY_NAMES = ("key", "custom_id", "request_id")

# What numpy needs for a few lines is hardly more than for one; so few fill no memory.
_AT_ONCE = 16

# The text itself may be fine, so it may be sent again, within its budget.
_unusable = partial(ResultLine, is_transient=True)

_KEY = re.compile(rb'"(?:key|custom_id|request_id)"\s*:\s*"([^"\\]*)"')


def read_results(source: Path | BinaryIO, *, spec: EmbeddingSpec) -> Iterator[ResultLine]:
    r"""Read a result file line by line, in bounded memory.

    No content makes it raise: a line that cannot be used becomes a `ResultLine` with an ``error``.
    Lines end at ``\n`` only; blank ones are skipped. Keys may come twice, or be of nobody: that is
    the caller's to judge. A stream that is passed in stays open.
    """
    with _opened(source) as stream:
        for lines in pages(_lines(stream), _AT_ONCE):
            yield from _read_usual(lines, spec) or [_read_line(line, spec) for line in lines]


def trusted_results(path: Path, spec: EmbeddingSpec) -> Iterator[ResultLine]:
    """Read a result file as `read_results` does; of two vectors for one key neither is given."""
    conflicting = find_conflicting_keys(path)
    for line in read_results(path, spec=spec):
        if line.vector is not None and line.key in conflicting:
            error = "two different vectors came back"
            yield line._replace(vector=None, error=error, is_transient=True)
        else:
            yield line


def find_conflicting_keys(path: Path) -> frozenset[str]:
    """Return the keys that have two different vectors in the file: neither is to be trusted.

    Takes one quick pass over the file and, where a key does come twice, a second one.
    """
    with _opened(path) as stream:
        counts = Counter(map(_quick_key, _lines(stream)))
    repeated = {key for key, count in counts.items() if key is not None and count > 1}
    if not repeated:
        return frozenset()
    seen: dict[str, bytes] = {}
    conflicting = set()
    with _opened(path) as stream:
        for line in _lines(stream):
            key = _quick_key(line)
            if key is None or key not in repeated:
                continue
            record = _parse(line)
            if record is None or find_error(record) is not None:
                continue
            try:
                numbers = array("d", _find_values(record))
            except (TypeError, OverflowError):
                continue
            digest = hashlib.sha256(numbers).digest()
            if seen.setdefault(key, digest) != digest:
                conflicting.add(key)
    return frozenset(conflicting)


def _quick_key(line: bytes | None) -> str | None:
    """Return a line's key; parse it only where a look does not make it certain."""
    # All that is left out are numbers, which are most of a line.
    head, name, rest = (line or b"").partition(b'values":[')
    found: list[bytes] = _KEY.findall(head + name + rest[rest.find(b'"') :])
    if len(found) == 1 and len(found[0]) <= _LONGEST_KEY:
        return found[0].decode("utf-8", "replace")
    record = _parse(line)
    return None if record is None else _find_key(record)


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(source, os.PathLike):
        # A line of 768 numbers is longer than Python's own buffer.
        with source.open("rb", buffering=1 << 20) as stream:
            yield stream
    else:
        yield source


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield each line that is not blank, or None in place of one that is too long."""
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            if not line.isspace():
                yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST_LINE)
        yield None


def _read_usual(lines: Sequence[bytes | None], spec: EmbeddingSpec) -> list[ResultLine] | None:
    """Return what `_read_line` does, in less time, or None: a line is not as nearly all are."""
    found: list[tuple[str | None, int | None]] = []

    def rows() -> Iterator[Any]:
        for line in lines:
            record = _parse(line) or {}
            key, response = _find_key(record), object_in(record, "response")
            tokens, embedding = _find_token_count(response), object_in(response, "embedding")
            found.append((key, tokens))
            # With so few fields there is none left for an error, or for a word of a cut.
            more = len(record) - (key is not None), len(response) - (tokens is not None)
            is_usual = more == (1, 1) and len(embedding) == 1 and not is_full(tokens, spec)
            yield embedding.get("values") if is_usual else None

    floats = floats_at_once(rows(), spec.dimensions or 0)
    if floats is None:
        return None
    vectors = normalize(floats) if spec.normalized else floats
    return [ResultLine(key, row, tokens) for (key, tokens), row in zip(found, vectors, strict=True)]


def _read_line(line: bytes | None, spec: EmbeddingSpec) -> ResultLine:
    record = _parse(line)
    if record is None:
        too_large = f"the line has more than {LONGEST_LINE:,} bytes"
        error = too_large if line is None else "the line is not a JSON object"
        return _unusable(key=None, error=error)
    key = _find_key(record)
    if refusal := find_error(record):
        return refusal._replace(key=key)
    values, tokens = _find_values(record), _find_token_count(object_in(record, "response"))
    if not isinstance(values, list):
        error = "the line holds neither a vector nor an error"
        return _unusable(key=key, error=error, token_count=tokens)
    try:
        vector = to_vector(values, spec=spec, what="the line")
    except InvalidVectorError as misfit:
        return _unusable(
            key=key,
            error=str(misfit),
            token_count=tokens,
            is_wrong_size=len(values) != spec.dimensions,
        )
    if _is_truncated(record) or is_full(tokens, spec):
        # It was billed, and is the vector of another text than the one that was sent.
        return ResultLine(key=key, error=too_long(spec, CUT), token_count=tokens)
    return ResultLine(key=key, vector=vector, token_count=tokens)


def _is_truncated(record: dict[str, Any]) -> bool:
    """Return whether the provider says that it embedded only the beginning."""
    response = object_in(record, "response")
    holders = [response, object_in(response, "embedding"), *_several(response)]
    said = [*holders, *(object_in(holder, "statistics") for holder in holders)]
    return any(isinstance(one, dict) and one.get("truncated") is True for one in said)


def _several(holder: dict[str, Any]) -> list[Any]:
    several = holder.get("embeddings")
    return several if isinstance(several, list) else []


def _parse(line: bytes | None) -> dict[str, Any] | None:
    line = line or b""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        # The standard library takes NaN and lone surrogates: worth it for the line's key.
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return None
    return record if isinstance(record, dict) else None


def _find_key(record: dict[str, Any]) -> str | None:
    for candidate in (*map(record.get, _KEY_NAMES), object_in(record, "metadata").get("key")):
        # The standard library lets lone surrogates pass, which no database takes.
        if (
            isinstance(candidate, str)
            and len(candidate) <= _LONGEST_KEY
            and candidate.isprintable()
        ):
            return candidate
    return None


def _find_values(record: dict[str, Any]) -> Any:
    for holder in (object_in(record, "response"), record):
        several = _several(holder)
        # One text has one vector: of several, none is known to be its own.
        for candidate in (holder.get("embedding"), *(several if len(several) == 1 else ())):
            if isinstance(candidate, dict) and "values" in candidate:
                return candidate["values"]
    return None


def _find_token_count(response: dict[str, Any]) -> int | None:
    count = number_in(response, "tokenCount")
    if count is None:
        return number_in(object_in(response, "usageMetadata"), "promptTokenCount")
    return count
