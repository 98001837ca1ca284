"""One search: choose rows, ask both indexes within one snapshot, fuse, fetch the hits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from semantic_core.database import Database
from semantic_core.database.port import Connection
from semantic_core.database.sqlite.keywords import (
    MOST_WORDS,
    Restriction,
    Scope,
    choose_words,
    search_rows,
)
from semantic_core.database.sqlite.tags import TagQuery, tag_query
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    InvalidInputError,
    InvalidTextError,
    InvalidVectorError,
)
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import (
    NO_QUERY_VECTOR,
    Coverage,
    SearchResult,
    SearchResults,
    Vector,
    VectorLike,
)
from semantic_core.domain.validation import check_vector, fraction, whole_number
from semantic_core.filters import parse_filter
from semantic_core.queue.counts import count_chunks
from semantic_core.store.base import FilterLike
from semantic_core.store.collections import Collection
from semantic_core.store.indexes.cache import IndexCache
from semantic_core.store.reading.rank import Ranked, by_both, by_keyword, by_vector, filled
from semantic_core.store.reading.read import read_chunks, read_coverage, restrict, rows_by_key
from semantic_core.vector_index import Hits, Ids

PENDING_RULES = ("keyword", "skip")

# Fusion needs more of each list than is returned: a row in the middle of both can win.
_FUSION_DEPTH = 4
_LEAST_FUSION_DEPTH = 100

_NOTHING_TO_COMPARE = (
    "nothing that was asked for has a vector to compare yet, and nothing was found by keyword"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked search.

    Attributes:
        text: words to look for, or None.
        vector: where to look, or None.
        limit: how many hits at most.
        mode: what to rank by.
        restriction: which rows may be returned.
        is_restricted: whether that leaves out any row of the collection.
        is_named: whether it names rows or documents.
        tags: what finds these rows faster, where anything does.
        alpha: weight of the vector list in hybrid mode.
        fill_pending: whether keyword hits without a vector join a vector search.
        exact: whether vectors are compared without a first pass that may miss one.
    """

    text: str | None
    vector: Vector | None
    limit: int
    mode: SearchMode
    restriction: Restriction
    is_restricted: bool
    is_named: bool
    tags: TagQuery | None
    alpha: float
    fill_pending: bool
    exact: bool

    @property
    def is_by_vector(self) -> bool:
        """Whether vectors are compared at all."""
        return self.vector is not None and self.mode is not SearchMode.KEYWORD

    @property
    def is_fused(self) -> bool:
        """Whether a vector list and a keyword list count alike."""
        return self.is_by_vector and self.mode is SearchMode.HYBRID and self.text is not None

    @property
    def depth(self) -> int:
        """How much of each list is needed to rank the hits."""
        if not self.is_fused:
            return self.limit
        return max(_LEAST_FUSION_DEPTH, _FUSION_DEPTH * self.limit)


def check_query(
    collection: Collection,
    *,
    text: str | None,
    vector: VectorLike | None,
    limit: int,
    mode: SearchMode | str,
    filters: FilterLike,
    ids: Sequence[str] | None,
    document_ids: Sequence[str] | None,
    alpha: float,
    pending: str,
    exact: bool,
) -> Query:
    """Check the arguments of a search; see ``PeeweeVectorStore.search``.

    Raises:
        InvalidInputError: an argument that cannot be used; the subclass says which.
    """
    try:
        chosen = SearchMode(mode)
    except ValueError as error:
        raise InvalidInputError(
            f"Unknown search mode {mode!r}. Use one of: {', '.join(SearchMode)}."
        ) from error
    if pending not in PENDING_RULES:
        raise InvalidInputError(f"pending={pending!r}: use one of {', '.join(PENDING_RULES)}.")
    tree = parse_filter(filters)
    is_named = ids is not None or document_ids is not None
    return Query(
        text=None if text is None else _searchable(text),
        vector=None if vector is None else checked_vector(vector, collection),
        limit=whole_number(limit),
        mode=chosen,
        restriction=restrict(collection.id, filters=tree, ids=ids, document_ids=document_ids),
        is_restricted=is_named or tree is not None,
        is_named=is_named,
        # Rows chosen by name are found at once by themselves.
        tags=None if tree is None or is_named else tag_query(tree, collection_id=collection.id),
        alpha=fraction(alpha, what="alpha"),
        fill_pending=pending == "keyword",
        exact=exact,
    )


def search(
    database: Database, indexes: IndexCache, collection: Collection, query: Query
) -> SearchResults:
    """Answer a query from one snapshot of the database."""
    with database.snapshot() as connection:
        rows = _Rows(connection, collection, query)
        vectors = (
            _nearest(connection, indexes, collection, query, rows) if query.is_by_vector else []
        )
        coverage = read_coverage(connection, collection.id)
        ranked, left_out = _rank(connection, query, vectors, rows, coverage)
        chunks = read_chunks(connection, rows_by_key([hit.pk for hit in ranked]))
        is_blind = (
            query.is_by_vector and not ranked and query.limit > 0 and rows.count(coverage) > 0
        )
    if query.is_by_vector:
        indexes.save_read(collection)
    reasons = []
    if query.mode is not SearchMode.KEYWORD and query.vector is None:
        reasons.append(NO_QUERY_VECTOR)
    if is_blind:
        reasons.append(_NOTHING_TO_COMPARE)
    if left_out:
        reasons.append(
            f"too many words: ranked by the {MOST_WORDS} rarest, without {left_out} more"
        )
    try:
        hits = tuple(SearchResult(chunk=chunks[h.pk], score=h.score, match=h.match) for h in ranked)
    except KeyError as error:
        raise DatabaseCorruptError.unreadable("A row that a search found", error) from error
    return SearchResults(hits, coverage, "; ".join(reasons) or None)


def search_many(
    database: Database,
    indexes: IndexCache,
    collection: Collection,
    query: Query,
    vectors: Sequence[Vector],
) -> list[SearchResults]:
    """Answer one query for several vectors, by vector alone, from one snapshot."""
    with database.snapshot() as connection:
        rows = _Rows(connection, collection, query)
        index = indexes.current(connection, collection)
        found: list[Hits] = []
        if index is not None and vectors:
            found = index.search_many(
                np.stack(vectors), query.limit, allowed=rows.chosen, exact=query.exact
            )
        hits = [by_vector(_pairs(one), [], limit=query.limit) for one in found]
        pks = {hit.pk for one in hits for hit in one}
        chunks = read_chunks(connection, rows_by_key(sorted(pks)))
        coverage = read_coverage(connection, collection.id)
        is_blind = not pks and query.limit > 0 and rows.count(coverage) > 0
    indexes.save_read(collection)
    degraded = _NOTHING_TO_COMPARE if is_blind else None
    return [
        SearchResults(
            tuple(SearchResult(chunk=chunks[h.pk], score=h.score, match=h.match) for h in one),
            coverage,
            degraded,
        )
        for one in hits or [[]] * len(vectors)
    ]


def _nearest(
    connection: Connection,
    indexes: IndexCache,
    collection: Collection,
    query: Query,
    rows: _Rows,
) -> list[tuple[int, float]]:
    index = indexes.current(connection, collection)
    if index is None or query.vector is None:
        return []
    return _pairs(index.search(query.vector, query.depth, allowed=rows.chosen, exact=query.exact))


def _pairs(hits: Hits) -> list[tuple[int, float]]:
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


class _Rows:
    """The rows that one search may return; each list of them is read at most once."""

    def __init__(self, connection: Connection, collection: Collection, query: Query) -> None:
        self._connection = connection
        self._collection = collection
        self._query = query

    @cached_property
    def chosen(self) -> Ids | None:
        """Their keys, ascending; None for all of the collection."""
        query = self._query
        if not query.is_restricted:
            return None
        sql, values = "SELECT c.pk FROM chunks c WHERE ", query.restriction.values
        if query.tags is not None and query.tags.is_exact:
            return self._keys(query.tags.sql, query.tags.values)
        if query.tags is not None:
            sql += f"c.pk IN ({query.tags.sql}) AND "
            values = (*query.tags.values, *values)
        return self._keys(sql + query.restriction.sql, values)

    def count(self, coverage: Coverage) -> int:
        """Return how many they are."""
        return coverage.total if self.chosen is None else len(self.chosen)

    def scopes(self, coverage: Coverage) -> tuple[Scope, Scope]:
        """Return among which rows words are counted, and among which they are looked for.

        They differ where a filter has to go through the rows: what it leaves out there is not
        counted out, so that only rows that hold a word are asked. So it is in every mode, or a
        chunk would have another rank in each.
        """
        query = self._query
        if not query.is_restricted or query.is_named:
            asked = self._scope(self.chosen, coverage)
            return asked, asked
        tags = query.tags
        if tags is not None and not tags.is_rest:
            keys = self.chosen if tags.is_exact else self._keys(tags.sql, tags.values)
            asked = self._scope(keys, coverage)
            if tags.is_exact:
                return asked, asked
        else:
            asked = self._scope(None, coverage)
        if query.is_by_vector:
            return asked, self._scope(self.chosen, coverage)
        return asked, asked.meeting(query.restriction)

    def _scope(self, keys: Ids | None, coverage: Coverage) -> Scope:
        """Return rows as the full-text index, which is one for all collections, is asked."""
        if keys is not None:
            return Scope(len(keys), keys)
        if coverage.total < count_chunks(self._connection):
            keys = self._keys(
                "SELECT c.pk FROM chunks c WHERE c.collection_id = ?", (self._collection.id,)
            )
        return Scope(coverage.total, keys)

    def _keys(self, sql: str, values: Sequence[object]) -> Ids:
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
        return keys


def _rank(
    connection: Connection,
    query: Query,
    vectors: list[tuple[int, float]],
    rows: _Rows,
    coverage: Coverage,
) -> tuple[list[Ranked], int]:
    """Return the hits, and how many words were left out of their ranking."""
    # With a vector for every chunk there is nobody to look for by words.
    joins = query.fill_pending and coverage.by_vector < 1.0
    is_plain = query.is_by_vector and not query.is_fused
    words = None
    if query.text is not None and query.limit and (joins or not is_plain):
        asked, scope = rows.scopes(coverage)
        words = choose_words(connection, query.text, asked)
    if words is None:
        return by_vector(vectors, [], limit=query.limit), 0

    def find(expression: str, limit: int) -> list[int]:
        return search_rows(connection, expression, scope=scope, limit=limit)

    best = find(words.ranking, query.depth)
    waiting = _without_vector(connection, best) if query.is_by_vector else set()
    if not query.is_by_vector:
        ranked = by_keyword(best)
    elif query.is_fused:
        ranked = by_both(
            [pk for pk, _ in vectors], best, waiting=waiting, alpha=query.alpha, limit=query.limit
        )
    else:
        joining = [(pk, rank) for rank, pk in enumerate(best, start=1) if pk in waiting]
        ranked = by_vector(vectors, joining, limit=query.limit)
    for expression in words.filling:
        if len(ranked) >= query.limit:
            break
        more = find(expression, query.limit)
        if is_plain:
            bare = _without_vector(connection, more)
            more = [pk for pk in more if pk in bare]
        ranked = filled(ranked, more, limit=query.limit)
    return ranked, words.left_out


def _without_vector(connection: Connection, pks: list[int]) -> set[int]:
    return {
        row[0]
        for row in connection.execute(
            "SELECT pk FROM chunks WHERE vector_key IS NULL "
            "AND pk IN (SELECT value FROM json_each(?))",
            (json.dumps(pks),),
        )
    }


def checked_vector(vector: VectorLike, collection: Collection) -> Vector:
    """Return a query's vector as float32.

    Raises:
        InvalidVectorError: it does not fit the collection.
    """
    try:
        data = check_vector(vector, dimensions=collection.spec.dimensions, what="the query")
    except InvalidVectorError as error:
        raise InvalidVectorError(f"{error} Collection: {collection.name!r}.") from error
    return np.frombuffer(data, dtype="<f4")


def _searchable(text: str) -> str:
    """Return a query that can be bound: what is no character cannot match any text."""
    if not isinstance(text, str):
        raise InvalidTextError(f"The query is a {type(text).__name__}, not a string.")
    return text.encode("utf-8", "replace").decode().replace("\0", " ")
