"""Metadata on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from semantic_core.database.port import Connection
from semantic_core.database.sets import among
from semantic_core.database.strategies import Rows, Scope, Sql, Where
from semantic_core.vector_index import Ids

TABLES: dict[str, str] = {}


class _Rows:
    chosen: Ids | None = None

    def scopes(self, total: int, *, by_vector: bool) -> tuple[Scope, Scope]:  # noqa: ARG002
        return Scope(total=total), Scope(total=total)


class JsonMetadata:
    """Filters by jsonb."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Take rows out."""

    def add(self, connection: Connection, pks: Sequence[int]) -> None:
        """Put rows in."""

    def condition(self, where: Where) -> Sql:
        """Choose."""
        parts = [Sql("c.collection_id = ?", (where.collection_id,))]
        if where.ids is not None:
            parts.append(among("c.chunk_id", where.ids))
        if where.document_ids is not None:
            parts.append(among("c.document_id", where.document_ids))
        return Sql(" AND ".join(p.sql for p in parts), tuple(v for p in parts for v in p.values))

    def rows(self, connection: Connection, where: Where) -> Rows:  # noqa: ARG002
        """Choose for one search."""
        return _Rows()

    def check(self, connection: Connection) -> int:  # noqa: ARG002
        """Compare."""
        return 0

    def rebuild(self, connection: Connection) -> None:
        """Build anew."""
