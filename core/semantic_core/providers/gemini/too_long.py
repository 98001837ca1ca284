"""Texts over a model's limit: refused, or embedded only in part, which is as good as not at all."""

from __future__ import annotations

import re

from semantic_core.domain.limits import TOO_LONG
from semantic_core.domain.spec import EmbeddingSpec

CUT = "only its beginning was embedded"

# How a refusal speaks of a text that is too long, or of a request that is too large for one.
_WORDS = re.compile(
    r"token count|too many tokens|number of tokens|token limit|context length|too long|too large"
    r"|payload size|exceeds the (?:maximum|limit)",
    re.IGNORECASE,
)


def says_too_long(words: str) -> bool:
    """Return whether a refusal says that a text is too long."""
    return bool(_WORDS.search(words))


def is_full(tokens: int | None, spec: EmbeddingSpec) -> bool:
    """Return whether a text counts all the tokens that its model takes: what came after is lost."""
    return tokens is not None and spec.token_limit is not None and tokens >= spec.token_limit


def too_long(spec: EmbeddingSpec, why: str) -> str:
    """Return the reason that is kept on a chunk; it begins with `TOO_LONG`.

    A vector of only the beginning is not that of the exact text, so it is never stored.
    """
    takes = "" if spec.token_limit is None else f", which takes {spec.token_limit:,} tokens"
    return f"{TOO_LONG} for {spec.model}{takes}: {why}"
