"""Statements over sets: the same text whatever the number of values, and few of them."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache

from semantic_core.database.queries import json_set
from semantic_core.database.strategies import Sql, Where
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.filters import Filter

_HASH_BYTES = 32

# At the end of a SELECT: nobody else may change these rows until the transaction ends. SQLite, where
# each writer is alone, takes it for a comment.
LOCKED = "/* FOR UPDATE */"


def among(column: str, values: Sequence[int | str | bytes]) -> Sql:
    """Return the condition that a column has one of these values; of none, it never has.

    They are all of one type, and blobs all of one size.
    """
    if not values:
        return Sql("FALSE")
    if isinstance(values[0], bytes):
        size = len(values[0])
        # JSON holds no blobs: they are cut out of one.
        starts = _starts(len(values), size)
        blobs = b"".join(values)  # type: ignore[arg-type]  # all of one type
        cut = f"substr(?, CAST(value AS INTEGER), {size})"
        return Sql(f"{column} IN (SELECT {cut} FROM json_each(?))", (blobs, starts))
    first, last = values[0], values[-1]
    if not isinstance(first, int) or not isinstance(last, int):
        return Sql(f"{column} IN (SELECT value FROM json_each(?))", (json_set(values),))
    # New rows come one after the other: of a range, no list is made and sorted.
    if last - first + 1 == len(values) and list(range(first, last + 1)) == list(values):
        return Sql(f"{column} BETWEEN ? AND ?", (first, last))
    return Sql(f"{column} IN (SELECT CAST(value AS BIGINT) FROM json_each(?))", (json_set(values),))


def condition_of(where: Where, compiled: Callable[[Filter], Sql]) -> Sql:
    """Return the condition that chooses chunks ``c``; ``compiled`` puts a filter into SQL."""
    parts = [Sql("c.collection_id = ?", (where.collection_id,))]
    if where.ids is not None:
        parts.append(among("c.chunk_id", where.ids))
    if where.document_ids is not None:
        parts.append(among("c.document_id", where.document_ids))
    if where.filters is not None:
        parts.append(compiled(where.filters))
    return Sql.joined("AND", parts)


# What `hash_set` gives, as rows with the column ``hash``; for statements with named parameters.
HASHES = (
    f"(SELECT substr(:hashes, CAST(value AS INTEGER), {_HASH_BYTES}) AS hash "
    "FROM json_each(:starts) AS given)"
)


def hash_set(hashes: Collection[bytes]) -> dict[str, object]:
    """Return content hashes as the parameters of `HASHES`."""
    return {"hashes": _joined(hashes), "starts": _starts(len(hashes), _HASH_BYTES)}


@lru_cache
def _starts(count: int, size: int) -> str:
    """Return where values of one size begin in what joins them, as the parameter of ``json_each``."""
    return json_set(range(1, count * size, size))


def _joined(hashes: Collection[bytes]) -> bytes:
    """Return content hashes in one piece; a damaged one, which would shift others, is an error."""
    damaged = [one for one in hashes if not isinstance(one, bytes) or len(one) != _HASH_BYTES]
    if damaged:
        error = ValueError(f"it is no {_HASH_BYTES} bytes")
        raise DatabaseCorruptError.unreadable("A content hash", error)
    return b"".join(hashes)


def rows_of(**types: str) -> str:
    """Return a subquery for the rows of `row_set`: ``hash``, then columns of these SQL types."""
    columns = "".join(
        f", CAST(json_extract(value, '$[{place}]') AS {kind}) AS {name}"
        for place, (name, kind) in enumerate(types.items())
    )
    # In an array, the key is the place.
    start = f"CAST(1 + {_HASH_BYTES} * key AS INTEGER)"
    cut = f"substr(:hashes, {start}, {_HASH_BYTES})"
    return f"(SELECT {cut} AS hash{columns} FROM json_each(:rows) AS given)"


def row_set(rows: Mapping[bytes, Sequence[object]]) -> dict[str, object]:
    """Return values by content hash as the parameters of `rows_of`."""
    # Text as it is: what has no UTF-8 form is refused when it is bound.
    values = json.dumps(list(rows.values()), ensure_ascii=False)
    return {"hashes": _joined(rows), "rows": values}
