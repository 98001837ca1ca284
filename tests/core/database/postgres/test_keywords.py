"""What of the full-text index is PostgreSQL's alone: its limits and its statistics."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from semantic_core.database.postgres import keywords
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(postgres_url: str) -> Iterator[PeeweeVectorStore]:
    with PeeweeVectorStore(postgres_url) as opened:
        opened.collection(spec=SPEC)
        yield opened


def _found(store: PeeweeVectorStore, text: str) -> list[str]:
    return [hit.chunk.id for hit in store.search(text=text, mode="keyword", limit=1000)]


def test_a_text_beyond_the_limits_of_the_database_is_found_by_its_words(
    store: PeeweeVectorStore,
) -> None:
    texts = {
        "many": " ".join(f"w{number}" for number in range(80_000)),
        "long": "a" * 5000,
        "wide": "é" * 3000,
        "run": "日本語" * 30_000,
        "same": "the cat " * 100_000,
    }
    store.save([Chunk(id=name, text=text, vector_source=name) for name, text in texts.items()])
    for name, text in (("many", "w1"), ("long", "a" * 5000), ("wide", "é" * 3000)):
        assert _found(store, text) == [name]
    assert _found(store, "日本語") == _found(store, "本語日本") == ["run"]
    assert _found(store, '"the cat"') == ["same"]
    assert _found(store, f'"{texts["many"][:300_000]}"') == ["many"]
    assert _found(store, '"w2 w1"') == []


def test_a_phrase_is_found_behind_the_last_place_that_is_known(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="one " * 20_000 + "red apple pie")])
    assert _found(store, '"red apple"') == ["x"]
    assert _found(store, '"one red"') == []


def test_no_phrase_goes_over_from_the_text_to_the_headings(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="red apple", vector_source="Pie tree\n\nred apple")])
    assert _found(store, '"pie tree"') == _found(store, '"red apple"') == ["x"]
    assert _found(store, '"apple pie"') == []


def test_each_word_has_its_places(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text="Running getName runs", vector_source="Head\n\nRunning getName runs")])
    with store.database.snapshot() as connection:
        ((words, count),) = connection.execute("SELECT words::text, word_count FROM fulltext")
    assert words == "'get':5 'getnam':2 'head':7 'name':6 'run':1,3"
    assert count == 6


def test_words_are_told_from_those_that_begin_alike(store: PeeweeVectorStore) -> None:
    """They are sent in the order of their first eight bytes, and end in the server's."""
    words = [f"internat{one}{other}q" for one in "tsrqponmlk" for other in "edcbazyxwv"]
    store.save(
        [Chunk(id="all", text=" ".join(words))] + [Chunk(id=word, text=word) for word in words]
    )
    for word in words[::10]:
        assert set(_found(store, word)) == {"all", word}
    with store.database.snapshot() as connection:
        assert connection.execute(
            "SELECT count(*) FROM fulltext WHERE words::text::tsvector = words AND word_count IN (1, 100)"
        ).fetchone() == (101,)


def test_what_has_no_room_in_a_tsvector_is_left_out(store: PeeweeVectorStore) -> None:
    often, long = "often " * 300, " ".join(f"{n:05}" + "x" * 2_000 for n in range(600))
    more = " ".join(f"{n:05}" for n in range(16_400))
    store.collection("long", EmbeddingSpec.external("long texts"))
    store.save(
        [
            Chunk(id="a", text=often + "last", vector=[1.0]),
            Chunk(id="b", text=long, vector=[1.0]),
            Chunk(id="c", text=more, vector_source=f"late 00007\n\n{more}", vector=[1.0]),
        ],
        collection="long",
    )
    with store.database.snapshot() as connection:
        found = dict(
            connection.execute(
                "SELECT c.chunk_id, ARRAY[length(words), length(words::text)] "
                "FROM fulltext JOIN chunks c ON c.pk = chunk_pk"
            ).fetchall()
        )
        (late,) = connection.execute(
            "SELECT words::text FROM fulltext JOIN chunks c ON c.pk = chunk_pk WHERE chunk_id = 'c'"
        ).fetchone()
    assert found["a"][0] == 2
    assert 400 < found["b"][0] < 600
    assert found["c"][0] == 16_401
    assert "'00007':8,16383B" in late
    assert "'late':16383B" in late
    hits = store.search(text="00001" + "x" * 2_000, mode="keyword", collection="long")
    assert [hit.chunk.id for hit in hits] == ["b"]


def test_frequent_words_are_taken_from_the_statistics(
    store: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keywords, "COUNTED", 20)
    store.save([Chunk(text=f"common word{n % 50}" + " rare" * (n == 7)) for n in range(200)])
    asked = "common word7 rare nowhere"
    before = store.search(text=asked, mode="keyword").explanation
    with store.database.transaction() as connection:
        connection.execute("ANALYZE fulltext")
        # What is not counted any more is not noticed either.
        connection.execute("UPDATE fulltext SET words = ts_delete(words, 'common')")
    after = store.search(text=asked, mode="keyword").explanation
    assert before == after
    assert (after.ranked, after.too_common) == (("rare", "word7"), ("common",))
    assert after.unknown == ("nowhere",)


def test_words_of_another_version_are_noticed_and_made_anew(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text="ключи"), Chunk(text="plain")])
    with store.database.transaction() as connection:
        connection.execute("UPDATE fulltext SET words = 'older' WHERE chunk_pk = 1")
    with (
        pytest.raises(DatabaseCorruptError, match="Of 1 chunks"),
        store.database.transaction() as connection,
    ):
        store.database.keywords.check(connection)
    with store.database.transaction() as connection:
        store.database.keywords.rebuild(connection)
        store.database.keywords.check(connection)
    assert _found(store, "ключ plain") == _found(store, "ключ") + _found(store, "plain")
