"""The vector of a query, or why it has none: a search can answer by keyword instead."""

import logging
from collections.abc import Callable

from semantic_core.domain.errors import (
    ConfigurationError,
    InvalidInputError,
    ProviderError,
    SemanticCoreError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import VectorLike
from semantic_core.store.base import BaseVectorStore

_log = logging.getLogger(__name__)

_KEYWORD_ALONE = "answered by keyword alone"
_VECTOR_ALONE = "a picture is looked for by vector alone"


def query_vector(
    store: BaseVectorStore,
    query: str,
    *,
    collection: str,
    embed: Callable[[str, EmbeddingSpec], VectorLike],
    provenance: str | None,
    log_level: int = logging.INFO,
    has_media: bool = False,
) -> tuple[VectorLike | None, str | None]:
    """Embed a query, unless no vector is stored that it could be compared with.

    Args:
        store: where the collection is.
        query: what to look for.
        collection: its name; there may be none.
        embed: returns the vector of a query for the spec of the collection.
        provenance: whose vectors these are, or None where nobody can tell.
        has_media: whether pictures are looked for, too, so that there need be no words.
        log_level: of the entry for an error. Use WARNING where an answer has no place for it.

    Returns:
        The vector, or None and the reason why there is none.

    Raises:
        StorageError: the database cannot be read, not even by keyword.
    """
    outcome = _VECTOR_ALONE if has_media and not query.strip() else _KEYWORD_ALONE
    found = store.find(collection)
    if found is None or not store.has_vectors(collection):
        # A live call would only cost time and money.
        return None, f"no vector is stored yet: {outcome}"
    if not query.strip() and not has_media:
        return None, f"the query is blank: {_KEYWORD_ALONE}"
    try:
        # Before anything is sent: vectors of two endpoints cannot be compared.
        if provenance is not None:
            store.check_provenance(provenance)
        return embed(query, found.spec), None
    except (ProviderError, ConfigurationError, InvalidInputError) as error:
        reason = str(error)
    except SemanticCoreError:
        raise
    except Exception as error:  # noqa: BLE001  # nobody knows what a foreign embedder raises
        # Its message may quote the query, or a key.
        reason = type(error).__name__
    _log.log(log_level, "A query could not be embedded, %s: %s", outcome, reason)
    return None, f"{outcome}: {reason}"
