from __future__ import annotations

import datetime as dt
import math
import sqlite3
from collections import OrderedDict
from contextlib import closing
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidMetadataError
from semantic_core.domain.metadata import (
    MOST_BYTES,
    MOST_LEVELS,
    copy_metadata,
    dump_metadata,
    load_metadata,
)

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
values = st.recursive(
    texts
    | st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
metadatas = st.dictionaries(texts, values, max_size=6)


def same(one: object, other: object) -> bool:
    """Return whether two values are equal and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


@settings(max_examples=500, deadline=None)
@given(metadata=metadatas)
def test_metadata_comes_back_exactly(metadata: dict[str, Any]) -> None:
    """Equal values of the same types, keys in the same order; and SQLite can read it."""
    text = dump_metadata(metadata)
    assert same(load_metadata(text), metadata)
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT json_type(?)", (text,)).fetchone() == ("object",)


def nested(levels: int, leaf: object) -> dict[str, Any]:
    """Return containers this deep, dicts and lists in turn."""
    value: Any = leaf
    for level in range(levels - 1):
        value = [value] if level % 2 else {"k": value}
    return {"top": value}


def test_metadata_as_deep_as_allowed_comes_back() -> None:
    metadata = nested(MOST_LEVELS, 1)
    assert load_metadata(dump_metadata(metadata)) == metadata


def test_metadata_as_large_as_allowed_comes_back() -> None:
    metadata = {"k": "x" * (MOST_BYTES - len('{"k":""}'))}
    assert load_metadata(dump_metadata(metadata)) == metadata


def test_subclasses_of_plain_types_come_back_as_their_plain_equals() -> None:
    class Lang(StrEnum):
        ENGLISH = "en"

    class Level(IntEnum):
        HIGH = 3

    metadata = OrderedDict(lang=Lang.ENGLISH, level=Level.HIGH, score=np.float64(0.1))
    loaded = load_metadata(dump_metadata(metadata))
    assert same(loaded, {"lang": "en", "level": 3, "score": 0.1})


def test_any_mapping_is_taken() -> None:
    assert load_metadata(dump_metadata(MappingProxyType({"a": 1}))) == {"a": 1}


def test_a_copy_may_be_changed() -> None:
    original = {"a": 1}
    copied = copy_metadata(original)
    copied.clear()
    assert original == {"a": 1}


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"a": math.nan}, r"metadata\['a'\] is nan.*use None"),
        ({"a": [1, {"b": -math.inf}]}, r"metadata\['a'\]\[1\]\['b'\] is -inf"),
        ({"a": np.float64("nan")}, "is nan"),
        ({"a": (1, 2)}, r"metadata\['a'\] is a tuple.*list or dict"),
        ({"a": {1, 2}}, "is a set"),
        ({"a": b"x"}, "is a bytes"),
        ({"a": np.int64(1)}, "is a int64"),
        ({"a": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "is a datetime"),
        ({"a": MappingProxyType({})}, "is a mappingproxy"),
        ({"a": {1: "x"}}, r"has the key 1, which is not a string. Use str\(1\)"),
        ({None: 1}, "has the key None"),
        ({"a": "x\0"}, r"metadata\['a'\] has a NUL at character 1"),
        ({"a": ["\ud800"]}, r"metadata\['a'\]\[0\] has a lone surrogate"),
        ({"a\udfff": 1}, "a key of the metadata has a lone surrogate"),
        ({"a": 10**5000}, "cannot be written as JSON"),
        (nested(MOST_LEVELS + 1, 1), f"more than {MOST_LEVELS} levels"),
        (nested(100_000, 1), f"more than {MOST_LEVELS} levels"),
        ({"a": "x" * MOST_BYTES}, "more than 1,048,576 bytes.*in a file"),
        ({"a": "é" * (MOST_BYTES // 2)}, "more than 1,048,576 bytes"),
        ({"a": "x" * 50_000_000}, "more than 1,048,576 bytes"),
        ({"a": [0] * (MOST_BYTES + 1)}, "more than 1,048,576 bytes"),
        ([("a", 1)], "is a list. Use a dict"),
        ("a", "is a str. Use a dict"),
        (None, "is a NoneType. Use a dict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_plain_json_is_refused(metadata: Any, says: str) -> None:
    """The error names where in the metadata it is, and what to do."""
    with pytest.raises(InvalidMetadataError, match=says) as caught:
        dump_metadata(metadata)
    assert "Nothing was saved" in str(caught.value) or "JSON: " in str(caught.value)


def test_a_ring_is_refused() -> None:
    ring: dict[str, Any] = {}
    ring["self"] = ring
    with pytest.raises(InvalidMetadataError, match="levels deep"):
        dump_metadata(ring)


def test_the_error_names_whose_metadata_it_is() -> None:
    with pytest.raises(InvalidMetadataError, match=r"^the metadata of chunk 'x'\['a'\] is a set"):
        dump_metadata({"a": set()}, what="the metadata of chunk 'x'")


def test_the_error_does_not_repeat_the_text() -> None:
    with pytest.raises(InvalidMetadataError) as caught:
        dump_metadata({"a": "secret\0"})
    assert "secret" not in str(caught.value)
