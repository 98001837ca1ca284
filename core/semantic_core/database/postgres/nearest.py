"""The nearest vectors of a collection by its table on the server; see `postgres.vectors`.

We choose the plan. Left to itself, the server may scan the graph under a filter that it hardly
meets, which leaves few hits, or sort the whole table. What is found is scored again by the true
vectors, so that the answer is that of an index on this machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_core.database.postgres.connection import PostgresConnection, translated
from semantic_core.database.postgres.metadata import FEW, ChosenRows
from semantic_core.database.strategies import Collection, Rows
from semantic_core.domain.types import Vector
from semantic_core.vector_index import NO_HITS, Hits, Ids, VectorIndex
from semantic_core.vector_index.cosine import rank_error, unit_rows

# Two vectors of length 1 that are rounded to float16 have a product that is off by no more.
_ROUNDING = 1.01 * 2.0**-10

# The first are for the graph: at 400, recall@10 is 0.997. Then, rows are fetched one by one by their
# keys, and what the graph has ordered is not sorted.
_PLAN = {
    "hnsw.ef_search": "400",
    "hnsw.iterative_scan": "relaxed_order",
    **dict.fromkeys(("enable_hashjoin", "enable_mergejoin", "enable_sort", "jit"), "off"),
}
_OUR_PLAN = "; ".join(f"SET LOCAL {name} = {value}" for name, value in _PLAN.items())
_ITS_PLAN = "; ".join(f"SET LOCAL {name} TO DEFAULT" for name in _PLAN)


@dataclass(frozen=True, slots=True)
class TableSearch:
    """Finds vectors of one collection in one snapshot; see `strategies.Nearest`.

    Attributes:
        connection: in the snapshot's transaction.
        collection: whose vectors.
        table: where they are.
        schema: that of pgvector.
        count: about how many they are.
    """

    connection: PostgresConnection
    collection: Collection
    table: str
    schema: str
    count: float

    def __call__(
        self, vectors: Sequence[Vector], *, limit: int, rows: Rows, exact: bool
    ) -> list[Hits]:
        """Return the nearest vectors to each of several; equal scores are ordered by row key."""
        if limit <= 0 or not isinstance(rows, ChosenRows):
            return [NO_HITS] * len(vectors)
        exact = exact or self.count <= FEW or rows.few is not None
        self.connection.execute(_OUR_PLAN)
        found = [
            (None if exact else self._in_graph(vector, limit, rows))
            or self._in_all(vector, limit, rows.chosen if rows.few is None else rows.few)
            for vector in vectors
        ]
        self.connection.execute(_ITS_PLAN)
        return found

    def _in_graph(self, vector: Vector, limit: int, rows: ChosenRows) -> Hits | None:
        """Return what a scan of the graph finds, or None if it ended before it had enough."""
        join: str = ""
        values: tuple[object, ...] = ()
        if not rows.are_all:
            join = f"JOIN chunks c ON c.pk = v.pk AND {rows.condition.sql}"
            values = rows.condition.values
        # More than are asked for, since rounded another one may be the last.
        near = f"SELECT v.pk FROM {self.table} v {join} ORDER BY {self._distance} LIMIT ?"
        values = (*values, _as_text(vector), 2 * limit + 100)
        hits = self._scored(near, values, vector, limit)
        return hits if len(hits.ids) == limit else None

    def _in_all(self, vector: Vector, limit: int, chosen: Ids | None) -> Hits:
        """Compare all vectors, or those of some chunks, which are fetched by their keys."""
        join = "" if chosen is None else "JOIN unnest(?::bigint[]) AS chosen(pk) USING (pk)"
        # Whatever can be among the nearest before it was rounded.
        near = (
            f"WITH compared AS MATERIALIZED (SELECT v.pk, {self._distance} AS distance "
            f"FROM {self.table} v {join}) SELECT pk FROM compared WHERE distance <= ? + "
            "(SELECT max(distance) FROM "
            "(SELECT distance FROM compared ORDER BY distance LIMIT ?) AS nearest)"
        )
        margin = 2 * _ROUNDING + rank_error(len(vector))
        keys = () if chosen is None else (chosen.tolist(),)
        values = (_as_text(vector), *keys, margin, limit)
        return self._scored(near, values, vector, limit)

    @property
    def _distance(self) -> str:
        return f"(v.vector OPERATOR({self.schema}.<#>) ?::{self.schema}.halfvec)"

    def _scored(self, near: str, values: Sequence[object], vector: Vector, limit: int) -> Hits:
        """Return the best of some chunks by their true vectors."""
        # Row by row, whatever the server takes their number for: it may read all vectors otherwise.
        sql = (
            f"WITH near AS MATERIALIZED ({near}) SELECT near.pk, its.vector FROM near "
            "CROSS JOIN LATERAL (SELECT e.vector FROM chunks c "
            "JOIN embeddings e ON e.id = c.embedding_id "
            f"WHERE c.pk = near.pk AND {fits(self.collection)} LIMIT 1) AS its"
        )
        found = self.connection.raw.execute(translated(sql), values, binary=True).fetchall()
        index = VectorIndex(len(vector))
        vectors = np.frombuffer(b"".join(one for _, one in found), dtype="<f4")
        index.put([pk for pk, _ in found], vectors.reshape(len(found), len(vector)))
        return index.search(vector, limit, exact=True)


def fits(collection: Collection) -> str:
    """Return the condition that a vector ``e`` has the size of its space: it may be damaged."""
    return f"length(e.vector) = {4 * (collection.spec.dimensions or 0)}"


def _as_text(vector: Vector) -> str:
    rows, _ = unit_rows(vector[None])
    return f"[{','.join(map(str, rows[0].tolist()))}]"
