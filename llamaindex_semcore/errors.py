"""What LlamaIndex can ask for and this store cannot do."""

from __future__ import annotations

from typing import Self

from semantic_core import ConfigurationError, InvalidInputError


class UnsupportedQueryError(InvalidInputError, NotImplementedError):
    """The vector store cannot do what this query asks for. The message names what it can do."""


class DeferredVectorError(ConfigurationError):
    """Something computes with the vector of a text that has none yet. Nothing was sent or billed."""

    @classmethod
    def of_text(cls) -> Self:
        """Return the error for a text that waits for the Batch API."""
        return cls(
            "This text has no vector yet: DeferredEmbedding leaves documents to the Batch API. "
            "Nothing was sent or billed. What computes with vectors at once, such as a semantic "
            "splitter or an evaluator, needs an embed model that embeds at once; and of vector "
            "stores only SemcoreVectorStore takes nodes without a vector."
        )

    @classmethod
    def of_query(cls, problem: str) -> Self:
        """Return the error for a query that could not be embedded."""
        return cls(
            "The query has no vector. SemcoreVectorStore answers such a query by keyword; nothing "
            "else can compute with it. Mend the cause, or let "
            f'DeferredEmbedding(on_query_error="raise") say it at once. The cause: {problem}'
        )
