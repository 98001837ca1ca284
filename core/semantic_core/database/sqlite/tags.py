"""Metadata values as rows of their own, so that a filter finds its chunks without reading any.

What they cannot answer (text beyond `LONGEST`, lists, patterns, negations) is asked of the metadata itself.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from semantic_core.filters import And, Condition, Filter, Not, Operator, Or, merged_parts, positive

# Longer text is prose rather than a label.
LONGEST = 64

# SQLite takes up to 500 terms in a compound SELECT.
_MOST_TERMS = 100

# SQLite versions differ in how json_each spells keys with these.
NO_TAG = re.compile(r'["\\\x00-\x1f]')

# NOT INDEXED leaves the row keys to look up: an index in the order asked for would be read whole.
TAGS = (
    "SELECT c.collection_id, e.key, CASE e.type WHEN 'true' THEN x'01' WHEN 'false' THEN x'00' "
    "ELSE e.value END, c.pk FROM chunks c NOT INDEXED, json_each(c.metadata) e WHERE {} "
    "AND e.type IN ('text', 'integer', 'real', 'true', 'false') "
    f"AND (e.type <> 'text' OR length(e.value) <= {LONGEST})"
)
ALL_TAGS = TAGS.format("1")

# In SQLite's order of types numbers come before all text, and text before all blobs.
_BELOW_TEXT = "value < ''"
_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


@dataclass(frozen=True, slots=True)
class TagQuery:
    """SQL for the keys of the rows that a filter chooses.

    Attributes:
        sql: yields one column, ``chunk_pk``, none twice.
        is_exact: whether it chooses just what the filter does, or more.
        is_rest: whether all rows but these are meant, by going through all of the collection; in
            what `tag_query` returns, the SQL does so.
    """

    sql: str
    values: tuple[object, ...]
    is_exact: bool = True
    is_rest: bool = False


def tag_query(tree: Filter, *, collection_id: int) -> TagQuery | None:
    """Return what tags can tell about a filter, or None: nothing."""
    rows = _query(tree, collection_id)
    if rows is None or not rows.is_rest:
        return rows
    rest = f"SELECT pk AS chunk_pk FROM chunks WHERE collection_id = ? AND pk NOT IN ({rows.sql})"
    return replace(rows, sql=rest, values=(collection_id, *rows.values))


def _query(tree: Filter, collection_id: int) -> TagQuery | None:
    if isinstance(tree, Condition):
        tree = positive(tree)
    if isinstance(tree, Condition):
        return _look_up(tree, collection_id)
    if isinstance(tree, Not):
        rows = _query(tree.part, collection_id)
        # What is more than the filter chooses has less than it leaves for its opposite.
        return replace(rows, is_rest=not rows.is_rest) if rows and rows.is_exact else None
    parts = [_query(part, collection_id) for part in merged_parts(tree)]
    known = [part for part in parts if part is not None]
    is_whole = len(known) == len(parts)
    if not known or (isinstance(tree, Or) and not is_whole):
        return None
    these = [part for part in known if not part.is_rest]
    but = [part for part in known if part.is_rest]
    # All of A but B: A, taken from it B. One of A and of all but B: all but what B has alone.
    kept, taken = (these, but) if isinstance(tree, And) else (but, these)
    is_rest = kept is but
    if not kept:
        # All of all but A and all but B: all but what is in one of them; and the other way round.
        kept, taken, is_rest = taken, [], isinstance(tree, And)
        combined = _combine("UNION", kept)
    else:
        combined = _combine("INTERSECT", kept)
    if taken:
        combined = _combine("EXCEPT", [combined, _combine("UNION", taken)])
    is_exact = is_whole and all(part.is_exact for part in known)
    return replace(combined, is_exact=is_exact, is_rest=is_rest)


def _combine(word: str, parts: list[TagQuery]) -> TagQuery:
    if len(parts) == 1:
        return parts[0]
    if len(parts) > _MOST_TERMS:
        starts = range(0, len(parts), _MOST_TERMS)
        parts = [_combine(word, parts[start : start + _MOST_TERMS]) for start in starts]
    return TagQuery(
        f" {word} ".join(f"SELECT chunk_pk FROM ({part.sql})" for part in parts),
        tuple(value for part in parts for value in part.values),
    )


def _look_up(condition: Condition, collection_id: int) -> TagQuery | None:
    test = None if NO_TAG.search(condition.key) else _test(condition.operator, condition.value)
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
    listed, flags = [], set()
    for value in wanted:
        if isinstance(value, bool):
            flags.add("x'01'" if value else "x'00'")
        elif isinstance(value, int | float) or (isinstance(value, str) and len(value) <= LONGEST):
            listed.append(value)
        else:
            return None
    blobs = "".join(f" UNION ALL SELECT {flag}" for flag in sorted(flags))
    # As JSON: SQLite's reading of a float may differ from Python's in the last digit.
    values: list[object] = [json.dumps(listed)]
    return f"value IN (SELECT value FROM json_each(?){blobs})", values


def _within(bounds: Sequence[tuple[str, object]]) -> tuple[str, list[object]] | None:
    # Of text the long ones are missing, so its order tells too little.
    if any(isinstance(bound, str) for _, bound in bounds):
        return None
    tests = [f"value {sign} {_NUMBER}" for sign, _ in bounds]
    return " AND ".join([*tests, _BELOW_TEXT]), [json.dumps(bound) for _, bound in bounds]


# SQLite's reading of a float may differ from Python's in the last digit
# (https://www.sqlite.org/floatingpoint.html), so it reads both sides.
_NUMBER = "json_extract(?, '$')"
