from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters

from semantic_core.api import And, Condition, Filter, InvalidFilterError, Not, Operator, Or


def to_filter(filters: MetadataFilters | None) -> Filter | None:
    """Translate filters; None where nothing is asked."""
    if filters is None or not filters.filters:
        return None
    return _to_group(filters)


def _to_group(filters: MetadataFilters) -> Filter:
    if not filters.filters:
        raise InvalidFilterError(
            "A nested MetadataFilters has no filters. Leave it out, or give it some."
        )
    # One after the other, for as long as there are not too many.
    parts: Any = (
        _to_group(part) if isinstance(part, MetadataFilters) else _to_condition(part)
        for part in filters.filters
    )
    if filters.condition is FilterCondition.OR:
        return Or(parts)
    if filters.condition is FilterCondition.NOT:
        # LlamaIndex: none of them may match.
        return Not(Or(parts))
    return And(parts)


def _to_condition(part: MetadataFilter) -> Condition:
    operator = Operator[part.operator.name]
    # LlamaIndex asks for a value everywhere, and has no meaning for it here.
    value = None if operator is Operator.IS_EMPTY else part.value
    return Condition(part.key, operator, value)
