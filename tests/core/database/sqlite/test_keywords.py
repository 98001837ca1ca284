"""What of the full-text index is SQLite's alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of
from support.invariants import check_full_text


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def test_a_save_that_fails_leaves_the_index_in_step(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple"]))
    store.database.connection().execute(
        "CREATE TEMP TRIGGER refuse AFTER UPDATE ON main.chunks "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    with pytest.raises(Exception, match="refused"):
        store.save([*chunks_of(["pear"]), Chunk(id="apple", text="orange")])
    check_full_text(store)
    assert [hit.chunk.id for hit in store.search(text="apple pear orange", mode="keyword")] == [
        "apple"
    ]


def test_words_of_another_version_are_noticed_and_made_anew(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text="ключи"), Chunk(text="plain")])
    with store.database.transaction() as connection:
        connection.execute("UPDATE chunk_words SET text = 'older'")
        store.database.keywords.rebuild(connection)
        store.database.keywords.check(connection)
        connection.execute("INSERT INTO chunk_words VALUES (2, 'more', NULL)")
        connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")
    with (
        pytest.raises(DatabaseCorruptError, match="Of 1 chunks"),
        store.database.transaction() as c,
    ):
        store.database.keywords.check(c)
    with store.database.transaction() as connection:
        store.database.keywords.rebuild(connection)


def test_no_words_are_kept_of_what_is_indexed_as_it_is(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="a", text="ключи"), Chunk(id="b", text="日本語")])
    store.save([Chunk(id="a", text="plain now")])
    store.delete(ids=["b"])
    kept = store.database.connection().execute("SELECT count(*) FROM chunk_words").fetchone()
    assert kept == (0,)


def test_another_view_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    PeeweeVectorStore(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP VIEW indexed_words")
        connection.execute("CREATE VIEW indexed_words AS SELECT pk, text, NULL AS more FROM chunks")
    with pytest.raises(DatabaseCorruptError, match="view 'indexed_words'"):
        PeeweeVectorStore(path)
