"""The keyword index on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from semantic_core.database.port import Connection
from semantic_core.database.strategies import KeywordHits, Said, Scope
from semantic_core.keywords import Question

TABLES: dict[str, str] = {}


class TextVectors:
    """Keywords by tsvector."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Take rows out."""

    def add(self, connection: Connection, rows: Sequence[Said]) -> None:
        """Put rows in."""

    def search(
        self,
        connection: Connection,  # noqa: ARG002
        question: Question,  # noqa: ARG002
        *,
        counted: Scope,  # noqa: ARG002
        returned: Scope,  # noqa: ARG002
    ) -> KeywordHits | None:
        """Find."""
        return None

    def check(self, connection: Connection) -> None:
        """Compare."""

    def rebuild(self, connection: Connection) -> None:
        """Build anew."""
