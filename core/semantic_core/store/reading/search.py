"""One search, within one snapshot: choose rows, ask both indexes, fuse, fetch the hits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database, Nearest, Rows, Where
from semantic_core.database.word_choice import MOST_WORDS
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    InvalidInputError,
    InvalidTextError,
    InvalidVectorError,
)
from semantic_core.domain.explanation import Explanation
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import (
    NO_QUERY_VECTOR,
    Coverage,
    SearchResult,
    SearchResults,
    StoredChunk,
    Vector,
    VectorLike,
)
from semantic_core.domain.validation import check_vector, fraction, whole_number
from semantic_core.keywords import ask, passages
from semantic_core.queue.counts import absent_vector
from semantic_core.store.base import FilterLike
from semantic_core.store.reading.rank import Ranked, by_both, by_keyword, by_vector, filled
from semantic_core.store.reading.read import choose, read_chunks, read_coverage
from semantic_core.store.writing.media import media_bytes
from semantic_core.vector_index import Hits

PENDING_RULES = ("keyword", "skip")

# Fusion needs more of each list than is returned: a row in the middle of both can win.
_FUSION_DEPTH = 4
_LEAST_FUSION_DEPTH = 100

_NO_WORDS = "words of chunks that were delivered are not indexed here (keep_text)"
_NO_VECTORS = "vectors that only a target has were not compared (keep_vectors)"
_NOTHING_TO_COMPARE = (
    "nothing that was asked for has a vector to compare yet, and nothing was found by keyword"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked search.

    Attributes:
        languages: in which words are asked: two sets of them during a reindex.
        where: which chunks may be returned.
        alpha: weight of the vector list in hybrid mode.
        fill_pending: whether keyword hits without a vector join a vector search.
        exact: whether vectors are compared without a first pass that may miss one.
        lagging_target: the row of the target that is asked for vectors and does not have all.
        lacks_words: whether the keyword index has no words of chunks that were delivered.
        has_targets: whether vectors may be at targets alone.
        absent: what stands for those; None where there are none to be missed.
    """

    text: str | None
    vector: Vector | None
    limit: int
    mode: SearchMode
    languages: tuple[tuple[str, ...], ...]
    where: Where
    alpha: float
    fill_pending: bool
    exact: bool
    lagging_target: int | None = None
    lacks_words: bool = False
    has_targets: bool = False
    absent: int | None = None

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
    limit: int,
    filters: FilterLike,
    ids: Sequence[str] | None,
    document_ids: Sequence[str] | None,
    exact: bool,
    text: str | None = None,
    vector: VectorLike | None = None,
    mode: SearchMode | str = SearchMode.VECTOR,
    alpha: float = 1.0,
    pending: str = "skip",
) -> Query:
    """Check the arguments of a search; see ``BaseVectorStore.search``, which names the errors."""
    try:
        chosen = SearchMode(mode)
    except ValueError as error:
        raise InvalidInputError(
            f"Unknown search mode {mode!r}. Use one of: {', '.join(SearchMode)}."
        ) from error
    if pending not in PENDING_RULES:
        raise InvalidInputError(f"pending={pending!r}: use one of {', '.join(PENDING_RULES)}.")
    return Query(
        text=None if text is None else _searchable(text),
        vector=None if vector is None else checked_vector(vector, collection),
        limit=whole_number(limit),
        mode=chosen,
        # Read in the snapshot that is searched, so that no chunk is missed for a reindex that
        # another process has just begun.
        languages=tuple(filter(None, (collection.languages, collection.former_languages))),
        where=choose(collection.id, filters=filters, ids=ids, document_ids=document_ids),
        alpha=fraction(alpha, what="alpha"),
        fill_pending=pending == "keyword",
        exact=exact,
        lacks_words=collection.lacks_words,
        has_targets=collection.has_targets,
    )


def search(
    database: Database,
    connection: Connection,
    query: Query,
    nearest: Nearest | None,
    *,
    is_here: bool = True,
) -> SearchResults:
    """Answer a query; ``nearest`` is there if it `is_by_vector`, and ``is_here`` unless of a target."""
    if is_here and query.is_by_vector:
        query = replace(query, absent=_missed_vectors(connection, query))
    rows = database.metadata.rows(connection, query.where)
    near: list[tuple[int, float]] = []
    if query.vector is not None and nearest is not None:
        (found,) = nearest([query.vector], limit=query.depth, rows=rows, exact=query.exact)
        near = _pairs(found)
    coverage = read_coverage(connection, query.where.collection_id)
    ranked, explanation = _rank(
        database, connection, query, nearest=near, rows=rows, coverage=coverage
    )
    chunks = read_chunks(connection, among("c.pk", [hit.pk for hit in ranked]))
    is_blind = query.is_by_vector and not ranked and query.limit > 0 and _count(rows, coverage) > 0
    reasons = []
    if query.mode is not SearchMode.KEYWORD and query.vector is None:
        reasons.append(NO_QUERY_VECTOR)
    ranks_words = query.text is not None and (query.is_fused or not query.is_by_vector)
    if ranks_words and query.lacks_words:
        reasons.append(_NO_WORDS)
    if query.absent is not None:
        reasons.append(_NO_VECTORS)
    if is_blind:
        reasons.append(_NOTHING_TO_COMPARE)
    if explanation.too_many:
        reasons.append(
            f"too many words: ranked by the {MOST_WORDS} rarest, without "
            f"{len(explanation.too_many)} more"
        )
    degraded = "; ".join(reasons) or None
    media = partial(media_bytes, database)
    return SearchResults(_hits(ranked, chunks), coverage, degraded, explanation, media)


def search_many(
    database: Database,
    connection: Connection,
    query: Query,
    nearest: Nearest,
    queries: Sequence[Vector],
) -> list[SearchResults]:
    """Answer one query for several vectors, by vector alone."""
    rows = database.metadata.rows(connection, query.where)
    found = nearest(queries, limit=query.limit, rows=rows, exact=query.exact)
    hits = [by_vector(_pairs(one), [], limit=query.limit) for one in found]
    pks = {hit.pk for one in hits for hit in one}
    chunks = read_chunks(connection, among("c.pk", sorted(pks)))
    coverage = read_coverage(connection, query.where.collection_id)
    is_blind = not pks and query.limit > 0 and _count(rows, coverage) > 0
    reasons = [_NO_VECTORS] if _missed_vectors(connection, query) else []
    degraded = "; ".join([*reasons, *[_NOTHING_TO_COMPARE] * is_blind]) or None
    media = partial(media_bytes, database)
    return [SearchResults(_hits(one, chunks), coverage, degraded, media=media) for one in hits]


def _hits(ranked: Sequence[Ranked], chunks: Mapping[int, StoredChunk]) -> tuple[SearchResult, ...]:
    try:
        return tuple(SearchResult(chunk=chunks[h.pk], score=h.score, match=h.match) for h in ranked)
    except KeyError as error:
        raise DatabaseCorruptError.unreadable("A row that a search found", error) from error


def _pairs(hits: Hits) -> list[tuple[int, float]]:
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


def _count(rows: Rows, coverage: Coverage) -> int:
    return coverage.total if rows.chosen is None else len(rows.chosen)


def _rank(
    database: Database,
    connection: Connection,
    query: Query,
    *,
    nearest: list[tuple[int, float]],
    rows: Rows,
    coverage: Coverage,
) -> tuple[list[Ranked], Explanation]:
    """Return the hits, and which words they were ranked by."""
    # With a vector for every chunk there is nobody to look for by words.
    lacks_vectors = coverage.by_vector < 1.0 or (query.lagging_target, query.absent) != (None, None)
    joins = query.fill_pending and lacks_vectors
    is_plain = query.is_by_vector and not query.is_fused
    found, explanation = None, Explanation()
    if query.text is not None and query.limit and (joins or not is_plain):
        counted, returned = rows.scopes(coverage.total, by_vector=query.is_by_vector)
        question = ask(query.text, *query.languages)
        found = database.keywords.search(connection, question, counted=counted, returned=returned)
        explanation = (
            Explanation(unknown=question.words, passages=partial(passages, question))
            if found is None
            else found.explanation
        )
    if found is None:
        return by_vector(nearest, [], limit=query.limit), explanation
    best = found.best(query.depth)
    waiting = _without_vector(connection, query, best) if query.is_by_vector else set()
    waiting -= {pk for pk, _ in nearest}
    if not query.is_by_vector:
        ranked = by_keyword(best)
    elif query.is_fused:
        ranked = by_both(
            [pk for pk, _ in nearest], best, waiting=waiting, alpha=query.alpha, limit=query.limit
        )
    else:
        joining = [(pk, rank) for rank, pk in enumerate(best, start=1) if pk in waiting]
        ranked = by_vector(nearest, joining, limit=query.limit)
    rest = found.rest(query.limit)
    while len(ranked) < query.limit and (more := next(rest, None)) is not None:
        if is_plain:
            bare = _without_vector(connection, query, more)
            more = [pk for pk in more if pk in bare]
        ranked = filled(ranked, more, limit=query.limit)
    return ranked, explanation


def _without_vector(connection: Connection, query: Query, pks: list[int]) -> set[int]:
    """Return the rows without a vector, or with one that is not where it was looked for."""
    chosen = among("c.pk", pks)
    rows = connection.execute(
        f"SELECT c.pk FROM chunks c WHERE {chosen.sql} AND (c.embedding_id IS NULL OR EXISTS "
        "(SELECT 1 FROM outbox WHERE target_id = ? AND chunk_id = c.chunk_id) OR c.embedding_id = ?)",
        (*chosen.values, query.lagging_target, query.absent),
    )
    return {pk for (pk,) in rows}


def _missed_vectors(connection: Connection, query: Query) -> int | None:
    """Return what stands for vectors that only targets have, if a chunk has it."""
    if not query.has_targets:
        return None
    absent = absent_vector(connection, query.where.collection_id)
    found = "SELECT embedding_id FROM chunks WHERE embedding_id = ? LIMIT 1"
    row = connection.execute(found, (absent,)).fetchone()
    return None if row is None else absent


def checked_vector(vector: VectorLike, collection: Collection) -> Vector:
    """Return a query's vector as float32, or raise `InvalidVectorError` where it does not fit."""
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
