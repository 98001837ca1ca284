"""Real vector stores hold what they should, wherever deliveries to them were cut off."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from llama_index.core.schema import TextNode

import langchain_semcore
import llamaindex_semcore
from semantic_core import EmbeddingSpec, PeeweeVectorStore
from semantic_core.domain.failpoints import FailPoint
from support.real_stores import LANGCHAIN, LLAMA_INDEX, NEEDS_SERVER, SIZE, RealStore, real_store
from support.setups import armed, interrupt
from support.targets import outbox

CHANGES, IDS, AT_ONCE = 1200, 300, 20

POINTS = [
    FailPoint.DELIVERY_NOTED,
    FailPoint.DELIVERY_DELETED,
    FailPoint.DELIVERY_PUT,
    FailPoint.DELIVERY_FORGOTTEN,
]

Save = Callable[[dict[str, int]], None]


@pytest.fixture(params=[*LANGCHAIN, *LLAMA_INDEX])
def real(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealStore]:
    url = request.getfixturevalue("postgres_url") if request.param in NEEDS_SERVER else None
    with real_store(request.param, tmp_path, url) as opened:
        yield opened


@pytest.fixture
def save(real: RealStore, store: PeeweeVectorStore) -> Save:
    """Save numbers under ids, through the framework that the store belongs to, and deliver to it."""
    spec = EmbeddingSpec.external("here", SIZE)
    if real.store is not None:
        nodes = llamaindex_semcore.SemcoreVectorStore(
            store, spec=spec, deliver_to=("real", real.store)
        )
        return lambda numbers: (
            nodes.add(
                [
                    TextNode(id_=id_, text=f"text {n}", metadata={"n": n}, embedding=_vector(n))
                    for id_, n in numbers.items()
                ]
            )
            and None
        )
    assert real.build is not None
    documents = langchain_semcore.SemcoreVectorStore(store, spec=spec)
    documents.deliver_to(real.build, name="real")
    return lambda numbers: (
        documents.add_embeddings(
            [f"text {n}" for n in numbers.values()],
            [_vector(n) for n in numbers.values()],
            [{"n": n} for n in numbers.values()],
            ids=list(numbers),
        )
        and None
    )


def _vector(number: int) -> list[float]:
    vector = np.random.default_rng(number).normal(size=SIZE)
    return list((vector / np.linalg.norm(vector)).tolist())


def test_a_delivery_that_is_cut_off_anywhere_ends_with_all_of_it(
    real: RealStore, store: PeeweeVectorStore, save: Save
) -> None:
    chance = random.Random(20)
    wanted: dict[str, int] = {}
    cuts = 0
    for number in range(0, CHANGES, AT_ONCE):
        ids = [f"notes/{chance.randrange(IDS)}" for _ in range(AT_ONCE)]
        gone = set(ids[: chance.randrange(AT_ONCE)])
        kept = {id_: number + place for place, id_ in enumerate(ids) if id_ not in gone}
        store.delete(ids=sorted(gone))
        save(kept)
        wanted = {id_: n for id_, n in (wanted | kept).items() if id_ not in gone}
        if chance.random() < 0.7:
            with armed(chance.choice(POINTS), interrupt), pytest.raises(KeyboardInterrupt):
                store.delivery.deliver()
            cuts += 1
        elif chance.random() < 0.5:
            store.delivery.deliver()
    (status,) = store.delivery.deliver()
    assert (status.waiting, status.last_error) == (0, None)
    assert outbox(store) == []
    assert cuts > CHANGES // AT_ONCE // 2
    held = real.held()
    assert {id_: one.metadata["n"] for id_, one in held.items()} == wanted
    assert {id_: one.text for id_, one in held.items()} == {
        id_: f"text {n}" for id_, n in wanted.items()
    }
    for id_, number in wanted.items():
        assert held[id_].vector == pytest.approx(_vector(number), abs=1e-6)
