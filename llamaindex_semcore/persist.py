"""Pointer files: what ``persist`` leaves in a folder of LlamaIndex's for a store that is durable.

Nothing has to be written to keep what is in the database. But `StorageContext.persist` gives
every vector store a path, and the user expects to find the store again by that path.
"""

import json
import os
from pathlib import Path
from typing import Any

import fsspec

from semantic_core.api import InvalidInputError

_FORMAT = "semcore"
_SQLITE = b"SQLite format 3\x00"

# SimpleVectorStore reads any JSON object as an empty store. This makes it fail, and quote the text.
_NOT_A_SIMPLE_STORE = {
    "embedding_dict": {
        "": [
            (
                "the vectors are in a database: pass vector_store="
                "SemcoreVectorStore.from_persist_dir(...) to StorageContext.from_defaults()"
            )
        ]
    }
}


def write_pointer(
    path: str, fields: dict[str, Any], *, fs: fsspec.AbstractFileSystem | None
) -> None:
    """Write where a store is; a database is never written over."""
    fs = fs or fsspec.filesystem("file")
    if fs.exists(path) and _is_database(path, fs):
        if Path(path).exists() and Path(path).samefile(fields["store"]):
            return
        raise InvalidInputError(
            f"{path} is another database. Persist to another path; nothing was changed in it."
        )
    folder, _, _ = path.replace(os.sep, "/").rpartition("/")
    if folder:
        fs.makedirs(folder, exist_ok=True)
    pointer = {"format": _FORMAT} | fields | _NOT_A_SIMPLE_STORE
    pointer["store"] = str(Path(fields["store"]).absolute())
    with fs.open(path, "w", encoding="utf-8") as file:
        json.dump(pointer, file, indent=1)


def read_pointer(path: str, *, fs: fsspec.AbstractFileSystem | None) -> dict[str, Any]:
    """Return where a store is: what `write_pointer` wrote, or the database at the path itself."""
    fs = fs or fsspec.filesystem("file")
    if not fs.exists(path):
        raise InvalidInputError(
            f"There is nothing at {path}. Open the database by its own path: "
            "SemcoreVectorStore('notes.db')."
        )
    if _is_database(path, fs):
        return {"store": path}
    with fs.open(path, "rb") as file:
        fields = _parse(file.read())
    if fields.pop("format", None) != _FORMAT:
        raise InvalidInputError(
            f"{path} was not written by SemcoreVectorStore. To take over an index of another "
            "vector store, build it again from its documents."
        )
    return {name: value for name, value in fields.items() if name not in _NOT_A_SIMPLE_STORE}


def _parse(data: bytes) -> dict[str, Any]:
    """Return the fields of a pointer file; none of anything else."""
    try:
        fields = json.loads(data)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _is_database(path: str, fs: fsspec.AbstractFileSystem) -> bool:
    with fs.open(path, "rb") as file:
        return bool(file.read(len(_SQLITE)) == _SQLITE)
