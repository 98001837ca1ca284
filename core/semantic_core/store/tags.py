"""Metadata values as rows of their own, so that a filter finds its chunks without reading any.

They are kept in step once a transaction, like the full-text index. What they cannot answer (text
beyond `LONGEST`, lists, patterns, negations) is asked of the metadata itself.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.filters import And, Condition, Filter, Operator, Or

# Longer text is prose rather than a label.
LONGEST = 64

# SQLite takes up to 500 terms in a compound SELECT; nobody filters by so many.
_MOST_CONDITIONS = 50
_MOST_VALUES = 500

# SQLite versions differ in how json_each spells keys with these.
_NO_TAG = re.compile(r'["\\\x00-\x1f]')

# NOT INDEXED leaves the row keys to look up: an index in the order asked for would be read whole.
_TAGS = (
    "SELECT c.collection_id, e.key, CASE e.type WHEN 'true' THEN x'01' WHEN 'false' THEN x'00' "
    "ELSE e.value END, c.pk FROM chunks c NOT INDEXED, json_each(c.metadata) e WHERE {} "
    "AND e.type IN ('text', 'integer', 'real', 'true', 'false') "
    f"AND (e.type <> 'text' OR length(e.value) <= {LONGEST})"
)
_ALL = _TAGS.format("1")
_OF_THESE = _TAGS.format("c.pk IN (SELECT value FROM json_each(?))")
_AFTER = _TAGS.format("c.pk > ?")

# In SQLite's order of types numbers come before all text, and text before all blobs.
_BELOW_TEXT = "value < ''"
_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


def remove_tags(connection: sqlite3.Connection, pks: Sequence[int]) -> None:
    """Take rows' metadata out; must come before it changes or goes."""
    # One by one: as one statement SQLite would read every tag of the collection.
    connection.executemany(
        "DELETE FROM tags WHERE collection_id = ? AND key = ? AND value = ? AND chunk_pk = ?",
        connection.execute(_OF_THESE, (json.dumps(list(pks)),)).fetchall(),
    )


def add_tags(connection: sqlite3.Connection, pks: Sequence[int]) -> None:
    """Put rows' metadata in, after it was written."""
    connection.execute(f"INSERT INTO tags {_OF_THESE}", (json.dumps(list(pks)),))


def add_tags_after(connection: sqlite3.Connection, pk: int) -> None:
    """Put the metadata of all rows with a larger key in: the ones this transaction inserted."""
    # In their own order they fill page after page, instead of being put in here and there.
    connection.execute(f"INSERT INTO tags {_AFTER} ORDER BY 1, 2, 3, 4", (pk,))


def count_wrong_tags(connection: sqlite3.Connection) -> int:
    """Return how many tags that a filter could ask for are missing, or belong to no metadata."""
    wrong = connection.execute(
        f"SELECT key FROM ({_ALL} EXCEPT SELECT * FROM tags) "
        f"UNION ALL SELECT key FROM (SELECT * FROM tags EXCEPT {_ALL})"
    )
    # The other keys may be spelled as another version of SQLite did.
    return sum(_NO_TAG.search(key) is None for (key,) in wrong)


def rebuild_tags(connection: sqlite3.Connection) -> None:
    """Write all tags anew from the metadata."""
    connection.execute("DELETE FROM tags")
    connection.execute(f"INSERT INTO tags {_ALL} ORDER BY 1, 2, 3, 4")


@dataclass(frozen=True, slots=True)
class TagQuery:
    """SQL for the keys of the rows that a filter chooses.

    Attributes:
        sql: yields one column, ``chunk_pk``, none twice.
        values: bound in it.
        is_exact: whether it chooses just what the filter does, or more.
    """

    sql: str
    values: tuple[object, ...]
    is_exact: bool = True


def tag_query(tree: Filter, *, collection_id: int) -> TagQuery | None:
    """Return what tags can tell about a filter, or None: not enough to be worth it."""
    return _query(tree, collection_id) if tree.size <= _MOST_CONDITIONS else None


def _query(tree: Filter, collection_id: int) -> TagQuery | None:
    if isinstance(tree, Condition):
        return _look_up(tree, collection_id)
    if not isinstance(tree, And | Or):
        return None
    parts = [_query(part, collection_id) for part in tree.parts]
    known = [part for part in parts if part is not None]
    is_whole = len(known) == len(parts)
    if not known or (isinstance(tree, Or) and not is_whole):
        return None
    word = " INTERSECT " if isinstance(tree, And) else " UNION "
    return TagQuery(
        word.join(f"SELECT chunk_pk FROM ({part.sql})" for part in known),
        tuple(value for part in known for value in part.values),
        is_exact=is_whole and all(part.is_exact for part in known),
    )


def _look_up(condition: Condition, collection_id: int) -> TagQuery | None:
    test = None if _NO_TAG.search(condition.key) else _test(condition.operator, condition.value)
    if test is None:
        return None
    sql, values = test
    return TagQuery(
        f"SELECT chunk_pk FROM tags WHERE collection_id = ? AND key = ? AND {sql}",
        (collection_id, condition.key, *values),
    )


def _test(operator: Operator, wanted: object) -> tuple[str, list[object]] | None:
    """Return a condition on ``value``, which is one value of one key, or None."""
    if operator is Operator.EQ:
        return _among([wanted])
    if operator is Operator.IN and isinstance(wanted, tuple):
        return _among(wanted)
    if operator is Operator.BETWEEN and isinstance(wanted, tuple):
        return _within([(">=", wanted[0]), ("<=", wanted[1])])
    if operator in _SIGNS:
        return _within([(_SIGNS[operator], wanted)])
    return None


def _among(wanted: Sequence[object]) -> tuple[str, list[object]] | None:
    if len(wanted) > _MOST_VALUES:
        return None
    marks, values = [], []
    for value in wanted:
        if isinstance(value, bool):
            marks.append("x'01'" if value else "x'00'")
            continue
        if isinstance(value, str) and len(value) <= LONGEST:
            marks.append("?")
            values.append(value)
        elif isinstance(value, int | float):
            marks.append(_NUMBER)
            values.append(json.dumps(value))
        else:
            return None
    return f"value IN ({', '.join(marks)})", list(values)


def _within(bounds: Sequence[tuple[str, object]]) -> tuple[str, list[object]] | None:
    # Of text the long ones are missing, so its order tells too little.
    if any(isinstance(bound, str) for _, bound in bounds):
        return None
    tests = [f"value {sign} {_NUMBER}" for sign, _ in bounds]
    return " AND ".join([*tests, _BELOW_TEXT]), [json.dumps(bound) for _, bound in bounds]


# SQLite's reading of a float may differ from Python's in the last digit
# (https://www.sqlite.org/floatingpoint.html), so it reads both sides.
_NUMBER = "json_extract(?, '$')"
