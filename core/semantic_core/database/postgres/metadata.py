"""Chunks by their metadata: a column that the database makes of them, and filters as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.postgres.filters import compile_filter
from semantic_core.database.sets import condition_of
from semantic_core.database.strategies import Scope, Sql, Where
from semantic_core.vector_index import Ids

# Numbers are compared as Python does it: as they are, and whole numbers beyond 64 bits as floats.
# Of a float from 1e16 on Python writes only the first digits, so these are written out.
_EXACT_NUMBERS = r"""CREATE FUNCTION exact_numbers(metadata text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET extra_float_digits = 1 AS $$
    SELECT string_agg(CASE
        WHEN part ~ '^-?\d(\.\d+)?e\+' THEN
            CASE WHEN part::float8 >= -9223372036854775808 AND part::float8 < 9223372036854775808
            THEN part::float8::bigint::text ELSE part END
        WHEN part ~ '^-?\d{19,}$' THEN
            CASE WHEN part::numeric BETWEEN -9223372036854775808 AND 9223372036854775807
                OR abs(part::numeric) > 1.797693134862315807e308
            THEN part ELSE part::float8::text END
        ELSE part END, '' ORDER BY place)::jsonb
    FROM regexp_matches(metadata, '"(?:[^"\\]|\\.)*"|[-+.\de]+|[^-"+.\de]+', 'g')
        WITH ORDINALITY AS parts(found, place), unnest(found) AS part $$"""

TABLES = {
    "exact_numbers": _EXACT_NUMBERS,
    "filterable": r"""ALTER TABLE chunks ADD COLUMN filterable jsonb NOT NULL GENERATED ALWAYS AS (
        CASE WHEN metadata ~ '\de\+|\d{19}' THEN exact_numbers(metadata) ELSE metadata::jsonb END
        ) STORED""",
    "filterable_index": "CREATE INDEX chunks_filterable ON chunks "
    "USING gin (filterable jsonb_path_ops)",
}

# Of so few rows, words are counted by reading them.
_FEW = 10_000

# So many vectors are all compared: what a filter leaves of an HNSW scan is too little then.
FEW = 20_000


class JsonMetadata:
    """The metadata of ``chunks``, which the database keeps in step; see `MetadataIndex`."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Do nothing: the database does it."""

    def add(self, connection: Connection, pks: Sequence[int]) -> None:
        """Do nothing: the database does it."""

    def condition(self, where: Where) -> Sql:
        return condition_of(where, partial(compile_filter, column="c.filterable"))

    def rows(self, connection: Connection, where: Where) -> ChosenRows:
        return ChosenRows(connection, where, self.condition(where))

    def check(self, connection: Connection) -> int:  # noqa: ARG002  # the protocol's
        """Return 0: the database makes the column of the metadata."""
        return 0

    def rebuild(self, connection: Connection) -> None:
        """Do nothing: the database has done it."""


class ChosenRows:
    """The chunks that one search may return, by a condition in SQL; see `Rows`."""

    def __init__(self, connection: Connection, where: Where, condition: Sql) -> None:
        self._connection = connection
        self._where = where
        self.condition = condition

    @property
    def are_all(self) -> bool:
        """Whether every chunk of the collection is meant."""
        return self._where.is_all

    @cached_property
    def chosen(self) -> Ids | None:
        return None if self._where.is_all else self._keys()

    @cached_property
    def few(self) -> Ids | None:
        """Their row keys, ascending, if they are at most 20,000; None for more, and for all."""
        if self._where.is_all:
            return None
        known = vars(self).get("chosen")
        keys = self._keys(limit=FEW + 1) if known is None else known
        return keys if len(keys) <= FEW else None

    def scopes(self, total: int, *, by_vector: bool) -> tuple[Scope, Scope]:  # noqa: ARG002  # the protocol's
        """Return among which rows words are counted, and among which they are looked for.

        What a filter leaves is read to its end only if it is little.
        """
        of_collection = Sql("f.collection_id = ?", (self._where.collection_id,))
        asked = Scope(total=total, condition=of_collection)
        if self._where.is_all:
            return asked, asked
        keys = self.few
        if keys is not None and len(keys) <= _FEW:
            few = Scope(total=len(keys), keys=keys)
            return few, few
        condition = Sql(
            f"{of_collection.sql} AND EXISTS "
            f"(SELECT FROM chunks c WHERE c.pk = f.chunk_pk AND {self.condition.sql})",
            of_collection.values + self.condition.values,
        )
        return asked, Scope(total=total, condition=condition)

    def _keys(self, limit: int | None = None) -> Ids:
        # As bytes, which numpy takes: a Python object for each of thousands of rows takes longer.
        (listed,) = self._connection.execute(
            "SELECT string_agg(int8send(pk), '') FROM (SELECT c.pk FROM chunks c "
            f"WHERE {self.condition.sql} LIMIT ?) AS chosen",
            (*self.condition.values, limit),
        ).fetchone()
        keys = np.frombuffer(listed or b"", dtype=">i8").astype(np.int64)
        keys.sort()
        return keys
