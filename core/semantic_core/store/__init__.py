"""The store: chunks, vectors and full text in one database."""

from semantic_core.database.strategies import Collection
from semantic_core.store.base import BaseVectorStore, FilterLike
from semantic_core.store.collections import DEFAULT_COLLECTION
from semantic_core.store.peewee_store import PeeweeVectorStore

__all__ = ["DEFAULT_COLLECTION", "BaseVectorStore", "Collection", "FilterLike", "PeeweeVectorStore"]
