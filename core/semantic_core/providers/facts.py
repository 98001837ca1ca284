"""What the providers say of their models and limits, without a key or a connection."""

from collections.abc import Sequence

from semantic_core.domain.errors import InvalidInputError, TextTooLongError
from semantic_core.domain.media import MediaBytes, StoredMedia, load_media
from semantic_core.domain.pricing import PriceTable, source_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.endpoint import way_back_to as way_back_to
from semantic_core.providers.gemini.models import LIMITS as LIMITS
from semantic_core.providers.gemini.models import MODELS, PRICES_DATE, PRICES_URL
from semantic_core.providers.gemini.models import model_facts as model_facts

DEFAULT_PRICES = PriceTable(
    prices={name: facts.price for name, facts in MODELS.items() if facts.price is not None},
    source=PRICES_URL,
    as_of=PRICES_DATE,
)
"""Prices of the paid tier."""

# Of a model that is not known here, nobody knows better.
LONGEST_LIMIT = max(facts.token_limit or 0 for facts in MODELS.values())


def caution(model: str, *, prices: PriceTable, now: float) -> str | None:
    """Return why no texts should be sent to a model, or None.

    That it has been shut down, or what it means that it has no price or no token limit here.
    """
    facts = model_facts(model)
    if ended := facts.end(now):
        return ended
    missing = []
    if model not in prices.prices:
        missing.append("price")
    if facts.token_limit is None:
        missing.append("token limit")
    if not missing:
        return None
    means = {
        "price": "what its jobs cost is in no estimate, budget or receipt (pass "
        "BatchConfig(prices=...) to have it there)",
        "token limit": "no text is refused here as too long for it",
    }
    return (
        f"No {' and no '.join(missing)} is known for the model {model!r}: "
        f"{', and '.join(means[name] for name in missing)}. Check its spelling at {prices.source}."
    )


def content_tokens(contents: Sequence[tuple[str, str | None]], spec: EmbeddingSpec) -> list[int]:
    """Return the estimated tokens of contents, each a vector source and a chunk's media.

    Pictures and pages count as the text that costs as much. What a foreign embedder takes is none
    of ours.
    """
    if spec.is_external:
        return [0] * len(contents)
    found = source_tokens([source for source, _ in contents], spec)
    picture = model_facts(spec.model).picture_tokens
    for place, (source, media) in enumerate(contents):
        if media is not None:
            found[place] *= bool(source.strip())
            found[place] += picture * len(load_media(media))
    return found


def takes_media(spec: EmbeddingSpec) -> bool:
    """Return whether the model of a spec embeds pictures and pages, too."""
    return not spec.is_external and bool(model_facts(spec.model).media_types)


def check_media(parts: Sequence[StoredMedia], spec: EmbeddingSpec, *, what: str) -> None:
    """Check that a model takes these pictures and pages, or raise `InvalidInputError`."""
    facts = model_facts(spec.model)
    for part in parts:
        if part.mime_type not in facts.media_types:
            takes = (
                f"takes {', '.join(facts.media_types)}" if facts.media_types else "takes only text"
            )
            raise InvalidInputError(
                f"{what} has {part.mime_type}, and {spec.model} {takes}. Use a collection whose "
                "model takes it, such as EmbeddingSpec.gemini_embedding_2(), in a terminal "
                "--model gemini-embedding-2. Nothing was sent."
            )
    _check_size([part.size for part in parts if part.page is None], spec, what=what)
    pages = sum(part.page is not None for part in parts)
    if len(parts) > facts.most_pictures or pages > 1:
        raise InvalidInputError(
            f"{what} has {len(parts) - pages} pictures and {pages} pages. {spec.model} takes "
            f"{facts.most_pictures} pictures, or a page with pictures, for one vector. Nothing was sent."
        )


def check_sent(parts: Sequence[MediaBytes], spec: EmbeddingSpec, *, what: str) -> None:
    """Check the size of a content's media as it is sent: a page's is not known before."""
    _check_size([len(part.data) for part in parts], spec, what=what)


def _check_size(sizes: Sequence[int], spec: EmbeddingSpec, *, what: str) -> None:
    most = model_facts(spec.model).media_bytes
    if sum(sizes) > most:
        raise InvalidInputError(
            f"{what} has pictures or pages of {sum(sizes):,} bytes, and {spec.model} takes "
            f"{most:,} for one vector. Scale them down. Nothing was sent."
        )


def check_length(text: str, spec: EmbeddingSpec, *, what: str) -> None:
    """Raise `TextTooLongError` for more UTF-8 bytes than the tokens of the model can hold.

    Whether what is shorter fits is the provider's call.
    """
    facts = model_facts(spec.model)
    limit = facts.byte_limit
    # No character has more than four bytes, so most texts need not be encoded.
    if limit is None or 4 * len(text) <= limit:
        return
    size = len(text.encode())
    if size > limit:
        raise TextTooLongError(
            f"{what} has {size:,} bytes; {spec.model} takes {facts.token_limit:,} tokens, which is "
            f"never more than {limit:,} bytes. Split it before saving."
        )
