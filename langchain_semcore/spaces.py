"""Which vector space an Embeddings belongs to."""

from langchain_core.embeddings import Embeddings

from langchain_semcore.embeddings import DeferredEmbeddings
from semantic_core.api import (
    ConfigurationError,
    EmbeddingSpec,
    InvalidInputError,
    NotBatchableError,
)

MODES = ("async", "sync")

# What LangChain's partner packages call it.
_MODEL_ATTRIBUTES = ("model", "model_name", "model_id", "deployment")


def choose_spec(embedding: Embeddings | None, spec: EmbeddingSpec | None) -> EmbeddingSpec | None:
    """Return the spec that a collection must have, or None for whatever it has.

    Raises:
        ConfigurationError: the user's own choice contradicts what makes the vectors.
    """
    if embedding is None:
        return spec
    if isinstance(embedding, DeferredEmbeddings):
        if spec not in (None, embedding.spec):
            raise ConfigurationError(
                "The spec differs from that of the DeferredEmbeddings. Give it to them alone."
            )
        return embedding.spec
    if spec is not None and not spec.is_external:
        raise ConfigurationError(
            f"{type(embedding).__name__} makes its vectors itself, so they cannot have the spec "
            f"of {spec.model!r}. Leave it out, use EmbeddingSpec.external(name), or pass "
            "DeferredEmbeddings(spec=..., query_embeddings=...) for vectors from the Batch API."
        )
    return spec or EmbeddingSpec.external(space_name(embedding))


def space_name(embedding: Embeddings) -> str:
    """Return the name of a foreign embedder's space: its class, and its model if it tells one.

    Vectors under one name are compared with each other. Where class and model do not tell two
    embedders apart, give each its own ``EmbeddingSpec.external(name)``.
    """
    name = type(embedding).__name__
    for attribute in _MODEL_ATTRIBUTES:
        model = getattr(embedding, attribute, None)
        if isinstance(model, str) and model:
            return f"{name}:{model}"
    return name


def check_mode(mode: str, embedding: Embeddings | None) -> None:
    """Check that an embedding can serve the mode."""
    if mode not in MODES:
        raise InvalidInputError(f"mode={mode!r}: use one of {', '.join(MODES)}.")
    if mode == "sync" and embedding is None:
        raise ConfigurationError(
            'mode="sync" embeds documents at once, but there is no embedding. Pass '
            'embedding=..., or use mode="async", which leaves that to the Batch API.'
        )
    if mode == "async" and not isinstance(embedding, DeferredEmbeddings | None):
        raise NotBatchableError(
            f"{type(embedding).__name__} makes its vectors itself, so the Batch API cannot. Pass "
            'mode="sync" to embed with it at once, or embedding=DeferredEmbeddings() for vectors '
            "from the Batch API."
        )
