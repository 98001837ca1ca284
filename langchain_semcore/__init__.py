"""semcore for LangChain: a vector store, deferred embeddings and a retriever."""

from langchain_semcore.embeddings import DeferredEmbeddings
from langchain_semcore.retrievers import SemcoreRetriever
from langchain_semcore.vectorstores import SemcoreVectorStore

__all__ = ["DeferredEmbeddings", "SemcoreRetriever", "SemcoreVectorStore"]
