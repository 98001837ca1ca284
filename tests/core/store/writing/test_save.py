"""Saving: what is new, what changed, what stays, and what each chunk waits for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidVectorError, NotBatchableError
from semantic_core.domain.reports import SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import (
    SPEC,
    chunks_of,
    content_hash,
    count_vectors,
    embed,
    only,
    served_vector,
    vector_of,
)
from support.clock import ManualClock
from support.invariants import check_invariants
from support.jobs import carried, claim_job, settle
from support.rows import run_sql

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _counts(report: SaveReport) -> tuple[int, int, int]:
    return report.inserted, report.updated, report.unchanged


def test_new_chunk_is_pending_and_comes_back_as_it_was_given(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    report = store.save(
        [
            Chunk(
                text="text",
                id="x",
                metadata={"n": 1},
                document_id="d",
                vector_source="source",
                payload="p",
            )
        ]
    )
    assert report == SaveReport(ids=("x",), inserted=1, pending=1)
    chunk = only(store, "x")
    assert (chunk.text, chunk.metadata, chunk.document_id) == ("text", {"n": 1}, "d")
    assert (chunk.vector_source, chunk.payload, chunk.collection) == ("source", "p", "default")
    assert (chunk.status, chunk.is_stale, chunk.batch_job_id) == (PENDING, False, None)
    assert chunk.content_hash == content_hash("source")
    assert chunk.created_at == chunk.updated_at == clock.now()


def test_id_is_made_where_there_is_none(store: PeeweeVectorStore) -> None:
    first = store.save([Chunk(text="a"), Chunk(text="a")])
    second = store.save([Chunk(text="a")])
    assert len({*first.ids, *second.ids}) == 3
    assert [chunk.id for chunk in store.chunks()] == [*first.ids, *second.ids]


def test_nothing_to_save(store: PeeweeVectorStore) -> None:
    assert store.save([]) == SaveReport()


def test_counts_tell_inserted_updated_and_unchanged(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["same", "edited", "tagged"]))
    report = store.save(
        [
            Chunk(id="same", text="same"),
            Chunk(id="edited", text="other"),
            Chunk(id="tagged", text="tagged", metadata={"k": 1}),
            Chunk(id="new", text="new"),
        ]
    )
    assert _counts(report) == (1, 2, 1)
    assert (report.ready, report.pending, report.failed) == (0, 4, 0)
    assert report.ids == ("same", "edited", "tagged", "new")


def test_saving_the_same_again_changes_no_row(store: PeeweeVectorStore, clock: ManualClock) -> None:
    chunks = [
        Chunk(id="pending", text="a", metadata={"k": [1, {"x": None}]}),
        Chunk(id="given", text="b", vector=vector_of("b")),
        Chunk(id="failed", text="", embedding_status=FAILED, error_message="blank"),
        Chunk(id="sourced", text="c", vector_source="d", payload="p", document_id="doc"),
    ]
    store.save(chunks)
    before = _dump(store)
    clock.advance(10)
    assert _counts(store.save(chunks)) == (0, 0, 4)
    assert _dump(store) == before


def _dump(store: PeeweeVectorStore) -> list[list[Any]]:
    return [
        run_sql(store, f"SELECT * FROM {table}")
        for table in ("chunks", "embeddings", "changes", "chunk_counts", "collections")
    ]


@pytest.mark.sqlite_only("a trigger of SQLite")
def test_error_while_writing_leaves_nothing(store: PeeweeVectorStore) -> None:
    """The database itself refuses the second page of rows."""
    store.save(chunks_of(["old"]))
    before = _dump(store)
    run_sql(
        store,
        "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.chunks WHEN NEW.chunk_id = 'b' "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    with pytest.raises(Exception, match="refused"):
        store.save([Chunk(id="old", text="new text"), *chunks_of(["a", "b"])])
    assert _dump(store) == before


def test_known_vector_makes_a_chunk_ready_and_free(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    report = store.save([Chunk(id="y", text="a"), Chunk(id="z", text="b", vector_source="a")])
    assert (report.ready, report.pending) == (2, 0)
    assert count_vectors(store) == 1
    for chunk_id in "xyz":
        served = served_vector(store, chunk_id)
        assert served is not None
        np.testing.assert_array_equal(served, vector_of("a"))


def test_vector_is_cached_across_collections_of_one_space(store: PeeweeVectorStore) -> None:
    """Only the document side of the spec counts."""
    other = EmbeddingSpec(dimensions=8, query_task="QUESTION_ANSWERING")
    store.collection("questions", other)
    store.collection("elsewhere", EmbeddingSpec(dimensions=8, document_task="CLUSTERING"))
    store.save([Chunk(text="a")])
    embed(store, "a")
    assert store.save([Chunk(text="a")], collection="questions").ready == 1
    assert store.save([Chunk(text="a")], collection="elsewhere").ready == 0


def test_text_that_an_open_job_carries_waits_for_that_job(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    job_id = claim_job(store)
    store.collection("questions", EmbeddingSpec(dimensions=8, query_task="QUESTION_ANSWERING"))
    store.save([Chunk(id="y", text="a"), Chunk(id="z", text="b")])
    store.save([Chunk(id="x", text="a")], collection="questions")
    assert only(store, "y").batch_job_id == job_id
    assert only(store, "x", "questions").batch_job_id == job_id
    assert only(store, "z").batch_job_id is None
    assert embed(store, "a").chunks_ready == 3


def test_new_text_under_a_known_id_is_pending_and_stale(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    report = store.save([Chunk(id="x", text="b")])
    assert (_counts(report), report.pending) == ((0, 1, 0), 1)
    chunk = only(store, "x")
    assert (chunk.status, chunk.is_stale, chunk.text) == (PENDING, True, "b")
    served = served_vector(store, "x")
    assert served is not None
    np.testing.assert_array_equal(served, vector_of("a"))
    embed(store, "b")
    chunk = only(store, "x")
    assert (chunk.status, chunk.is_stale) == (READY, False)


def test_new_vector_source_alone_is_new_content(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="a", vector_source="heading: a")])
    chunk = only(store, "x")
    assert (chunk.status, chunk.is_stale) == (PENDING, True)


def test_edit_and_edit_back_is_ready_and_free(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    assert store.save([Chunk(id="x", text="a")]).ready == 1
    chunk = only(store, "x")
    assert (chunk.status, chunk.is_stale) == (READY, False)
    assert claim_job(store) is None


def test_edit_and_edit_back_while_the_other_text_is_in_flight(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    claim_job(store)
    store.save([Chunk(id="x", text="a")])
    assert embed(store, "b").chunks_ready == 0
    served = served_vector(store, "x")
    assert served is not None
    np.testing.assert_array_equal(served, vector_of("a"))


def test_edit_in_flight_leaves_the_job_and_waits_anew(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    job_id = claim_job(store)
    assert job_id is not None
    store.save([Chunk(id="x", text="b")])
    assert only(store, "x").batch_job_id is None
    assert carried(store, job_id) == [content_hash("a")]
    embed(store, "a")
    assert only(store, "x").status is PENDING
    assert count_vectors(store) == 1


def test_metadata_change_keeps_vector_and_claim(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["ready", "claimed"]))
    embed(store, "ready")
    job_id = claim_job(store)
    report = store.save(
        [Chunk(id=text, text=text, metadata={"k": 1}) for text in ("ready", "claimed")]
    )
    assert (_counts(report), report.ready, report.pending) == ((0, 2, 0), 1, 1)
    assert only(store, "ready").status is READY
    assert only(store, "claimed").batch_job_id == job_id
    assert only(store, "claimed").metadata == {"k": 1}


def test_failed_chunk_saved_again_stays_failed_until_its_text_changes(
    store: PeeweeVectorStore,
) -> None:
    """A nightly re-ingest must not send a text again that the provider refused for good."""
    store.save(chunks_of(["x"]))
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("x")], BudgetUse.EVERYTHING, error="refused")
    report = store.save(chunks_of(["x"]))
    assert (_counts(report), report.failed) == ((0, 0, 1), 1)
    assert only(store, "x").error_message == "refused"
    store.save([Chunk(id="x", text="x", metadata={"k": 1})])
    assert (only(store, "x").status, only(store, "x").metadata) == (FAILED, {"k": 1})
    store.save([Chunk(id="x", text="mended")])
    assert (only(store, "x").status, only(store, "x").error_message) == (PENDING, None)


def test_chunk_saved_as_failed_is_never_sent(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text=" ", embedding_status=FAILED, error_message="blank")])
    assert (only(store, "x").status, only(store, "x").error_message) == (FAILED, "blank")
    assert claim_job(store) is None


def test_ready_chunk_saved_as_failed_serves_on_as_stale(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="", embedding_status=FAILED, error_message="blank")])
    assert (only(store, "x").status, only(store, "x").is_stale) == (FAILED, True)


def test_chunk_saved_as_failed_becomes_ready_where_its_vector_is_known(
    store: PeeweeVectorStore,
) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="y", text="a", embedding_status=FAILED)])
    assert only(store, "y").status is FAILED
    assert store.save([Chunk(id="y", text="a")]).ready == 1


def test_given_vector_is_used_as_it_is(store: PeeweeVectorStore) -> None:
    """Not normalised, though the collection's own vectors are."""
    vector = np.arange(1, 9, dtype=np.float64)
    assert store.save([Chunk(id="x", text="a", vector=vector)]).ready == 1
    served = served_vector(store, "x")
    assert served is not None
    np.testing.assert_array_equal(served, vector.astype(np.float32))


def test_given_vector_never_serves_as_cache(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("anything"))])
    assert store.save([Chunk(id="y", text="a")]).pending == 1
    assert only(store, "y").status is PENDING
    embed(store, "a")
    assert count_vectors(store) == 2
    served = served_vector(store, "x")
    assert served is not None
    np.testing.assert_array_equal(served, vector_of("anything"))


def test_given_vector_goes_with_its_chunk(store: PeeweeVectorStore) -> None:
    """Of one text each chunk has its own, the same or another one."""
    store.save(
        [
            Chunk(id="x", text="a", vector=vector_of("given")),
            Chunk(id="y", text="a", vector=vector_of("given")),
            Chunk(id="z", text="a", vector=vector_of("another")),
        ]
    )
    assert count_vectors(store) == 3
    for name, vector in (("x", "given"), ("y", "given"), ("z", "another")):
        assert np.array_equal(served_vector(store, name), vector_of(vector))
    store.delete(ids=["x", "z"])
    assert count_vectors(store) == 1
    store.delete(ids=["y"])
    assert count_vectors(store) == 0


def test_given_vector_goes_when_the_provider_replaces_it(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("given"))])
    store.save([Chunk(id="x", text="b")])
    assert (only(store, "x").is_stale, count_vectors(store)) == (True, 1)
    embed(store, "b")
    assert (only(store, "x").status, count_vectors(store)) == (READY, 1)


def test_the_vector_of_an_older_text_given_again_is_that_of_the_new_one(
    store: PeeweeVectorStore,
) -> None:
    given = vector_of("given")
    store.save([Chunk(id="x", text="a", vector=given)])
    store.save([Chunk(id="x", text="b")])
    assert _counts(store.save([Chunk(id="x", text="b", vector=given)])) == (0, 1, 0)
    assert (only(store, "x").status, count_vectors(store)) == (READY, 1)
    assert _counts(store.save([Chunk(id="x", text="b", vector=given)])) == (0, 0, 1)


def test_same_text_without_a_vector_keeps_the_given_one(store: PeeweeVectorStore) -> None:
    """The same id with the same content changes nothing."""
    store.save([Chunk(id="x", text="a", vector=vector_of("given"))])
    assert _counts(store.save([Chunk(id="x", text="a")])) == (0, 0, 1)
    assert only(store, "x").status is READY


def test_given_vector_stays_while_a_job_carries_its_text_for_another_chunk(
    store: PeeweeVectorStore,
) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("given")), Chunk(id="y", text="a")])
    claim_job(store)
    report = store.save([Chunk(id="x", text="a", metadata={"k": 1})])
    assert (_counts(report), report.ready) == ((0, 1, 0), 1)
    assert (only(store, "x").status, only(store, "x").batch_job_id) == (READY, None)


def test_another_given_vector_replaces_the_one_before(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("one"))])
    assert _counts(store.save([Chunk(id="x", text="a", vector=vector_of("two"))])) == (0, 1, 0)
    assert count_vectors(store) == 1
    served = served_vector(store, "x")
    assert served is not None
    np.testing.assert_array_equal(served, vector_of("two"))


def test_given_vector_replaces_a_providers_which_stays_cached(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="a", vector=vector_of("given"))])
    assert count_vectors(store) == 2
    assert store.save([Chunk(id="y", text="a")]).ready == 1


def test_given_vector_makes_pending_claimed_and_failed_chunks_ready(
    store: PeeweeVectorStore,
) -> None:
    store.save([*chunks_of(["pending"]), Chunk(id="failed", text="", embedding_status=FAILED)])
    claim_job(store)
    report = store.save(
        [Chunk(id=text, text=text, vector=vector_of(text)) for text in ("pending", "failed")]
    )
    assert report.ready == 2
    chunk = only(store, "pending")
    assert (chunk.status, chunk.batch_job_id, chunk.error_message) == (READY, None, None)


def test_one_chunk_takes_up_the_given_vector_that_another_lets_go(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("v"))])
    report = store.save(
        [
            Chunk(id="x", text="b", vector=vector_of("w")),
            Chunk(id="y", text="a", vector=vector_of("v")),
        ]
    )
    assert report.ready == 2
    assert count_vectors(store) == 2


def test_first_vector_fixes_the_dimensions_of_an_external_space(store: PeeweeVectorStore) -> None:
    spec = EmbeddingSpec.external("foreign")
    assert store.collection("f", spec).spec.dimensions is None
    store.save([Chunk(text="a", vector=[1.0, 2.0, 3.0])], collection="f")
    assert store.collection("f", spec).spec.dimensions == 3
    with pytest.raises(InvalidVectorError, match="4 dimensions, not 3"):
        store.save([Chunk(text="b", vector=[1.0] * 4)], collection="f")


def test_external_space_refuses_chunks_without_a_vector(store: PeeweeVectorStore) -> None:
    store.collection("f", EmbeddingSpec.external("foreign"))
    with pytest.raises(NotBatchableError, match="foreign"):
        store.save([Chunk(text="a", vector=[1.0]), Chunk(text="b")], collection="f")
    assert store.chunks(collection="f") == []


def test_two_collections_of_one_external_space_share_its_dimensions(
    store: PeeweeVectorStore,
) -> None:
    spec = EmbeddingSpec.external("foreign")
    store.collection("one", spec)
    store.collection("two", spec)
    store.save([Chunk(text="a", vector=[1.0, 2.0])], collection="one")
    assert store.collection("two").spec.dimensions == 2
    with pytest.raises(InvalidVectorError):
        store.save([Chunk(text="a", vector=[1.0])], collection="two")
    assert store.save([Chunk(text="a", vector=[1.0, 2.0])], collection="two").ready == 1
    assert count_vectors(store) == 2


def test_dimensions_fixed_meanwhile_by_another_store_count(store: PeeweeVectorStore) -> None:
    """The space is checked again inside the transaction."""

    def chunks() -> Any:
        store.save([Chunk(text="a", vector=[1.0, 2.0])], collection="f")
        yield Chunk(text="b", vector=[1.0, 2.0, 3.0])

    store.collection("f", EmbeddingSpec.external("foreign"))
    with pytest.raises(InvalidVectorError, match="3 dimensions"):
        store.save(chunks(), collection="f")


def test_error_in_the_callers_iterable_leaves_nothing(store: PeeweeVectorStore) -> None:
    def chunks() -> Any:
        yield Chunk(text="a")
        raise RuntimeError("broken source")

    with pytest.raises(RuntimeError, match="broken source"):
        store.save(chunks())
    assert store.chunks() == []


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(
            lambda key: key not in ("_vector_source", "embedding_status")
        ),
        _JSON,
        max_size=4,
    )
)
def test_metadata_comes_back_exactly(store: PeeweeVectorStore, metadata: dict[str, Any]) -> None:
    """Types included: 1 stays an int, 1.0 a float, True a bool; and keys keep their order."""
    store.save([Chunk(id="x", text="a", metadata=metadata)])
    back = only(store, "x").metadata
    assert repr(back) == repr(metadata)


_STEP = st.tuples(
    st.sampled_from(["x", "y"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["none", "one", "two", "failed"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(
        st.lists(_STEP, min_size=1, max_size=2, unique_by=lambda step: step[0])
        | st.sampled_from(["embed", "claim", "delete"]),
        max_size=8,
    )
)
def test_any_sequence_of_saves_keeps_the_invariants(
    store: PeeweeVectorStore, steps: list[Any]
) -> None:
    """And every chunk holds the text saved last; a given vector is READY at once."""
    store.clear()
    texts: dict[str, str] = {}
    for step in steps:
        if step == "embed":
            embed(store, "a", "b")
        elif step == "claim":
            claim_job(store)
        elif step == "delete":
            store.delete(ids=["x"])
            texts.pop("x", None)
        else:
            report = store.save([_chunk(*saved) for saved in step])
            assert sum(_counts(report)) == report.ready + report.pending + report.failed
            assert len(report.ids) == sum(_counts(report)) == len(step)
            texts |= {chunk_id: text for chunk_id, text, _ in step}
            for chunk_id, _, kind in step:
                if kind in ("one", "two"):
                    assert only(store, chunk_id).status is READY
                if kind == "failed":
                    assert only(store, chunk_id).status is FAILED
        check_invariants(store)
    assert {chunk.id: chunk.text for chunk in store.chunks()} == texts


def _chunk(chunk_id: str, text: str, kind: str) -> Chunk:
    if kind == "failed":
        return Chunk(id=chunk_id, text=text, embedding_status=FAILED)
    vector = None if kind == "none" else vector_of(kind)
    return Chunk(id=chunk_id, text=text, vector=vector)
