"""Targets that are attached here against the rows, by a sample that is asked for by its vectors."""

import secrets
from collections.abc import Iterator

import numpy as np

from semantic_core.delivery.attached import AttachedTarget
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.errors import TargetError
from semantic_core.domain.types import Vector
from semantic_core.store import BaseVectorStore

_SAMPLED = 50

# Chunks of equal texts have equal vectors, and any of them may come first.
_LOOKED_AT = 20


def targets(store: BaseVectorStore, *, fix: bool) -> Iterator[Finding]:
    """Look for chunks that a target was told of and does not find."""
    for target in store.delivery.attached:
        sample = _sample(store, target)
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
            if fix:
                store.delivery.redeliver(target.name)
                store.delivery.deliver()
            what = f"{target.name!r}, of {len(sample)} that it was told of"
            names = [repr(one) for one in missing]
            yield Finding.of(Trouble.TARGET, len(missing), what=what, names=names, is_fixed=fix)


def _sample(store: BaseVectorStore, target: AttachedTarget) -> dict[str, Vector]:
    """Return chunks that a target should hold, chosen at random, with their vectors."""
    # Keys are digests, so that those that follow any one are a random sample.
    start = secrets.token_bytes(32)
    with store.database.snapshot() as connection:
        rows = [
            row
            for where in (">=", "<")
            for row in connection.execute(
                "SELECT c.chunk_id, e.vector FROM embeddings e "
                "JOIN chunks c ON c.vector_key = e.key "
                "JOIN targets t ON t.collection_id = c.collection_id WHERE t.id = ? "
                "AND c.embedding_status = 'READY' AND t.filled_pk IS NULL AND NOT EXISTS "
                "(SELECT 1 FROM outbox WHERE target_id = t.id AND chunk_id = c.chunk_id) "
                f"AND e.key {where} ? ORDER BY e.key LIMIT ?",
                (target.id, start, _SAMPLED),
            )
        ]
    return {chunk_id: np.frombuffer(vector, dtype="<f4") for chunk_id, vector in rows[:_SAMPLED]}
