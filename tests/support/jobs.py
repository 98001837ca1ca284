"""Batch jobs as the queue sees them, without any provider."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable
from typing import Any

from semantic_core.domain.statuses import BudgetUse, ItemState
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.claims import ClaimLimits, Waiting, candidates, claim, fill_job
from semantic_core.queue.contents import content_ids
from semantic_core.queue.items import Outcome, settle_items
from semantic_core.store import PeeweeVectorStore
from support.rows import run_sql

LIMITS = ClaimLimits(requests=1000, source_bytes=10**9, tokens=10**9)
TOKEN = "lease"


def new_job(
    job_id: str | None = None,
    *,
    token: str = TOKEN,
    now: float = 0.0,
    fingerprint: str = "fingerprint",
) -> dict[str, Any]:
    """Return the columns of a job that has a lease of 100 seconds."""
    job_id = job_id or str(uuid.uuid4())
    return {
        "job_id": job_id,
        "display_name": f"semcore-test-{job_id}",
        "provider": "gemini",
        "fingerprint": fingerprint,
        "lease_token": token,
        "lease_until": now + 100,
        "created_at": now,
    }


def look(
    store: PeeweeVectorStore,
    *,
    collection: str | None = None,
    limits: ClaimLimits = LIMITS,
    budget: RetryBudget | None = None,
) -> Waiting | None:
    """Return what one job would take."""
    with store.database.transaction() as connection:
        return _first(connection, collection, limits, budget, store.clock.now())


def _first(
    connection: sqlite3.Connection,
    collection: str | None,
    limits: ClaimLimits,
    budget: RetryBudget | None,
    now: float,
) -> Waiting | None:
    filled = (
        fill_job(connection, candidate, limits=limits, budget=budget or RetryBudget(), now=now)
        for candidate in candidates(connection, collection=collection, now=now)
    )
    return next((waiting for waiting in filled if waiting is not None), None)


def claim_job(
    store: PeeweeVectorStore,
    *,
    job_id: str | None = None,
    collection: str | None = None,
    limits: ClaimLimits = LIMITS,
    budget: RetryBudget | None = None,
    fingerprint: str = "fingerprint",
) -> str | None:
    """Claim what one job takes; return its id, or None if nothing is due."""
    now = store.clock.now()
    with store.database.transaction() as connection:
        waiting = _first(connection, collection, limits, budget, now)
        if waiting is None:
            return None
        job = new_job(job_id, now=now, fingerprint=fingerprint)
        claim(connection, waiting, **job)
    return str(job["job_id"])


def carried(store: PeeweeVectorStore, job_id: str) -> list[str]:
    """Return the content hashes (hex) of a job's open items, in order."""
    rows = run_sql(
        store,
        "SELECT k.hash FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
        "JOIN contents k ON k.id = i.content_id WHERE j.id = ? AND state = 'open' ORDER BY i.id",
        (job_id,),
    )
    return [row[0].hex() for row in rows]


def settle(
    store: PeeweeVectorStore,
    job_id: str,
    hashes: Iterable[str],
    use: BudgetUse,
    *,
    error: str | None = "broken",
    not_before: float | None = None,
    budget: RetryBudget | None = None,
) -> int:
    """End open items of these content hashes (hex) without a vector."""
    with store.database.transaction() as connection:
        contents = content_ids(connection, list(map(bytes.fromhex, hashes)))
        outcomes = [
            Outcome(
                content_id=content,
                state=ItemState.FAILED,
                use=use,
                error=error,
                not_before=not_before,
            )
            for content in contents.values()
        ]
        return settle_items(
            connection, job_id, outcomes, budget=budget or RetryBudget(), now=store.clock.now()
        )
