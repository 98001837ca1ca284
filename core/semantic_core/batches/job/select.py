"""Which texts the next job carries: candidates are tried in order until one passes.

A candidate is a vector space with due texts. Whatever keeps one of them from being sent (too few
texts, a budget, a quota) stops that one only, and is noted for status.
"""

import logging
import uuid
from dataclasses import dataclass, field, replace

from semantic_core.batches.job.afford import affordable_tokens, budget_exceeded
from semantic_core.batches.job.context import BatchContext, LeasedJob
from semantic_core.database.port import Connection
from semantic_core.domain.errors import (
    BudgetExceededError,
    NotBatchableError,
    RemoteNotFoundError,
    SemanticCoreError,
)
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.statuses import Obstacle
from semantic_core.domain.validation import whole_number
from semantic_core.queue.ceilings import QuotaKey, read_ceiling, read_enqueued, stored_bytes
from semantic_core.queue.claims import (
    Candidate,
    ClaimLimits,
    Waiting,
    candidates,
    claim,
    fill_job,
    forget_passed,
    note_passed,
    oldest_due,
)
from semantic_core.queue.costs import price_columns
from semantic_core.queue.jobs import count_at_provider
from semantic_core.store import BaseVectorStore
from semantic_core.store.collections import collection_id, find_collection
from semantic_core.views.wording import counted

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FlushRun:
    """What one flush, or one drain, may send, and what it tried already. Not shared by threads.

    Attributes:
        collection: only this collection's texts; None for all.
        min_size: no job below this many distinct texts.
        max_age: whatever ``min_size`` says, once the oldest of them has waited so many seconds.
        force: whatever ``min_size`` says.
        max_cost: most that a job may cost, in dollars by estimate; None for no limit.
        refused: why a model cannot be used, by the space it is of: that is not tried again.
        over_budget: what a budget did not allow when candidates were last tried.
    """

    collection: str | None = None
    min_size: int = 1
    max_age: float | None = None
    force: bool = False
    max_cost: float | None = None
    refused: dict[int, SemanticCoreError] = field(default_factory=dict)
    over_budget: list[BudgetExceededError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.min_size = whole_number(self.min_size, what="min_size")


def claim_next(context: BatchContext, run: FlushRun) -> tuple[LeasedJob, int] | None:
    """Claim the texts of the first candidate that passes; return the job and their space, or None.

    The job is under lease. What is skipped is noted with its reason, in the same transaction.
    """
    now = context.clock.now()
    job_id, token = str(uuid.uuid4()), uuid.uuid4().hex
    with context.store.database.transaction() as connection:
        waiting = _first_that_passes(connection, context, run, now)
        if waiting is None:
            return None
        reach(FailPoint.CLAIM_SELECTED)
        claim(
            connection,
            waiting,
            job_id,
            display_name=context.prefix + job_id,
            provider=context.provider.name,
            fingerprint=context.fingerprint,
            lease_token=token,
            lease_until=now + context.config.lease,
            created_at=now,
            **price_columns(context.config.prices, waiting.spec.model),
        )
    reach(FailPoint.CLAIM_COMMITTED)
    return LeasedJob(context, job_id, token), waiting.space_id


def _first_that_passes(
    connection: Connection, context: BatchContext, run: FlushRun, now: float
) -> Waiting | None:
    run.over_budget.clear()
    for candidate in candidates(connection, collection=run.collection, now=now):
        if candidate.space_id in run.refused:
            continue
        obstacle = Obstacle.LATER
        try:
            context.provider.model(candidate.spec.model).check_served(now)
            found = _look(connection, context, candidate, run, now)
        except RemoteNotFoundError as error:
            run.refused[candidate.space_id] = error
            obstacle, found = Obstacle.REFUSAL, str(error)
        except BudgetExceededError as error:
            run.over_budget.append(error)
            obstacle, found = Obstacle.BUDGET, str(error)
        if isinstance(found, str):
            _log.info("Texts for %s are skipped: %s", candidate.spec.model, found)
            note_passed(connection, candidate.space_id, obstacle, found, now=now)
        else:
            forget_passed(connection, candidate.spec.model, space_id=candidate.space_id)
            if found is not None:
                return found
    return None


def _look(
    connection: Connection, context: BatchContext, candidate: Candidate, run: FlushRun, now: float
) -> Waiting | str | None:
    """Return what a job of this candidate would carry, or why it is not sent now.

    None where no text of it has a try left. If not even its first text can be afforded, it raises
    a BudgetExceededError.
    """
    config = context.config
    room = _room(connection, context, candidate, now)
    if isinstance(room, str):
        return room
    limits = room.limits
    waiting = fill_job(connection, candidate, limits=limits, budget=config.budget, now=now)
    if waiting is None:
        return None
    # A single text over a limit still goes, alone; over the ceiling only where nothing is open.
    if room.tokens is not None and waiting.tokens > room.tokens:
        return room.full
    if _is_too_small(connection, candidate, waiting, run, now):
        texts = counted(len(waiting.contents), "text")
        return f"{texts}, fewer than min_size={run.min_size}. Next: once there are as many."
    tokens = affordable_tokens(
        connection, candidate.spec.model, config=config, max_cost=run.max_cost, now=now
    )
    if tokens is None or waiting.tokens <= tokens:
        return waiting
    limits = replace(limits, tokens=tokens)
    waiting = fill_job(connection, candidate, limits=limits, budget=config.budget, now=now)
    # A single text over a limit is still selected: the provider's limit may be softer, money is not.
    if waiting is None or waiting.tokens > tokens:
        raise budget_exceeded(config, run.max_cost)
    return waiting


def _is_too_small(
    connection: Connection, candidate: Candidate, waiting: Waiting, run: FlushRun, now: float
) -> bool:
    if len(waiting.contents) >= run.min_size or run.force or waiting.is_full:
        return False
    return run.max_age is None or (now - oldest_due(connection, candidate, now=now) < run.max_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Room:
    """What the next job may carry beside those that are open, and why a larger one is not sent.

    ``tokens`` is what the ceiling leaves; None where no job of this key and model is open.
    """

    limits: ClaimLimits
    tokens: int | None
    full: str


def _room(
    connection: Connection, context: BatchContext, candidate: Candidate, now: float
) -> _Room | str:
    config = context.config
    if count_at_provider(connection) >= config.max_open_jobs:
        return (
            f"as many jobs are open as BatchConfig.max_open_jobs allows ({config.max_open_jobs}). "
            "Next: once sync finds that one of them has ended."
        )
    key = QuotaKey(fingerprint=context.fingerprint, model=candidate.spec.model)
    enqueued = read_enqueued(connection, key)
    ceiling = read_ceiling(connection, key, bounds=config.ceiling_bounds, now=now)
    if ceiling.message is not None and ceiling.is_closed(enqueued, now=now):
        return ceiling.message
    requests, tokens = ceiling.requests - enqueued.requests, ceiling.tokens - enqueued.tokens
    full = (
        f"open already: {counted(enqueued.jobs, 'job')} of about {enqueued.tokens:,} tokens. "
        f"Before the provider has taken more, at most {ceiling.tokens:,} tokens and "
        f"{counted(ceiling.requests, 'text')} are (BatchConfig.first_job_tokens at first). Next: "
        "once sync finds that one of these jobs has ended."
    )
    if min(requests, tokens) <= 0 < enqueued.jobs:
        return full
    storable = _storable(connection, context, candidate)
    if storable <= 0 < count_at_provider(connection):
        return (
            "the results of the open jobs may fill the provider's file storage "
            f"({context.provider.limits.storage_bytes / 1e9:.0f} GB for a project). Next: once sync finds "
            "that one of them has ended. BatchConfig.max_open_jobs and max_requests bound them."
        )
    return _Room(
        limits=ClaimLimits(
            requests=max(1, min(config.max_requests, requests, storable)),
            source_bytes=config.max_source_bytes,
            tokens=max(1, min(config.max_tokens, tokens)),
        ),
        tokens=tokens if enqueued.jobs else None,
        full=full,
    )


def _storable(connection: Connection, context: BatchContext, candidate: Candidate) -> int:
    limits = context.provider.limits
    stored = stored_bytes(
        connection,
        context.fingerprint,
        number_bytes=limits.result_number_bytes,
        line_bytes=limits.result_line_bytes,
    )
    numbers = candidate.spec.dimensions or 0
    line_bytes = numbers * limits.result_number_bytes + limits.result_line_bytes
    return (limits.storage_bytes - stored) // line_bytes


def check_batchable(store: BaseVectorStore, name: str | None) -> None:
    """Check that the provider can make the vectors of a collection; None means all.

    It is a NotBatchableError where the collection belongs to a foreign embedder.
    """
    if name is None:
        return
    with store.database.snapshot() as connection:
        collection_id(connection, name)
        found = find_collection(connection, name)
    if found is not None and found.spec.is_external:
        raise NotBatchableError(
            f"Collection {name!r} belongs to the foreign embedder {found.spec.model!r}: the Batch API "
            "cannot make its vectors. Save its chunks with their vectors, or use a collection with "
            "the spec of a provider."
        )
