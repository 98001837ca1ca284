from __future__ import annotations

import copy
import itertools
import pickle
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from enum import IntEnum, StrEnum
from typing import Any, Protocol

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.database.postgres import filters as postgres
from semantic_core.database.postgres import metadata
from semantic_core.database.postgres.connection import PostgresConnection
from semantic_core.database.sqlite import filters as sqlite
from semantic_core.database.sqlite.filters import register_functions
from semantic_core.domain.errors import InvalidFilterError
from semantic_core.domain.metadata import dump_metadata
from semantic_core.domain.types import Chunk
from semantic_core.filters import (
    And,
    Condition,
    Filter,
    Not,
    Operator,
    Or,
    merged_parts,
    parse_filter,
)
from semantic_core.filters.operators import MOST_PATTERN
from semantic_core.filters.tree import MOST_CONDITIONS, MOST_LEVELS
from semantic_core.store import PeeweeVectorStore
from support.filter_oracle import matches
from support.postgres_server import postgres_database

# Few of each, so that filters and metadata meet; among them what SQL, JSON paths, LIKE and GLOB
# give a meaning to.
KEYS = ["a", "b", "", "a.b", "$.a", 'a"b', "a'b", "a\\b", "[0]", "#-1", "a\nb", "ключ", "😀", "$gt"]
TEXTS = ["", "a", "A", "ab", "aXb", "a%b", "a_b", "a*b", "a?b", "[a]", "]", "ä", "Ä", "ÄB", "İ"]
TEXTS += [
    "ΑΣ",
    "1",
    "1.0",
    "true",
    "null",
    "[]",
    "[1]",
    '["a"]',
    "{}",
    "a\nb",
    'a"b',
    "é",
    "\uffff",
    "😀",
]
NUMBERS = [0, 1, 2, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 0.1, 0.1 + 0.2]
NUMBERS += [float(2**53), float(2**63), 1e25, -1e300, 5e-324]

texts = st.sampled_from(TEXTS) | st.text(
    st.characters(exclude_characters="\0", codec="utf-8"), max_size=4
)
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
keys = st.sampled_from(KEYS)
scalars = texts | numbers | st.booleans()
lists = st.lists(scalars, max_size=3)
bounds = st.tuples(numbers, numbers) | st.tuples(texts, texts)
patterns = st.text(st.sampled_from("aAbäÄXİ%_*?[]\n"), max_size=5)

VALUES: dict[Operator, st.SearchStrategy[Any]] = {
    Operator.EQ: scalars | lists | st.just([]),
    Operator.NE: scalars | lists | st.just([]),
    Operator.GT: texts | numbers,
    Operator.GTE: texts | numbers,
    Operator.LT: texts | numbers,
    Operator.LTE: texts | numbers,
    Operator.BETWEEN: bounds,
    Operator.IN: lists,
    Operator.NIN: lists,
    Operator.ANY: lists,
    Operator.ALL: lists,
    Operator.CONTAINS: scalars,
    Operator.TEXT_MATCH: texts,
    Operator.TEXT_MATCH_INSENSITIVE: texts,
    Operator.LIKE: patterns,
    Operator.ILIKE: patterns,
    Operator.IS_EMPTY: st.booleans() | st.none(),
    Operator.EXISTS: st.booleans(),
}

conditions = st.sampled_from(Operator).flatmap(
    lambda operator: st.builds(Condition, keys, st.just(operator), VALUES[operator])
)
trees: st.SearchStrategy[Filter] = st.recursive(
    conditions,
    lambda parts: (
        st.builds(Not, parts)
        | st.builds(And, st.lists(parts, min_size=1, max_size=3))
        | st.builds(Or, st.lists(parts, min_size=1, max_size=3))
    ),
    max_leaves=6,
)
held = scalars | st.none() | st.integers() | st.just(10**400)
metadata_values = st.recursive(
    held,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
metadatas = st.dictionaries(keys, metadata_values, max_size=4)


class Table(Protocol):
    """A table of a database that holds metadata, and what filters are compiled for it."""

    def ask(self, tree: Filter, rows: list[dict[str, Any]]) -> list[Any]:
        """Return what the compiled filter says of each row."""


class SqliteTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        register_functions(connection)
        connection.execute("CREATE TABLE rows (pk INTEGER PRIMARY KEY, metadata TEXT NOT NULL)")

    def ask(self, tree: Filter, rows: list[dict[str, Any]]) -> list[Any]:
        self.connection.execute("DELETE FROM rows")
        self.connection.executemany(
            "INSERT INTO rows (metadata) VALUES (?)", [(dump_metadata(row),) for row in rows]
        )
        sql, values = sqlite.compile_filter(tree, column="r.metadata")
        asked = f"SELECT {sql} FROM rows r ORDER BY pk"
        return [row[0] for row in self.connection.execute(asked, values)]


class PostgresTable:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = PostgresConnection(connection)
        connection.execute("CREATE TABLE chunks (pk serial, metadata text NOT NULL)")
        for statement in metadata.TABLES.values():
            self._connection.execute(statement)

    def ask(self, tree: Filter, rows: list[dict[str, Any]]) -> list[Any]:
        texts = [dump_metadata(row) for row in rows]
        sql, values = postgres.compile_filter(tree, column="c.filterable")
        self._connection.execute("DELETE FROM chunks")
        self._connection.execute(
            "INSERT INTO chunks (metadata) SELECT * FROM unnest(?::text[])", (texts,)
        )
        asked = f"SELECT {sql} FROM chunks c ORDER BY pk"
        return [row[0] for row in self._connection.execute(asked, values)]


@pytest.fixture(scope="module")
def sqlite_table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteTable]:
    path = tmp_path_factory.mktemp("filters") / "rows.db"
    with closing(sqlite3.connect(path)) as opened:
        yield SqliteTable(opened)


@pytest.fixture(scope="module")
def postgres_table(postgres_template: tuple[str, str]) -> Iterator[PostgresTable]:
    with postgres_database(*postgres_template) as url, psycopg.connect(url) as opened:
        yield PostgresTable(opened)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def table(request: pytest.FixtureRequest) -> Table:
    asked: Table = request.getfixturevalue(f"{request.param}_table")
    return asked


def found(table: Table, filters: Any, *rows: dict[str, Any]) -> list[int]:
    """Return the positions of the rows that match."""
    tree = parse_filter(filters)
    assert tree is not None
    answers = table.ask(tree, list(rows))
    return [position for position, answer in enumerate(answers) if answer]


# --- what the operators mean -----------------------------------------------------------------


@settings(max_examples=600, deadline=None)
@given(tree=trees, rows=st.lists(metadatas, min_size=1, max_size=6))
def test_sql_says_what_the_oracle_says(
    table: Table, tree: Filter, rows: list[dict[str, Any]]
) -> None:
    """For every tree and row the SQL is 0 or 1, never NULL, and equals the plain Python."""
    assert table.ask(tree, rows) == [int(matches(tree, row)) for row in rows]


@settings(max_examples=600, deadline=None)
@given(condition=conditions, value=metadata_values)
def test_each_operator_says_what_the_oracle_says(
    table: Table, condition: Condition, value: object
) -> None:
    row = {condition.key: value}
    assert table.ask(condition, [row]) == [int(matches(condition, row))]


@settings(max_examples=600, deadline=None)
@given(
    operator=st.sampled_from(
        [Operator.LIKE, Operator.ILIKE, Operator.TEXT_MATCH, Operator.TEXT_MATCH_INSENSITIVE]
    ),
    wanted=st.text(st.sampled_from("aAÄ%_*?[]Σσς\u212ai"), min_size=1, max_size=3),
    value=st.text(st.sampled_from("aAä%*?[]Σσς\u212aİ'ʰ^"), max_size=5),
)
def test_text_operators_say_what_the_oracle_says(
    table: Table, operator: Operator, wanted: str, value: str
) -> None:
    condition = Condition("k", operator, wanted)
    assert table.ask(condition, [{"k": value}]) == [int(matches(condition, {"k": value}))]


@settings(max_examples=600, deadline=None)
@given(
    operator=st.sampled_from([Operator.EQ, Operator.ANY, Operator.ALL]),
    wanted=st.lists(st.sampled_from([0, 1, 1.0, True, "1", "a"]), max_size=3),
    value=st.lists(st.sampled_from([0, 1, 1.0, True, "1", "a", None, [1]]), max_size=3),
)
def test_list_operators_say_what_the_oracle_says(
    table: Table, operator: Operator, wanted: list[Any], value: list[Any]
) -> None:
    condition = Condition("k", operator, wanted)
    assert table.ask(condition, [{"k": value}]) == [int(matches(condition, {"k": value}))]


@pytest.mark.parametrize("operator", Operator)
def test_missing_and_null_fail_all_but_the_negative_operators(
    table: Table, operator: Operator
) -> None:
    value = {
        Operator.BETWEEN: [0, 9],
        Operator.IN: [1],
        Operator.NIN: [1],
        Operator.ANY: [1],
        Operator.ALL: [1],
        Operator.IS_EMPTY: True,
        Operator.EXISTS: True,
    }.get(operator, "x")
    expected = {
        Operator.NE: [0, 1],
        Operator.NIN: [0, 1],
        Operator.IS_EMPTY: [0, 1],
        Operator.EXISTS: [1],
    }.get(operator, [])
    assert found(table, {"k": {f"${operator}": value}}, {}, {"k": None}) == expected


def test_numbers_bools_and_strings_are_three_things(table: Table) -> None:
    rows: list[dict[str, Any]] = [{"k": 1}, {"k": 1.0}, {"k": True}, {"k": "1"}, {"k": [1]}]
    assert found(table, {"k": 1}, *rows) == [0, 1]
    assert found(table, {"k": 1.0}, *rows) == [0, 1]
    assert found(table, {"k": True}, *rows) == [2]
    assert found(table, {"k": "1"}, *rows) == [3]
    assert found(table, {"k": [1]}, *rows) == [4]
    assert found(table, {"k": {"$in": [True, "1"]}}, *rows) == [2, 3]
    assert found(table, {"k": {"$gte": 0}}, *rows) == [0, 1]
    assert found(table, {"k": {"$gte": ""}}, *rows) == [3]


def test_exists_asks_for_the_key_and_is_empty_for_its_content(table: Table) -> None:
    rows: list[dict[str, Any]] = [{}, {"k": None}, {"k": ""}, {"k": []}, {"k": 0}, {"k": {}}]
    assert found(table, {"k": {"$exists": True}}, *rows) == [1, 2, 3, 4, 5]
    assert found(table, {"k": {"$exists": False}}, *rows) == [0]
    assert found(table, {"k": {"$is_empty": True}}, *rows) == [0, 1, 2, 3]
    assert found(table, {"k": {"$is_empty": False}}, *rows) == [4, 5]
    assert found(table, Condition("k", Operator.IS_EMPTY), *rows) == [0, 1, 2, 3]


def test_lists_are_asked_for_their_items(table: Table) -> None:
    rows: list[dict[str, Any]] = [
        {"tags": ["red", 2, True]},
        {"tags": ["blue", 2.0]},
        {"tags": "red"},
        {"tags": [["red"], None]},
        {"tags": []},
    ]
    assert found(table, {"tags": {"$contains": "red"}}, *rows) == [0]
    assert found(table, {"tags": {"$any": ["red", "blue"]}}, *rows) == [0, 1]
    assert found(table, {"tags": {"$all": [2, "blue"]}}, *rows) == [1]
    assert found(table, {"tags": {"$all": [2, 2.0]}}, *rows) == [0, 1]
    assert found(table, {"tags": {"$contains": 1}}, *rows) == []
    assert found(table, {"tags": ["blue", 2]}, *rows) == [1]
    assert found(table, {"tags": []}, *rows) == [4]
    assert found(table, {"tags": "red"}, *rows) == [2]


def test_of_no_values_none_is_had_and_all_are(table: Table) -> None:
    rows: list[dict[str, Any]] = [{}, {"k": None}, {"k": "a"}, {"k": ["a"]}, {"k": []}]
    for operator, expected in (("in", []), ("any", []), ("nin", rows), ("all", rows)):
        asked = {"k": {f"${operator}": []}}
        assert len(found(table, asked, *rows)) == len(expected)
        assert len(found(table, {"$not": asked}, *rows)) == len(rows) - len(expected)


@settings(max_examples=300, deadline=None)
@given(
    group=st.sampled_from([And, Or]),
    parts=st.lists(
        st.builds(
            Condition,
            st.sampled_from("ab"),
            st.sampled_from([Operator.EQ, Operator.NE, Operator.IN, Operator.NIN]),
            st.lists(st.sampled_from([0, 1, True, "1"]), max_size=2),
        )
        | st.builds(
            Condition,
            st.sampled_from("ab"),
            st.sampled_from([Operator.EQ, Operator.NE]),
            st.sampled_from([0, 1.0, True, "1"]),
        ),
        min_size=1,
        max_size=5,
    ),
    row=st.dictionaries(
        st.sampled_from("ab"), st.sampled_from([0, 1, True, "1", None, [], [1], [0, 1]])
    ),
)
def test_conditions_on_one_key_are_merged_into_what_they_mean(
    table: Table, group: Any, parts: list[Condition], row: dict[str, Any]
) -> None:
    tree = group(tuple(parts))
    merged = merged_parts(tree)
    assert matches(group(tuple(merged)), row) == matches(tree, row)
    assert table.ask(tree, [row]) == [int(matches(tree, row))]


@pytest.mark.parametrize("operator", ["$in", "$nin", "$any"])
def test_thousands_of_values_are_looked_up_and_not_walked(
    sqlite_table: SqliteTable, operator: str
) -> None:
    """Counted in steps of SQLite's machine, which no busy machine changes."""

    def steps(values: int) -> int:
        wanted = [f"x{n}" for n in range(values)]
        counted = [0]

        def count() -> int:
            counted[0] += 1
            return 0

        sqlite_table.connection.set_progress_handler(count, 100)
        try:
            found(sqlite_table, {"k": {operator: wanted}}, *({"k": [f"y{n}"]} for n in range(200)))
            found(sqlite_table, {"k": {operator: wanted}}, *({"k": f"y{n}"} for n in range(200)))
        finally:
            sqlite_table.connection.set_progress_handler(None, 0)
        return counted[0]

    assert steps(2000) < 20 * steps(20)


def test_alternatives_on_one_key_are_one_list(table: Table) -> None:
    tree = parse_filter({"$or": [{"a": n} for n in range(500)]})
    assert isinstance(tree, Or)
    assert merged_parts(tree) == [Condition("a", Operator.IN, range(500))]
    nowhere = parse_filter({"$and": [{"a": {"$ne": n}} for n in range(500)] + [{"b": 1}]})
    assert isinstance(nowhere, And)
    assert len(merged_parts(nowhere)) == 2


def test_text_match_is_literal_and_like_has_two_wildcards(table: Table) -> None:
    rows = [{"k": "100% Ärger"}, {"k": "100 Ärger"}, {"k": "a*c"}, {"k": "abc"}]
    assert found(table, {"k": {"$text_match": "0% "}}, *rows) == [0]
    assert found(table, {"k": {"$text_match": "ärger"}}, *rows) == []
    assert found(table, {"k": {"$text_match_insensitive": "äRG"}}, *rows) == [0, 1]
    assert found(table, {"k": {"$like": "100%"}}, *rows) == [0, 1]
    assert found(table, {"k": {"$like": "a*c"}}, *rows) == [2]
    assert found(table, {"k": {"$like": "a_c"}}, *rows) == [2, 3]
    assert found(table, {"k": {"$like": "A_C"}}, *rows) == []
    assert found(table, {"k": {"$ilike": "%_äRGER"}}, *rows) == [0, 1]


def test_order_is_by_size_and_by_code_point(table: Table) -> None:
    rows: list[dict[str, Any]] = [{"k": 1}, {"k": 2.5}, {"k": 10}, {"k": "b"}, {"k": "Z"}]
    assert found(table, {"k": {"$between": [1, 2.5]}}, *rows) == [0, 1]
    assert found(table, {"k": {"$between": ["Z", "a"]}}, *rows) == [4]
    assert found(table, {"k": {"$between": [2, 1]}}, *rows) == []
    assert found(table, {"k": {"$gt": 2.5}}, *rows) == [2]
    assert found(table, {"k": {"$gte": 2.5}}, *rows) == [1, 2]
    assert found(table, {"k": {"$lt": "b"}}, *rows) == [4]
    assert found(table, {"k": {"$lte": "b"}}, *rows) == [3, 4]


def test_large_numbers_are_compared_as_they_are(table: Table) -> None:
    rows: list[dict[str, Any]] = [
        *({"k": value} for value in (2.0**62, 2**62, 2**62 + 1, 10**30, 1e30, 10**400, -(10**400))),
        {"k": ["2e+62", 2.0**62], "1e+16": "1e+16"},
        *({"k": value} for value in (-(2.0**63), -(2**63))),
    ]
    assert found(table, {"k": 2**62}, *rows) == found(table, {"k": 2.0**62}, *rows) == [0, 1]
    assert found(table, {"k": {"$in": [2**62 + 1]}}, *rows) == [2]
    assert found(table, {"k": 1e30}, *rows) == [3, 4]
    assert found(table, {"k": {"$gt": 2.0**62}}, *rows) == [2, 3, 4, 5]
    assert found(table, {"k": {"$gt": 1e308}}, *rows) == [5]
    assert found(table, {"k": {"$lt": -1e308}}, *rows) == [6]
    assert found(table, {"k": -(2**63)}, *rows) == [8, 9]
    assert found(table, {"k": {"$lt": -(2.0**62)}}, *rows) == [6, 8, 9]
    assert found(table, {"k": {"$all": [2**62, "2e+62"]}, "1e+16": "1e+16"}, *rows) == [7]


def test_not_negates_the_whole(table: Table) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 1}, {"a": 1}, {"b": 2}, {}]
    assert found(table, {"$not": {"a": 1, "b": 1}}, *rows) == [1, 2, 3]
    assert found(table, {"$not": [{"a": 1}, {"b": 2}]}, *rows) == [3]
    assert found(table, {"$not": {"$not": {"a": 1}}}, *rows) == [0, 1]
    assert found(table, {"$not": {"b": {"$gt": 1}}}, *rows) == [0, 1, 3]


# --- the dict dialect --------------------------------------------------------------------------


def test_a_dict_reads_as_a_tree() -> None:
    assert parse_filter({"lang": "en"}) == Condition("lang", Operator.EQ, "en")
    assert parse_filter({"lang": "en", "year": {"$gte": 2020, "$lt": 2025}}) == And(
        (
            Condition("lang", Operator.EQ, "en"),
            And((Condition("year", Operator.GTE, 2020), Condition("year", Operator.LT, 2025))),
        )
    )
    assert parse_filter({"$or": [{"a": 1}, {"$not": {"b": {"$in": (2, 3)}}}]}) == Or(
        (Condition("a", Operator.EQ, 1), Not(Condition("b", Operator.IN, (2, 3))))
    )
    assert parse_filter({"$and": [{"a": 1}, Condition("b", Operator.EQ, 2)]}) == And(
        (Condition("a", Operator.EQ, 1), Condition("b", Operator.EQ, 2))
    )


def test_nothing_asked_is_no_filter() -> None:
    assert parse_filter(None) is None
    assert parse_filter({}) is None


def test_a_tree_passes_through_and_stays_a_value() -> None:
    tree = And((Condition("a", Operator.IN, [1, 2]), Not(Condition("b", Operator.EXISTS, True))))
    assert parse_filter(tree) is tree
    assert pickle.loads(pickle.dumps(tree)) == copy.deepcopy(tree) == tree
    assert hash(tree) == hash(copy.deepcopy(tree))


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"a": {"$gtx": 1}}, r"'\$gtx' on 'a'.*\$eq, \$ne.*\$and, \$or, \$not"),
        ({"a": {"gt": 1}}, r"'gt' on 'a'.*\$eq, \$ne"),
        ({"a": {"$and": True}}, r"'\$and' on 'a'"),
        ({"$nor": [{"a": 1}]}, r"'\$nor'.*\$and, \$or, \$not"),
        ({"a": {}}, "on 'a' is an empty dict"),
        ({"$not": {}}, "empty dict"),
        ({"$and": []}, r"\$and takes a list"),
        ({"$and": {"a": 1}}, r"\$and takes a list"),
        ({"$or": [1]}, "not a int"),
        ({"$not": True}, r"\$not takes a list"),
        ({1: "a"}, "key 1 is not a string"),
        ([("a", 1)], "not a list"),
        ("a = 1", "not a str"),
        ({"a": None}, r"None, which nothing equals.*\$exists"),
        ({"a": b"x"}, "not a bytes"),
        ({"a": object()}, "not a object"),
        ({"a": float("nan")}, "value nan"),
        ({"a": {"$lt": float("inf")}}, "value inf"),
        ({"a": 2**63}, "beyond 64 bits"),
        ({"a": {"$in": [-(2**63) - 1]}}, "beyond 64 bits"),
        ({"a": {"$in": "abc"}}, "takes a list of strings, numbers or bools, not a str"),
        ({"a": {"$any": {"x": 1}}}, "not a dict"),
        ({"a": {"$in": [None]}}, "None"),
        ({"a": {"$in": [[1]]}}, "takes a string, number or bool, not a list"),
        ({"a": {"$eq": [[1]]}}, "takes a string, number or bool, not a list"),
        ({"a": {"$contains": ["x"]}}, "not a list"),
        ({"a": {"$gt": True}}, "takes a string or a number, not a bool"),
        ({"a": {"$gt": [1]}}, "not a list"),
        ({"a": {"$between": [1]}}, "list of two"),
        ({"a": {"$between": [1, 2, 3]}}, "list of two"),
        ({"a": {"$between": [1, "b"]}}, "two numbers or two strings"),
        ({"a": {"$between": "ab"}}, "list of two"),
        ({"a": {"$text_match": 1}}, "takes a string, not a int"),
        ({"a": {"$like": ["a%"]}}, "takes a string, not a list"),
        ({"a": {"$like": "%" * (MOST_PATTERN + 1)}}, "pattern of more than"),
        ({"a": {"$exists": 1}}, "takes True or False"),
        ({"a": {"$is_empty": "yes"}}, "takes True or False"),
        ({"a\0b": 1}, "NUL"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"a": {"$in": ["x", "\0"]}}, "NUL"),
    ],
)
def test_what_cannot_be_asked_is_refused(filters: Any, says: str) -> None:
    with pytest.raises(InvalidFilterError, match=says):
        parse_filter(filters)


def test_a_tree_refuses_what_the_dict_refuses() -> None:
    with pytest.raises(InvalidFilterError, match="Unknown filter operator '=='"):
        Condition("a", "==", 1)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(InvalidFilterError, match=r"And\(\(\)\) joins nothing"):
        And(())
    with pytest.raises(InvalidFilterError, match="Not takes filters, not a dict"):
        Not({"a": 1})  # type: ignore[arg-type]  # what is tested


def test_enums_and_number_subclasses_count_as_their_values(table: Table) -> None:
    class Lang(StrEnum):
        ENGLISH = "en"

    class Level(IntEnum):
        HIGH = 3

    row = {"lang": "en", "level": 3, "size": 0.5}
    assert found(table, {"lang": Lang.ENGLISH, "level": Level.HIGH}, row) == [0]
    assert found(table, {"size": {"$in": [np.float64(0.5)]}}, row) == [0]
    with pytest.raises(InvalidFilterError, match="not a int64"):
        parse_filter({"level": np.int64(3)})


# --- limits and attacks --------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    """Return a filter this deep, in the shape that costs SQLite's parser most."""
    filters: dict[str, Any] = {'k"': {"$all": ["x"]}}
    for level in range(levels - 1):
        word = ("$not", "$or", "$and")[level % 3]
        filters = {word: filters if word == "$not" else [{"a": 1}, filters]}
    return filters


def test_deeper_than_allowed_is_refused_before_anything_recurses() -> None:
    with pytest.raises(InvalidFilterError, match="nested more than"):
        parse_filter(nested(MOST_LEVELS + 1))
    with pytest.raises(InvalidFilterError, match="nested more than"):
        parse_filter(nested(100_000))
    ring: dict[str, Any] = {}
    ring["$and"] = [ring]
    with pytest.raises(InvalidFilterError, match="nested more than"):
        parse_filter(ring)
    tree: Filter = Condition("a", Operator.EQ, 1)
    for _ in range(MOST_LEVELS - 1):
        tree = Not(tree)
    with pytest.raises(InvalidFilterError, match="nested more than"):
        Not(tree)


def test_too_many_conditions_are_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidFilterError, match=r"\$in"):
        parse_filter({"$or": [{"a": number} for number in range(MOST_CONDITIONS + 1)]})


def test_the_largest_filters_run_inside_a_search(store: PeeweeVectorStore) -> None:
    """SQLite has limits on depth, length, values and patterns; ours come first."""
    store.save([Chunk(text="hello world", metadata={"a": 1, 'k"': ["x"]})])
    widest = {"$or": [{'k"': {"$all": [str(n)]}} for n in range(MOST_CONDITIONS - 1)] + [{"a": 1}]}
    everywhere = {"$and": [{"$or": [{"a": 1}] * 9}] * (MOST_CONDITIONS // 9)}
    pattern = {'k"': {"$ilike": "%a" * (MOST_PATTERN // 2)}}
    assert len(store.search(text="hello", filters={"a": {"$in": list(range(100_000))}})) == 1
    assert len(store.search(text="hello", filters=widest)) == 1
    assert len(store.search(text="hello", filters=everywhere)) == 1
    assert len(store.search(text="hello", filters={"$not": pattern})) == 1
    for levels in range(1, MOST_LEVELS + 1):
        asked = nested(levels)
        expected = matches(parse_filter(asked), {"a": 1, 'k"': ["x"]})
        assert len(store.search(text="hello", filters=asked)) == expected


@pytest.mark.parametrize(
    "attack",
    [
        "a') OR 1=1 --",
        '") OR 1=1 --',
        "'; DROP TABLE rows; --",
        '$."a"',
        'a") FROM rows; --',
        "%s{}?:name",
    ],
)
def test_neither_key_nor_value_becomes_sql(table: Table, attack: str) -> None:
    rows: list[dict[str, Any]] = [{"a": 1}, {attack: attack}]
    for operator, value in (("eq", attack), ("in", [attack]), ("text_match", attack)):
        assert found(table, Condition(attack, Operator(operator), value), *rows) == [1]
    for operator in (Operator.LIKE, Operator.ILIKE, Operator.CONTAINS, Operator.GT):
        assert found(table, Condition("a", operator, attack), *rows) == []
    assert found(table, {"a": {"$exists": True}}, *rows) == [0]


def test_a_dot_in_a_key_is_a_dot(table: Table) -> None:
    rows: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a.b": 1}, {"$.a": 1}, {"": 1}]
    assert found(table, {"a.b": 1}, *rows) == [1]
    assert found(table, Condition("$.a", Operator.EQ, 1), *rows) == [2]
    assert found(table, {"": 1}, *rows) == [3]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=2)
    | st.sampled_from(["$and", "$or", "$not", "$gt", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.sampled_from(["$and", "$or", "$not", "a", "b", *(f"${name}" for name in Operator)])
            | st.text(st.characters(), max_size=3)
            | st.integers(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=1000, deadline=None)
@given(filters=anything, row=metadatas)
def test_whatever_is_asked_is_answered_or_refused(
    table: Table, filters: Any, row: dict[str, Any]
) -> None:
    try:
        tree = parse_filter(filters)
    except InvalidFilterError:
        return
    if tree is not None:
        assert table.ask(tree, [row]) == [int(matches(tree, row))]


MANY = 100_000


@pytest.mark.parametrize(
    "filters",
    [
        {f"k{number}": number for number in range(MANY)},
        {"$or": [{"a": number} for number in range(MANY)]},
        {"$not": [{"a": number} for number in range(MANY)]},
        {"$and": [{"$or": [{"a": 1}, {"b": {"$gt": 1, "$lt": 2}}]}] * MANY},
        {"a": {f"$x{number}": 1 for number in range(MANY)}},
    ],
)
def test_too_many_conditions_are_counted_before_any_is_looked_at(filters: dict[str, Any]) -> None:
    """Each costs a hundred times what counting it does."""
    looked_at = 0

    def note(frame: Any, event: str, _: Any) -> None:
        nonlocal looked_at
        looked_at += event == "call" and frame.f_code.co_name == "_parse_condition"

    sys.setprofile(note)
    try:
        with pytest.raises(InvalidFilterError, match="more than 1000"):
            parse_filter(filters)
    finally:
        sys.setprofile(None)
    assert looked_at == 0


def test_a_group_takes_no_more_parts_than_are_too_many() -> None:
    made = itertools.count()
    parts: Any = (Condition(f"k{next(made)}", Operator.EQ, 1) for _ in range(MANY))
    with pytest.raises(InvalidFilterError, match="more than 1000"):
        And(parts)
    assert next(made) < 1100
