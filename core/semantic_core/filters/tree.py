"""The filter tree: values that are valid once they exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar

from semantic_core.domain.errors import InvalidFilterError
from semantic_core.filters.operators import Operator, check_key, fitting_value, unknown_operator

# SQLite parses nested parentheses on a stack of 100 and takes 1,000,000 bytes of SQL.
MOST_LEVELS = 12
MOST_CONDITIONS = 1000


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator (or its value, such as "eq") on one top-level key; a list becomes a tuple.

    Raises:
        InvalidFilterError: the operator is unknown, or the value does not fit it.
    """

    levels: ClassVar[int] = 1
    size: ClassVar[int] = 1

    key: str
    operator: Operator
    value: Any = None

    def __post_init__(self) -> None:
        check_key(self.key)
        try:
            operator = Operator(self.operator)
        except ValueError as error:
            raise unknown_operator(self.operator, self.key) from error
        object.__setattr__(self, "operator", operator)
        object.__setattr__(self, "value", fitting_value(self.key, operator, self.value))


@dataclass(frozen=True, slots=True)
class _Group:
    """Filters joined by one operator; an InvalidFilterError for none, or too many or deep ones."""

    parts: tuple[Filter, ...]
    levels: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # One more than allowed is enough to refuse: an endless iterable is not read to its end.
        object.__setattr__(self, "parts", tuple(islice(self.parts, MOST_CONDITIONS + 1)))
        if not self.parts:
            raise InvalidFilterError(
                f"{type(self).__name__}(()) joins nothing. Leave it out, or give it conditions."
            )
        _measure(self, self.parts)


class And(_Group):
    """Every part matches."""

    __slots__ = ()


class Or(_Group):
    """At least one part matches."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not match; a missing key counts as no match."""

    part: Filter
    levels: int = field(init=False, repr=False, compare=False)
    size: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _measure(self, (self.part,))


Filter = Condition | And | Or | Not


def check_level(level: int) -> None:
    """Check how deeply a filter is nested, or raise `InvalidFilterError`."""
    if level > MOST_LEVELS:
        raise InvalidFilterError(
            f"The filter is nested more than {MOST_LEVELS} levels deep. Flatten it."
        )


def too_many() -> InvalidFilterError:
    return InvalidFilterError(
        f"The filter has more than {MOST_CONDITIONS} conditions. Ask for many values of one key "
        "with $in."
    )


def _measure(node: _Group | Not, parts: tuple[Filter, ...]) -> None:
    for part in parts:
        if not isinstance(part, Filter):
            raise InvalidFilterError(
                f"{type(node).__name__} takes filters, not a {type(part).__name__}."
            )
    levels = 1 + max(part.levels for part in parts)
    size = sum(part.size for part in parts)
    check_level(levels)
    if size > MOST_CONDITIONS:
        raise too_many()
    object.__setattr__(node, "levels", levels)
    object.__setattr__(node, "size", size)


_OPPOSITES = {Operator.NE: Operator.EQ, Operator.NIN: Operator.IN}


def positive(condition: Condition) -> Condition | Not:
    """Return a condition as it is, or one with ``ne`` or ``nin`` as the Not of its opposite."""
    opposite = _OPPOSITES.get(condition.operator)
    return Not(Condition(condition.key, opposite, condition.value)) if opposite else condition


# The operator of the list that an OR, or an AND, of these becomes.
_LISTS = {
    Or: {Operator.EQ: Operator.IN, Operator.IN: Operator.IN},
    And: {Operator.NE: Operator.NIN, Operator.NIN: Operator.NIN},
}


def merged_parts(group: And | Or) -> list[Filter]:
    """Return the parts of a group; those that compare the same key with a value become one list.

    A list is looked up in one step.
    """
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
