"""What an administrator sets for a role or a database, and what a client has in its environment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from semantic_core.database.queries import first_value
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.collections import get_collection
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_rows
from support.chunks import SPEC, chunks_of, embed, vector_of
from support.clock import ManualClock
from support.invariants import check_invariants
from support.postgres_server import wait_for_waiting

pytestmark = pytest.mark.postgres

MOMENT = 1796088662.8246927

# None of them may change what is read back.
OWN_SETTINGS = {
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "SQL, DMY",
    "TimeZone": "Asia/Kolkata",
    "search_path": "nowhere",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "enable_indexscan": "off",
    "default_text_search_config": "pg_catalog.russian",
    "xmloption": "document",
    "row_security": "off",
    "check_function_bodies": "off",
    "plan_cache_mode": "force_generic_plan",
    "client_encoding": "LATIN1",
}


def set_for(url: str, name: str, value: str) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        database = url.rpartition("/")[2]
        server.execute(f"ALTER DATABASE {database} SET {name} = '{value}'")


@pytest.mark.parametrize("name", OWN_SETTINGS)
def test_an_administrators_settings_change_nothing(postgres_url: str, name: str) -> None:
    set_for(postgres_url, name, OWN_SETTINGS[name])
    texts = ["zebra \\' % \\n", "жираф", "lion"]
    metadata = {"big": 2**60, "float": 0.1 + 0.2, "text": "a\\'b", "list": [None, 1]}
    with PeeweeVectorStore(postgres_url, clock=ManualClock(MOMENT)) as store:
        store.collection(spec=SPEC)
        store.save(chunks_of(texts, metadata=metadata))
        embed(store, *texts)
        for text in texts:
            found = store.search(text=text, mode="keyword").hits
            near = store.search(vector=vector_of(text), mode="vector").hits
            assert found[0].chunk.text == near[0].chunk.text == text
            assert near[0].score == pytest.approx(1)
        chosen = store.chunks(filters={"text": "a\\'b", "float": 0.1 + 0.2})
        assert [chunk.text for chunk in chosen] == texts
        assert all(chunk.metadata == metadata for chunk in chosen)
        assert {chunk.updated_at for chunk in chosen} == {MOMENT}
        check_invariants(store)


@pytest.mark.parametrize(
    "level", ["repeatable read", "serializable"], ids=["one-snapshot", "serializable"]
)
@pytest.mark.parametrize("kind", ["transaction", "save"])
def test_who_waited_for_a_lock_sees_what_was_done_meanwhile(
    postgres_url: str, level: str, kind: str
) -> None:
    set_for(postgres_url, "default_transaction_isolation", level)
    count = "SELECT count(*) FROM chunks"

    def asked() -> int:
        if kind == "save":
            return store.database.save(lambda connection, _: first_value(connection, count))
        with store.database.transaction() as connection:
            return int(first_value(connection, count))

    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(1) as threads:
        store.collection(spec=SPEC)
        with store.database.transaction() as connection:
            waiting = threads.submit(asked)
            wait_for_waiting(postgres_url)
            rows = prepare_chunks(chunks_of(["zebra"]), SPEC)
            collection = get_collection(connection, "default")
            save_rows(
                store.database, connection, rows, collection=collection, now=1.0, is_alone=True
            )
        assert waiting.result() == 1
