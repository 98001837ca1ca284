"""Vectors that the server searches: the answers of an index file, in step, and a way back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest

from semantic_core.database.postgres import metadata, nearest
from semantic_core.doctor import Trouble
from semantic_core.doctor.rows import vector_index
from semantic_core.domain.errors import (
    DatabaseBusyError,
    InvalidInputError,
    UnknownCollectionError,
    UnsupportedDatabaseError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, embed_all, vector_of
from support.nearest import clustered
from support.processes import Python
from support.rows import run_sql

pytestmark = pytest.mark.postgres

DIMENSIONS = 24
ROWS = 1_500
LARGE = EmbeddingSpec.external("large", dimensions=DIMENSIONS)


@pytest.fixture
def store(postgres_url: str) -> Iterator[PeeweeVectorStore]:
    with PeeweeVectorStore(postgres_url) as opened:
        yield opened


@pytest.fixture
def corpus(store: PeeweeVectorStore) -> PeeweeVectorStore:
    """Vectors of every length, some equal; a fifth of the chunks wait for theirs, some are stale."""
    vectors = clustered(ROWS, DIMENSIONS, seed=1) * np.float32(1e6)
    vectors[50:60] = vectors[40:50]
    store.collection("large", LARGE)
    store.save(
        [
            Chunk(
                id=f"n{number}",
                text=f"the note {number} on {'zebras' if number % 9 else 'lions'}",
                metadata={"place": number % 20, "half": number % 2},
                vector=vector,
            )
            for number, vector in enumerate(vectors)
        ],
        collection="large",
    )
    store.collection(spec=SPEC)
    store.save(chunks_of(f"zebra {number}" for number in range(40)))
    embed(store, *(f"zebra {number}" for number in range(32)))
    store.save([Chunk(id=f"zebra {number}", text=f"edited zebra {number}") for number in range(4)])
    return store


def _asked(store: PeeweeVectorStore, **options: Any) -> list[Any]:
    """Return every hit of several questions, in both collections, with all that is said of it."""
    answers = [
        [
            (hit.chunk.id, hit.score, hit.match, hit.stale)
            for hit in store.search(
                **{"collection": "large", "mode": "vector", "vector": query, **options}
            )
        ]
        for query in clustered(12, DIMENSIONS, seed=1)
    ]
    found = store.search(text="zebra", vector=vector_of("zebra 3"), limit=60)
    answers.append([(hit.chunk.id, hit.score, hit.match, hit.stale) for hit in found])
    return answers


_QUESTIONS: list[dict[str, Any]] = [
    {},
    {"limit": 1},
    {"limit": 300},
    {"limit": 0},
    {"filters": {"place": 3}},
    {"filters": {"half": 1}},
    {"filters": {"place": 99}},
    {"filters": {"half": 1}, "exact": True},
    {"ids": [f"n{number}" for number in range(0, 90, 2)]},
    {"text": "lions", "mode": "hybrid"},
    {"text": "lions", "mode": "hybrid", "filters": {"half": 1}},
    {"text": "lions", "mode": "vector", "pending": "skip"},
]


@pytest.fixture(params=["all", "graph"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many vectors are all compared: these, or so few that the graph is asked."""
    if request.param == "graph":
        monkeypatch.setattr(metadata, "FEW", 20)
        monkeypatch.setattr(nearest, "FEW", 20)


@pytest.mark.usefixtures("few")
def test_the_server_answers_as_an_index_file_does(corpus: PeeweeVectorStore) -> None:
    """To the last bit of each score: recall is 1 with every filter, and the order is the same."""
    before = [_asked(corpus, **question) for question in _QUESTIONS]
    assert corpus.index("large") == ROWS
    assert corpus.index() == 32
    assert [_asked(corpus, **question) for question in _QUESTIONS] == before
    queries = list(clustered(12, DIMENSIONS, seed=1))
    many = corpus.search_many(queries, collection="large")
    assert [[(hit.chunk.id, hit.score) for hit in one] for one in many] == [
        [hit[:2] for hit in one] for one in before[0][:-1]
    ]


def _plans(store: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """Return how the server finds the nearest vectors of one search."""
    plans: list[str] = []
    translated = nearest.translated

    def explained(sql: str) -> str:
        plans.append(sql)
        return translated(sql)

    with monkeypatch.context() as patched:
        patched.setattr(nearest, "translated", explained)
        query = clustered(1, DIMENSIONS, seed=1)[0]
        store.search(vector=query, mode="vector", collection="large", **options)
    return " ".join(plans)


def test_a_filter_never_leaves_the_choice_to_the_planner(
    corpus: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves few rows is compared whole; what leaves many is scanned, and again if too short."""
    corpus.index("large")
    by_graph = re.compile(r"ORDER BY \(v\.vector")
    monkeypatch.setattr(nearest, "FEW", 200)
    monkeypatch.setattr(metadata, "FEW", 200)
    assert not by_graph.search(_plans(corpus, monkeypatch, filters={"place": 3}))
    assert not by_graph.search(_plans(corpus, monkeypatch, exact=True))
    for options in ({}, {"filters": {"half": 1}}):
        assert len(by_graph.findall(_plans(corpus, monkeypatch, **options))) == 1
        assert "compared" not in _plans(corpus, monkeypatch, **options)
    # The scan of the graph ends before 740 of 750 are found.
    run_sql(corpus, "ALTER ROLE CURRENT_USER SET hnsw.max_scan_tuples = 200")
    try:
        with PeeweeVectorStore(corpus.database.peewee) as other:
            plans = _plans(other, monkeypatch, filters={"half": 1}, limit=740)
            assert by_graph.search(plans)
            assert "compared" in plans
    finally:
        run_sql(corpus, "ALTER ROLE CURRENT_USER RESET hnsw.max_scan_tuples")


def test_only_the_true_vectors_of_what_is_near_are_read(corpus: PeeweeVectorStore) -> None:
    corpus.index("large")
    run_sql(corpus, "ANALYZE")
    with corpus.database.snapshot() as connection:
        corpus.search(vector=clustered(1, DIMENSIONS, seed=1)[0], mode="vector", collection="large")
        (read,) = connection.execute(
            "SELECT pg_stat_get_xact_tuples_returned('embeddings'::regclass)"
        ).fetchone()
    assert read == 0


def test_the_settings_of_a_search_end_with_it(corpus: PeeweeVectorStore) -> None:
    corpus.index("large")
    with corpus.database.snapshot() as connection:
        corpus.search(vector=clustered(1, DIMENSIONS, seed=1)[0], collection="large")
        for name in ("enable_sort", "enable_hashjoin"):
            assert connection.execute(f"SHOW {name}").fetchone()[0] == "on"


# --- in step -----------------------------------------------------------------------------


def _table(store: PeeweeVectorStore) -> set[str]:
    """Return which chunks of the default collection the server searches."""
    rows = run_sql(store, "SELECT chunk_id FROM vectors_1 JOIN chunks USING (pk)")
    (count,) = run_sql(store, "SELECT count(*) FROM vectors_1")[0]
    assert count == len(rows)
    return {chunk_id for (chunk_id,) in rows}


def _change_and_fail(store: PeeweeVectorStore) -> None:
    with store.database.transaction() as connection:
        connection.execute("UPDATE chunks SET embedding_id = (SELECT id FROM embeddings LIMIT 1)")
        connection.execute("INSERT INTO changes (collection_id, chunk_pk) SELECT 1, pk FROM chunks")
        raise ZeroDivisionError


def test_every_writer_keeps_the_server_in_step(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    store.collection("other", SPEC)
    store.save([*chunks_of("ab"), Chunk(id="g", text="g", vector=vector_of("g"))])
    store.index()
    assert _table(store) == {"g"}
    embed_all(store)
    assert _table(store) == {"a", "b", "g"}
    store.save(chunks_of("ab"), collection="other")
    store.save([Chunk(id="c", text="a")])
    assert _table(store) == {"a", "b", "c", "g"}
    store.save([Chunk(id="b", text="edited"), Chunk(id="g", text="g", vector=vector_of("h"))])
    assert _table(store) == {"a", "b", "c", "g"}
    embed_all(store)
    assert store.compare_indexes() == 0
    (best,) = store.search(vector=vector_of("h"), mode="vector", limit=1)
    assert (best.chunk.id, best.score) == ("g", 1.0)
    store.delete(ids=["a"], purge=True)
    assert _table(store) == {"b", "c", "g"}
    with pytest.raises(ZeroDivisionError):
        _change_and_fail(store)
    assert store.compare_indexes() == 0
    store.clear()
    assert _table(store) == set()
    assert not list(store.search(vector=vector_of("h"), mode="vector"))


def test_a_search_stays_in_its_snapshot(store: PeeweeVectorStore, postgres_url: str) -> None:
    store.collection(spec=SPEC)
    store.save(chunks_of("ab"))
    embed_all(store)
    store.index()
    with PeeweeVectorStore(postgres_url) as other, store.database.snapshot():
        assert len(store.search(vector=vector_of("a"))) == 2
        other.save([Chunk(id="c", text="c", vector=vector_of("c"))])
        other.delete(ids=["a"])
        assert {hit.chunk.id for hit in store.search(vector=vector_of("a"))} == {"a", "b"}
        assert {hit.chunk.id for hit in other.search(vector=vector_of("a"))} == {"b", "c"}


def test_what_differs_is_found_and_mended(corpus: PeeweeVectorStore) -> None:
    corpus.index("large")
    run_sql(corpus, "DELETE FROM vectors_1 WHERE pk % 100 = 7")
    run_sql(
        corpus, "UPDATE vectors_1 SET vector = (SELECT vector FROM vectors_1 LIMIT 1) WHERE pk = 20"
    )
    run_sql(corpus, "INSERT INTO vectors_1 SELECT -1, vector FROM vectors_1 WHERE pk = 21")
    assert corpus.compare_indexes() == ROWS // 100 + 2
    corpus.rebuild_indexes()
    assert corpus.compare_indexes() == 0


def test_a_damaged_vector_ends_no_search_and_no_save(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    store.save(chunks_of("abc"))
    embed(store, "a", "b")
    run_sql(store, "UPDATE embeddings SET vector = substr(vector, 1, 7) WHERE id = 1")
    assert store.index() == 1
    embed(store, "c")
    (best, *_) = store.search(vector=vector_of("c"), mode="vector")
    assert best.chunk.id == "c"
    assert store.compare_indexes() == 0


# --- made, resumed, taken back ------------------------------------------------------------


def _is_on_server(store: PeeweeVectorStore) -> bool:
    (collection,) = [one for one in store.collections() if one.name == "large"]
    with store.database.snapshot() as connection:
        assert store.database.vectors is not None
        return store.database.vectors.nearest(connection, collection) is not None


def test_one_that_was_killed_goes_on(
    corpus: PeeweeVectorStore, python: Python, postgres_url: str
) -> None:
    child = python(
        f"""
        from semantic_core.store import PeeweeVectorStore
        store = PeeweeVectorStore({postgres_url!r})
        store.index("large", progress=lambda done: (say(done), hear()))
        """
    )
    assert child.hear() == "1000"
    child.kill()
    assert not _is_on_server(corpus)
    query = clustered(1, DIMENSIONS, seed=1)[0]
    corpus.save([Chunk(id="near", text="near", vector=query)], collection="large")
    assert corpus.search(vector=query, collection="large", mode="vector")[0].chunk.id == "near"
    told: list[int] = []
    assert corpus.index("large", progress=told.append) == ROWS - 1000
    assert told[-1] == ROWS - 1000
    assert _is_on_server(corpus)
    assert corpus.compare_indexes() == 0


def test_an_index_that_was_half_built_is_built_again(corpus: PeeweeVectorStore) -> None:
    corpus.index("large")
    made = "SELECT oid, relfilenode FROM pg_class WHERE relname = 'vectors_1_near'"
    before = run_sql(corpus, made)
    run_sql(
        corpus,
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'vectors_1_near'::regclass",
    )
    assert not _is_on_server(corpus)
    assert corpus.index("large") == 0
    assert _is_on_server(corpus)
    after = run_sql(corpus, made)
    assert after != before
    assert corpus.index("large") == 0
    assert run_sql(corpus, made) == after


def test_two_do_not_build_one_index(corpus: PeeweeVectorStore, postgres_url: str) -> None:
    """The building waits for whoever reads since before it; so does nobody else."""
    begun = threading.Event()
    with (
        PeeweeVectorStore(postgres_url) as reader,
        PeeweeVectorStore(postgres_url) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        with reader.database.snapshot() as connection:
            connection.execute("SELECT count(*) FROM chunks")
            first = threads.submit(corpus.index, "large", progress=lambda _: begun.set())
            assert begun.wait(30)
            while run_sql(other, "SELECT count(*) FROM pg_stat_progress_create_index")[0] == (0,):
                assert not first.done()
            with pytest.raises(DatabaseBusyError, match="being built already"):
                other.index("large")
            other.save(
                [Chunk(id="near", text="near", vector=vector_of("a", 24))], collection="large"
            )
            assert not _is_on_server(other)
        assert first.result() == ROWS
    assert _is_on_server(corpus)
    assert corpus.compare_indexes() == 0


def test_it_can_be_taken_back(corpus: PeeweeVectorStore) -> None:
    corpus.drop_index("large")
    corpus.index("large")
    corpus.drop_index("large")
    assert not _is_on_server(corpus)
    assert run_sql(corpus, "SELECT count(*) FROM pg_trigger WHERE tgname = 'vectors_1'")[0] == (0,)
    query = clustered(1, DIMENSIONS, seed=1)[0]
    corpus.save([Chunk(id="near", text="near", vector=query)], collection="large")
    assert corpus.search(vector=query, collection="large", mode="vector")[0].chunk.id == "near"
    assert corpus.index("large") == ROWS + 1


def test_the_doctor_advises_it_for_many_vectors(corpus: PeeweeVectorStore) -> None:
    run_sql(corpus, "UPDATE chunk_counts SET chunks = 1000000 WHERE is_served AND chunks > 1000")
    assert list(vector_index(corpus, fix=True)) == []
    run_sql(corpus, "UPDATE chunk_counts SET chunks = 1000001 WHERE is_served AND chunks > 1000")
    (found,) = vector_index(corpus, fix=True)
    assert (found.trouble, found.is_note, found.is_fixable) == (Trouble.LARGE_INDEX, True, False)
    assert "semcore index large" in found.message
    corpus.index("large")
    assert list(vector_index(corpus, fix=True)) == []
    run_sql(corpus, "DELETE FROM vectors_1 WHERE pk = 20")
    (found,) = vector_index(corpus, fix=True)
    assert (found.trouble, found.count, found.is_fixed) == (Trouble.VECTOR_INDEX, 1, True)
    assert list(vector_index(corpus, fix=True)) == []


# --- where it cannot be made -------------------------------------------------------------


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _refused(store: PeeweeVectorStore, match: str) -> None:
    with pytest.raises(UnsupportedDatabaseError, match=match) as caught:
        store.index("large")
    assert "search goes on as before" in str(caught.value)
    assert run_sql(store, "SELECT count(*) FROM pg_class WHERE relname LIKE 'vectors_%'")[0] == (0,)
    assert store.search(vector=clustered(1, DIMENSIONS, seed=1)[0], collection="large")


def test_a_server_without_pgvector_says_so(corpus: PeeweeVectorStore, postgres_url: str) -> None:
    (version,) = run_sql(corpus, "SHOW server_version_num")[0]
    if int(version) < 180_000:
        pytest.skip("an older server cannot be told to find no extension")
    name = postgres_url.rpartition("/")[2]
    _run(postgres_url, f"ALTER DATABASE {name} SET extension_control_path = '/nowhere'")
    with PeeweeVectorStore(postgres_url) as store:
        _refused(store, "without pgvector")


def test_an_older_pgvector_says_so(corpus: PeeweeVectorStore, postgres_url: str) -> None:
    _run(
        postgres_url,
        "CREATE EXTENSION vector",
        "SET allow_system_table_mods = on",
        "UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'",
    )
    _refused(corpus, r"has pgvector 0\.7\.4.*ALTER EXTENSION vector UPDATE")


@contextmanager
def _other_user(url: str, *rights: str) -> Iterator[PeeweeVectorStore]:
    _run(url, "CREATE ROLE semcore_other LOGIN", "GRANT USAGE ON SCHEMA semcore TO semcore_other")
    _run(url, *(f"GRANT {right} TO semcore_other" for right in rights))
    try:
        with PeeweeVectorStore(url.replace("postgres@", "semcore_other@")) as store:
            yield store
    finally:
        _run(url, "DROP OWNED BY semcore_other", "DROP ROLE semcore_other")


_ALL = "ALL ON ALL TABLES IN SCHEMA semcore"


def test_a_user_who_may_make_no_extension_is_told(
    corpus: PeeweeVectorStore, postgres_url: str
) -> None:
    with _other_user(postgres_url, _ALL) as other:
        _refused(other, "does not let this user make the extension.*CREATE EXTENSION vector")


def test_other_users_write_it_and_need_not_be_able_to_read_it(
    corpus: PeeweeVectorStore, postgres_url: str
) -> None:
    sequences = "ALL ON ALL SEQUENCES IN SCHEMA semcore"
    with _other_user(postgres_url, _ALL, sequences) as other:
        corpus.index("large")
        query = clustered(1, DIMENSIONS, seed=1)[0]
        other.save([Chunk(id="near", text="near", vector=query)], collection="large")
        for store in (other, corpus):
            found = store.search(vector=query, collection="large", mode="vector")
            assert found[0].chunk.id == "near"
    assert corpus.compare_indexes() == 0


def test_pgvector_may_be_in_another_schema(corpus: PeeweeVectorStore, postgres_url: str) -> None:
    """As managed servers have it."""
    _run(postgres_url, 'CREATE SCHEMA "Extensions"', 'CREATE EXTENSION vector SCHEMA "Extensions"')
    before = _asked(corpus)
    corpus.index("large")
    assert _is_on_server(corpus)
    assert _asked(corpus) == before
    assert corpus.compare_indexes() == 0


def test_vectors_that_cannot_be_indexed_are_named(store: PeeweeVectorStore) -> None:
    store.collection("unknown", EmbeddingSpec.external("unknown"))
    with pytest.raises(InvalidInputError, match="no vector yet"):
        store.index("unknown")
    store.collection("huge", EmbeddingSpec.external("huge", dimensions=4001))
    with pytest.raises(InvalidInputError, match="4,001 dimensions"):
        store.index("huge")
    for ask in (store.index, store.drop_index):
        with pytest.raises(UnknownCollectionError, match="'typo'"):
            ask("typo")


def test_vectors_of_the_most_dimensions_are_in_line(store: PeeweeVectorStore) -> None:
    store.collection("long", EmbeddingSpec.external("long", dimensions=4000))
    vectors = {name: vector_of(name, 4000) for name in "ab"}
    store.save([Chunk(id=name, text=name, vector=vectors[name]) for name in "a"], collection="long")
    store.index("long")
    store.save([Chunk(id=name, text=name, vector=vectors[name]) for name in "b"], collection="long")
    (best, _) = store.search(vector=vectors["b"], collection="long", mode="vector")
    assert (best.chunk.id, best.score) == ("b", 1.0)
