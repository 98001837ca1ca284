"""What stays here of chunks that their targets have: words and vectors go only where so chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semantic_core.batches import BatchManager
from semantic_core.doctor import Trouble, examine
from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, Match, SearchMode
from semantic_core.domain.types import Chunk, SearchResults
from semantic_core.providers.gemini import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.writing.copy_store import copy_store
from support.chunks import (
    SPEC,
    chunks_of,
    content_hash,
    count_vectors,
    embed,
    embed_all,
    only,
    vector_of,
)
from support.invariants import check_invariants
from support.rows import run_sql
from support.setups import armed, interrupt
from support.targets import FileTarget, held, outbox

TEXTS = ["a grey cat", "a red fox", "a wise owl"]
READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


@pytest.fixture
def target(tmp_path: Path) -> FileTarget:
    return FileTarget(tmp_path / "target.db")


@pytest.fixture
def other(tmp_path: Path) -> FileTarget:
    return FileTarget(tmp_path / "other.db")


def _delivered(store: PeeweeVectorStore, target: FileTarget, **keep: Any) -> None:
    store.delivery.attach(target, name="one", **keep)
    store.save(chunks_of(TEXTS))
    embed_all(store)
    store.delivery.deliver()


def _by_word(store: PeeweeVectorStore, word: str) -> list[str]:
    return [hit.chunk.id for hit in store.search(text=word, mode="keyword")]


def _near(store: PeeweeVectorStore, asked: str, **options: Any) -> SearchResults:
    return store.search(vector=vector_of(asked), **{"mode": "vector", **options})


# --- words -------------------------------------------------------------------------------


def test_words_leave_the_index_once_they_are_delivered(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.delivery.attach(target, name="one", keep_text="until delivered")
    store.save(chunks_of(TEXTS))
    embed(store, *TEXTS[:2])
    assert _by_word(store, "a") == TEXTS
    store.delivery.deliver()
    assert _by_word(store, "a") == TEXTS[2:]
    # Its text stays: it is found by its vector, and shown.
    assert _near(store, TEXTS[0])[0].chunk.text == TEXTS[0]
    check_invariants(store)


@pytest.mark.parametrize(
    "change",
    [Chunk(id=TEXTS[0], text=TEXTS[0], metadata={"n": 1}), Chunk(id=TEXTS[0], text="a grey wolf")],
    ids=["metadata", "text"],
)
def test_a_changed_chunk_is_indexed_until_it_is_delivered_again(
    store: PeeweeVectorStore, target: FileTarget, change: Chunk
) -> None:
    _delivered(store, target, keep_text="until delivered")
    store.save([change])
    assert _by_word(store, "grey") == TEXTS[:1]
    check_invariants(store)
    embed_all(store)
    assert _by_word(store, "grey") == TEXTS[:1]
    store.delivery.deliver()
    assert _by_word(store, "grey") == []
    check_invariants(store)


def test_words_stay_until_every_target_has_them(
    store: PeeweeVectorStore, target: FileTarget, other: FileTarget
) -> None:
    store.delivery.attach(other, name="two")
    other.is_down = True
    _delivered(store, target, keep_text="until delivered")
    assert _by_word(store, "a") == TEXTS
    other.is_down = False
    run_sql(store, "UPDATE outbox SET not_before = NULL")
    store.delivery.deliver()
    assert _by_word(store, "a") == []


def test_words_stay_of_what_changed_while_it_was_delivered(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.delivery.attach(target, name="one", keep_text="until delivered", keep_vectors=False)
    store.save(chunks_of(TEXTS))
    embed_all(store)
    target.refused = {TEXTS[2]}

    def edit() -> None:
        disarm()
        store.save([Chunk(id=TEXTS[0], text="a grey wolf")])

    arm(FailPoint.DELIVERY_PUT, edit)
    store.delivery.deliver()
    assert _by_word(store, "a") == [TEXTS[0], TEXTS[2]]
    assert only(store, TEXTS[2]).status is READY
    assert list(store.vectors(TEXTS)) == [TEXTS[0], TEXTS[2]]


def test_words_go_and_come_back_as_it_is_chosen_later(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target)
    assert _by_word(store, "a") == TEXTS
    store.delivery.attach(target, name="one", keep_text="until delivered")
    assert _by_word(store, "a") == []
    # A process that says nothing changes nothing.
    store.delivery.attach(target, name="one")
    assert _by_word(store, "a") == []
    store.reindex(languages=["de"])
    assert _by_word(store, "a") == []
    store.delivery.attach(target, name="one", keep_text="always")
    assert _by_word(store, "a") == TEXTS
    with pytest.raises(InvalidInputError, match="always, until delivered"):
        store.delivery.attach(target, name="one", keep_text="never")  # type: ignore[arg-type]  # what a user may type


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_words_that_come_back_are_all_there_after_an_interrupt(
    store: PeeweeVectorStore,
    target: FileTarget,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_forgotten: bool,
) -> None:
    _delivered(store, target, keep_text="until delivered")

    def bring_back() -> None:
        if is_forgotten:
            store.delivery.forget("one")
        else:
            store.delivery.attach(target, name="one", keep_text="always")

    for module in ("store.kept", "store.writing.reindex"):
        monkeypatch.setattr(f"semantic_core.{module}.PAGE", 1)
    add, pages = store.database.keywords.add, []

    def stop(*args: Any) -> None:
        pages.append(args)
        if len(pages) == 2:
            raise KeyboardInterrupt
        add(*args)

    with monkeypatch.context() as patch:
        patch.setattr(type(store.database.keywords), "add", lambda _, *args: stop(*args))
        with pytest.raises(KeyboardInterrupt):
            bring_back()
    assert _by_word(store, "a") == TEXTS[:1]
    degraded = store.search(text="a", mode="keyword").degraded
    assert degraded is not None
    assert "keep_text" in degraded
    check_invariants(store)
    store.delivery.deliver()
    assert _by_word(store, "a") == TEXTS
    assert store.search(text="a", mode="keyword").degraded is None
    assert len(store.delivery.targets()) == (not is_forgotten)
    check_invariants(store)


def test_a_search_says_that_words_are_not_here(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target, keep_text="until delivered")
    store.save(chunks_of(["a new cat"]))
    target.is_down = True
    found = store.search(text="cat", vector=vector_of("cat"))
    assert [hit.chunk.id for hit in found] == ["a new cat"]
    assert found.degraded is not None
    assert "nobody is there" in found.degraded
    assert "words of chunks that were delivered are not indexed here" in found.degraded
    target.is_down = False
    found = store.search(text="cat", vector=vector_of("cat"))
    assert len(found) == 4
    assert found.degraded == "words of chunks that were delivered are not indexed here (keep_text)"
    # Where words rank nothing, none is missed.
    assert store.search(text="cat", vector=vector_of("cat"), mode="vector").degraded is None


def test_what_another_target_was_not_told_is_found_without_its_words(
    store: PeeweeVectorStore, target: FileTarget, other: FileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    _delivered(store, target, keep_text="until delivered")
    store.delivery.redeliver("one")
    monkeypatch.setattr("semantic_core.store.reading.searcher._COMPARED_HERE", 0)
    with armed(FailPoint.DELIVERY_DELETED, interrupt), pytest.raises(KeyboardInterrupt):
        store.delivery.deliver()
    assert target.held() == []
    found = _near(store, TEXTS[0], text="cat", pending="keyword")
    assert sorted(hit.chunk.id for hit in found) == TEXTS


# --- vectors -----------------------------------------------------------------------------


def test_vectors_go_once_they_are_delivered_and_the_chunk_stays_ready(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.search(vector=vector_of("a"))  # the index is in memory
    _delivered(store, target, keep_vectors=False)
    assert [only(store, text).status for text in TEXTS] == [READY] * 3
    assert store.vectors(TEXTS) == {}
    assert count_vectors(store) == 1  # what stands for all of them
    assert target.held() == sorted(held(only(store, text)) for text in TEXTS)
    assert store.compare_indexes() == 0
    check_invariants(store)


def test_pruning_forgets_no_content_of_what_only_a_target_has(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target, keep_vectors=False)
    store.prune(older_than=0)
    check_invariants(store)
    assert [chunk.content_hash for chunk in store.chunks()] == list(map(content_hash, TEXTS))


def test_what_is_saved_again_as_it_is_costs_nothing(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target, keep_vectors=False)
    report = store.save(chunks_of(TEXTS))
    assert (report.unchanged, report.ready) == (3, 3)
    assert outbox(store) == []


@pytest.mark.parametrize(
    "steps",
    [
        [Chunk(id=TEXTS[0], text=TEXTS[0], metadata={"n": 1})],
        [Chunk(id=TEXTS[0], text="a grey wolf"), Chunk(id=TEXTS[0], text=TEXTS[0])],
        [Chunk(id="another", text=TEXTS[0])],
    ],
    ids=["metadata", "taken-back", "elsewhere"],
)
def test_what_needs_the_vector_again_waits_for_a_new_one(
    store: PeeweeVectorStore, target: FileTarget, steps: list[Chunk]
) -> None:
    _delivered(store, target, keep_vectors=False)
    before = target.held()
    for step in steps:
        store.save([step])
    chunk = only(store, str(steps[-1].id))
    assert chunk.status is PENDING
    store.delivery.deliver()
    # The target has what it had, and a search shows it as stale.
    assert target.held() == before
    nearest = _near(store, TEXTS[0])[0]
    assert nearest.chunk.id == TEXTS[0]
    assert nearest.stale == (chunk.id == TEXTS[0])
    embed_all(store)
    store.delivery.deliver()
    assert target.held() == sorted(map(held, store.chunks()))
    assert store.vectors([chunk.id for chunk in store.chunks()]) == {}
    check_invariants(store)


def test_a_vector_stays_until_every_chunk_and_target_has_it(
    store: PeeweeVectorStore, target: FileTarget, other: FileTarget
) -> None:
    store.delivery.attach(target, name="one", keep_vectors=False)
    store.collection("elsewhere", SPEC)
    store.save([Chunk(id="1", text="a"), Chunk(id="2", text="a")])
    store.save(chunks_of("a"), collection="elsewhere")
    embed_all(store)
    target.refused = {"2"}
    store.delivery.deliver()
    assert list(store.vectors(["1", "2"])) == ["2"]
    assert _near(store, "a")[0].chunk.id == "1"
    target.refused = set()
    run_sql(store, "UPDATE outbox SET not_before = NULL")
    store.delivery.deliver()
    assert store.vectors(["1", "2"]) == {}
    # It serves elsewhere still, and so is there for whoever needs it.
    assert list(store.vectors(["a"], collection="elsewhere")) == ["a"]
    store.save([Chunk(id="1", text="a", metadata={"n": 1})])
    assert only(store, "1").status is READY
    store.delivery.deliver()
    assert target.held() == sorted(map(held, store.chunks()))
    check_invariants(store)


def test_vectors_that_nobody_can_make_again_stay(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.delivery.attach(target, name="one", keep_vectors=False)
    store.save([Chunk(id="given", text="a", vector=vector_of("b"))])
    store.delivery.deliver()
    assert store.vectors(["given"])["given"].tobytes() == vector_of("b").tobytes()


def test_what_only_a_target_has_is_asked_for_again_before_it_is_needed_elsewhere(
    store: PeeweeVectorStore, target: FileTarget, other: FileTarget
) -> None:
    _delivered(store, target, keep_vectors=False, keep_text="until delivered")
    for act in (
        lambda: store.delivery.attach(other, name="two"),
        lambda: store.delivery.redeliver("one"),
        lambda: store.delivery.forget("one"),
    ):
        with pytest.raises(ConfigurationError, match=r"3 chunks .*keep_vectors=True.*\$0\.00"):
            act()
    assert [status.name for status in store.delivery.targets()] == ["one"]
    store.delivery.attach(target, name="one", keep_vectors=True)
    assert {chunk.status for chunk in store.chunks()} == {PENDING}
    assert _by_word(store, "a") == TEXTS
    check_invariants(store)
    assert len(target.held()) == 3
    embed_all(store)
    store.delivery.attach(other, name="two")
    store.delivery.deliver()
    assert target.held() == other.held() == sorted(map(held, store.chunks()))
    assert len(store.vectors(TEXTS)) == 3
    store.delivery.forget("one")
    check_invariants(store)


def test_a_page_that_is_told_once_more_without_its_vectors_waits_for_new_ones(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.delivery.attach(target, name="one", keep_vectors=False, keep_text="until delivered")
    store.save(chunks_of("a"))
    embed(store, "a")

    def sleep() -> None:
        disarm()
        run_sql(store, "UPDATE targets SET lease_until = 0")
        store.delivery.deliver()  # another process did it all meanwhile

    arm(FailPoint.DELIVERY_PUT, sleep)
    store.delivery.deliver()
    assert outbox(store) == [("a", True)]
    assert only(store, "a").status is PENDING
    assert _by_word(store, "a") == ["a"]
    embed_all(store)
    store.delivery.deliver()
    assert target.held() == [held(only(store, "a"))]
    check_invariants(store)


# --- search without the vectors ----------------------------------------------------------


def test_hits_come_in_the_order_of_the_target(store: PeeweeVectorStore, target: FileTarget) -> None:
    _delivered(store, target)
    by_cosine = _near(store, "asked")
    store.save([Chunk(id=text, text=text, metadata={"n": 1}) for text in TEXTS])
    store.delivery.attach(target, name="one", keep_vectors=False)
    store.delivery.deliver()
    found = _near(store, "asked")
    assert [hit.chunk.id for hit in found] == [hit.chunk.id for hit in by_cosine]
    assert [(hit.score, hit.match) for hit in found] == [(1.0, Match.VECTOR)] * 3
    assert found.degraded is None
    # What the target does not have yet is found by its words.
    store.save(chunks_of(["a black cat"]))
    embed_all(store)
    for mode in (SearchMode.VECTOR, SearchMode.HYBRID):
        best = _near(store, "asked", text="black", pending="keyword", mode=mode)[0]
        assert (best.chunk.id, best.match) == ("a black cat", Match.KEYWORD), mode
    assert len(_near(store, "asked", text="black", pending="keyword", limit=9)) == 4


def test_a_search_that_does_not_ask_the_target_says_what_it_misses(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target, keep_vectors=False)
    missed = "vectors that only a target has were not compared (keep_vectors)"
    exact = _near(store, "asked", text="fox", pending="keyword", exact=True)
    assert [(hit.chunk.id, hit.match) for hit in exact] == [(TEXTS[1], Match.KEYWORD)]
    (several,) = store.search_many([vector_of("asked")])
    for found in (exact, several):
        assert found.degraded is not None
        assert found.degraded.startswith(missed)
    assert store.search(text="fox", mode="keyword").degraded is None


def test_doctor_finds_nothing_wrong_and_says_what_cannot_be_delivered_anew(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    _delivered(store, target, keep_vectors=False, keep_text="until delivered")
    manager = BatchManager(GoogleKeyring(), store)
    (unasked,) = examine(manager).findings
    assert unasked.trouble is Trouble.NOT_LOOKED  # at the provider, without a key
    store.save(chunks_of("b"))
    embed_all(store)
    target.refused = {"b"}
    store.delivery.deliver()
    run_sql(store, "DELETE FROM outbox")  # as if it had been told
    (_, found) = examine(manager, fix=True).findings
    assert (found.trouble, found.count, found.is_fixed) == (Trouble.TARGET, 1, False)
    assert "3 chunks" in found.message
    # With the last chunk goes what stands for vectors that are not here.
    store.delete(ids=TEXTS)
    assert count_vectors(store) == 1


def test_a_copy_lacks_the_same_vectors(target: FileTarget, tmp_path: Path) -> None:
    with (
        PeeweeVectorStore(tmp_path / "moved.db") as moved,
        PeeweeVectorStore(tmp_path / "copy.db") as copy,
    ):
        moved.collection(spec=SPEC)
        _delivered(moved, target, keep_vectors=False, keep_text="until delivered")
        copy_store(moved, copy)
        check_invariants(copy)
        copy.delivery.attach(target, name="one")
        assert len(_near(copy, TEXTS[0])) == 3
        assert copy.save(chunks_of(TEXTS)).unchanged == 3


def test_another_collection_has_its_own(store: PeeweeVectorStore, target: FileTarget) -> None:
    _delivered(store, target, keep_vectors=False, keep_text="until delivered")
    store.collection("elsewhere", EmbeddingSpec(dimensions=8))
    store.save(chunks_of(["a fox"]), collection="elsewhere")
    embed_all(store, "elsewhere")
    found = store.search(text="fox", vector=vector_of("fox"), collection="elsewhere")
    assert (len(found), found.degraded) == (1, None)
