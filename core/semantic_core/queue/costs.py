"""What was spent and what would be: tokens counted over jobs and over what waits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from semantic_core.database import IDS, any_text, id_set
from semantic_core.database.conditions import IS_CACHED, IS_PAID, WANTS
from semantic_core.database.port import Connection
from semantic_core.domain.media import load_media
from semantic_core.domain.pricing import Cost, Price, PriceTable
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.facts import LONGEST_LIMIT, model_facts
from semantic_core.queue.contents import content_ids
from semantic_core.queue.job_rows import read_columns

# A job that the provider refused, or that never reached it, cost nothing for sure.
_MAY_HAVE_COST = (
    "(failure_reason IS NULL OR failure_reason NOT IN "
    "('abandoned before create', 'never reached the provider', 'refused by the provider'))"
)


class WaitingTokens(NamedTuple):
    """What waits under one model, with estimated tokens.

    Those of the distinct texts, and ``repeated_tokens``, which are not sent. ``pictures`` counts
    the pictures and pages of the former.
    """

    model: str
    chunks: int
    texts: int
    tokens: int
    repeated_tokens: int
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpentTokens:
    """Tokens of one job: as the provider counted them, else as estimated.

    Attributes:
        uncounted: those of them that are estimated.
        is_known: its results are here, so that these are the texts that were embedded.
        price: what it is billed by, as recorded with the job; None if none was known then.
    """

    model: str
    tokens: int
    uncounted: int
    is_known: bool
    price: Price | None

    def cost(self, prices: PriceTable) -> Cost | None:
        """Return what it cost, at the recorded price; a table serves where there is none."""
        price = self.price or prices.prices.get(self.model)
        return None if price is None else price.cost(self.tokens)


def price_columns(prices: PriceTable, model: str) -> dict[str, float | None]:
    """Return the price that a job of a model is billed by, whatever later tables say."""
    price = prices.prices.get(model)
    return {
        "live_price": None if price is None else price.live,
        "batch_price": None if price is None else price.batch,
    }


def waiting_tokens(connection: Connection, *, collection_id: int | None) -> list[WaitingTokens]:
    """Estimate what waits, by model, in one collection or in all."""
    rows = connection.execute(
        "SELECT s.model, sum(w.chunks), sum(w.texts), sum(w.tokens), sum(w.repeated_tokens), "
        "sum(w.pictures) FROM waiting_counts w "
        "JOIN spaces s ON s.id = w.space_id AND NOT s.is_external "
        "WHERE w.collection_id = coalesce(:collection, 0) "
        "GROUP BY s.model HAVING sum(w.chunks) > 0 ORDER BY s.model",
        {"collection": collection_id},
    )
    return [WaitingTokens(*row) for row in rows]


def spent_since(
    connection: Connection, since: float, *, until: float | None = None
) -> list[SpentTokens]:
    """Return what each job created since then, and before ``until``, cost, or may have."""
    names = (
        *("model", "token_count", "uncounted_tokens", "estimated_tokens"),
        *("live_price", "batch_price"),
    )
    with any_text(connection):
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM batch_jobs "
            "WHERE created_at >= :since AND (created_at < :until OR :until IS NULL) "
            f"AND {_MAY_HAVE_COST} ORDER BY created_at, id",
            {"since": since, "until": until},
        ).fetchall()
    # A damaged number counts as unknown: the estimate replaces a count, the table a price.
    read = [read_columns(names, row)[0].values() for row in rows]
    return [
        SpentTokens(
            model=model,
            tokens=estimated if tokens is None else tokens,
            uncounted=estimated if tokens is None else uncounted,
            is_known=tokens is not None,
            price=None if batch is None or live is None else Price(live=live, batch=batch),
        )
        for model, tokens, uncounted, estimated, live, batch in read
    ]


def picture_counts(connection: Connection, content_hashes: Sequence[bytes]) -> dict[bytes, int]:
    """Return how many pictures and pages contents have, by the chunks that have or want them."""
    found = _chunks_of(connection, "media", content_hashes)
    return {key: len(load_media(media)) for key, media in found if media is not None}


def _chunks_of(
    connection: Connection, columns: str, content_hashes: Sequence[bytes]
) -> list[tuple[Any, ...]]:
    """Return the hash of each content, and columns of the chunks that want it or have its vector."""
    ids = content_ids(connection, content_hashes)
    hashes = {content: key for key, content in ids.items()}
    rows = connection.execute(
        f"SELECT k.content_id, {columns} FROM chunks k WHERE {WANTS} AND k.content_id IN {IDS} "
        f"UNION ALL SELECT k.content_id, {columns} FROM embeddings e "
        "JOIN chunks k ON k.embedding_id = e.id AND k.content_id = e.content_id "
        f"WHERE e.content_id IN {IDS} AND e.{IS_CACHED}",
        id_set(ids.values()),
    )
    return [(hashes[content], *values) for content, *values in rows]


def reused_vectors(connection: Connection) -> tuple[int, int, int]:
    """Return how many chunks share a paid vector with another, and the tokens that saved.

    The third number is how many of those tokens are estimated: the provider did not count them.
    """
    chunks, saved, guessed = connection.execute(
        "WITH shared AS (SELECT count(*) - 1 AS more, max(e.token_count) AS counted, "
        f"min(k.tokens) AS guess FROM chunks k JOIN embeddings e ON e.id = k.embedding_id AND e.{IS_PAID} "
        "WHERE k.embedding_id IS NOT NULL GROUP BY k.embedding_id HAVING count(*) > 1) "
        "SELECT coalesce(sum(more), 0), coalesce(sum(more * coalesce(counted, guess)), 0), "
        "coalesce(sum(CASE WHEN counted IS NULL THEN more * guess END), 0) FROM shared"
    ).fetchone()
    return chunks, saved, guessed


def mean_tokens(connection: Connection, space_id: int, spec: EmbeddingSpec) -> int:
    """Return the estimated tokens of an average text of a space, by its first thousand chunks.

    Without any, the most that the model takes: nobody knows better.
    """
    tokens, chunks = connection.execute(
        "SELECT coalesce(sum(tokens), 0), count(*) FROM (SELECT k.tokens FROM chunks k "
        "JOIN collections c ON c.id = k.collection_id WHERE c.space_id = ? LIMIT 1000) AS sample",
        (space_id,),
    ).fetchone()
    if chunks:
        return int(-(-tokens // chunks))
    return model_facts(spec.model).token_limit or LONGEST_LIMIT


def token_guesser(
    connection: Connection, space_id: int, spec: EmbeddingSpec, content_hashes: Sequence[bytes]
) -> Callable[[bytes], int]:
    """Return a function from content hash to estimated tokens, for texts sent by somebody else.

    A text that a chunk of the space has is estimated; of another one, the average is taken.
    """
    if not content_hashes:
        return lambda _: 0
    known = dict(_chunks_of(connection, "CAST(k.tokens AS BIGINT)", content_hashes))
    mean = mean_tokens(connection, space_id, spec)
    return lambda key: known.get(key, mean)
