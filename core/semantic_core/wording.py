"""How numbers, moments and long texts are written for people, in a terminal and in a notebook."""

from __future__ import annotations

from datetime import UTC, datetime

# Dollars; what costs less costs something all the same.
_LEAST_SHOWN = 0.0001


def money(dollars: float | None) -> str:
    """Return a price; embeddings are cheap enough to need more than cents."""
    if dollars is None:
        return "unknown"
    if dollars < 0:
        return f"-{money(-dollars)}"
    if dollars >= 1:
        return f"${dollars:,.2f}"
    if 0 < dollars < _LEAST_SHOWN:
        return f"<${_LEAST_SHOWN}"
    return f"${dollars:.4f}" if dollars else "$0"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural is regular."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(epoch: float | None) -> str:
    """Return a moment in UTC to the minute; it stays true in a notebook that is opened later."""
    return "-" if epoch is None else f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M} UTC"


def shorten(text: str, width: int) -> str:
    """Return a text on one line, cut to a width."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
