"""Samples: stored vectors, embedded live again, which is paid for; and what targets were told."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from semantic_core.batches import BatchManager
from semantic_core.batches.job.check import CheckedText, SpotCheck, close_check, embed_again
from semantic_core.batches.job.context import BatchContext
from semantic_core.database.conditions import IS_HERE, IS_PAID
from semantic_core.database.port import Connection
from semantic_core.delivery.attached import AttachedTarget
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    ProviderError,
    TargetError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import Vector
from semantic_core.providers.wire.vectors import normalize
from semantic_core.store import BaseVectorStore


class _Sampled(NamedTuple):
    """A stored vector, and a chunk that it serves."""

    collection: str
    spec: EmbeddingSpec
    chunk_id: str
    content_hash: str
    content: tuple[str, str | None]
    vector: Vector


def sampled_vectors(manager: BatchManager, *, texts: int) -> Iterator[Finding]:
    """Embed a random sample of texts live again and compare the vectors that are stored."""
    if not texts:
        return
    context = manager.context()
    with context.store.database.snapshot() as connection:
        sample = list(_sample(connection, texts))
    groups: dict[str, list[_Sampled]] = {}
    for one in sample:
        groups.setdefault(one.collection, []).append(one)
    checked: list[tuple[_Sampled, CheckedText]] = []
    try:
        for group in groups.values():
            checked += _check(context, group)
    except (BudgetExceededError, ProviderError) as error:
        yield Finding.of(Trouble.NOT_LOOKED, what=f"Vectors could not all be checked: {error}")
    found = SpotCheck(texts=tuple(text for _, text in checked))
    wrong = [repr(one.chunk_id) for one, text in checked if not text.is_good]
    if wrong:
        yield Finding.of(Trouble.WRONG_VECTOR, len(wrong), check=found, names=wrong)
    yield Finding.of(Trouble.SPOT_CHECK, len(checked), check=found)


def _sample(connection: Connection, texts: int) -> Iterator[_Sampled]:
    rows = _random_rows(
        connection,
        "k.name, k.spec, c.chunk_id, t.hash, coalesce(c.vector_source, c.text), c.media, e.vector",
        "embeddings e "
        "JOIN chunks c ON c.pk = (SELECT min(pk) FROM chunks WHERE embedding_id = e.id) "
        "JOIN contents t ON t.id = c.content_id "
        "JOIN collections k ON k.id = c.collection_id "
        f"WHERE e.{IS_PAID} AND c.content_id = e.content_id",
        most=texts,
    )
    for collection, spec, chunk_id, content_hash, *content, vector in rows:
        unit = normalize(np.frombuffer(vector, dtype="<f4"))
        parsed = EmbeddingSpec.from_json(spec)
        yield _Sampled(collection, parsed, chunk_id, content_hash.hex(), tuple(content), unit)


def _check(context: BatchContext, group: list[_Sampled]) -> list[tuple[_Sampled, CheckedText]]:
    """Embed the texts of one collection again; return how they compare."""
    number, live = embed_again(context, [one.content for one in group], spec=group[0].spec)
    checked = []
    for place, vector in live.items():
        one = group[place]
        nearest = _nearest_other(context, one, vector)
        checked.append((one, CheckedText(cosine=float(one.vector @ vector), nearest=nearest)))
    close_check(context, number, SpotCheck(texts=tuple(text for _, text in checked)))
    return checked


def _nearest_other(context: BatchContext, one: _Sampled, vector: Vector) -> float | None:
    """Return the cosine of the nearest vector of the collection, if it is of another text."""
    (best,) = context.store.search(
        vector=vector,
        mode=SearchMode.VECTOR,
        collection=one.collection,
        limit=1,
        pending="skip",
        exact=True,
    ) or (None,)
    if best is None or best.chunk.content_hash == one.content_hash:
        return None
    return best.score


_SAMPLED = 50

# Chunks of equal texts have equal vectors, and any of them may come first.
_LOOKED_AT = 20


def targets(store: BaseVectorStore, *, fix: bool) -> Iterator[Finding]:
    """Look for chunks that a target was told of and does not find."""
    for target in store.delivery.attached:
        sample = _told(store, target)
        try:
            missing = [
                chunk_id
                for chunk_id, vector in sample.items()
                if chunk_id
                not in target.nearest(vector, limit=_LOOKED_AT, filters=None, target_filter=None)
            ]
        except TargetError as error:
            yield Finding.of(Trouble.NOT_LOOKED, what=str(error))
            continue
        if missing:
            what, is_fixed = f"{target.name!r}, of {len(sample)} that it was told of", fix
            try:
                if fix:
                    store.delivery.redeliver(target.name)
                    store.delivery.deliver()
            except ConfigurationError as error:
                what, is_fixed = f"{what} ({error})", False
            names = [repr(one) for one in missing]
            yield Finding.of(
                Trouble.TARGET, len(missing), what=what, names=names, is_fixed=is_fixed
            )


def _told(store: BaseVectorStore, target: AttachedTarget) -> dict[str, Vector]:
    """Return chunks that a target should hold, chosen at random, with their vectors."""
    with store.database.snapshot() as connection:
        rows = _random_rows(
            connection,
            "c.chunk_id, e.vector",
            "embeddings e JOIN chunks c ON c.embedding_id = e.id "
            f"AND e.{IS_HERE} JOIN targets t ON t.collection_id = c.collection_id WHERE t.id = ? "
            "AND c.embedding_status = 'READY' AND t.filled_pk IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM outbox WHERE target_id = t.id AND chunk_id = c.chunk_id)",
            target.id,
            most=_SAMPLED,
        )
    return {chunk_id: np.frombuffer(vector, dtype="<f4") for chunk_id, vector in rows}


def _random_rows(
    connection: Connection, columns: str, rows: str, *values: object, most: int
) -> list[Any]:
    """Return columns of rows, which have ``embeddings AS e`` among them, chosen at random."""
    # Their numbers are put in order, since the vectors would not fit in memory.
    chosen = f"SELECT e.id FROM {rows} ORDER BY random() LIMIT {most}"
    return connection.execute(
        f"SELECT {columns} FROM {rows} AND e.id IN ({chosen}) LIMIT {most}", (*values, *values)
    ).fetchall()
