"""How numbers, moments and texts are written for people, in a terminal and in a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

# Dollars; what costs less costs something all the same.
_LEAST_SHOWN = 0.0001

# What a terminal obeys instead of showing (C0, DEL and C1: colours, the clipboard, the cursor), what
# ends a line, what turns the direction of the text behind it, and halves of characters.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


# Measured in tests/core/domain/test_pricing.py.
HOW_FAR_OFF = (
    "Tokens are estimated by script, on the careful side: prose mostly has a fifth to a half "
    "fewer; random letters, as in hexadecimal digests, can have a quarter more."
)


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


def job_tokens(tokens: int | None, uncounted: int, estimated: int) -> str:
    """Return a job's tokens for a table; "~" stands for a number that is an estimate, or holds one."""
    if tokens is None:
        return f"~{estimated:,}"
    return f"~{tokens:,}" if uncounted else f"{tokens:,}"


def part_estimated(tokens: int, estimated: int) -> str:
    """Return what is to be said of tokens of which the provider did not count all; mostly nothing."""
    if not estimated:
        return ""
    if estimated == tokens:
        return "estimated, since the provider counted none"
    return f"{estimated:,} of them estimated, since the provider did not count them"


def without_price(tokens_by_model: Iterable[tuple[str, int]]) -> str:
    """Return what a sum of money leaves out, as a sentence without its end; empty if nothing."""
    parts = [f"{counted(tokens, 'token')} of {model}" for model, tokens in tokens_by_model]
    if not parts:
        return ""
    verb = "has" if len(parts) == 1 and parts[0].startswith("1 token ") else "have"
    return f"{' and '.join(parts)} {verb} no price here"


def moment(epoch: float | None) -> str:
    """Return a moment in UTC to the minute; it stays true in a notebook that is opened later."""
    if epoch is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):  # no moment of any calendar
        return "unknown"


def visible(text: str) -> str:
    r"""Return a text from outside so that it is shown and nothing of it is obeyed.

    What a reader would not see stands as JSON escapes it, such as ``\\u001b``: within a string of
    JSON that is the same character still.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shorten(text: str, width: int) -> str:
    """Return a text on one line, cut to a width."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"
