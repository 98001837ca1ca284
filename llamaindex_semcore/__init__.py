"""LlamaIndex on semcore: ingest at once, embed at half price, search the whole time."""

from llamaindex_semcore.base import SemcoreVectorStore
from llamaindex_semcore.embedding import DeferredEmbedding
from llamaindex_semcore.queries import UnsupportedQueryError
from llamaindex_semcore.vectors import DeferredVectorError
from semantic_core.api import RESULT_KEY, BatchConfig, BatchManager, EmbeddingSpec, GoogleKeyring

__all__ = [
    "RESULT_KEY",
    "BatchConfig",
    "BatchManager",
    "DeferredEmbedding",
    "DeferredVectorError",
    "EmbeddingSpec",
    "GoogleKeyring",
    "SemcoreVectorStore",
    "UnsupportedQueryError",
]
