"""Filters in the languages of other vector stores. What real stores make of them: test_targets.py."""

from __future__ import annotations

from typing import Any

import pytest

from semantic_core import (
    And,
    Condition,
    Filter,
    InvalidFilterError,
    Not,
    Or,
    foreign_filter,
    parse_filter,
)

LANGUAGES = ("qdrant", "chroma", "milvus", "pgvector")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "wanted",
    [
        Condition("k", "text_match", "a"),
        Condition("k", "like", "a"),
        Condition("k", "contains", "a"),
        Condition("k", "exists", True),
        Condition("k", "is_empty", True),
        Condition("k", "eq", ["a"]),
        Condition("k", "gt", "a"),
        Condition("k", "between", ("a", "b")),
        Not(Condition("k", "gt", 1)),
        Condition("a key", "eq", 1),
        Condition("a.b", "eq", 1),
        Condition("k'; DROP TABLE x", "eq", 1),
        Condition("ключ", "eq", 1),
        Condition("own", "eq", 1),
        Or([Condition("k", "eq", 1), And([Condition("k", "like", "a")])]),
    ],
)
def test_what_a_store_cannot_be_asked_is_refused(language: str, wanted: Filter) -> None:
    with pytest.raises(InvalidFilterError, match=rf"{language} cannot be asked.*target_filter"):
        foreign_filter(wanted, language, taken=("own",))


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "qdrant",
            {
                "must": [
                    {"should": [{"key": "metadata.lang", "match": {"any": ["en"]}}]},
                    {"must": [{"key": "metadata.year", "range": {"gte": 2020}}]},
                ]
            },
        ),
        (
            "chroma",
            {"$and": [{"metadata.lang": {"$in": ["en"]}}, {"metadata.year": {"$gte": 2020.0}}]},
        ),
        ("milvus", '((metadata.lang == "en") and metadata.year >= 2020)'),
        (
            "pgvector",
            {"$and": [{"metadata.lang": {"$in": ["en"]}}, {"metadata.year": {"$gte": 2020.0}}]},
        ),
    ],
)
def test_each_says_it_in_its_own_way(language: str, expected: Any) -> None:
    wanted = parse_filter({"lang": "en", "year": {"$gte": 2020}})
    assert wanted is not None
    assert foreign_filter(wanted, language, prefix="metadata.") == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_narrows_nothing_down_is_no_filter(language: str) -> None:
    nothing = Condition("k", "nin", [])
    text = Condition("k", "eq", "a")
    assert foreign_filter(nothing, language) is None
    assert foreign_filter(Or([text, nothing]), language) is None
    assert foreign_filter(And([nothing, text]), language) == foreign_filter(text, language)
    assert foreign_filter(Not(Not(text)), language) == foreign_filter(text, language)
