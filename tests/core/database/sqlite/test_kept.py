"""Row keys that a filter chose are kept while nothing is written, and no longer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from semantic_core import Chunk, EmbeddingSpec
from semantic_core.database.sqlite import connection as connections
from semantic_core.store import PeeweeVectorStore


@pytest.fixture
def store(tmp_path: Path) -> PeeweeVectorStore:
    store = PeeweeVectorStore(tmp_path / "notes.db")
    store.collection(spec=EmbeddingSpec.external("foreign", 2))
    store.save([noted("a", "x"), noted("b", "y")])
    return store


def noted(name: str, tenant: str) -> Chunk:
    return Chunk(id=name, text=name, metadata={"tenant": tenant}, vector=[1.0, 2.0])


def found(store: PeeweeVectorStore, tenant: str = "x") -> set[str]:
    hits = store.search(vector=[1.0, 2.0], mode="vector", filters={"tenant": tenant})
    return {hit.chunk.id for hit in hits}


def asked(store: PeeweeVectorStore, tenant: str = "x") -> int:
    """Return how often a search reads which chunks there are."""
    statements: list[str] = []
    connection = store.database.connection()  # type: ignore[attr-defined]  # SQLite's
    connection.set_trace_callback(statements.append)
    found(store, tenant)
    connection.set_trace_callback(None)
    assert statements
    return sum("FROM tags" in one for one in statements)


def test_the_same_filter_is_looked_up_once(store: PeeweeVectorStore) -> None:
    assert [asked(store), asked(store), asked(store, "y"), asked(store)] == [1, 0, 1, 0]


def test_what_is_written_here_changes_what_is_chosen(store: PeeweeVectorStore) -> None:
    assert found(store) == {"a"}
    store.save([noted("c", "x")])
    assert found(store) == {"a", "c"}
    store.save([noted("a", "y")])
    assert found(store) == {"c"}
    store.delete(ids=["c"])
    assert found(store) == set()


def test_what_another_connection_writes_changes_what_is_chosen(store: PeeweeVectorStore) -> None:
    assert found(store) == {"a"}
    with PeeweeVectorStore(store.database.path) as other:
        other.save([noted("c", "x")])
        assert found(store) == {"a", "c"}
        assert found(other) == {"a", "c"}
        store.delete(ids=["a"])
        assert found(other) == {"c"}
    thread = threading.Thread(target=store.save, args=([noted("d", "x")],))
    thread.start()
    thread.join()
    assert found(store) == {"c", "d"}


def test_what_is_taken_back_is_not_chosen(store: PeeweeVectorStore) -> None:
    def write() -> None:
        with store.database.transaction() as connection:
            connection.execute("UPDATE tags SET value = 'x' WHERE value = 'y'")
            assert found(store) == {"a", "b"}
            raise ZeroDivisionError

    assert found(store) == {"a"}
    with pytest.raises(ZeroDivisionError):
        write()
    assert found(store) == {"a"}


def test_no_more_keys_are_kept_than_there_is_room_for(
    store: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_MOST_KEPT", 1)
    assert [asked(store), asked(store), asked(store, "y"), asked(store)] == [1, 0, 1, 1]
    store.save([noted("c", "x")])
    assert [asked(store), asked(store)] == [1, 1]
    assert found(store) == {"a", "c"}
