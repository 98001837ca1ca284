"""What LlamaIndex can ask for and this store cannot do."""

from __future__ import annotations

from semantic_core import InvalidInputError


class UnsupportedQueryError(InvalidInputError, NotImplementedError):
    """The vector store cannot do what this query asks for. The message names what it can do."""
