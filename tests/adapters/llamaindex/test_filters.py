from typing import Any

import pytest
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from llamaindex_semcore import SemcoreVectorStore
from llamaindex_semcore.filters import to_filter
from semantic_core import InvalidFilterError
from support.llamaindex import node

ROWS: dict[str, dict[str, Any]] = {
    "en": {"lang": "en", "year": 2020, "tags": ["a", "b"], "title": "Über Alles"},
    "de": {"lang": "de", "year": 2021.5, "tags": ["b"], "title": "Alles"},
    "empty": {"lang": "", "tags": [], "year": "2020", "title": "50% off"},
    "null": {"lang": None, "year": True},
    "missing": {},
}
O = FilterOperator  # noqa: E741  # as short as the table needs it

CASES: list[tuple[str, FilterOperator, Any, str]] = [
    ("lang", O.EQ, "en", "en"),
    ("year", O.EQ, 2020.0, "en"),
    ("year", O.EQ, 1, ""),
    ("lang", O.NE, "en", "de empty null missing"),
    ("year", O.GT, 2020, "de"),
    ("year", O.GTE, 2020, "en de"),
    ("year", O.LT, 2021, "en"),
    ("year", O.LTE, 2021.5, "en de"),
    ("lang", O.GT, "de", "en"),
    ("lang", O.IN, ["en", "fr"], "en"),
    ("lang", O.NIN, ["en", "fr"], "de empty null missing"),
    ("tags", O.ANY, ["a", "z"], "en"),
    ("tags", O.ALL, ["a", "b"], "en"),
    ("tags", O.CONTAINS, "b", "en de"),
    ("title", O.TEXT_MATCH, "Alles", "en de"),
    ("title", O.TEXT_MATCH, "%", "empty"),
    ("title", O.TEXT_MATCH_INSENSITIVE, "ÜBER", "en"),
    ("lang", O.IS_EMPTY, None, "empty null missing"),
    ("tags", O.IS_EMPTY, "ignored", "empty null missing"),
]


@pytest.fixture
def rows(offline_store: SemcoreVectorStore) -> SemcoreVectorStore:
    offline_store.add([node(name, **metadata) for name, metadata in ROWS.items()])
    return offline_store


def kept(store: SemcoreVectorStore, filters: MetadataFilters | None) -> str:
    return " ".join(found.node_id for found in store.get_nodes(filters=filters))


def one(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=operator)


@pytest.mark.parametrize(("key", "operator", "value", "expected"), CASES)
def test_every_operator(
    rows: SemcoreVectorStore, key: str, operator: FilterOperator, value: Any, expected: str
) -> None:
    assert kept(rows, MetadataFilters(filters=[one(key, value, operator)])) == expected


def test_the_cases_name_every_operator_there_is() -> None:
    assert {case[1] for case in CASES} == set(FilterOperator)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (FilterCondition.AND, "de"),
        (None, "de"),
        (FilterCondition.OR, "en de"),
        (FilterCondition.NOT, "empty null missing"),
    ],
)
def test_conditions(
    rows: SemcoreVectorStore, condition: FilterCondition | None, expected: str
) -> None:
    """NOT keeps what none of its filters matches."""
    filters = [one("lang", "de"), one("tags", "b", FilterOperator.CONTAINS)]
    assert kept(rows, MetadataFilters(filters=filters, condition=condition)) == expected


def test_nested_conditions(rows: SemcoreVectorStore) -> None:
    not_english = MetadataFilters(filters=[one("lang", "en")], condition=FilterCondition.NOT)
    old = MetadataFilters(
        filters=[one("year", 2020), one("year", "2020")], condition=FilterCondition.OR
    )
    assert kept(rows, MetadataFilters(filters=[not_english, old])) == "empty"


@pytest.mark.parametrize("condition", FilterCondition)
def test_no_filters_are_no_restriction(condition: FilterCondition) -> None:
    assert to_filter(None) is None
    assert to_filter(MetadataFilters(filters=[], condition=condition)) is None


@pytest.mark.parametrize(
    ("filters", "match"),
    [
        ([one("lang", None)], r"\$exists or \$is_empty"),
        ([one("lang", "en", FilterOperator.IN)], r"\$in on 'lang' takes a list"),
        ([one("lang", ["a"], FilterOperator.GT)], r"\$gt on 'lang'"),
        ([MetadataFilters(filters=[])], "nested MetadataFilters has no filters"),
    ],
)
def test_what_cannot_be_asked_says_so(
    rows: SemcoreVectorStore, filters: list[MetadataFilter], match: str
) -> None:
    with pytest.raises(InvalidFilterError, match=match):
        kept(rows, MetadataFilters(filters=filters))
