import hashlib
from collections.abc import Iterator
from typing import Self

from semantic_core.database import Scratch

# As many sources as one statement looks for.
_PAGE = 500


class Naming:
    """What one call has named so far.

    It is on disk, and of ids there are digests alone: a call of any length takes a few megabytes
    of memory. For one thread.
    """

    def __init__(self) -> None:
        self._rows = Scratch(
            """CREATE TABLE ids (digest BLOB PRIMARY KEY, position INTEGER) WITHOUT ROWID;
            CREATE TABLE equals (digest BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID;
            CREATE TABLE sources (source TEXT PRIMARY KEY, is_whole INTEGER) WITHOUT ROWID;"""
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def make_id(self, content: str, source: str | None) -> str:
        """Return the id of a document that has none: the same one in every call.

        It is a digest of content and source, and of n for the n-th of this call that is equal in
        both. Neither of them may hold a NUL.
        """
        first = _digest(content, "0", source)
        ((times,),) = self._rows.run(
            "INSERT INTO equals VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 "
            "RETURNING times",
            first,
        )
        return (first if times == 1 else _digest(content, str(times - 1), source)).hex()

    def take_id(self, document_id: str, position: int) -> int:
        """Return the position of the id: this one, unless it was taken earlier."""
        ((taken,),) = self._rows.run(
            "INSERT INTO ids VALUES (?, ?) ON CONFLICT DO UPDATE SET position = position "
            "RETURNING position",
            _digest(document_id),
            position,
        )
        return int(taken)

    def has_id(self, document_id: str) -> bool:
        return bool(self._rows.run("SELECT 1 FROM ids WHERE digest = ?", _digest(document_id)))

    def add_source(self, source: str, *, is_whole: bool) -> None:
        """Note a source; it is whole as long as each of its documents is."""
        self._rows.run(
            "INSERT INTO sources VALUES (?, ?) ON CONFLICT DO UPDATE "
            "SET is_whole = min(is_whole, excluded.is_whole)",
            source,
            is_whole,
        )

    def whole_sources(self) -> Iterator[list[str]]:
        """Yield the sources that are whole, page by page."""
        page = [""]
        while page:
            rows = self._rows.run(
                "SELECT source FROM sources WHERE is_whole AND source > ? ORDER BY source LIMIT ?",
                page[-1],
                _PAGE,
            )
            page = [source for (source,) in rows]
            yield page


def _digest(*parts: str | None) -> bytes:
    known = "\0".join(part for part in parts if part is not None)
    return hashlib.sha256(known.encode()).digest()[:16]
