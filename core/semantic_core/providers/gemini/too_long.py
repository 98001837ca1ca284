"""Texts over a model's limit: refused, or embedded only in part, which is as good as not at all."""

import re

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import TOO_LONG
from semantic_core.providers.gemini.models import model_facts

CUT = "only its beginning was embedded"

# How a refusal speaks of a text that is too long, or of a request that is too large for one.
_WORDS = re.compile(
    r"token count|too many tokens|number of tokens|token limit|context length|too long|too large"
    r"|payload size|exceeds the (?:maximum|limit)",
    re.IGNORECASE,
)


def says_too_long(words: str) -> bool:
    return bool(_WORDS.search(words))


def is_full(tokens: int | None, spec: EmbeddingSpec) -> bool:
    """Return whether a text counts all the tokens that its model takes: what came after is lost."""
    limit = model_facts(spec.model).token_limit
    return tokens is not None and limit is not None and tokens >= limit


def too_long(spec: EmbeddingSpec, why: str) -> str:
    """Return the reason that is kept on a chunk; it begins with `TOO_LONG`.

    A vector of only the beginning is not that of the exact text, so it is never stored.
    """
    limit = model_facts(spec.model).token_limit
    takes = "" if limit is None else f", which takes {limit:,} tokens"
    return f"{TOO_LONG} for {spec.model}{takes}: {why}"
