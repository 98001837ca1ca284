"""Merge alternatives on one key into one list, which is looked up in one step."""

from __future__ import annotations

from semantic_core.filters.operators import Operator
from semantic_core.filters.tree import And, Condition, Filter, Or

# The operator of the list that an OR, or an AND, of these becomes.
_LISTS = {
    Or: {Operator.EQ: Operator.IN, Operator.IN: Operator.IN},
    And: {Operator.NE: Operator.NIN, Operator.NIN: Operator.NIN},
}


def merged_parts(group: And | Or) -> list[Filter]:
    """Return the parts of a group; those that compare the same key with a value become one list."""
    lists = _LISTS[type(group)]
    parts: list[Filter] = []
    wanted: dict[str, list[object]] = {}
    for part in group.parts:
        if isinstance(part, Condition) and part.operator in lists and not _is_list_itself(part):
            values = part.value if isinstance(part.value, tuple) else (part.value,)
            wanted.setdefault(part.key, []).extend(values)
        else:
            parts.append(part)
    (operator,) = set(lists.values())
    return [*(Condition(key, operator, values) for key, values in wanted.items()), *parts]


def _is_list_itself(part: Condition) -> bool:
    """Whether it compares with a list as a whole."""
    return part.operator in (Operator.EQ, Operator.NE) and isinstance(part.value, tuple)
