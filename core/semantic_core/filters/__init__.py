"""One metadata-filter tree. Both adapters translate into it.

A filter is two-valued: a missing key or a null fails every operator except ``ne``, ``nin`` and
``is_empty`` (``exists`` asks for the key alone, so a null is there). Keys are looked up at the
top level, exactly as they are written: a dot in a key is a dot. Nothing a user passes becomes
SQL: keys, values and patterns are bound.
"""

from semantic_core.filters.foreign import foreign_filter as foreign_filter
from semantic_core.filters.operators import Operator as Operator
from semantic_core.filters.parsing import parse_filter as parse_filter
from semantic_core.filters.tree import And as And
from semantic_core.filters.tree import Condition as Condition
from semantic_core.filters.tree import Filter as Filter
from semantic_core.filters.tree import Not as Not
from semantic_core.filters.tree import Or as Or
from semantic_core.filters.tree import merged_parts as merged_parts
from semantic_core.filters.tree import positive as positive
