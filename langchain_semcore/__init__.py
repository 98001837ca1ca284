"""LangChain on semcore: add at once, embed at half price, search the whole time."""

from langchain_semcore.embeddings import DeferredEmbeddings
from langchain_semcore.paid import PaidEmbeddings
from langchain_semcore.retrievers import SemcoreRetriever
from langchain_semcore.self_query import SemcoreTranslator
from langchain_semcore.vectorstores import SemcoreVectorStore
from semantic_core.api import RESULT_KEY, BatchConfig, BatchManager, EmbeddingSpec, GoogleKeyring

__all__ = [
    "RESULT_KEY",
    "BatchConfig",
    "BatchManager",
    "DeferredEmbeddings",
    "EmbeddingSpec",
    "GoogleKeyring",
    "PaidEmbeddings",
    "SemcoreRetriever",
    "SemcoreTranslator",
    "SemcoreVectorStore",
]
