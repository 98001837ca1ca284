"""LangChain's own suites, whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_semcore import DeferredEmbeddings, SemcoreRetriever, SemcoreVectorStore
from semantic_core import GoogleKeyring
from support.keys import canary


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:
        with SemcoreVectorStore(
            tmp_path / "notes.db", embedding=self.get_embeddings(), mode="sync"
        ) as store:
            yield store


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def vectorstore(self, tmp_path: Path) -> Iterator[None]:
        embeddings = VectorStoreIntegrationTests.get_embeddings()
        with SemcoreVectorStore(tmp_path / "notes.db", embedding=embeddings, mode="sync") as store:
            store.add_documents([Document(f"apples and pears {n}") for n in range(5)])
            self.store = store
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return SemcoreRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"vectorstore": self.store}

    @property
    def retriever_query_example(self) -> str:
        return "apples"


class TestRetrieverWhilePending(TestRetriever):
    """The same with nothing embedded, so by keyword alone."""

    @pytest.fixture(autouse=True)
    def vectorstore(self, tmp_path: Path) -> Iterator[None]:
        with SemcoreVectorStore(tmp_path / "notes.db") as store:
            store.add_documents([Document(f"apples and pears {n}") for n in range(5)])
            self.store = store
            yield


class TestEmbeddings(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return DeferredEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"keyring": GoogleKeyring(default_key=canary("a-key"))}
