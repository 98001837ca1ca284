from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.vector_index.ids import IdMap

IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 30)


@given(st.lists(st.lists(IDS, unique=True, max_size=30), max_size=12), st.lists(IDS, max_size=20))
def test_finds_the_row_that_lives(pages: list[list[int]], asked: list[int]) -> None:
    """Each id is at its newest row; the rows it had before are dead and never found."""
    base = sorted(pages[0]) if pages else []
    ids = IdMap(np.array(base, dtype=np.int64))
    dead = np.zeros(1000, dtype=np.bool_)
    rows = {name: row for row, name in enumerate(base)}
    count = len(base)
    for page in pages[1:]:
        dead[[rows[name] for name in page if name in rows]] = True
        new = np.arange(count, count + len(page))
        ids.add(np.array(page, dtype=np.int64), new, dead)
        rows.update(zip(page, new.tolist(), strict=True))
        count += len(page)
    asked += list(rows)
    found = ids.find(np.array(asked, dtype=np.int64), dead)
    assert found.tolist() == [rows.get(name, -1) for name in asked]


def test_keeps_few_runs() -> None:
    """A thousand small pages must not make every lookup search a thousand arrays."""
    ids = IdMap(np.empty(0, dtype=np.int64))
    dead = np.zeros(10_000, dtype=np.bool_)
    for page in range(1000):
        rows = np.arange(10 * page, 10 * page + 10)
        ids.add(rows * 7 % 10_007, rows, dead)
    assert len(ids._runs) <= 14
    assert ids.find(np.arange(10_000) * 7 % 10_007, dead).tolist() == list(range(10_000))


def test_forgets_dead_rows_when_runs_are_merged() -> None:
    """An id that changes for ever must not grow the map for ever."""
    ids = IdMap(np.empty(0, dtype=np.int64))
    dead = np.zeros(1000, dtype=np.bool_)
    for row in range(1000):
        dead[:row] = True
        ids.add(np.array([5]), np.array([row]), dead)
    assert sum(len(names) for names, _ in ids._runs) <= 2
    assert ids.find(np.array([5]), dead).tolist() == [999]
