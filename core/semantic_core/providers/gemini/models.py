"""What Google says of its embedding models and of its Batch API: dated tables."""

from datetime import date

from semantic_core.domain.clock import HOUR
from semantic_core.domain.pricing import Price
from semantic_core.providers.terms import Limits, ModelFacts

PRICES_URL = "https://ai.google.dev/gemini-api/docs/pricing"
PRICES_DATE = "2026-11"

_TABLE = (
    # https://ai.google.dev/gemini-api/docs/embeddings and .../pricing (the paid tier; the output
    # of embedding models is free), read 2026-11.
    ModelFacts(name="gemini-embedding-001", price=Price(live=0.15, batch=0.075), token_limit=2048),
    ModelFacts(
        name="gemini-embedding-2",
        price=Price(live=0.20, batch=0.10),
        token_limit=8192,
        # The cookbook's Embeddings notebook: at most 6 images, PNG or JPEG. A request holds 20 MB,
        # and base64 takes a third more (.../docs/image-understanding).
        media_types=("image/png", "image/jpeg", "application/pdf"),
        most_pictures=6,
        media_bytes=14_000_000,
        # 258 tokens (.../docs/tokens) at $0.45 and $0.225 a million, 2.25 times the price of text.
        # Result lines with pictures were seen without a count, so this is all that is known.
        picture_tokens=581,
    ),
    # https://ai.google.dev/gemini-api/docs/deprecations, read 2026-11.
    ModelFacts(
        name="gemini-embedding-2-preview",
        shutdown=date(2026, 11, 6),
        successor="gemini-embedding-2",
    ),
)

MODELS = {facts.name: facts for facts in _TABLE}


def model_facts(name: str) -> ModelFacts:
    """Return what is known of a model; nothing but its name where it is not known."""
    return MODELS.get(name) or ModelFacts(name=name)


# https://ai.google.dev/gemini-api/docs/batch-api, .../files and .../rate-limits, read 2026-11.
LIMITS = Limits(
    # Google says "2 GB" and does not say which.
    file_bytes=2_000_000_000,
    storage_bytes=20_000_000_000,
    # A result line of 768 numbers was measured with 9,500 bytes.
    result_number_bytes=13,
    result_line_bytes=200,
    open_jobs=100,
    job_target=24 * HOUR,
    job_lifetime=48 * HOUR,
    # Result files live as long as any file. How many tokens may be enqueued depends on model and
    # tier and is shown in AI Studio only: see queue/ceilings.py.
    result_lifetime=48 * HOUR,
)
"""For the paid tiers."""
