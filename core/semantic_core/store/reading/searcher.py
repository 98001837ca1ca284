"""One search after the other, here or through the target that is attached to the collection."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.database.strategies import Collection, Database, Nearest, Rows
from semantic_core.delivery.attached import AttachedTarget
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.errors import TargetError
from semantic_core.domain.types import SearchResults, Vector, VectorLike
from semantic_core.store.collections import check_name, describe_missing, find_collection
from semantic_core.store.delivery import Delivery
from semantic_core.store.indexes.cache import MappedVectors
from semantic_core.store.reading.rank import NO_COSINE
from semantic_core.store.reading.read import checked_names
from semantic_core.store.reading.search import Query, checked_vector, search, search_many
from semantic_core.vector_index import NO_HITS, Hits, VectorIndex

# A target may name chunks that are gone, or that its filter should have left out: it is asked for
# more, and for four times as many until enough of them are left.
_SPARE = 20
_MOST_ASKED = 10_000

# Chunks that a target is still to be told of and that are compared here, the newest first: more
# of them are found by their words.
_COMPARED_HERE = 1_000

Check = Callable[[Collection], Query]
"""Checks a query against the collection that it is for."""


class Searcher:
    """Answers searches of a database, by the vectors here or by those of a target."""

    def __init__(self, database: Database, vectors: MappedVectors, delivery: Delivery) -> None:
        self._database = database
        self._vectors = vectors
        self._delivery = delivery

    def search(
        self, name: str, check: Check, *, by_vector: bool, is_plain: bool, target_filter: Any = None
    ) -> SearchResults:
        """Answer one search; ``is_plain`` says that it is by vector alone, and asks for no more."""
        check_name(name)
        target = self._delivery.searched(name) if by_vector else None
        found = None if target is None else self._through(target, check, target_filter)
        if found is not None:
            return found
        with self._vectors.turn(name, is_plain=is_plain):
            with self._state(name, by_vector=by_vector) as (connection, collection, nearest):
                if collection is None:
                    return SearchResults(degraded=describe_missing(connection, name))
                results = search(self._database, connection, check(collection), nearest)
            if by_vector:
                self._vectors.searched(collection)
            return results

    def search_many(
        self, name: str, check: Check, vectors: Sequence[VectorLike]
    ) -> list[SearchResults]:
        check_name(name)
        with self._vectors.turn(name, is_plain=False):
            with self._state(name, by_vector=True) as (connection, collection, nearest):
                if collection is None or nearest is None:
                    missing = SearchResults(degraded=describe_missing(connection, name))
                    return [missing] * len(vectors)
                query = check(collection)
                queries = [checked_vector(vector, collection) for vector in vectors]
                results = search_many(self._database, connection, query, nearest, queries)
            self._vectors.searched(collection)
            return results

    @certain_exit
    def _state(
        self, name: str, *, by_vector: bool
    ) -> Generator[tuple[Connection, Collection | None, Nearest | None]]:
        """Open a snapshot; give a collection as it is there and, if asked, what finds its vectors."""
        with self._database.snapshot() as connection:
            collection, nearest = find_collection(connection, name), None
            if by_vector and collection is not None:
                nearest = self._vectors.at_once(connection, collection)
            if not by_vector or collection is None or nearest is not None:
                yield connection, collection, nearest
                return
        with self._database.snapshot() as connection:
            # From before the first read. Where a server is far away, nobody waits for it without need.
            with self._vectors.lock(name):
                collection = find_collection(connection, name)
                nearest = None if collection is None else self._vectors.at(connection, collection)
            yield connection, collection, nearest

    def _through(
        self, target: AttachedTarget, check: Check, target_filter: Any
    ) -> SearchResults | None:
        """Answer by the vectors of a target; None where what is here has to answer.

        That is for an exact search, for named chunks, and until the target was told everything
        that there was before it, or more of what it was not told than is compared here lacks words.
        """
        with self._database.snapshot() as connection:
            collection = find_collection(connection, target.collection)
            if collection is None:
                return None
            query = check(collection)
            filled_pk = connection.execute(
                "SELECT filled_pk FROM targets WHERE id = ?", (target.id,)
            ).fetchone()
        vector, where = query.vector, query.where
        if vector is None or query.exact or where.is_named or filled_pk != (None,):
            return None
        asked = query.depth + _SPARE
        while True:
            # No transaction is open while the target is asked.
            try:
                ids = target.nearest(
                    vector, limit=asked, filters=where.filters, target_filter=target_filter
                )
            except TargetError as error:
                with self._database.snapshot() as connection:
                    wordless = replace(query, vector=None)
                    return search(self._database, connection, wordless, None).because(
                        str(error).removesuffix(".")
                    )
            with self._database.snapshot() as connection:
                lagging = _lagging(connection, target)
                hits, survived, are_ranked = _here(self._database, connection, query, target, ids)
                if lagging is not None and not are_ranked and query.lacks_words:
                    return None
                asked_there = replace(query, lagging_target=target.id if are_ranked else lagging)
                results = search(
                    self._database, connection, asked_there, _given(hits), is_here=False
                )
            is_enough = survived >= query.limit or len(ids) < asked
            if is_enough or asked >= _MOST_ASKED:
                return results
            asked *= 4


def _here(
    database: Database,
    connection: Connection,
    query: Query,
    target: AttachedTarget,
    ids: Sequence[str],
) -> tuple[Hits, int, bool]:
    """Return what a target found and what it was not told yet, by the cosines of the vectors here.

    What a target calls a score may be a distance, and its vector an older one. The number is that
    of its hits that are here and match. Where only the target has some of their vectors, it is its
    hits alone, in its order, and True.
    """
    found = checked_names(ids, what="what a target found")
    names = set(found)
    untold = first_column(
        connection,
        "SELECT chunk_id FROM outbox WHERE target_id = ? ORDER BY seq DESC LIMIT ?",
        (target.id, _COMPARED_HERE),
    )
    named = replace(query.where, ids=(*found, *untold))
    chosen = database.metadata.condition(named)
    rows = connection.execute(
        "SELECT c.pk, e.vector, c.chunk_id FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
        f"WHERE {chosen.sql}",
        chosen.values,
    ).fetchall()
    if query.vector is None or not rows:
        return NO_HITS, 0, False
    survived = {name: pk for pk, _, name in rows if name in names}
    if not all(data for _, data, _ in rows):
        pks = np.array([survived[name] for name in found if name in survived], dtype=np.int64)
        return Hits(pks, np.full(len(pks), NO_COSINE, dtype=np.float32)), len(pks), True
    pks = np.array([pk for pk, _, _ in rows], dtype=np.int64)
    stored = np.frombuffer(b"".join(data for _, data, _ in rows), dtype="<f4")
    index = VectorIndex(len(query.vector))
    index.put(pks, stored.reshape(len(rows), -1))
    return index.search(query.vector, limit=query.depth), len(survived), False


def _given(hits: Hits) -> Nearest:
    def nearest(
        vectors: Sequence[Vector],  # noqa: ARG001  # what was asked for is found already
        *,
        limit: int,  # noqa: ARG001
        rows: Rows,  # noqa: ARG001
        exact: bool,  # noqa: ARG001
    ) -> list[Hits]:
        return [hits]

    return nearest


def _lagging(connection: Connection, target: AttachedTarget) -> int | None:
    """Return the row of a target that is to be told of more than is compared here, else None."""
    row = connection.execute(
        "SELECT target_id FROM outbox WHERE target_id = ? LIMIT 1 OFFSET ?",
        (target.id, _COMPARED_HERE),
    ).fetchone()
    return None if row is None else int(row[0])
