"""How much the next job may cost, so that no budget is passed."""

from semantic_core.batches.config import BatchConfig
from semantic_core.batches.receipts import spent_this_month
from semantic_core.database.port import Connection
from semantic_core.domain.errors import BudgetExceededError
from semantic_core.providers.facts import LONGEST_LIMIT, model_facts
from semantic_core.queue.jobs import count_at_provider


def affordable_tokens(
    connection: Connection, model: str, *, config: BatchConfig, max_cost: float | None, now: float
) -> int | None:
    """Return how many tokens the next job may hold, or None where nothing limits them.

    Asked within the transaction that claims, so that two flushes cannot spend the same money.
    Where nothing is left, or the model's price is not known, it raises a BudgetExceededError.
    """
    if max_cost is None and config.monthly_budget_usd is None:
        return None

    price = config.prices.prices.get(model)
    if price is None:
        raise BudgetExceededError(
            f"No price is known for {model!r}, so no budget can be kept. Pass "
            "BatchConfig(prices=...) with its price, or lift the budget. None of its texts was sent."
        )
    check = _set_aside(model, config)
    left = [] if max_cost is None else [max_cost - check]
    if config.monthly_budget_usd is not None:
        spent = spent_this_month(connection, now=now, prices=config.prices)
        # Jobs that are open have their checks still before them.
        checks = check * (1 + count_at_provider(connection))
        left.append(config.monthly_budget_usd - spent - checks)
    if min(left) <= 0:
        raise budget_exceeded(config, max_cost)
    return None if price.batch == 0 else int(min(left) / price.batch * 1_000_000)


def price_of_check(
    connection: Connection,
    model: str,
    tokens: int,
    *,
    config: BatchConfig,
    now: float,
    is_set_aside: bool,
) -> float | None:
    """Return what embedding this many tokens live costs, or None where no price is known.

    Asked within the transaction that records it. What was set aside when a job was claimed is
    not refused now: its results are paid for, and the provider keeps them for two days only.
    Anything else that would pass the monthly budget raises a BudgetExceededError.
    """
    cost = config.prices.cost(model, tokens)
    live = None if cost is None else cost.live_usd
    if is_set_aside or config.monthly_budget_usd is None:
        return live
    spent = spent_this_month(connection, now=now, prices=config.prices)
    if live is None or spent + live > config.monthly_budget_usd:
        raise BudgetExceededError(
            f"A spot check of about {tokens:,} tokens of {model!r} would pass monthly_budget_usd="
            f"${config.monthly_budget_usd:g}, or has no known price. Nothing was sent. Raise the "
            "limit, check fewer texts, or wait for the next month (UTC)."
        )
    return live


def _set_aside(model: str, config: BatchConfig) -> float:
    tokens = config.spot_check * (model_facts(model).token_limit or LONGEST_LIMIT)
    cost = config.prices.cost(model, tokens)
    return 0.0 if cost is None else cost.live_usd


def budget_exceeded(config: BatchConfig, max_cost: float | None) -> BudgetExceededError:
    limits, next_step = [], "Raise the limit."
    if max_cost is not None:
        limits.append(f"max_cost=${max_cost:g}")
    if config.monthly_budget_usd is not None:
        limits.append(f"monthly_budget_usd=${config.monthly_budget_usd:g}")
        next_step = "Raise the limit, or wait for the next month (UTC)."
    return BudgetExceededError(
        f"The budget is used up: the next batch job would pass {' and '.join(limits)}. Nothing was sent, "
        f"and nothing is lost: the texts wait. {next_step}"
    )
