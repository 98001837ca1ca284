"""The loop that flushes and syncs: enough or old enough is sent, trouble passes, a stop is prompt."""

from __future__ import annotations

import threading

import pytest

from batch_emulator import FailLines, FaultRule, Lines, Operation, Reply
from semantic_core.batches import Watch, WatchOptions, WatchRound
from semantic_core.domain.errors import AuthError
from semantic_core.domain.failpoints import FailPoint, disarm
from support.processes import Python
from support.setups import armed
from support.world import CONFIG, World


def watch(world: World, **options: float) -> Watch:
    return Watch(world.manager(), WatchOptions(**options))  # type: ignore[arg-type]


def test_nothing_is_sent_before_it_is_enough_or_old_enough(world: World) -> None:
    world.save("one", "two")
    watching = watch(world, min_size=3, max_age=600)
    assert watching.round().sent == ()
    world.clock.advance(601)
    assert len(watching.round().sent) == 1
    assert watching.round().stats.ready == 2


def test_enough_is_sent_at_once(world: World) -> None:
    world.save("one", "two", "three")
    assert len(watch(world, min_size=3).round().sent) == 1


def test_passing_trouble_is_reported_and_outlived(world: World) -> None:
    world.save("one")
    watching = watch(world, min_size=1)
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429)))
    first = watching.round()
    assert first.sent == ()
    assert "429" in (first.trouble or "")
    world.clock.advance(1000)
    assert len(watching.round().sent) == 1


def test_a_job_that_another_process_took_over_does_not_end_the_watch(world: World) -> None:
    """A4: a laptop was closed for an hour."""
    world.save("one")

    def sleep_through_everything() -> None:
        disarm()
        for pause in (CONFIG.lease, CONFIG.listing_grace):
            world.clock.advance(pause + 1)
            world.manager().sync_status()
        world.manager().flush_queue()

    with armed(FailPoint.CREATE_INTENDED, sleep_through_everything):
        first = watch(world, min_size=1).round()
    assert first.sent == ()
    assert "taken over" in (first.trouble or "")
    assert watch(world, min_size=1).round().stats.ready == 1
    assert world.creates() == 1


def test_a_refused_key_ends_the_watch(world: World) -> None:
    world.save("one")
    world.emulator.add_fault(FaultRule(effect=Reply(code=401), times=None))
    with pytest.raises(AuthError):
        watch(world, min_size=1).run(lambda _: None)


def test_it_stops_when_told(world: World) -> None:
    world.save("one")
    watching = watch(world, min_size=1, interval=3600)
    rounds: list[WatchRound] = []

    def report(done: WatchRound) -> None:
        rounds.append(done)
        threading.Timer(0.05, watching.stop).start()

    watching.run(report)
    assert len(rounds) == 1
    assert watching.round().sent == ()


def test_a_signal_stops_it_at_any_step(python: Python) -> None:
    """The handler runs in the thread that waits, between any two of its steps."""
    child = python("""
        import faulthandler
        import random
        import signal
        from semantic_core.batches import Watch, WatchOptions

        class Idle(Watch):
            def round(self):
                return None

        faulthandler.dump_traceback_later(100, exit=True)
        moments = random.Random(1)
        for _ in range(2000):
            watching = Idle(None, WatchOptions(interval=0.0002))
            signal.signal(signal.SIGALRM, lambda *_: watching.stop())
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.0003, 0.002))
            watching.run(lambda _: None)
        say("each was stopped")
    """)
    assert child.hear() == "each was stopped"
    child.end()


def test_failed_chunks_are_listed_with_their_reason(world: World) -> None:
    world.save("one", "two")
    world.emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message="too rude", lines=Lines(containing="two")))
    )
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    (failed,) = manager.failed_chunks()
    assert (failed.id, failed.text) == ("c1", "two")
    assert "too rude" in (failed.error_message or "")
    assert manager.failed_chunks(limit=0) == []
