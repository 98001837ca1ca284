"""Estimates of what waits, and receipts of what was sent."""

from collections import Counter
from datetime import UTC, datetime

from semantic_core.database.marks import refusal
from semantic_core.database.port import Connection
from semantic_core.domain.pricing import Cost, PriceTable
from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.providers.facts import caution, model_facts
from semantic_core.queue.checks import spent_on_checks
from semantic_core.queue.costs import reused_vectors, spent_since, waiting_tokens
from semantic_core.queue.jobs import list_jobs


def estimate_waiting(
    connection: Connection, *, collection_id: int | None, prices: PriceTable, now: float
) -> Estimate:
    waiting = waiting_tokens(connection, collection_id=collection_id)
    costs = [prices.cost(part.model, part.tokens) for part in waiting]
    known = Cost.sum(cost for cost in costs if cost is not None)
    is_known = None not in costs
    return Estimate(
        chunks=sum(part.chunks for part in waiting),
        texts=sum(part.texts for part in waiting),
        tokens=sum(part.tokens for part in waiting),
        live_usd=known.live_usd if is_known else None,
        batch_usd=known.batch_usd if is_known else None,
        repeated_tokens=sum(part.repeated_tokens for part in waiting),
        priced_as_of=prices.as_of,
        pictures=sum(part.pictures for part in waiting),
        picture_tokens=sum(
            part.pictures * model_facts(part.model).picture_tokens for part in waiting
        ),
        cautions=read_cautions(connection, collection_id=collection_id, prices=prices, now=now),
    )


def read_cautions(
    connection: Connection, *, collection_id: int | None, prices: PriceTable, now: float
) -> tuple[str, ...]:
    waiting = waiting_tokens(connection, collection_id=collection_id)
    cautions = [caution(part.model, prices=prices, now=now) for part in waiting]
    moved = refusal(connection, "This database")
    return tuple(filter(None, [*cautions, str(moved) if moved else None]))


def write_receipt(
    connection: Connection, *, since: float, until: float | None, prices: PriceTable
) -> Receipt:
    spent = spent_since(connection, since, until=until)
    known = [part for part in spent if part.is_known]
    costs: list[Cost] = []
    unpriced: Counter[str] = Counter()
    for part in known:
        cost = part.cost(prices)
        if cost is not None:
            costs.append(cost)
        elif part.tokens:
            unpriced[part.model] += part.tokens
    priced = Cost.sum(costs)
    jobs = tuple(
        job
        for job in list_jobs(connection)
        if job.created_at >= since and (until is None or job.created_at < until)
    )
    chunks, tokens, guessed = reused_vectors(connection)
    check_tokens, check_usd = spent_on_checks(connection, since, until=until)
    return Receipt(
        jobs=jobs,
        tokens=sum(part.tokens for part in known),
        estimated_tokens=sum(part.uncounted for part in known),
        open_tokens=sum(part.tokens for part in spent if not part.is_known),
        texts=sum(job.done_count for job in jobs if job.token_count is not None),
        batch_usd=None if unpriced else priced.batch_usd,
        live_usd=None if unpriced else priced.live_usd,
        priced=priced,
        unpriced=tuple(sorted(unpriced.items())),
        reused_chunks=chunks,
        reused_tokens=tokens,
        reused_estimated_tokens=guessed,
        check_tokens=check_tokens,
        check_usd=check_usd,
        pictures=sum(job.picture_count for job in jobs),
        picture_tokens=sum(
            job.picture_count * model_facts(job.model).picture_tokens for job in jobs
        ),
    )


def spent_this_month(connection: Connection, *, now: float, prices: PriceTable) -> float:
    """Return what the jobs and spot checks of this calendar month (UTC) cost, in dollars.

    Where nobody knows, they are taken as billed.
    """
    moment = datetime.fromtimestamp(now, UTC)
    start = datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()
    costs = [part.cost(prices) for part in spent_since(connection, start)]
    _, checks = spent_on_checks(connection, start)
    return (checks or 0.0) + sum(cost.batch_usd for cost in costs if cost is not None)
