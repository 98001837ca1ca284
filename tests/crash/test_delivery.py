"""1,200 puts and deletes, delivered by processes that are killed at every step."""

from __future__ import annotations

import json
import random
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from semantic_core.delivery.worker import LEASE
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, embed_all
from support.clock import SharedClock
from support.delivering import KILLED, STEPS
from support.invariants import check_invariants
from support.processes import Python
from support.targets import FileTarget, Held, held, outbox

IDS = [f"chunk {number}" for number in range(300)]
ROUNDS, CHANGES = 48, 25

KEPT: dict[str, dict[str, Any]] = {
    "everything": {},
    "nothing": {"keep_text": "until delivered", "keep_vectors": False},
}


@pytest.mark.parametrize("keep", list(KEPT))
def test_the_target_is_what_the_source_is(
    database_target: Path | str, tmp_path: Path, python: Python, keep: str
) -> None:
    """F1"""
    chance = random.Random(20)
    clock = SharedClock(tmp_path / "clock")
    workers = python("from support.delivering import serve\nserve(say, hear)")
    killed = dict.fromkeys(STEPS, 0)

    def deliver(step: str | None = None, hit: int = 1) -> int:
        order = {"database": str(database_target), "folder": str(tmp_path), "keep": KEPT[keep]}
        code = int(workers.ask(json.dumps({**order, "step": step, "hit": hit})))
        clock.advance(LEASE + 1)
        return code

    with PeeweeVectorStore(database_target, clock=clock) as store:
        store.collection(spec=SPEC)
        target = FileTarget(tmp_path / "target.db")
        for turn, step in zip(range(ROUNDS), cycle(STEPS), strict=False):
            _change(store, chance, turn)
            code = deliver(step, hit=1 + turn % 3)
            assert code in (0, KILLED)
            killed[step] += code == KILLED
            check_invariants(store)
            assert _only_there(store) <= set(target.held())
        assert min(killed.values()) > 2, killed
        assert deliver() == 0
        assert target.held() == sorted(held(chunk) for chunk in store.chunks())
        assert len(target.held()) > len(IDS) / 3
        assert outbox(store) == []
        kept = 0 if KEPT[keep] else len(target.held())
        assert len(store.vectors(IDS)) == kept
        assert len(store.search(text="chunk", mode="keyword", limit=len(IDS))) == kept
        assert store.compare_indexes() == 0


def _only_there(store: PeeweeVectorStore) -> set[Held]:
    """Return what a target must hold, since it alone has the vector."""
    ready = [chunk for chunk in store.chunks() if chunk.status == "READY"]
    here = store.vectors([chunk.id for chunk in ready])
    return {held(chunk) for chunk in ready if chunk.id not in here}


def _change(store: PeeweeVectorStore, chance: random.Random, turn: int) -> None:
    """Put some chunks, of which some wait for their vector a while, and delete others."""
    names = chance.sample(IDS, CHANGES)
    gone, put = names[: CHANGES // 3], names[CHANGES // 3 :]
    versions = {name: chance.randrange(3) for name in put}
    store.save(
        [
            Chunk(id=name, text=f"{name}, version {version}", metadata={"turn": turn % 2})
            for name, version in versions.items()
        ]
    )
    store.delete(ids=gone)
    if turn % 4 != 0 or turn == ROUNDS - 1:
        embed_all(store)
