"""Filters in the languages of other vector stores: never too narrow, and too wide where it must be.

Who asks with them filters what comes back once more. They differ from ours in what they make of a
missing key, of a list, and of 1, 1.0, True and "1"; what is known of each was tried on it.
"""

import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from semantic_core.domain.errors import InvalidFilterError
from semantic_core.filters.operators import Operator
from semantic_core.filters.tree import And, Condition, Filter, Not, merged_parts, positive

# Each bound is asked for with the number itself: where a store rounds numbers to floats, what lies
# just beyond is equal to it.
_BOUNDS = {
    Operator.GT: Operator.GTE,
    Operator.GTE: Operator.GTE,
    Operator.LT: Operator.LTE,
    Operator.LTE: Operator.LTE,
}

_SIGNS = {Operator.GTE: ">=", Operator.LTE: "<="}

# What a condition or a group becomes; None for everything.
_Native = Any


@dataclass(frozen=True, slots=True)
class _Language:
    """How a vector store says it.

    Attributes:
        among: the key has one of these values, or (negated) none of them.
        bound: the key has a number that is at least (gte) or at most (lte) this one.
        join: ``and`` or ``or`` of two or more.
    """

    among: Callable[[str, Sequence[Any], bool], _Native]
    bound: Callable[[str, Operator, float], _Native]
    join: Callable[[str, list[_Native]], _Native]


def foreign_filter(
    filters: Filter, language: str, *, prefix: str = "", taken: Collection[str] = ()
) -> Any:
    """Return a filter in another language, or None where that cannot narrow anything down.

    Args:
        filters: what is asked.
        language: ``qdrant`` or ``chroma`` (dicts), ``milvus`` (a string), or ``pgvector`` (a dict
            for LangChain's PGVectorStore, whose values are texts).
        prefix: stands before each key.
        taken: keys that the store has for itself.

    Raises:
        InvalidFilterError: the store has no such operator, or no such key.
    """
    return _translate(filters, _Translation(_LANGUAGES[language], language, prefix, taken))


@dataclass(frozen=True, slots=True)
class _Translation:
    language: _Language
    name: str
    prefix: str
    taken: Collection[str]


def _translate(part: Filter, to: _Translation, *, is_negated: bool = False) -> _Native:
    if isinstance(part, Condition):
        part = positive(part)
    if isinstance(part, Not):
        return _translate(part.part, to, is_negated=not is_negated)
    if isinstance(part, Condition):
        return _condition(part, to, is_negated=is_negated)
    # Not all is any not; and the other way round.
    word = "and" if isinstance(part, And) is not is_negated else "or"
    found = [_translate(one, to, is_negated=is_negated) for one in merged_parts(part)]
    return _joined(to.language, word, found)


def _joined(language: _Language, word: str, parts: Sequence[_Native]) -> _Native:
    kept = [part for part in parts if part is not None]
    if not kept or (word == "or" and len(kept) < len(parts)):
        return None
    return kept[0] if len(kept) == 1 else language.join(word, kept)


def _condition(part: Condition, to: _Translation, *, is_negated: bool) -> _Native:
    operator, value, language = part.operator, part.value, to.language
    key = to.prefix + part.key
    if part.key.isidentifier() and part.key.isascii() and part.key not in to.taken:
        if operator is Operator.EQ and not isinstance(value, tuple):
            return language.among(key, [value], is_negated)
        if operator is Operator.IN:
            return language.among(key, value, is_negated) if value else None
        limits = [(operator, value)]
        if operator is Operator.BETWEEN:
            limits = [(Operator.GTE, value[0]), (Operator.LTE, value[1])]
        # Texts have another order in each store.
        if not is_negated and all(
            one in _BOUNDS and not isinstance(limit, str) for one, limit in limits
        ):
            return _joined(
                language, "and", [language.bound(key, _BOUNDS[one], limit) for one, limit in limits]
            )
    raise InvalidFilterError(
        f"{to.name} cannot be asked for {'not ' * is_negated}${operator} on {part.key!r}. Pass "
        "target_filter, the same in its own language, beside the filter; or search by keyword."
    )


# --- Qdrant: a condition is true of a list if it is of one of its items; [] asks lists alone ------


def _qdrant_among(key: str, values: Sequence[Any], is_negated: bool) -> _Native:  # noqa: FBT001  # a callback
    def any_of(place: str) -> dict[str, Any]:
        texts = [value for value in values if isinstance(value, str)]
        matches: list[dict[str, Any]] = [{"key": place, "match": {"any": texts}}] if texts else []
        for value in values:
            if isinstance(value, int):
                matches.append({"key": place, "match": {"value": value}})
            if not isinstance(value, bool | str):
                # An integer and a float never match each other, but both are in a range.
                matches.append({"key": place, "range": {"gte": value, "lte": value}})
        return {"should": matches}

    if is_negated:
        return {"should": [{"must_not": [any_of(key)]}, any_of(f"{key}[]")]}
    return any_of(key)


# --- Chroma: one type a list ----------------------------------------------------------------------


def _chroma_among(key: str, values: Sequence[Any], is_negated: bool) -> _Native:  # noqa: FBT001  # a callback
    if is_negated:
        # LlamaIndex's store writes "" for a null, and Chroma takes 2.5 for the integer 2.
        values = [value for value in values if value != "" and _is_exact(value)]
    operator, word = ("$nin", "and") if is_negated else ("$in", "or")
    groups = ([one for one in values if type(one) is kind] for kind in (str, bool, int, float))
    lists = [{key: {operator: group}} for group in groups if group]
    return _joined(_LANGUAGES["chroma"], word, lists)


def _is_exact(value: object) -> bool:
    """Whether a number is the same as an integer and as a float. Anything else is."""
    return not isinstance(value, int | float) or (value == value // 1 and abs(value) < 2**53)


# --- Milvus: 1 is True; a missing key fails everything, negated or not ----------------------------


def _milvus_among(key: str, values: Sequence[Any], is_negated: bool) -> _Native:  # noqa: FBT001  # a callback
    # Not by `in`, which some versions cannot ask of a key that has lists in other rows.
    if not is_negated:
        return _milvus_join("or", [f"{key} == {_milvus_value(value)}" for value in values])
    others = [value for value in values if value not in (0, 1)]
    nots = [f"(not exists {key} or not ({key} == {_milvus_value(value)}))" for value in others]
    return _joined(_LANGUAGES["milvus"], "and", nots)


def _milvus_value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _milvus_join(word: str, parts: list[_Native]) -> _Native:
    return f"({f' {word} '.join(parts)})"


# --- pgvector, in both packages: values are compared as the texts that JSON has for them ----------


def _pgvector_among(key: str, values: Sequence[Any], is_negated: bool) -> _Native:  # noqa: FBT001  # a callback
    if not is_negated:
        return {key: {"$in": [text for value in values for text in _json_texts(value)]}}
    # The text of "1" is that of 1, too: only what is no JSON can be left out.
    others = [value for value in values if isinstance(value, str) and not _is_json(value)]
    if not others:
        return None
    return {"$or": [{key: {"$exists": False}}, {key: {"$nin": others}}]}


def _json_texts(value: Any) -> list[str]:
    """Return each text that a value may have in a JSON or JSONB column."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, bool):
        return [json.dumps(value)]
    texts = {repr(value), format(Decimal(repr(value)), "f")}
    if abs(value) < 2**63 and value == math.floor(value):
        texts |= {str(int(value)), f"{int(value)}.0", repr(float(value))}
    return sorted(texts)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _dollar(among: Callable[[str, Sequence[Any], bool], _Native]) -> _Language:
    return _Language(
        among,
        bound=lambda key, operator, value: {key: {f"${operator}": float(value)}},
        join=lambda word, parts: {f"${word}": parts},
    )


_LANGUAGES = {
    "qdrant": _Language(
        _qdrant_among,
        bound=lambda key, operator, value: {
            "must": [{"key": key, "range": {operator.value: value}}]
        },
        join=lambda word, parts: {"must" if word == "and" else "should": parts},
    ),
    "chroma": _dollar(_chroma_among),
    "milvus": _Language(
        _milvus_among,
        bound=lambda key, operator, value: f"{key} {_SIGNS[operator]} {_milvus_value(value)}",
        join=_milvus_join,
    ),
    "pgvector": _dollar(_pgvector_among),
}
