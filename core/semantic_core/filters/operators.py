"""The operators of a filter, and the values that each takes."""

import math
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from reprlib import repr as short
from typing import TypeGuard

from semantic_core.domain.errors import InvalidFilterError
from semantic_core.domain.validation import check_text

Scalar = str | int | float | bool

# SQLite takes patterns of up to 50,000 bytes, and its matcher recurses at each wildcard.
MOST_PATTERN = 1000


class Operator(StrEnum):
    """The test of one metadata value. In a dict its name has a ``$`` before it.

    Numbers equal numbers (1 and 1.0), a bool is not a number, a number never matches a string.
    Whole numbers in metadata beyond 64 bits compare as floats.
    """

    EQ = "eq"  #: the same string, number or bool; or a list of the same items in the same order
    NE = "ne"  #: not eq
    GT = "gt"  #: numbers by size, strings by code point; so are the next four
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    BETWEEN = "between"  #: from the first to the second of two values, both included
    IN = "in"  #: eq to one of a list; to none of an empty one
    NIN = "nin"  #: not in
    ANY = "any"  #: a list that holds one of these values; of no values, none does
    ALL = "all"  #: a list that holds each of these values; of no values, everything matches
    CONTAINS = "contains"  #: a list that holds this value
    TEXT_MATCH = "text_match"  #: a string with this literal text in it
    TEXT_MATCH_INSENSITIVE = "text_match_insensitive"  #: the same after str.lower() of both
    LIKE = "like"  #: the whole string; % matches any text, _ one character; no escape
    ILIKE = "ilike"  #: the same after str.lower() of both
    IS_EMPTY = "is_empty"  #: missing, null, "" or []; with False the opposite
    EXISTS = "exists"  #: the key is there, even with a null; with False the opposite


CHOICE = f"Operators: {', '.join('$' + name for name in Operator)}; to join: $and, $or, $not."


def unknown_operator(name: object, key: str | None = None) -> InvalidFilterError:
    place = "" if key is None else f" on {short(key)}"
    return InvalidFilterError(f"Unknown filter operator {short(name)}{place}. {CHOICE}")


def check_key(key: object) -> None:
    """Check that metadata can hold a key, or raise `InvalidFilterError`."""
    if not isinstance(key, str):
        raise InvalidFilterError(f"The filter key {short(key)} is not a string.")
    check_text(key, what=f"the filter key {short(key)}", kind=InvalidFilterError)


def fitting_value(key: str, operator: Operator, value: object) -> object:
    """Return a value as its operator needs it: in plain types, a list as a tuple; or raise."""
    return _FITTING[operator](f"${operator} on {short(key)}", value)


def _scalar(place: str, value: object) -> Scalar:
    """Return a plain string, number or bool, even of a subclass such as an enum's member."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_text(value, what=f"the value of {place}", kind=InvalidFilterError)
        return str.__str__(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidFilterError(f"{place} has a whole number beyond 64 bits. Use a float.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidFilterError(f"{place} has the value {value}. Leave that bound out.")
        return float(value)
    if value is None:
        raise InvalidFilterError(
            f"{place} has the value None, which nothing equals. Ask with $exists or $is_empty."
        )
    raise _misfit(place, "a string, number or bool", value)


def _scalar_or_list(place: str, value: object) -> Scalar | tuple[Scalar, ...]:
    if _is_list(value):
        return tuple(_scalar(place, item) for item in value)
    return _scalar(place, value)


def _scalars(place: str, value: object) -> tuple[Scalar, ...]:
    if not _is_list(value):
        raise _misfit(place, "a list of strings, numbers or bools", value)
    return tuple(_scalar(place, item) for item in value)


def _orderable(place: str, value: object) -> Scalar:
    if isinstance(value, bool):
        raise _misfit(place, "a string or a number", value)
    return _scalar(place, value)


def _bounds(place: str, value: object) -> tuple[Scalar, Scalar]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _misfit(place, "a list of two values, the lowest and the highest", value)
    low, high = (_orderable(place, bound) for bound in value)
    if isinstance(low, str) != isinstance(high, str):
        raise InvalidFilterError(f"{place} takes two numbers or two strings, not one of each.")
    return low, high


def _text(place: str, value: object) -> Scalar:
    if not isinstance(value, str):
        raise _misfit(place, "a string", value)
    return _scalar(place, value)


def _pattern(place: str, value: object) -> Scalar:
    text = _text(place, value)
    if len(str(text)) > MOST_PATTERN:
        raise InvalidFilterError(
            f"{place} has a pattern of more than {MOST_PATTERN} characters. Use $text_match."
        )
    return text


def _yes_or_no(place: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _misfit(place, "True or False", value)
    return value


def _is_list(value: object) -> TypeGuard[Collection[object]]:
    return isinstance(value, Collection) and not isinstance(
        value, str | bytes | bytearray | memoryview | Mapping
    )


def _misfit(place: str, wanted: str, value: object) -> InvalidFilterError:
    return InvalidFilterError(f"{place} takes {wanted}, not a {type(value).__name__}.")


_FITTING: dict[Operator, Callable[[str, object], object]] = {
    Operator.EQ: _scalar_or_list,
    Operator.NE: _scalar_or_list,
    Operator.GT: _orderable,
    Operator.GTE: _orderable,
    Operator.LT: _orderable,
    Operator.LTE: _orderable,
    Operator.BETWEEN: _bounds,
    Operator.IN: _scalars,
    Operator.NIN: _scalars,
    Operator.ANY: _scalars,
    Operator.ALL: _scalars,
    Operator.CONTAINS: _scalar,
    Operator.TEXT_MATCH: _text,
    Operator.TEXT_MATCH_INSENSITIVE: _text,
    Operator.LIKE: _pattern,
    Operator.ILIKE: _pattern,
    Operator.IS_EMPTY: lambda place, value: True if value is None else _yes_or_no(place, value),
    Operator.EXISTS: _yes_or_no,
}
