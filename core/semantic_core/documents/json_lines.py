"""A collection as JSON Lines: what it is, then a line a chunk, then how many there were.

A file of another tool has neither the first line nor the last.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from semantic_core.database.strategies import Collection, Sql
from semantic_core.documents.moving import PAGE, Row
from semantic_core.domain.errors import InvalidInputError, StorageError, UnreadableFileError
from semantic_core.domain.leftovers import new_file, remove_abandoned, sync
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk, StoredChunk, Vector
from semantic_core.domain.validation import check_vector
from semantic_core.store import BaseVectorStore
from semantic_core.store.reading.read import read_embedded

_FORMAT, _VERSION = "semcore", 1  # of the first line
_END = "semcore_rows"  # of the last

_FIELDS = ("id", "document_id", "text", "metadata", "vector", "vector_source", "payload")
_REFUSED = "error_message"  # why a text will get no vector

# Bytes of a line: more than text, metadata and vector may take together.
_LONGEST = 2**28


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the first line says: which collection it was, and what made its vectors."""

    collection: str
    spec: EmbeddingSpec
    languages: list[str]
    provenance: str | None


def write_json_lines(
    store: BaseVectorStore,
    collection: Collection,
    path: Path,
    *,
    tell: Callable[[int], object] = lambda _: None,
) -> tuple[int, int]:
    """Write a collection to a file, which is there whole or not at all; ``tell`` counts its rows.

    Returns:
        How many chunks were written, and how many with pictures, which no row holds, were left out.

    Raises:
        StorageError: the file cannot be written.
    """
    new = path.with_name(f"{path.name}.new")
    try:
        remove_abandoned(new)
        # It holds the user's texts: nobody else may read it.
        with new_file(new) as descriptor:
            if descriptor is None:
                raise StorageError(f"{new} is there: another export writes {path}. Wait for it.")
            with open(descriptor, "wb", closefd=False) as file:
                counts = _write(store, collection, file, tell)
            sync(new)
            new.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}. Nothing of it was kept."
        ) from error
    return counts


def _write(
    store: BaseVectorStore, collection: Collection, file: IO[bytes], tell: Callable[[int], object]
) -> tuple[int, int]:
    head = Head(
        collection=collection.name,
        spec=collection.spec,
        languages=list(collection.languages),
        provenance=store.meta("provenance"),
    )
    file.write(_line({_FORMAT: _VERSION, **asdict(head)}))
    rows = left_out = 0
    for chunk, vector in _stored(store, collection):
        if chunk.media:
            left_out += 1
            continue
        line = _line(_row(chunk))
        if vector is not None:
            # Numbers of 64 bits come back bit by bit, and orjson writes them ten times as fast.
            numbers = orjson.dumps(vector.astype(np.float64), option=orjson.OPT_SERIALIZE_NUMPY)
            line = line.removesuffix(b"}\n") + b', "vector": ' + numbers + b"}\n"
        file.write(line)
        rows += 1
        if rows % PAGE == 0:
            tell(rows)
    file.write(_line({_END: rows}))
    return rows, left_out


def _stored(
    store: BaseVectorStore, collection: Collection
) -> Iterator[tuple[StoredChunk, Vector | None]]:
    """Yield each chunk with the vector of its text, if it has one; each page is of one moment."""
    last: int | None = 0
    while last is not None:
        chosen = Sql("c.collection_id = ? AND c.pk > ?", (collection.id, last))
        with store.database.snapshot() as connection:
            page = read_embedded(connection, collection.id, chosen, limit=PAGE)
        yield from page.values()
        last = max(page, default=None)


def _row(chunk: StoredChunk) -> dict[str, Any]:
    optional = {
        "document_id": chunk.document_id,
        "vector_source": None if chunk.vector_source == chunk.text else chunk.vector_source,
        "payload": chunk.payload,
        _REFUSED: chunk.error_message if chunk.status is EmbeddingStatus.FAILED else None,
    }
    said = {name: value for name, value in optional.items() if value is not None}
    return {"id": chunk.id, "text": chunk.text, "metadata": chunk.metadata, **said}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def read_head(path: Path) -> Head | None:
    """Return what the first line says, or None for a file of another tool.

    Raises:
        InvalidInputError: it is of a newer version, or damaged.
    """
    _, line = next(_lines(path), (0, b""))
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or _FORMAT not in found:
        return None
    if found.pop(_FORMAT) != _VERSION:
        raise InvalidInputError(f"{path} is of a newer semcore. Upgrade, and import it again.")
    try:
        return Head(**found | {"spec": EmbeddingSpec(**found["spec"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(
            f"The first line of {path} is damaged: it does not say whose vectors these are. Nothing "
            "was saved. Export the collection again."
        ) from error


def read_json_lines(path: Path) -> Iterator[Row]:
    """Yield what each line of a file holds, or an UnreadableFileError."""
    number = rows = 0
    is_export, end = False, None
    for number, line in _lines(path):
        if not line.strip():
            continue
        found = _parsed(line)
        if number == 1 and isinstance(found, dict) and _FORMAT in found:
            is_export = True
        elif isinstance(found, dict) and _END in found:
            end = found[_END]
        else:
            rows += 1
            yield Row(f"line {number}", found if isinstance(found, str) else _chunk(found))
    if is_export and end != rows:
        yield Row(
            f"line {number}",
            f"an export ends with how many rows it has, and these {rows:,} do not: it was cut or "
            "changed, and rows may be missing",
        )


def _parsed(line: bytes) -> Any:
    """Return what a line holds, or why it cannot be read; no line holds a string alone."""
    if len(line) == _LONGEST:
        return f"it is longer than {_LONGEST:,} bytes"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"it is no JSON, or was cut ({error})"
    return found if isinstance(found, dict) else f"it holds a {type(found).__name__}, no object"


def _chunk(found: dict[str, Any]) -> Chunk | str:
    """Return the chunk of a line, or why it holds none."""
    if unknown := found.keys() - {*_FIELDS, _REFUSED}:
        # A vector under another name would be paid for again.
        return (
            f"its field {min(unknown)!r} is not known; fields are {', '.join(_FIELDS)}. What else "
            "there is belongs into metadata"
        )
    given = {name: value for name, value in found.items() if value is not None}
    if "text" not in given:
        return "it has no text"
    if _REFUSED in given:
        given["embedding_status"] = EmbeddingStatus.FAILED
    try:
        if "vector" in given:
            floats = check_vector(given["vector"], dimensions=None, what="the row")
            # A list of numbers takes eight times as much memory.
            given["vector"] = np.frombuffer(floats, dtype="<f4")
    except InvalidInputError as error:
        return str(error)
    return Chunk(**given)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers; of one that is too long, its beginning."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                yield number, line
                while len(line) == _LONGEST and not line.endswith(b"\n"):
                    line = file.readline(_LONGEST)
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}.") from error
