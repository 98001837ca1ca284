from typing import Any

from langchain_core import structured_query as lc

from semantic_core.api import And, Condition, Filter, Not, Operator, Or


class SemcoreTranslator(lc.Visitor):
    """Translates the queries of `SelfQueryRetriever` for a `SemcoreVectorStore`.

    Pass it as `SelfQueryRetriever.from_llm(..., structured_query_translator=SemcoreTranslator())`.
    `contain` finds a list with the value in it, or a text with the value in it; `in` and `nin` take
    one value, too; a date is compared as ISO 8601 text.
    """

    allowed_operators = tuple(lc.Operator)
    allowed_comparators = tuple(lc.Comparator)

    def visit_operation(self, operation: lc.Operation) -> Filter:
        """Return what joins filters; of `not`, none may match."""
        parts = tuple(part.accept(self) for part in operation.arguments)
        match operation.operator:
            case lc.Operator.AND:
                return And(parts)
            case lc.Operator.OR:
                return Or(parts)
            case lc.Operator.NOT:
                return Not(Or(parts))

    def visit_comparison(self, comparison: lc.Comparison) -> Filter:
        """Return the test of one metadata value."""
        key, value = comparison.attribute, _plain(comparison.value)
        comparator = comparison.comparator
        if comparator is lc.Comparator.CONTAIN:
            in_list = Condition(key, Operator.CONTAINS, value)
            is_text = isinstance(value, str)
            return Or((in_list, Condition(key, Operator.TEXT_MATCH, value))) if is_text else in_list
        if comparator in (lc.Comparator.IN, lc.Comparator.NIN) and not isinstance(value, list):
            value = [value]
        return Condition(key, Operator(comparator.value), value)

    def visit_structured_query(
        self, structured_query: lc.StructuredQuery
    ) -> tuple[str, dict[str, Any]]:
        """Return what to look for, and the arguments of a search."""
        wanted = structured_query.filter
        options = {} if wanted is None else {"filter": wanted.accept(self)}
        return structured_query.query, options


def _plain(value: Any) -> Any:
    """Return a date as text: LangChain has ``{"date": "2024-05-06", "type": "date"}``."""
    if isinstance(value, list):
        return list(map(_plain, value))
    return value[value["type"]] if isinstance(value, dict) and "type" in value else value
