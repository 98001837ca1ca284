"""Searches wait for a server side by side, and for a core one after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed_all, vector_of
from support.postgres_server import wait_for_waiting

SEARCHES = 6


# Before the vectors are known to be current, and after they were compared.
@pytest.mark.parametrize("table", ["changes", "chunk_counts"])
def test_searches_wait_for_the_server_side_by_side(table: str, postgres_store_url: str) -> None:
    with PeeweeVectorStore(postgres_store_url) as store, ThreadPoolExecutor(SEARCHES) as pool:
        store.collection(spec=SPEC)
        store.save(chunks_of("abc"))
        embed_all(store)

        def found(text: str) -> str:
            hits = store.search(vector=vector_of(text), mode="vector", limit=1)
            return hits[0].chunk.id

        assert found("a") == "a"
        with psycopg.connect(postgres_store_url) as other:
            other.execute(f"LOCK TABLE semcore.{table} IN ACCESS EXCLUSIVE MODE")
            searches = [pool.submit(found, text) for text in "abcabc"]
            wait_for_waiting(postgres_store_url, SEARCHES)
        assert [search.result() for search in searches] == list("abcabc")
