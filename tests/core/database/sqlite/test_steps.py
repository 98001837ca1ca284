"""What work costs SQLite in steps of its virtual machine, which no busy machine changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from semantic_core.batches import BatchManager
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed
from support.rows import run_sql

LITTLE, MUCH = 500, 2000
MOST = 1.1

_Work = Callable[[PeeweeVectorStore, list[str]], object]

# Each is given texts of its own, of which the first half is saved and waits.
WORK: dict[str, _Work] = {
    "save": lambda store, texts: store.save(chunks_of(texts[50:])),
    "update": lambda store, texts: store.save(
        [chunk for text in texts[:50] for chunk in chunks_of([text], metadata={"n": 1})]
    ),
    "apply": lambda store, texts: embed(store, *texts[:50]),
    "delete": lambda store, texts: store.delete(ids=texts[:50]),
    "status": lambda store, _: store.stats(),
    "keyword": lambda store, texts: store.search(text=" ".join(texts[:3]), mode="keyword"),
}


def _steps(store: PeeweeVectorStore, work: _Work, name: str) -> int:
    texts = [f"{name}{number}" for number in range(100)]
    store.save(chunks_of(texts[:50]))
    work(store, texts)  # SQLite reads the schema, and the store what it keeps
    store.delete(ids=texts)
    store.save(chunks_of(texts[:50]))
    # In one piece: the pieces of a full-text index depend on what was saved when.
    run_sql(store, "INSERT INTO chunks_fts (chunks_fts) VALUES ('optimize')")
    taken = 0

    def count() -> None:
        nonlocal taken
        taken += 1

    connection = store.database.connection()  # type: ignore[attr-defined]  # SQLite's alone
    connection.set_progress_handler(count, 1)
    work(store, texts)
    connection.set_progress_handler(None, 1)
    store.delete(ids=texts)
    return taken


@pytest.mark.parametrize("name", WORK)
def test_no_work_takes_more_steps_the_more_is_stored(store: PeeweeVectorStore, name: str) -> None:
    store.collection(spec=SPEC)
    steps, stored = [], 0
    for size in (LITTLE, MUCH):
        texts = [f"stored{number}" for number in range(stored, size)]
        store.save(chunks_of(texts))
        embed(store, *texts)
        stored = size
        steps.append(_steps(store, WORK[name], f"{name}{size}x"))
    assert 0 < steps[1] < MOST * steps[0]


def test_status_and_estimate_take_no_more_steps_the_more_waits(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    manager = BatchManager(GoogleKeyring(), store)
    work: tuple[_Work, ...] = (lambda one, _: one.stats(), lambda _, __: manager.estimate())
    steps, stored = [], 0
    for size in (LITTLE, MUCH):
        store.save(chunks_of([f"waits{number}" for number in range(stored, size)]))
        stored = size
        steps.append([_steps(store, one, f"{number}x{size}x") for number, one in enumerate(work)])
    for little, much in zip(*steps, strict=True):
        assert 0 < much < MOST * little
