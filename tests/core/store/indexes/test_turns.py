"""As many searches at once as there are cores."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from semantic_core.store.indexes.turns import Turns


def test_no_more_are_let_in_than_there_are_turns() -> None:
    turns, inside, most = Turns(2), [], []
    everybody = threading.Barrier(8)

    def search(number: int) -> None:
        everybody.wait()
        with turns.one():
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.01)
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(search, range(8)))
    assert max(most) == 2


def test_turns_are_shared_while_a_second_thread_has_one() -> None:
    turns = Turns(3)
    seen = [turns.are_shared]
    with turns.one():
        seen.append(turns.are_shared)
        with turns.one():
            seen.append(turns.are_shared)
        seen.append(turns.are_shared)
    assert seen == [False, False, True, False]


def test_brief_ones_are_let_in_one_at_a_time_and_wait_for_no_other() -> None:
    turns, has_passed = Turns(2), threading.Event()

    def search() -> None:
        with turns.one(is_brief=True):
            has_passed.set()

    with ThreadPoolExecutor(1) as pool, turns.one():
        with turns.one(is_brief=True):
            waiting = pool.submit(search)
            assert not has_passed.wait(0.05)
            assert not turns.are_shared
        waiting.result()


def test_a_search_that_fails_gives_its_turn_back() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.one():
            raise ZeroDivisionError
    with turns.one():
        pass


def test_an_interrupt_while_waiting_takes_no_turn() -> None:
    turns, is_held, may_go = Turns(1), threading.Event(), threading.Event()

    def hold() -> None:
        with turns.one():
            is_held.set()
            may_go.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    is_held.wait()
    # A process that a shell started in the background ignores interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), turns.one():
            pass
    finally:
        signal.signal(signal.SIGINT, before)
    may_go.set()
    holder.join()
    with turns.one():
        pass


def test_interrupts_at_any_moment_lose_no_turn() -> None:
    turns, caught, has_ended = Turns(1), 0, threading.Event()
    armed: list[bool] = []

    def raise_once(number: int, frame: object) -> None:
        # Only where the test waits for it: another one must not hit pytest.
        if armed:
            armed.clear()
            raise KeyboardInterrupt

    def interrupt() -> None:
        while not has_ended.wait(0.0007):
            os.kill(os.getpid(), signal.SIGINT)

    disturber = threading.Thread(target=interrupt)
    until = time.monotonic() + 1
    before = signal.signal(signal.SIGINT, raise_once)
    try:
        disturber.start()
        while time.monotonic() < until:
            try:
                armed.append(True)
                while True:
                    with turns.one():
                        pass
            except KeyboardInterrupt:
                caught += 1
    finally:
        has_ended.set()
        disturber.join()
        signal.signal(signal.SIGINT, before)
    assert caught > 10
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_take, turns).result(timeout=300)


def _take(turns: Turns) -> None:
    with turns.one():
        pass
