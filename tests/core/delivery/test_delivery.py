"""What a target holds, after whatever happened to chunks and to the target."""

from __future__ import annotations

from pathlib import Path

import pytest

from semantic_core.delivery.worker import LEASE
from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.types import Chunk, TargetStatus
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, embed_all, vector_of
from support.clock import ManualClock
from support.rows import run_sql
from support.setups import armed, interrupt
from support.targets import FileTarget, outbox, source


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


@pytest.fixture
def target(store: PeeweeVectorStore, tmp_path: Path) -> FileTarget:
    made = FileTarget(tmp_path / "target.db")
    store.delivery.attach(made, name="one")
    return made


def _deliver(store: PeeweeVectorStore) -> TargetStatus:
    (status,) = store.delivery.deliver()
    return status


def test_a_target_gets_what_has_its_vector_and_loses_what_is_deleted(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("abc"))
    assert outbox(store) == []
    embed(store, "a", "b")
    assert outbox(store) == [("a", False), ("b", False)]
    assert _deliver(store).waiting == 0
    assert [row[0] for row in target.held()] == ["a", "b"]
    # Nothing is deleted that was never handed over.
    assert [name for name, _ in target.calls] == ["put"]
    store.delete(ids=["a", "c"])
    assert outbox(store) == [("a", True)]
    _deliver(store)
    assert target.held() == source(store)
    assert [row[0] for row in target.held()] == ["b"]


def test_what_is_saved_with_its_vector_is_told(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save([Chunk(id="given", text="a", vector=vector_of("a"))])
    embed(store, "known before")
    store.save(chunks_of(["known before"]))
    assert outbox(store) == [("given", False), ("known before", False)]
    _deliver(store)
    assert target.held() == source(store)


def test_every_change_of_a_served_chunk_is_told_once(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("abcdef"))
    embed_all(store)
    _deliver(store)
    target.calls.clear()
    store.save([Chunk(id="a", text="a", metadata={"n": 1})])
    store.save([Chunk(id="a", text="a", metadata={"n": 2})])
    store.save([Chunk(id="b", text="c")])
    store.delete(ids=["d"], purge=True)
    assert outbox(store) == [("a", True), ("b", True), ("d", True)]
    _deliver(store)
    assert target.calls == [("delete", ["a", "b", "d"]), ("put", ["a", "b"])]
    assert target.held() == source(store)
    store.clear()
    _deliver(store)
    assert target.held() == outbox(store) == []


def test_a_stale_chunk_stays_as_it_was_until_its_vector_lands(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    _deliver(store)
    before = target.held()
    store.save([Chunk(id="a", text="new")])
    assert _deliver(store).waiting == 0
    assert target.held() == before
    embed(store, "new")
    _deliver(store)
    assert target.held() == source(store)
    assert [row[1] for row in target.held()] == ["new", "b"]


def test_a_chunk_that_became_stale_before_it_was_told_waits(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")
    store.save([Chunk(id="a", text="new")])
    assert _deliver(store).waiting == 1
    assert target.calls == []
    embed(store, "new")
    assert _deliver(store).waiting == 0
    assert target.held() == source(store)


def test_a_chunk_that_was_deleted_and_added_again_is_told_as_it_is_now(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    _deliver(store)
    store.delete(ids=["a", "b"])
    store.save(chunks_of("a"))  # from the cache
    store.save([Chunk(id="b", text="not embedded yet")])
    _deliver(store)
    assert target.held() == source(store)
    assert [row[0] for row in target.held()] == ["a"]


def test_a_new_target_is_filled_and_an_interrupted_filling_goes_on(
    store: PeeweeVectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"text {number}" for number in range(25)]
    store.save(chunks_of(texts))
    embed_all(store)
    store.save(chunks_of(["pending"]))
    monkeypatch.setattr("semantic_core.delivery.outbox.PAGE", 10)
    target = FileTarget(tmp_path / "target.db")
    store.delivery.attach(target, name="one")
    assert store.delivery.targets()[0].is_filling
    with armed(FailPoint.DELIVERY_FILLED, interrupt), pytest.raises(KeyboardInterrupt):
        store.delivery.deliver()
    assert len(outbox(store)) == 10
    store.delete(ids=["text 3", "text 20"])
    status = _deliver(store)
    assert (status.waiting, status.is_filling) == (0, False)
    assert target.held() == source(store)
    assert len(target.held()) == 23


def test_a_guilty_chunk_stands_alone_and_the_others_go_on(
    store: PeeweeVectorStore, target: FileTarget, clock: ManualClock
) -> None:
    store.save(chunks_of("abcdefg"))
    embed_all(store)
    target.refused = {"a", "e"}
    status = _deliver(store)
    assert (status.waiting, status.failed) == (2, 2)
    assert status.last_error is not None
    assert "cannot be taken" in status.last_error
    assert [row[0] for row in target.held()] == list("bcdfg")
    target.calls.clear()
    _deliver(store)
    assert target.calls == []
    target.refused = {"e"}
    clock.advance(61)
    assert _deliver(store).waiting == 1
    assert [row[0] for row in target.held()] == list("abcdfg")
    # A change asks at once.
    target.refused = set()
    store.save([Chunk(id="e", text="e", metadata={"n": 1})])
    assert _deliver(store) == TargetStatus(name="one", kind=target.kind, collection="default")
    assert target.held() == source(store)


def test_a_target_that_is_down_is_not_asked_for_each_chunk(
    store: PeeweeVectorStore, target: FileTarget, clock: ManualClock
) -> None:
    store.save(chunks_of([f"text {number}" for number in range(600)]))
    embed_all(store)
    target.is_down = True
    status = _deliver(store)
    assert (status.waiting, status.failed) == (600, 3)
    assert status.last_error is not None
    assert "nobody is there" in status.last_error
    assert len(target.calls) < 50
    target.is_down = False
    clock.advance(61)
    status = _deliver(store)
    assert (status.waiting, status.last_error) == (0, None)
    assert target.held() == source(store)


def test_an_error_of_delete_counts_once_a_page_was_taken(
    store: PeeweeVectorStore, target: FileTarget, clock: ManualClock
) -> None:
    store.save(chunks_of("ab"))
    embed(store, "a")
    with armed(FailPoint.DELIVERY_NOTED, interrupt), pytest.raises(KeyboardInterrupt):
        store.delivery.deliver()
    assert outbox(store) == [("a", True)]
    # The file has no table yet.
    assert _deliver(store).waiting == 0
    assert [name for name, _ in target.calls] == ["delete", "put"]
    target.path.unlink()
    store.delete(ids=["a"])
    status = _deliver(store)
    assert status.last_error is not None
    assert "no such table" in status.last_error


def test_a_target_that_another_process_works_on_is_left_to_it(
    store: PeeweeVectorStore, target: FileTarget, clock: ManualClock
) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")
    until = clock.now() + LEASE
    run_sql(store, "UPDATE targets SET lease_token = 'other', lease_until = ?", (until,))
    assert _deliver(store).waiting == 1
    assert target.calls == []
    clock.advance(LEASE)
    assert _deliver(store).waiting == 0


def test_whoever_slept_too_long_lets_its_page_be_told_again(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")

    def take_over() -> None:
        disarm()
        run_sql(store, "DELETE FROM outbox")  # the other one delivered it
        run_sql(store, "UPDATE targets SET lease_token = 'other', lease_until = 0")

    arm(FailPoint.DELIVERY_PUT, take_over)
    assert _deliver(store).waiting == 1
    assert outbox(store) == [("a", True)]
    _deliver(store)
    assert target.held() == source(store)


def test_an_edit_during_a_delivery_is_told_afterwards(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")

    def edit() -> None:
        disarm()
        store.save([Chunk(id="a", text="a", metadata={"n": 1})])

    arm(FailPoint.DELIVERY_PUT, edit)
    assert _deliver(store).waiting == 0
    assert [name for name, _ in target.calls] == ["put", "delete", "put"]
    assert target.held() == source(store)


def test_two_targets_are_told_each_for_itself(
    store: PeeweeVectorStore, target: FileTarget, tmp_path: Path
) -> None:
    store.collection("other", SPEC)
    other = FileTarget(tmp_path / "other.db")
    store.delivery.attach(other, name="two", collection="other")
    second = FileTarget(tmp_path / "second.db")
    store.delivery.attach(second, name="three")
    store.save(chunks_of("ab"))
    embed_all(store)
    store.save(chunks_of("a"), collection="other")
    store.delivery.deliver()
    assert target.held() == second.held() == source(store)
    assert other.held() == source(store, "other")
    assert len(other.held()) == 1


def test_a_process_without_the_target_delivers_nothing_and_shows_what_waits(
    store: PeeweeVectorStore, target: FileTarget, clock: ManualClock, database_target: Path | str
) -> None:
    with PeeweeVectorStore(database_target, clock=clock) as other:
        other.save(chunks_of("a"))
        began = clock.now()
        embed(other, "a")
        clock.advance(5)
        (status,) = other.delivery.deliver()
    assert (status.waiting, status.oldest, status.last_error) == (1, began, None)
    assert target.calls == []


def test_a_name_belongs_to_one_store_until_it_is_let_go(
    store: PeeweeVectorStore, target: FileTarget, tmp_path: Path
) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")
    other = FileTarget(tmp_path / "other.db")
    store.delivery.attach(other, name="one")
    store.collection("other", SPEC)
    with pytest.raises(ConfigurationError, match="for the collection 'default', and not"):
        store.delivery.attach(other, name="one", collection="other")
    other.kind = "another"
    with pytest.raises(ConfigurationError, match=r"store\.delivery\.forget\('one'\)"):
        store.delivery.attach(other, name="one")
    with pytest.raises(InvalidInputError, match="there is: 'one'"):
        store.delivery.forget("none")
    assert store.delivery.forget("one") == 1
    assert store.delivery.targets() == store.delivery.deliver() == ()
    store.save(chunks_of("b"))
    embed(store, "b")
    assert outbox(store) == []


def test_everything_is_delivered_anew_on_request(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of("abc"))
    embed(store, "a", "b")
    _deliver(store)
    target.delete(["a"])
    embed(store, "c")
    target.calls.clear()
    store.delivery.redeliver("one")
    _deliver(store)
    assert target.calls[0][0] == "delete"
    assert sorted(target.calls[0][1]) == list("abc")
    assert target.held() == source(store)
