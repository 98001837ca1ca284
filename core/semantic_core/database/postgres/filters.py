"""A filter tree as a SQL condition for PostgreSQL, on metadata as ``jsonb``.

What an index can answer is asked with ``@>``, which looks for a value at a key, or in the list at
a key, by type and value: 1 and 1.0 are one number to it, 1 and true are two things.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from semantic_core.database.postgres.lower_case import lowered
from semantic_core.database.strategies import Sql
from semantic_core.filters import And, Condition, Filter, Not, Operator, merged_parts, positive

# So many values are looked up in the index, one by one. Of more, a hash table is made, and every
# row is asked.
_LOOKED_UP = 100


def compile_filter(tree: Filter, *, column: str) -> Sql:
    """Return a SQL condition that is true or false, never NULL, on what `metadata.TABLES` makes."""
    if isinstance(tree, Condition):
        tree = positive(tree)
    if isinstance(tree, Condition):
        sql, values = _TESTS[tree.operator](column, tree.key, tree.value)
        # A test of what is not there is NULL, but where it is one of the index, which is not asked
        # for what stands in coalesce().
        return Sql(sql if " @> " in sql else f"coalesce({sql}, false)", values)
    if isinstance(tree, Not):
        part = compile_filter(tree.part, column=column)
        return Sql(f"NOT {part.sql}", part.values)
    word = "AND" if isinstance(tree, And) else "OR"
    joined = Sql.joined(word, [compile_filter(part, column=column) for part in merged_parts(tree)])
    return Sql(f"({joined.sql})", joined.values)


def _as_json(value: object) -> str:
    """Return a value as JSON, with numbers as they are stored; see `metadata.TABLES`."""
    if isinstance(value, float) and value.is_integer() and -(2**63) <= value < 2**63:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _value(column: str) -> str:
    return f"({column} -> ?::text)"


def _text(column: str) -> str:
    # By code point, whatever the order of the database is.
    return f'({column} ->> ?::text) COLLATE "C"'


# --- one test a positive operator: (column, key, wanted) -> condition ------------------------


def _exists(column: str, key: str, wanted: bool) -> Sql:  # noqa: FBT001  # the filter's value
    return Sql(f"{_value(column)} IS {'NOT ' * wanted}NULL", (key,))


def _is_empty(column: str, key: str, wanted: bool) -> Sql:  # noqa: FBT001  # the filter's value
    held = f"coalesce({_value(column)}, 'null')"
    return Sql(f"""{held} {"NOT " * (not wanted)}IN ('null', '""', '[]')""", (key,))


def _equals(column: str, key: str, wanted: object) -> Sql:
    if isinstance(wanted, tuple):
        return Sql(f"{_value(column)} = ?::jsonb", (key, _list_as_json(wanted)))
    return Sql(f"{column} @> ?::jsonb", (_object(key, _as_json(wanted)),))


def _is_among(column: str, key: str, wanted: Sequence[object]) -> Sql:
    values = [_as_json(one) for one in wanted]
    if len(values) <= _LOOKED_UP:
        return Sql(f"{column} @> ANY(?::jsonb[])", ([_object(key, one) for one in values],))
    return Sql(f"{_value(column)} = ANY(?::jsonb[])", (key, values))


def _holds_all(column: str, key: str, wanted: Sequence[object]) -> Sql:
    if not wanted:
        return Sql("true")
    return Sql(f"{column} @> ?::jsonb", (_object(key, _list_as_json(wanted)),))


def _holds_any(column: str, key: str, wanted: Sequence[object]) -> Sql:
    if len(wanted) <= _LOOKED_UP:
        lists = [_object(key, _list_as_json([one])) for one in wanted]
        return Sql(f"{column} @> ANY(?::jsonb[])", (lists,))
    return Sql(
        f"CASE jsonb_typeof({_value(column)}) WHEN 'array' THEN EXISTS (SELECT FROM "
        f"jsonb_array_elements({_value(column)}) AS held(item) WHERE item = ANY(?::jsonb[])) END",
        (key, key, [_as_json(one) for one in wanted]),
    )


def _compares(column: str, key: str, wanted: object, *, sign: str) -> Sql:
    if isinstance(wanted, str):
        return _if_text(column, key, Sql(f"{_text(column)} {sign} ?::text", (key, wanted)))
    return Sql(
        f"CASE jsonb_typeof({_value(column)}) WHEN 'number' "
        f"THEN {_value(column)} {sign} ?::jsonb END",
        (key, key, _as_json(wanted)),
    )


def _between(column: str, key: str, wanted: tuple[object, object]) -> Sql:
    low = _compares(column, key, wanted[0], sign=">=")
    high = _compares(column, key, wanted[1], sign="<=")
    return Sql.joined("AND", [low, high])


def _has_text(text: Sql, wanted: str) -> Sql:
    return Sql(f"strpos({text.sql}, ?::text) > 0", (*text.values, wanted))


def _is_like(text: Sql, wanted: str) -> Sql:
    return Sql(f"{text.sql} LIKE ?::text ESCAPE ''", (*text.values, wanted))


def _of_text(test: Callable[[Sql, str], Sql], column: str, key: str, wanted: str) -> Sql:
    return _if_text(column, key, test(Sql(_text(column), (key,)), wanted))


def _of_lowered(test: Callable[[Sql, str], Sql], column: str, key: str, wanted: str) -> Sql:
    low = wanted.lower()
    return _if_text(column, key, test(lowered(Sql(_text(column), (key,)), low), low))


def _if_text(column: str, key: str, test: Sql) -> Sql:
    sql = f"CASE jsonb_typeof({_value(column)}) WHEN 'string' THEN {test.sql} END"
    return Sql(sql, (key, *test.values))


def _list_as_json(values: Sequence[object]) -> str:
    return f"[{','.join(map(_as_json, values))}]"


def _object(key: str, value: str) -> str:
    return f"{{{_as_json(key)}:{value}}}"


_TESTS: dict[Operator, Callable[[str, str, Any], Sql]] = {
    Operator.EQ: _equals,
    Operator.GT: partial(_compares, sign=">"),
    Operator.GTE: partial(_compares, sign=">="),
    Operator.LT: partial(_compares, sign="<"),
    Operator.LTE: partial(_compares, sign="<="),
    Operator.BETWEEN: _between,
    Operator.IN: _is_among,
    Operator.ANY: _holds_any,
    Operator.ALL: _holds_all,
    Operator.CONTAINS: lambda column, key, wanted: _holds_all(column, key, [wanted]),
    Operator.TEXT_MATCH: partial(_of_text, _has_text),
    Operator.TEXT_MATCH_INSENSITIVE: partial(_of_lowered, _has_text),
    Operator.LIKE: partial(_of_text, _is_like),
    Operator.ILIKE: partial(_of_lowered, _is_like),
    Operator.IS_EMPTY: _is_empty,
    Operator.EXISTS: _exists,
}
