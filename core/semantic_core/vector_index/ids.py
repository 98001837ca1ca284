from __future__ import annotations

import numpy as np

from semantic_core.vector_index.arrays import Flags, Ids, Rows


class IdMap:
    """Rows by id, kept as a few sorted runs that are searched by bisection.

    A run is never changed, only merged, and only with one that is not much longer: adding costs
    O(log n) per row in total, and there are at most O(log n) runs. Dead rows are dropped when
    their run is merged.
    """

    def __init__(self, ids: Ids) -> None:
        self._runs: list[tuple[Ids, Rows]] = []
        if len(ids):
            self._runs.append(_sorted(ids, np.arange(len(ids), dtype=np.int64)))

    def branch(self) -> IdMap:
        """Return a map of the same rows; rows added to it are not added to this one."""
        other = IdMap(np.empty(0, dtype=np.int64))
        other._runs.extend(self._runs)  # of the same class
        return other

    def add(self, ids: Ids, rows: Rows, dead: Flags) -> None:
        """Add rows under ids that no row has, except dead ones."""
        self._runs.append(_sorted(ids, rows))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            later, earlier = self._runs.pop(), self._runs.pop()
            both = np.concatenate((earlier[1], later[1]))
            lives = ~dead[both]
            self._runs.append(_sorted(np.concatenate((earlier[0], later[0]))[lives], both[lives]))

    def find(self, ids: Ids, dead: Flags) -> Rows:
        """Return the row of each id, -1 for none or a dead one. Fastest with ascending ids."""
        rows = np.full(len(ids), -1, dtype=np.int64)
        for run_ids, run_rows in self._runs:
            if not len(run_ids):
                continue
            places = np.searchsorted(run_ids, ids)
            np.minimum(places, len(run_ids) - 1, out=places)
            found = run_rows[places]
            np.copyto(rows, found, where=(run_ids[places] == ids) & ~dead[found])
        return rows


def _sorted(ids: Ids, rows: Rows) -> tuple[Ids, Rows]:
    # Stable, because that sort takes linear time on two sorted runs in sequence.
    order = np.argsort(ids, kind="stable")
    return ids[order], rows[order]
