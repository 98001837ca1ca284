"""Statements over sets: the same text whatever the number of values, and few of them."""

import json
from collections.abc import Callable, Iterable, Sequence

from semantic_core.database.queries import json_set
from semantic_core.database.strategies import Sql, Where
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.filters import Filter

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
        starts = json_set(range(1, len(values) * size, size))
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


# What `id_set` gives, as rows with the column ``id``; for statements with named parameters.
IDS = "(SELECT CAST(value AS BIGINT) AS id FROM json_each(:ids) AS given)"


def id_set(ids: Iterable[int]) -> dict[str, object]:
    """Return numbers as the parameter of `IDS`."""
    return {"ids": json.dumps(list(ids), default=_refuse)}


def rows_of(**types: str) -> str:
    """Return a subquery for the rows of `row_set`: columns of these SQL types."""
    columns = ", ".join(
        f"CAST(json_extract(value, '$[{place}]') AS {kind}) AS {name}"
        for place, (name, kind) in enumerate(types.items())
    )
    return f"(SELECT {columns} FROM json_each(:rows) AS given)"


def row_set(rows: Iterable[Sequence[object]]) -> dict[str, object]:
    """Return rows as the parameter of `rows_of`."""
    # Text as it is: what has no UTF-8 form is refused when it is bound.
    return {"rows": json.dumps(list(rows), ensure_ascii=False, default=_refuse)}


def _refuse(value: object) -> None:
    """Refuse what a damaged column held in place of a number or a text."""
    error = TypeError(f"it is {type(value).__name__}")
    raise DatabaseCorruptError.unreadable("A number of a row", error)
