"""Tags find what the filter means, or more where they say so, whatever became of the metadata."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.database.sqlite.metadata import TaggedMetadata
from semantic_core.database.sqlite.tags import LONGEST, tag_query
from semantic_core.domain.types import Chunk
from semantic_core.filters import And, Condition, Filter, Not, Operator, Or
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, vector_of
from support.filter_oracle import matches

TAGS = TaggedMetadata()
KEYS = ["a", "b", "", "a.b", "$.a", 'a"b', "a\\b", "ключ"]
TEXTS = ["", "a", "A", "1", "1.0", "true", "ä", "x" * LONGEST, "x" * (LONGEST + 1)]
NUMBERS = [0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, 1.0, 0.1, 0.1 + 0.2, 1e25, 5e-324]

scalars = st.sampled_from([*TEXTS, *NUMBERS, True, False])
values = scalars | st.none() | st.lists(scalars, max_size=2) | st.just({"a": 1}) | st.just(10**30)
metadatas = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
orderables = st.sampled_from(NUMBERS)
conditions = st.one_of(
    st.builds(Condition, st.sampled_from(KEYS), st.just(Operator.EQ), scalars),
    st.builds(
        Condition,
        st.sampled_from(KEYS),
        st.sampled_from([Operator.IN, Operator.NIN]),
        st.lists(scalars, max_size=3),
    ),
    st.builds(
        Condition,
        st.sampled_from(KEYS),
        st.sampled_from([Operator.GT, Operator.GTE, Operator.LT, Operator.LTE]),
        orderables | st.sampled_from(TEXTS),
    ),
    st.builds(
        Condition,
        st.sampled_from(KEYS),
        st.just(Operator.BETWEEN),
        st.tuples(orderables, orderables),
    ),
    st.builds(Condition, st.sampled_from(KEYS), st.just(Operator.NE), scalars),
    st.builds(
        Condition, st.sampled_from(KEYS), st.just(Operator.EQ), st.lists(scalars, max_size=2)
    ),
)
trees: st.SearchStrategy[Filter] = st.recursive(
    conditions,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=5,
)


def tagged(rows: list[dict[str, Any]]) -> sqlite3.Connection:
    """Return a connection with rows 1, 2, 3, … of collection 1, and their tags."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE chunks (pk INTEGER PRIMARY KEY, collection_id, metadata TEXT)")
    connection.execute(
        "CREATE TABLE tags (collection_id, key TEXT, value BLOB, chunk_pk, "
        "PRIMARY KEY (collection_id, key, value, chunk_pk)) WITHOUT ROWID"
    )
    connection.executemany(
        "INSERT INTO chunks (collection_id, metadata) VALUES (1, ?)",
        [(json.dumps(row, ensure_ascii=False),) for row in rows],
    )
    TAGS.add(connection, range(1, len(rows) + 1))
    return connection


@settings(max_examples=300)
@given(tree=trees, rows=st.lists(metadatas, min_size=1, max_size=6))
def test_tags_say_what_the_oracle_says(tree: Filter, rows: list[dict[str, Any]]) -> None:
    query = tag_query(tree, collection_id=1)
    if query is None:
        return
    with closing(tagged(rows)) as connection:
        found = [row[0] for row in connection.execute(query.sql, query.values)]
        true = {pk for pk, row in enumerate(rows, start=1) if matches(tree, row)}
        assert len(found) == len(set(found))
        assert set(found) == true if query.is_exact else set(found) >= true
        TAGS.remove(connection, range(1, len(rows) + 1))
        assert connection.execute("SELECT count(*) FROM tags").fetchone() == (0,)
        TAGS.add(connection, range(1, len(rows) + 1))
        assert {row[0] for row in connection.execute(query.sql, query.values)} == set(found)


def test_usual_filters_are_looked_up() -> None:
    for tree in (
        Condition("lang", Operator.EQ, "en"),
        Condition("year", Operator.BETWEEN, [2020, 2025]),
        And((Condition("ok", Operator.EQ, True), Condition("tenant", Operator.IN, [1, "x"]))),
    ):
        query = tag_query(tree, collection_id=1)
        assert query is not None
        assert query.is_exact


def test_what_tags_cannot_tell_is_left_to_the_metadata() -> None:
    known = Condition("lang", Operator.EQ, "en")
    unknown = Condition("lang", Operator.LIKE, "e%")
    assert tag_query(unknown, collection_id=1) is None
    assert tag_query(Or((known, unknown)), collection_id=1) is None
    assert tag_query(Not(And((known, unknown))), collection_id=1) is None
    part = tag_query(And((known, unknown)), collection_id=1)
    assert part is not None
    assert not part.is_exact


def test_negations_and_long_lists_are_looked_up() -> None:
    for tree in (
        Not(Condition("lang", Operator.EQ, "en")),
        Condition("n", Operator.NIN, range(5000)),
        Condition("n", Operator.IN, range(5000)),
        And((Condition("lang", Operator.EQ, "en"), Condition("n", Operator.NE, 1))),
        Or(tuple(Condition("n", Operator.EQ, number) for number in range(1000))),
        Or(
            tuple(
                And((Condition("a", Operator.EQ, number), Condition("b", Operator.EQ, number)))
                for number in range(500)
            )
        ),
    ):
        query = tag_query(tree, collection_id=1)
        assert query is not None
        assert query.is_exact
        with closing(tagged([{"lang": "de", "a": 3, "b": 3, "n": 7000}])) as connection:
            found = [row[0] for row in connection.execute(query.sql, query.values)]
        assert (found == [1]) == matches(tree, {"lang": "de", "a": 3, "b": 3, "n": 7000})


@pytest.fixture
def collection(store: PeeweeVectorStore) -> Iterator[PeeweeVectorStore]:
    """A store whose tags are, whatever the test did, those of the metadata in it."""
    store.collection(spec=SPEC)
    yield store
    connection = store.database.connection()
    tags = set(connection.execute("SELECT key, value, chunk_pk FROM tags").fetchall())
    expected = {
        (key, {True: b"\x01", False: b"\x00"}[value] if isinstance(value, bool) else value, pk)
        for pk, text in connection.execute("SELECT pk, metadata FROM chunks").fetchall()
        for key, value in json.loads(text).items()
        if isinstance(value, str | int | float)
    }
    assert tags == expected


def found(store: PeeweeVectorStore, filters: dict[str, Any], collection: str = "default") -> str:
    hits = store.search(
        vector=vector_of("a"), mode="vector", filters=filters, collection=collection
    )
    return "".join(sorted(hit.chunk.id for hit in hits))


def test_tags_follow_saves_edits_and_deletes(collection: PeeweeVectorStore) -> None:
    store = collection

    def save(chunk_id: str, text: str = "text", **metadata: Any) -> None:
        store.save([Chunk(id=chunk_id, text=text, metadata=metadata, vector=vector_of(chunk_id))])

    save("a", lang="en", year=2020, ok=True)
    save("b", lang="en", year=2021.5)
    save("c", lang="de", year=2022, tags=["x"])
    assert found(store, {"lang": "en"}) == "ab"
    assert found(store, {"year": {"$gt": 2020}, "lang": {"$ne": "de"}}) == "b"
    assert found(store, {"ok": True}) == "a"
    assert found(store, {"ok": 1}) == ""
    save("a", lang="de", ok=1)
    assert found(store, {"lang": "en"}) == "b"
    assert found(store, {"ok": True}) == ""
    assert found(store, {"ok": 1}) == "a"
    save("b", "another text", lang="en", year=2021.5)
    assert found(store, {"lang": "en"}) == "b"
    store.delete(ids=["b"])
    assert found(store, {"lang": "en"}) == ""
    assert found(store, {"lang": {"$in": ["en", "de"]}}) == "ac"


def test_tags_of_another_collection_are_not_found(collection: PeeweeVectorStore) -> None:
    store = collection
    store.collection("other", SPEC)
    for name in ("default", "other"):
        store.save(
            [Chunk(id=name[0], text="t", metadata={"k": 1}, vector=vector_of(name))],
            collection=name,
        )
    assert found(store, {"k": 1}) == "d"
    assert found(store, {"k": 1}, collection="other") == "o"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5, 1.0])
def test_a_filter_of_any_selectivity_finds_what_it_should(
    collection: PeeweeVectorStore, share: float
) -> None:
    store = collection
    count = 300
    store.save(
        [
            Chunk(
                id=str(number),
                text=f"text {number}",
                metadata={"in": number < share * count},
                vector=vector_of(str(number)),
            )
            for number in range(count)
        ]
    )
    by_tag = store.search(vector=vector_of("q"), mode="vector", filters={"in": True}, limit=count)
    by_metadata = store.search(
        vector=vector_of("q"), mode="vector", filters={"$not": {"in": False}}, limit=count
    )
    assert len(by_tag) == int(share * count)
    assert [hit.chunk.id for hit in by_tag] == [hit.chunk.id for hit in by_metadata]
