from collections.abc import Iterator, Mapping
from itertools import islice, repeat
from reprlib import repr as short
from typing import Any

from semantic_core.domain.errors import InvalidFilterError
from semantic_core.filters.operators import CHOICE, Operator, check_key, unknown_operator
from semantic_core.filters.tree import (
    MOST_CONDITIONS,
    MOST_LEVELS,
    And,
    Condition,
    Filter,
    Not,
    Or,
    check_level,
    too_many,
)

_OPERATORS = {f"${operator}": operator for operator in Operator}


def parse_filter(filters: Filter | Mapping[str, Any] | None) -> Filter | None:
    """Return a filter tree, or None where there is no condition (None, or an empty dict).

    A dict has keys with values, or operators: ``{"lang": "en", "year": {"$gte": 2020}}``. All
    entries have to match. ``$and`` and ``$or`` take a list of filters, ``$not`` one, or a list of
    which none may match.

    Raises:
        InvalidFilterError: an unknown operator, a value that does not fit it, too many or too
            deeply nested conditions.
    """
    if filters is None or (isinstance(filters, Mapping) and not filters):
        return None
    if sum(1 for _ in islice(_conditions(filters, 1), MOST_CONDITIONS + 1)) > MOST_CONDITIONS:
        # Before any of them is parsed.
        raise too_many()
    return _parse(filters, 1)


def _conditions(filters: object, level: int) -> Iterator[None]:
    """Yield once for each entry that looks like a condition."""
    if isinstance(filters, Filter):
        yield from repeat(None, filters.size)
    elif isinstance(filters, Mapping) and level <= MOST_LEVELS:
        for key, value in filters.items():
            if key in ("$and", "$or", "$not"):
                for part in value if isinstance(value, list | tuple) else [value]:
                    yield from _conditions(part, level + 1)
            else:
                yield from repeat(None, len(value) if isinstance(value, Mapping) else 1)


def _parse(filters: object, level: int) -> Filter:
    check_level(level)
    if isinstance(filters, Filter):
        return filters
    if not isinstance(filters, Mapping):
        raise InvalidFilterError(
            "A filter is a dict such as {'year': {'$gte': 2020}}, not a "
            f"{type(filters).__name__}."
        )
    if not filters:
        raise InvalidFilterError(f"A part of the filter is an empty dict. {CHOICE}")
    return _all_of([_parse_entry(key, value, level) for key, value in filters.items()])


def _parse_entry(key: object, value: object, level: int) -> Filter:
    check_key(key)
    match key:
        case "$and":
            return And(_parse_list("$and", value, level))
        case "$or":
            return Or(_parse_list("$or", value, level))
        case "$not":
            is_one = isinstance(value, Mapping | Filter)
            return Not(
                _parse(value, level + 1) if is_one else Or(_parse_list("$not", value, level))
            )
        case str() if not key.startswith("$"):
            return _parse_condition(key, value)
        case _:
            raise unknown_operator(key)


def _parse_condition(key: str, value: object) -> Filter:
    if not isinstance(value, Mapping):
        return Condition(key, Operator.EQ, value)
    if not value:
        raise InvalidFilterError(f"The filter on {short(key)} is an empty dict. {CHOICE}")
    parts: list[Filter] = []
    for name, wanted in value.items():
        if name not in _OPERATORS:
            raise unknown_operator(name, key)
        parts.append(Condition(key, _OPERATORS[name], wanted))
    return _all_of(parts)


def _parse_list(word: str, value: object, level: int) -> tuple[Filter, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InvalidFilterError(f"{word} takes a list of one or more filters. {CHOICE}")
    return tuple(_parse(part, level + 1) for part in value)


def _all_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))
