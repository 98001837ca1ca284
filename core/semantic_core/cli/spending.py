"""What a receipt comes to, also where a model of it has no price here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from semantic_core.pricing import DEFAULT_PRICES, Cost
from semantic_core.receipts import Receipt
from semantic_core.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The tokens of a receipt, parted by whether their price is known.

    Attributes:
        cost: of those with a price; None if there are only others.
        unpriced: the others, by model.
    """

    cost: Cost | None
    unpriced: Mapping[str, int]

    @property
    def gap(self) -> str:
        """What the cost leaves out, as a sentence without its end; empty if it is nothing."""
        if not self.unpriced:
            return ""
        parts = (
            f"{counted(tokens, 'token')} of {model}" for model, tokens in self.unpriced.items()
        )
        verb = "has" if sum(self.unpriced.values()) == 1 else "have"
        return f"{' and '.join(parts)} {verb} no price here"


def spending(receipt: Receipt) -> Spending:
    """Part the tokens of a receipt; its own sums are None as soon as one price is missing."""
    costs = []
    unpriced: Counter[str] = Counter()
    for job in receipt.jobs:
        if not job.token_count:
            continue
        cost = DEFAULT_PRICES.cost(job.model, job.token_count)
        if cost is None:
            unpriced[job.model] += job.token_count
        else:
            costs.append(cost)
    if unpriced and not costs:
        return Spending(cost=None, unpriced=unpriced)
    total = Cost(
        tokens=sum(cost.tokens for cost in costs),
        live_usd=sum(cost.live_usd for cost in costs),
        batch_usd=sum(cost.batch_usd for cost in costs),
    )
    return Spending(cost=total, unpriced=unpriced)
