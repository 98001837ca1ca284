"""How much the next job may cost, so that no budget is passed."""

from __future__ import annotations

import sqlite3

from semantic_core.batches.config import BatchConfig
from semantic_core.errors import BudgetExceededError
from semantic_core.receipts import spent_this_month


def affordable_tokens(
    connection: sqlite3.Connection,
    model: str,
    *,
    config: BatchConfig,
    max_cost: float | None,
    now: float,
) -> int | None:
    """Return how many tokens the next job may hold, or None where nothing limits them.

    Asked within the transaction that claims, so that two flushes cannot spend the same money.

    Raises:
        BudgetExceededError: nothing is left, or the model's price is not known.
    """
    if max_cost is None and config.monthly_budget_usd is None:
        return None

    price = config.prices.prices.get(model)
    if price is None:
        raise BudgetExceededError(
            f"No price is known for {model!r}, so no budget can be kept. Pass "
            "BatchConfig(prices=...) with its price, or lift the budget. Nothing was sent."
        )
    left = [] if max_cost is None else [max_cost]
    if config.monthly_budget_usd is not None:
        spent = spent_this_month(connection, now=now, prices=config.prices)
        left.append(config.monthly_budget_usd - spent)
    if min(left) <= 0:
        raise budget_exceeded(config, max_cost)
    return None if price.batch == 0 else int(min(left) / price.batch * 1_000_000)


def budget_exceeded(config: BatchConfig, max_cost: float | None) -> BudgetExceededError:
    """Return the error that names the limits."""
    limits, next_step = [], "Raise the limit."
    if max_cost is not None:
        limits.append(f"max_cost=${max_cost:g}")
    if config.monthly_budget_usd is not None:
        limits.append(f"monthly_budget_usd=${config.monthly_budget_usd:g}")
        next_step = "Raise the limit, or wait for the next month (UTC)."
    return BudgetExceededError(
        f"The next batch job would pass {' and '.join(limits)}. Nothing was sent, and nothing is "
        f"lost: the texts wait. {next_step}"
    )
