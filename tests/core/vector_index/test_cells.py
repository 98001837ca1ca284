"""Cells: only the codes of the nearest are read, and nothing else about a search changes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_core.vector_index import Floats, Identity, Moment, Sidecar, VectorIndex, cells
from semantic_core.vector_index.cosine import unit_rows
from semantic_core.vector_index.first_pass import LEAST_ROWS, FirstPass
from support.nearest import listed, recall

COUNT = LEAST_ROWS + 4000
DIMENSIONS = 64
IDENTITY = Identity(database=UUID(int=7), collection=3, space="space", dimensions=DIMENSIONS)


@pytest.fixture(scope="module")
def least() -> Any:
    """So few rows do not need cells, but are enough to see what they do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "LEAST_CLUSTERED", LEAST_ROWS)
        yield


@pytest.fixture(scope="module")
def vectors() -> Floats:
    return made(COUNT)


@pytest.fixture(scope="module")
def queries() -> Floats:
    return made(100)


@pytest.fixture(scope="module")
def saved(least: None, vectors: Floats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "vectors"
    index = VectorIndex(DIMENSIONS)
    # Ids in no order, so that rows, ids and cells have nothing to do with each other.
    index.put(np.random.default_rng(3).permutation(COUNT), vectors)
    assert Sidecar(path, IDENTITY).save(index, Moment(1))
    return path


def made(count: int) -> Floats:
    """Return vectors around 300 centres, which are around 20."""
    rng = np.random.default_rng(11)
    centres = rng.standard_normal((300, DIMENSIONS)) / 2
    centres += rng.standard_normal((20, DIMENSIONS)).repeat(15, axis=0)
    rng = np.random.default_rng(count)
    noise = rng.standard_normal((count, DIMENSIONS)) / 3
    return (centres[rng.integers(0, 300, count)] + noise).astype(np.float32)


def opened(path: Path) -> VectorIndex:
    found = Sidecar(path, IDENTITY).open(oldest=0, newest=1)
    assert found is not None
    return found[0]


def first_pass(index: VectorIndex) -> FirstPass:
    found = index._derived.first_pass
    assert found is not None
    return found


def cells_of(index: VectorIndex) -> cells.Cells:
    found = first_pass(index).cells
    assert found is not None
    return found


def share_read(index: VectorIndex, queries: Floats) -> float:
    """Return the mean share of clustered rows whose codes a search for ten hits reads."""
    own = cells_of(index)
    spans = [own.near(query, 10, own.depth) for query in _units(queries)]
    rows = int(own.starts[-1])
    return float(
        np.mean([1 if one is None else (one[:, 1] - one[:, 0]).sum() / rows for one in spans])
    )


def mean_recall(index: VectorIndex, queries: Floats, limit: int = 10) -> float:
    return float(
        np.mean(
            [recall(index.search(q, limit), index.search(q, limit, exact=True)) for q in queries]
        )
    )


def _units(vectors: Floats) -> Floats:
    return unit_rows(vectors)[0]


def test_a_part_of_the_codes_is_read_and_hardly_any_neighbour_is_missed(
    saved: Path, queries: Floats
) -> None:
    index = opened(saved)
    assert share_read(index, queries) < 0.25
    assert mean_recall(index, queries) >= 0.995
    assert mean_recall(index, queries, 60) >= 0.995
    for query in queries[:20]:
        hits = index.search(query, 10)
        assert listed(index.search(query, 10, allowed=hits.ids, exact=True)) == listed(hits)


def test_rows_and_ids_stay_together_when_they_are_arranged(saved: Path, vectors: Floats) -> None:
    index = opened(saved)
    ids = np.random.default_rng(3).permutation(COUNT)
    assert np.allclose(index.vectors(ids), _units(vectors), atol=1e-6)
    own = cells_of(index)
    assert own.starts[0] == 0
    assert own.starts[-1] == COUNT
    for number in range(0, len(own.centres), 10):
        rows = np.arange(own.starts[number], own.starts[number + 1])
        assert (np.argmax(index.matrix.gather(rows) @ own.centres.T, axis=1) == number).all()


def test_exact_and_filtered_searches_read_no_cells(saved: Path, queries: Floats) -> None:
    index = opened(saved)
    plain = opened(saved)
    first_pass(plain).cells = None
    allowed = np.random.default_rng(5).permutation(COUNT)[: COUNT // 2]
    for query in queries[:30]:
        for options in ({"exact": True}, {"allowed": allowed}, {"allowed": allowed[:50]}):
            found = index.search(query, 10, **options)
            assert listed(found) == listed(plain.search(query, 10, **options))


def test_more_hits_than_margins_are_measured_for_read_all_codes(
    saved: Path, queries: Floats
) -> None:
    own = cells_of(opened(saved))
    assert own.near(_units(queries)[0], cells.LIMITS[-1], 100) is not None
    assert own.near(_units(queries)[0], cells.LIMITS[-1] + 1, 100) is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "replace"]), st.integers(0, 2**20)), max_size=6
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_what_changes_later_is_found_and_what_is_gone_is_not(
    saved: Path, vectors: Floats, queries: Floats, steps: list[Any]
) -> None:
    """Beside an index without cells: the same searches, each with the recall of a first pass."""
    index, plain = opened(saved), opened(saved)
    first_pass(plain).cells = None
    new = COUNT
    for kind, seed in steps:
        rng = np.random.default_rng(seed)
        some = rng.permutation(COUNT)[:1500]
        nearby = vectors[rng.permutation(COUNT)[:1500]] + 0.01
        for one in (index, plain):
            if kind == "remove":
                one.remove(some)
            else:
                one.put(some if kind == "replace" else np.arange(new, new + 1500), nearby)
        new += 1500
    assert cells_of(index).starts[-1] <= index.matrix.count
    assert len(index) == len(plain)
    found = [index.search(query, 10) for query in queries[:20]]
    true = [plain.search(query, 10, exact=True) for query in queries[:20]]
    assert np.mean([recall(f, t) for f, t in zip(found, true, strict=True)]) >= 0.99
    for hits in found:
        assert all(name in plain for name in hits.ids.tolist())


def test_one_put_later_is_found_first(saved: Path, queries: Floats) -> None:
    index = opened(saved)
    for number, query in enumerate(queries[:20]):
        index.put([COUNT + number], query[None])
        assert index.search(query, 10).ids[0] == COUNT + number
        index.remove([COUNT + number])
        assert index.search(query, 10).ids[0] != COUNT + number


def test_where_the_near_cells_are_dead_the_others_are_read(saved: Path, queries: Floats) -> None:
    index = opened(saved)
    own = cells_of(index)
    query = _units(queries)[0]
    spans = own.near(query, 10, own.depth)
    assert spans is not None
    rows = np.concatenate([np.arange(*span) for span in spans.tolist()])
    index.remove(index.matrix.ids[rows[5:]])
    assert index.matrix.dead_count, "not compacted"
    assert len(index.search(query, 10).ids) == 10


def test_compaction_keeps_the_cells(saved: Path, queries: Floats) -> None:
    index = opened(saved)
    index.put(np.arange(COUNT, COUNT + 500), queries.repeat(5, axis=0))
    index.remove(np.arange(0, COUNT, 4))
    assert index.matrix.dead_count == 0
    own = cells_of(index)
    assert own.starts[-1] == COUNT - len(range(0, COUNT, 4))
    assert index.matrix.count == own.starts[-1] + 500
    for number in range(0, len(own.centres), 10):
        rows = np.arange(own.starts[number], own.starts[number + 1])
        assert (np.argmax(index.matrix.gather(rows) @ own.centres.T, axis=1) == number).all()
    assert mean_recall(index, queries) >= 0.995


def test_saving_again_keeps_the_centres_and_takes_in_what_came_later(
    saved: Path, queries: Floats, tmp_path: Path
) -> None:
    index = opened(saved)
    centres = cells_of(index).centres
    index.remove(np.arange(1000))
    index.put(np.arange(COUNT, COUNT + 2000), made(2000))
    sidecar = Sidecar(tmp_path / "again", IDENTITY)
    assert sidecar.save(index, Moment(1))
    again = opened(sidecar.path)
    assert cells_of(again).centres.tolist() == centres.tolist()
    assert cells_of(again).starts[-1] == len(again) == COUNT + 1000
    assert first_pass(again).measured_at == COUNT
    assert mean_recall(again, queries) >= 0.995
    for query in queries[:10]:
        true = index.search(query, 10, exact=True)
        assert listed(again.search(query, 10, exact=True)) == listed(true)


def test_what_does_not_cluster_is_one_cell(least: None, tmp_path: Path) -> None:
    """Every direction is as likely as any other: no cell holds the neighbours of a vector."""
    vectors = np.random.default_rng(1).standard_normal((LEAST_ROWS, DIMENSIONS), dtype=np.float32)
    index = VectorIndex(DIMENSIONS)
    index.put(np.arange(LEAST_ROWS), vectors)
    sidecar = Sidecar(tmp_path / "vectors", IDENTITY)
    assert sidecar.save(index, Moment(1))
    again = opened(sidecar.path)
    assert len(cells_of(again).centres) == 1
    assert cells_of(again).near(vectors[0], 10, 10) is None
    for query in vectors[:5] + 0.1:
        assert listed(again.search(query, 10)) == listed(index.search(query, 10))


def test_who_is_in_a_hurry_saves_without_cells(
    least: None, vectors: Floats, tmp_path: Path
) -> None:
    """At whatever step the hurry begins."""
    index = VectorIndex(DIMENSIONS)
    index.put(np.arange(COUNT), vectors)
    sidecar = Sidecar(tmp_path / "vectors", IDENTITY)
    asks: list[int] = []

    def is_hurried(last: int) -> bool:
        asks.append(last)
        return len(asks) > last

    assert sidecar.save(index, Moment(1), is_hurried=lambda: is_hurried(10**6))
    assert cells_of(opened(sidecar.path))
    for last in (0, 3, len(asks) // 2, len(asks) - 8, len(asks) - 1):
        asks.clear()
        assert sidecar.save(index, Moment(1), is_hurried=partial(is_hurried, last))
        again = opened(sidecar.path)
        assert first_pass(again).cells is None
        assert listed(again.search(vectors[3], 10)) == listed(index.search(vectors[3], 10))


def test_few_rows_have_no_cells(tmp_path: Path, vectors: Floats) -> None:
    index = VectorIndex(DIMENSIONS)
    index.put(np.arange(LEAST_ROWS - 1), vectors[: LEAST_ROWS - 1])
    sidecar = Sidecar(tmp_path / "vectors", IDENTITY)
    assert sidecar.save(index, Moment(1))
    assert opened(sidecar.path)._derived.first_pass is None
