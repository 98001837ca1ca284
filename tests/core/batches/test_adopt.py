"""A job that runs at the provider under our name, but has no row here, is not paid for again."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_emulator import (
    Damage,
    DamageLines,
    EndJob,
    FaultRule,
    Lines,
    ModelInfo,
    Operation,
    Reply,
)
from semantic_core.batches.adopt import adopt_unknown_jobs
from semantic_core.batches.job.listing import list_provider
from semantic_core.domain.errors import AuthError, ProviderUnavailableError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, JobStatus, JobStep
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import LIMITS
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.store import PeeweeVectorStore
from support.rows import run_sql
from support.world import BATCH_KEY, CONFIG, World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def restored(world: World, copy: Path | str) -> PeeweeVectorStore:
    return PeeweeVectorStore(copy, clock=world.clock)


def test_a_restored_backup_takes_the_results_instead_of_sending_again(world: World) -> None:
    """E14, B19"""
    world.save("one", "two")
    copy = world.backup()
    world.manager().flush_queue()

    with restored(world, copy) as store:
        manager = world.manager(store=store)
        assert manager.flush_queue() is None
        (job,) = manager.jobs()
        assert (job.status, job.step, job.done_count) == (JobStatus.COMPLETED, JobStep.APPLIED, 2)
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 1


def test_nothing_is_sent_while_a_found_job_runs(tmp_path: Path) -> None:
    """B19: nobody knows its texts before it ends."""
    with open_world(tmp_path, pending_seconds=3600) as world:
        world.save("one")
        copy = world.backup()
        world.manager().flush_queue()
        with restored(world, copy) as store:
            manager = world.manager(store=store)
            assert manager.flush_queue() is None
            assert manager.get_queue_stats().waiting == 1
            world.clock.advance(3601)
            manager.sync_status()
            assert {chunk.status for chunk in store.chunks()} == {READY}
        assert world.creates() == 1


def test_the_remote_files_of_a_found_job_stay(world: World) -> None:
    """They may belong to another copy of the database, which still needs them."""
    world.save("one")
    copy = world.backup()
    world.manager().flush_queue()
    with restored(world, copy) as store:
        world.manager(store=store).sync_status()
    world.manager().sync_status()
    assert world.chunk().status is READY
    assert world.emulator.ledger.times_billed("one") == 1


def test_a_text_that_a_found_job_took_only_in_part_is_not_sent_again(tmp_path: Path) -> None:
    """A11: it was billed, and would be cut short again."""
    models = {"gemini-embedding-001": ModelInfo(token_limit=2048, truncates=True)}
    with open_world(tmp_path, models=models) as world:
        world.save("too many words " * 1000, "short")
        taken = world.backup()
        world.manager().flush_queue()
        with restored(world, taken) as copy:
            manager = world.manager(store=copy)
            for _ in range(2):
                manager.flush_queue()
                manager.sync_status()
            long, short = copy.chunks()
            assert (long.error_message or "").startswith("too long")
            assert short.status == "READY"
        assert not world.emulator.ledger.overbilled()


def test_a_found_job_without_usable_results_frees_the_queue(world: World) -> None:
    world.save("one", "two")
    copy = world.backup()
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    world.manager().flush_queue()
    world.emulator.jobs()
    with restored(world, copy) as store:
        manager = world.manager(store=store)
        sent = manager.flush_queue()
        assert [job.id for job in manager.jobs()] == [sent]


def test_lines_of_a_found_job_are_checked_like_any_other(world: World) -> None:
    world.save("one", "two")
    copy = world.backup()
    world.emulator.add_fault(FaultRule(effect=DamageLines(damage=Damage.WRONG_DIMENSION)))
    world.manager().flush_queue()
    with restored(world, copy) as store:
        world.manager(store=store).sync_status()
        assert {chunk.status for chunk in store.chunks()} == {PENDING}
        assert run_sql(store, "SELECT count(*) FROM embeddings")[0] == (0,)


def test_a_listing_that_fails_sends_nothing(world: World) -> None:
    world.save("one")
    world.emulator.add_fault(
        FaultRule(operation=Operation.LIST, effect=Reply(code=403), times=None)
    )
    with pytest.raises(AuthError):
        world.manager().flush_queue()
    assert world.creates() == 0


def test_jobs_of_other_programs_are_left_alone(world: World) -> None:
    world.save("one")
    other = PeeweeVectorStore(world.folder / "other.db", clock=world.clock)
    with other:
        other.save([Chunk(id="x", text="theirs")])
        world.manager(store=other).flush_queue()
        world.manager().flush_queue()
        assert [job.display_name for job in world.manager().jobs()] != []
        assert len(world.manager().jobs()) == 1


@pytest.mark.parametrize(
    "name", ["../../../tmp/evil", "x", "{0B9D7D0E-0000-4000-8000-000000000000}"]
)
def test_a_name_that_only_begins_like_ours_is_nobodys_job(world: World, name: str) -> None:
    """E20: the id that it seems to hold would name files here."""
    world.save("one")
    prefix = f"semcore-{world.store.meta('install_id')}-"
    with GeminiBatchClient(BATCH_KEY, endpoint=Endpoint(base_url=world.emulator.url)) as client:
        client.create_embedding_job(
            [EmbeddingRequest(key="0" * 64, text="planted")],
            spec=EmbeddingSpec(),
            display_name=prefix + name,
            spool=world.folder / "planted.jsonl",
        )
    assert world.manager().flush_queue() is not None
    assert [job.display_name for job in world.manager().jobs()] != [prefix + name]
    assert len(world.manager().jobs()) == 1


def test_a_backup_restored_after_the_original_finished_pays_nothing_again(world: World) -> None:
    """E14: the original took its results, removed its texts, and was lost."""
    world.save("one", "two")
    copy = world.backup()
    world.manager().flush_queue()
    world.manager().sync_status()
    assert world.emulator.calls(Operation.FILE_DELETE) != []
    with restored(world, copy) as store:
        manager = world.manager(store=store)
        assert manager.drain_queue() == []
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 1


def test_a_backup_with_a_job_in_flight_takes_what_the_original_took(world: World) -> None:
    """E14: its row is in the backup, its end is not."""
    world.save("one")
    world.manager().flush_queue()
    copy = world.backup()
    world.manager().sync_status()
    with restored(world, copy) as store:
        manager = world.manager(store=store)
        manager.sync_status()
        assert manager.get_queue_stats().held_jobs == ()
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 1


def test_jobs_are_removed_once_their_results_are_gone(world: World) -> None:
    """Else listings would grow for ever."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    assert world.emulator.calls(Operation.DELETE) == []
    world.clock.advance(LIMITS.result_lifetime - 1)
    world.store.save([Chunk(id="later", text="a later text")])
    manager.flush_queue()
    assert world.emulator.calls(Operation.DELETE) == []
    world.clock.advance(2 * 86_400)
    world.store.save([Chunk(id="last", text="the last text")])
    manager.flush_queue()
    assert len(world.emulator.calls(Operation.DELETE)) == 1
    manager.sync_status()
    assert world.emulator.violations == []


def test_a_job_whose_results_are_not_stored_is_never_removed(world: World) -> None:
    """D12"""
    world.emulator.add_fault(
        FaultRule(operation=Operation.DOWNLOAD, effect=Reply(code=503), times=None)
    )
    world.save("one")
    world.manager().flush_queue()
    with pytest.raises(ProviderUnavailableError):
        world.manager().sync_status()
    world.clock.advance(3 * 86_400)
    world.store.save([Chunk(id="later", text="a later text")])
    world.manager().flush_queue()
    assert world.emulator.calls(Operation.DELETE) == []


def test_two_vectors_for_one_text_of_a_found_job_are_both_left(world: World) -> None:
    """C13"""
    world.save("one", "two")
    copy = world.backup()
    world.emulator.add_fault(
        FaultRule(effect=DamageLines(damage=Damage.CONFLICT, lines=Lines(containing="one")))
    )
    world.manager().flush_queue()
    with restored(world, copy) as store:
        world.manager(store=store).sync_status()
        assert {chunk.id: chunk.status for chunk in store.chunks()} == {"c0": PENDING, "c1": READY}


def test_only_wanted_vectors_of_a_found_job_are_stored(world: World) -> None:
    """Nobody knows the space that the others are of."""
    world.save("one", "two")
    copy = world.backup()
    world.manager().flush_queue()
    with restored(world, copy) as store:
        store.delete(ids=["c1"])
        world.manager(store=store).sync_status()
        assert run_sql(store, "SELECT count(*) FROM embeddings")[0] == (1,)
        assert {chunk.status for chunk in store.chunks()} == {READY}


def test_a_known_job_is_no_find(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.save("one")
    world.manager().flush_queue()
    before = world.query("SELECT * FROM batch_jobs")
    world.store.save([Chunk(id="later", text="two")])
    context = world.manager().context()
    adopt_unknown_jobs(context, list_provider(context))
    assert world.query("SELECT * FROM batch_jobs") == before
    assert "unknown here" not in caplog.text


def test_a_chunk_with_a_vector_takes_none_from_a_found_job(world: World) -> None:
    world.save("one", "two")
    copy = world.backup()
    world.manager().flush_queue()
    with restored(world, copy) as store:
        store.save([Chunk(id="c0", text="one", vector=[1.0] * 768)])
        manager = world.manager(store=store)
        manager.sync_status()
        assert manager.jobs()[0].done_count == 1
        origins = run_sql(store, "SELECT origin FROM embeddings")
        assert sorted(origins) == [("batch",), ("given",)]


def test_a_found_job_that_is_lost_stops_nobody_for_ever(tmp_path: Path) -> None:
    """It is held, and a person was told; what waits goes on."""
    with open_world(tmp_path, pending_seconds=3600) as world:
        world.save("one")
        copy = world.backup()
        world.manager().flush_queue()
        with restored(world, copy) as store:
            manager = world.manager(store=store)
            assert manager.flush_queue() is None
            world.emulator.delete_job(str(manager.jobs()[0].google_job_id))
            for _ in range(2):
                world.clock.advance(CONFIG.listing_grace + 1)
                manager.sync_status()
            assert len(manager.get_queue_stats().held_jobs) == 1
            assert manager.flush_queue() is not None
