import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from semantic_core.database.strategies import Sql
from semantic_core.filters import And, Condition, Filter, Not, Operator, merged_parts, positive

# SQLite limits the depth of an expression to 1,000; a chain of ANDs is as deep as it is long.
_CHAIN = 64

# A JSON path has no form for these keys that every SQLite version understands.
_NO_PATH = re.compile(r'^$|["\\\x00-\x1f]')


def compile_filter(tree: Filter, *, column: str) -> Sql:
    """Return a SQL condition that is 0 or 1, never NULL, on a column of metadata as JSON.

    It runs on connections that went through `register_functions`.
    """
    if isinstance(tree, Condition):
        tree = positive(tree)
    if isinstance(tree, Condition):
        kind, value = _look_up(tree.key, column)
        # A test of what is not there is NULL, and so would be its opposite.
        return _fill("coalesce({}, 0)", _TESTS[tree.operator](kind, value, tree.value))
    if isinstance(tree, Not):
        return _fill("NOT {}", compile_filter(tree.part, column=column))
    word = " AND " if isinstance(tree, And) else " OR "
    return _join(word, [compile_filter(part, column=column) for part in merged_parts(tree)])


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the SQL functions that compiled filters call."""
    # SQLite's own lower() knows no letters but A to Z.
    connection.create_function("unicode_lower", 1, str.lower, deterministic=True)


def _fill(template: str, *parts: Sql) -> Sql:
    """Put pieces into the ``{}`` of a template, in order, so that the values stay in step."""
    return Sql(
        template.format(*(part.sql for part in parts)),
        tuple(value for part in parts for value in part.values),
    )


def _bound(value: object) -> Sql:
    return Sql("?", (value,))


def _as_json(value: object) -> Sql:
    return _bound(json.dumps(value, ensure_ascii=False))


def _join(word: str, parts: list[Sql]) -> Sql:
    if len(parts) > _CHAIN:
        parts = [_join(word, parts[i : i + _CHAIN]) for i in range(0, len(parts), _CHAIN)]
    return _fill(f"({word.join(['{}'] * len(parts))})", *parts)


def _look_up(key: str, column: str) -> tuple[Sql, Sql]:
    """Return the JSON type and the value of a top-level key; NULL where it is missing."""
    if _NO_PATH.search(key):
        rows = f"FROM json_each({column}) AS e WHERE e.key = {{}})"
        name = _bound(key)
        return _fill(f"(SELECT e.type {rows}", name), _fill(f"(SELECT e.value {rows}", name)
    # Twice as fast, since SQLite keeps what it parsed from one call to the next.
    path = _bound(f'$."{key}"')
    return _fill(f"json_type({column}, {{}})", path), _fill(f"json_extract({column}, {{}})", path)


# --- one test a positive operator: (type, value, wanted) -> condition, 0, 1 or NULL ----------


def _is_empty(kind: Sql, value: Sql, wanted: bool) -> Sql:  # noqa: FBT001  # the filter's value
    return _fill(
        "CASE {} WHEN 'text' THEN {} = '' WHEN 'array' THEN json_array_length({}) = 0 "
        "ELSE coalesce({}, 'null') = 'null' END = {}",
        *(kind, value, value, kind, _bound(wanted)),
    )


def _equals(kind: Sql, value: Sql, wanted: object) -> Sql:
    if isinstance(wanted, tuple):
        return _fill(_SAME_LIST, kind, value, _bound(len(wanted)), value, _as_json(wanted))
    if isinstance(wanted, bool):
        return _fill("{} = {}", kind, _bound("true" if wanted else "false"))
    return _compares(kind, value, wanted, sign="=")


def _compares(kind: Sql, value: Sql, wanted: object, *, sign: str) -> Sql:
    if isinstance(wanted, str):
        return _fill(f"{{}} = 'text' AND {{}} {sign} {{}}", kind, value, _bound(wanted))
    # SQLite's reading of a float may differ from Python's in the last digit
    # (https://www.sqlite.org/floatingpoint.html), so it reads both sides.
    number = _fill("json_extract({}, '$')", _as_json(wanted))
    return _fill(f"{{}} IN ('integer', 'real') AND {{}} {sign} {{}}", kind, value, number)


def _between(kind: Sql, value: Sql, wanted: tuple[object, object]) -> Sql:
    return _fill(
        "{} AND {}",
        _compares(kind, value, wanted[0], sign=">="),
        _compares(kind, value, wanted[1], sign="<="),
    )


def _is_among(kind: Sql, value: Sql, wanted: Sequence[object]) -> Sql:
    texts = [one for one in wanted if isinstance(one, str)]
    numbers = [one for one in wanted if isinstance(one, int | float) and not isinstance(one, bool)]
    listed = _as_json(numbers)
    return _fill(
        _AMONG,
        kind,
        *(value, _as_json(texts), value, listed, value, listed),
        *(_bound(any(one is flag for one in wanted)) for flag in (True, False)),
    )


def _holds_any(kind: Sql, value: Sql, wanted: Sequence[object]) -> Sql:
    return _fill(_HOLDS_ANY, kind, value, _is_among(Sql("h.type"), Sql("h.value"), wanted))


def _holds_all(kind: Sql, value: Sql, wanted: Sequence[object]) -> Sql:
    return _fill(_HOLDS_ALL, kind, _as_json(wanted), value) if wanted else Sql("1")


def _has_text(kind: Sql, value: Sql, wanted: str) -> Sql:
    return _fill("CASE {} WHEN 'text' THEN instr({}, {}) > 0 END", kind, value, _bound(wanted))


def _is_like(kind: Sql, value: Sql, wanted: str) -> Sql:
    # GLOB tells A from a, which LIKE does not.
    pattern = "".join(_GLOB.get(character, character) for character in wanted)
    return _fill("CASE {} WHEN 'text' THEN {} GLOB {} END", kind, value, _bound(pattern))


def _lowered(test: Callable[[Sql, Sql, str], Sql]) -> Callable[[Sql, Sql, str], Sql]:
    return lambda kind, value, wanted: test(kind, _fill("unicode_lower({})", value), wanted.lower())


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}
_TESTS: dict[Operator, Callable[[Sql, Sql, Any], Sql]] = {
    Operator.EQ: _equals,
    Operator.GT: partial(_compares, sign=">"),
    Operator.GTE: partial(_compares, sign=">="),
    Operator.LT: partial(_compares, sign="<"),
    Operator.LTE: partial(_compares, sign="<="),
    Operator.BETWEEN: _between,
    Operator.IN: _is_among,
    Operator.ANY: _holds_any,
    Operator.ALL: _holds_all,
    Operator.CONTAINS: lambda kind, value, wanted: _holds_any(kind, value, [wanted]),
    Operator.TEXT_MATCH: _has_text,
    Operator.TEXT_MATCH_INSENSITIVE: _lowered(_has_text),
    Operator.LIKE: _is_like,
    Operator.ILIKE: _lowered(_is_like),
    Operator.IS_EMPTY: _is_empty,
    Operator.EXISTS: lambda kind, _, wanted: _fill("({} IS NOT NULL) = {}", kind, _bound(wanted)),
}

# (type, value) of the wanted and of the held list's items. Whole numbers and floats are one
# type to compare; true and 1, whose values are equal, are two. CASE, where AND would do in
# logic: SQLite may try the parts of an AND in any order, and json_each fails on a plain string.
_WANTED = "replace(w.type, 'real', 'integer'), w.value"
_HELD = "replace(h.type, 'real', 'integer'), h.value"
# One column a list: SQLite looks a value up in a tree of the list then, but walks the list for a
# pair of type and value.
_AMONG = (
    "CASE {} WHEN 'text' THEN {} IN (SELECT w.value FROM json_each({}) AS w) "
    "WHEN 'integer' THEN {} IN (SELECT w.value FROM json_each({}) AS w) "
    "WHEN 'real' THEN {} IN (SELECT w.value FROM json_each({}) AS w) "
    "WHEN 'true' THEN {} WHEN 'false' THEN {} END"
)
_HOLDS_ANY = "CASE {} WHEN 'array' THEN EXISTS (SELECT 1 FROM json_each({}) AS h WHERE {}) END"
_HOLDS_ALL = (
    "CASE {} WHEN 'array' THEN NOT EXISTS (SELECT 1 FROM json_each({}) AS w "
    f"WHERE ({_WANTED}) NOT IN (SELECT {_HELD} FROM json_each({{}}) AS h)) END"
)
_SAME_LIST = (
    "CASE {} WHEN 'array' THEN json_array_length({}) = {} AND NOT EXISTS "
    "(SELECT 1 FROM json_each({}) AS h JOIN json_each({}) AS w ON h.key = w.key "
    f"WHERE ({_HELD}) <> ({_WANTED})) END"
)
