"""Filters on PostgreSQL; what they mean is tested for both databases in ``test_filters``."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from semantic_core.database.postgres.filters import compile_filter
from semantic_core.filters import parse_filter
from semantic_core.store import PeeweeVectorStore

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    "filters",
    [
        {"lang": "en"},
        {"tags": {"$contains": "red"}},
        {"tags": {"$all": ["red", "blue"]}},
        {"tags": {"$any": ["red", "blue"]}},
        {"lang": {"$in": ["en", "de"]}},
        {"lang": "en", "year": {"$gt": 2020}},
        {"$or": [{"lang": "en"}, {"tags": {"$contains": "red"}}]},
    ],
    ids=str,
)
def test_usual_filters_are_looked_up_in_an_index(
    postgres_url: str, filters: Mapping[str, object]
) -> None:
    tree = parse_filter(filters)
    assert tree is not None
    sql, values = compile_filter(tree, column="filterable")
    with PeeweeVectorStore(postgres_url) as store, store.database.snapshot() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN SELECT FROM chunks WHERE {sql}", values).fetchall()
    assert "chunks_filterable" in str(plan)
