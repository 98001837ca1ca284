"""Chunks by their metadata: tags kept in step once a transaction, and filters as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.sets import among, condition_of
from semantic_core.database.sqlite.connection import SqliteConnection
from semantic_core.database.sqlite.filters import compile_filter
from semantic_core.database.sqlite.tags import ALL_TAGS, NO_TAG, TAGS, TagQuery, tag_query
from semantic_core.database.strategies import Scope, Sql, Where
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.vector_index import Ids


class TaggedMetadata:
    """The metadata of ``chunks``, and the table ``tags`` made of them; see `MetadataIndex`."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        rows = among("c.pk", pks)
        tags = connection.execute(TAGS.format(rows.sql), rows.values).fetchall()
        # One by one: as one statement SQLite would read every tag of the collection.
        connection.executemany(
            "DELETE FROM tags WHERE collection_id = ? AND key = ? AND value = ? AND chunk_pk = ?",
            tags,
        )

    def add(self, connection: Connection, pks: Sequence[int]) -> None:
        rows = among("c.pk", pks)
        # In their own order they fill page after page, instead of being put in here and there. All
        # are of one collection.
        connection.execute(
            f"INSERT INTO tags {TAGS.format(rows.sql)} ORDER BY 2, 3, 4", rows.values
        )

    def condition(self, where: Where) -> Sql:
        return condition_of(where, partial(compile_filter, column="c.metadata"))

    def rows(self, connection: Connection, where: Where) -> ChosenRows:
        return ChosenRows(connection, where, self.condition(where))

    def check(self, connection: Connection) -> int:
        """Return how many tags that a filter could ask for are missing, or of no metadata."""
        wrong = connection.execute(
            f"SELECT key FROM ({ALL_TAGS} EXCEPT SELECT * FROM tags) "
            f"UNION ALL SELECT key FROM (SELECT * FROM tags EXCEPT {ALL_TAGS})"
        )
        # The other keys may be spelled as another version of SQLite did.
        return sum(NO_TAG.search(str(key)) is None for (key,) in wrong)

    def rebuild(self, connection: Connection) -> None:
        connection.execute("DELETE FROM tags")
        connection.execute(f"INSERT INTO tags {ALL_TAGS} ORDER BY 1, 2, 3, 4")


class ChosenRows:
    """The chunks that one search may return, by a condition in SQL; see `Rows`."""

    def __init__(self, connection: Connection, where: Where, condition: Sql) -> None:
        self._connection = connection
        self._where = where
        self._condition = condition
        # Rows chosen by name are found at once by themselves.
        self._tags: TagQuery | None = None
        if where.filters is not None and not where.is_named:
            self._tags = tag_query(where.filters, collection_id=where.collection_id)

    @cached_property
    def chosen(self) -> Ids | None:
        if self._where.is_all:
            return None
        tags, condition = self._tags, self._condition
        if tags is None:
            # Row after row, where all are of this collection: its index leads from page to page.
            order = "NOT INDEXED" if not self._where.is_named and self._is_only else ""
            return self._keys(
                f"SELECT c.pk FROM chunks c {order} WHERE {condition.sql}", condition.values
            )
        if tags.is_exact:
            return self._keys(tags.sql, tags.values)
        return self._keys(
            f"SELECT c.pk FROM chunks c WHERE c.pk IN ({tags.sql}) AND {condition.sql}",
            (*tags.values, *condition.values),
        )

    def scopes(self, total: int, *, by_vector: bool) -> tuple[Scope, Scope]:
        # Tags that list rows, instead of leaving rows out of all.
        tags = None if self._tags is None or self._tags.is_rest else self._tags
        if self._where.is_all or self._where.is_named or (tags is not None and tags.is_exact):
            asked = self._scope(self.chosen, total)
            return asked, asked
        if tags is not None:
            asked = self._scope(self._keys(tags.sql, tags.values), total)
        else:
            asked = self._scope(None, total)
        if by_vector:
            return asked, self._scope(self.chosen, total)
        return asked, Scope(total=asked.total, keys=asked.keys, condition=self._condition)

    @cached_property
    def _is_only(self) -> bool:
        """Whether no other collection has chunks."""
        others = self._connection.execute(
            "SELECT 1 FROM chunk_counts WHERE collection_id <> ? AND chunks > 0 LIMIT 1",
            (self._where.collection_id,),
        )
        return others.fetchone() is None

    def _scope(self, keys: Ids | None, total: int) -> Scope:
        """Return rows as the full-text index, which is one for all collections, is asked."""
        if keys is not None:
            return Scope(total=len(keys), keys=keys)
        if not self._is_only:
            keys = self._keys(
                "SELECT c.pk FROM chunks c WHERE c.collection_id = ?", (self._where.collection_id,)
            )
        return Scope(total=total, keys=keys)

    def _keys(self, sql: str, values: Sequence[object]) -> Ids:
        connection = self._connection
        if isinstance(connection, SqliteConnection):
            return connection.kept(sql, values, lambda: self._read_keys(sql, values))
        return self._read_keys(sql, values)

    def _read_keys(self, sql: str, values: Sequence[object]) -> Ids:
        # As one text, which numpy reads: a Python object for each of thousands of rows takes four
        # times as long.
        (listed,) = self._connection.execute(
            f"WITH chosen (pk) AS ({sql}) SELECT group_concat(pk) FROM chosen", values
        ).fetchone()
        if listed is None:
            return np.empty(0, dtype=np.int64)
        try:
            keys = np.fromstring(listed, dtype=np.int64, sep=",")
        except ValueError as error:
            raise DatabaseCorruptError.unreadable("A row of an index", error) from error
        keys.sort()
        keys.flags.writeable = False
        return keys
