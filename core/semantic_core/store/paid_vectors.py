"""The vectors that texts have in the cache already: what was paid for once is there for any use."""

from collections.abc import Sequence

import numpy as np

from semantic_core.database import among
from semantic_core.domain.pages import pages
from semantic_core.domain.types import Vector
from semantic_core.store.base import BaseVectorStore
from semantic_core.store.collections import DEFAULT_COLLECTION


def paid_vectors(
    store: BaseVectorStore, texts: Sequence[str], *, collection: str = DEFAULT_COLLECTION
) -> list[Vector | None]:
    """Return the stored vector of each text, None for one that has none. Nothing is sent or billed.

    Args:
        store: whose cache to look in.
        texts: what was embedded: of a chunk its vector source, with headings or context.
        collection: the one whose spec the vectors are made with; one that does not exist has none.

    Raises:
        InvalidInputError: a text with a lone surrogate.
    """
    found = store.find(collection)
    if found is None:
        return [None] * len(texts)
    keys = list(map(found.spec.hasher(), texts))
    stored: dict[bytes, Vector] = {}
    with store.database.snapshot() as connection:
        for page in pages(dict.fromkeys(keys)):
            wanted = among("key", page)
            rows = connection.execute(
                f"SELECT key, vector FROM embeddings WHERE {wanted.sql}", wanted.values
            )
            stored |= {key: np.frombuffer(vector, dtype="<f4") for key, vector in rows}
    return [stored.get(key) for key in keys]
