"""What a filter means, in plain Python: the one oracle every filter test is held against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from semantic_core.filters import And, Condition, Filter, Not, Operator, Or

_MISSING = object()


def matches(tree: Filter | None, metadata: Mapping[str, Any]) -> bool:
    """Return whether metadata passes a filter."""
    match tree:
        case None:
            return True
        case And(parts=parts):
            return all(matches(part, metadata) for part in parts)
        case Or(parts=parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part=part):
            return not matches(part, metadata)
        case Condition(key=key, operator=operator, value=wanted):
            return _holds(operator, metadata.get(key, _MISSING), wanted)


def _holds(operator: Operator, value: Any, wanted: Any) -> bool:  # noqa: C901, PLR0911, PLR0912  # the table itself
    absent = value is _MISSING or value is None
    match operator:
        case Operator.EXISTS:
            return (value is not _MISSING) == wanted
        case Operator.IS_EMPTY:
            return (absent or value in ("", [])) == wanted
        case Operator.NE:
            return not _same(value, wanted)
        case Operator.NIN:
            return not any(_same(value, one) for one in wanted)
        case Operator.ALL if not wanted:
            return True
    if absent:
        return False
    match operator:
        case Operator.EQ:
            return _same(value, wanted)
        case Operator.GT:
            return _order(value, wanted) == 1
        case Operator.GTE:
            return _order(value, wanted) in (0, 1)
        case Operator.LT:
            return _order(value, wanted) == -1
        case Operator.LTE:
            return _order(value, wanted) in (-1, 0)
        case Operator.BETWEEN:
            return _order(value, wanted[0]) in (0, 1) and _order(value, wanted[1]) in (-1, 0)
        case Operator.IN:
            return any(_same(value, one) for one in wanted)
        case Operator.ANY:
            return any(_contains(value, one) for one in wanted)
        case Operator.ALL:
            return all(_contains(value, one) for one in wanted)
        case Operator.CONTAINS:
            return _contains(value, wanted)
    if not isinstance(value, str):
        return False
    match operator:
        case Operator.TEXT_MATCH:
            return wanted in value
        case Operator.TEXT_MATCH_INSENSITIVE:
            return wanted.lower() in value.lower()
        case Operator.LIKE:
            return _like(wanted, value)
        case Operator.ILIKE:
            return _like(wanted.lower(), value.lower())
    raise AssertionError(operator)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list) and len(value) == len(wanted) and all(map(_same, value, wanted))
        )
    return _kind(value) == _kind(wanted) and _plain(value) == _plain(wanted)


def _contains(value: Any, wanted: Any) -> bool:
    return isinstance(value, list) and any(_same(one, wanted) for one in value)


def _order(value: Any, wanted: Any) -> int | None:
    if _kind(value) != _kind(wanted) or isinstance(value, bool):
        return None
    value, wanted = _plain(value), _plain(wanted)
    return (value > wanted) - (value < wanted)


def _kind(value: Any) -> type | None:
    for kind in (bool, int, str):
        if isinstance(value, kind):
            return kind
    return int if isinstance(value, float) else None


def _plain(value: Any) -> Any:
    """Return a value as SQLite holds it: a whole number beyond 64 bits is a float."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def _like(pattern: str, text: str) -> bool:
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(one, re.escape(one)) for one in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None
