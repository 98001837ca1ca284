"""What was spent and what would be: tokens counted over jobs and over what waits."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from semantic_core.pricing import tokens_in_bytes
from semantic_core.spec import EmbeddingSpec

_WAITS = "k.embedding_status = 'PENDING' AND k.batch_job_id IS NULL"

# A job that the provider refused, or that never reached it, cost nothing for sure.
_MAY_HAVE_COST = (
    "(failure_reason IS NULL OR failure_reason NOT IN "
    "('abandoned before create', 'never reached the provider', 'refused by the provider'))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTokens:
    """What waits under one model.

    Attributes:
        model: model id.
        chunks: waiting chunks.
        texts: distinct texts among them.
        tokens: estimated tokens of the distinct texts.
        repeated_tokens: estimated tokens of the repetitions, which are not sent.
    """

    model: str
    chunks: int
    texts: int
    tokens: int
    repeated_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentTokens:
    """Tokens of one job.

    Attributes:
        model: model id.
        tokens: as the provider counted them, else as estimated.
        is_estimated: the provider's count is not known (yet).
        cost_usd: what the job cost by the prices when it ended, or None.
    """

    model: str
    tokens: int
    is_estimated: bool
    cost_usd: float | None


def has_waiting(connection: sqlite3.Connection) -> bool:
    """Return whether any chunk waits to be sent."""
    return bool(
        connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM collections c JOIN chunks k ON k.collection_id = c.id "
            f"WHERE {_WAITS})"
        ).fetchone()[0]
    )


def waiting_tokens(
    connection: sqlite3.Connection, *, collection_id: int | None
) -> list[WaitingTokens]:
    """Estimate what waits, by model. The work is proportional to what waits."""
    found: dict[str, list[int]] = {}
    rows = connection.execute(
        "SELECT c.spec, count(*), max(length(CAST(coalesce(k.vector_source, k.text) AS BLOB))) "
        "FROM collections c JOIN spaces s ON s.id = c.space_id AND NOT s.is_external "
        f"JOIN chunks k ON k.collection_id = c.id WHERE {_WAITS} "
        "AND (:collection IS NULL OR c.id = :collection) GROUP BY k.content_hash",
        {"collection": collection_id},
    )
    for spec, chunks, size in rows:
        sums = found.setdefault(EmbeddingSpec.from_json(spec).model, [0, 0, 0, 0])
        tokens = tokens_in_bytes(size)
        for place, value in enumerate((chunks, 1, tokens, (chunks - 1) * tokens)):
            sums[place] += value
    return [
        WaitingTokens(
            model=model, chunks=sums[0], texts=sums[1], tokens=sums[2], repeated_tokens=sums[3]
        )
        for model, sums in sorted(found.items())
    ]


def spent_since(
    connection: sqlite3.Connection, since: float, *, until: float | None = None
) -> list[SpentTokens]:
    """Return what each job created since then, and before ``until``, cost, or may have."""
    return [
        SpentTokens(
            model=model,
            tokens=estimated if counted is None else counted,
            is_estimated=counted is None,
            cost_usd=cost,
        )
        for model, counted, estimated, cost in connection.execute(
            "SELECT model, token_count, estimated_tokens, cost_usd FROM batch_jobs "
            "WHERE created_at >= :since AND (:until IS NULL OR created_at < :until) "
            f"AND {_MAY_HAVE_COST} ORDER BY created_at, id",
            {"since": since, "until": until},
        )
    ]


def reused_vectors(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many chunks share a paid vector with another, and the tokens that saved."""
    row = connection.execute(
        "SELECT coalesce(sum(n - 1), 0), coalesce(sum((n - 1) * tokens), 0) FROM ("
        "SELECT count(*) AS n, coalesce(e.token_count, 0) AS tokens FROM chunks k "
        "JOIN embeddings e ON e.key = k.vector_key AND e.origin <> 'given' "
        "WHERE k.vector_key IS NOT NULL GROUP BY k.vector_key HAVING count(*) > 1)"
    ).fetchone()
    return int(row[0]), int(row[1])
