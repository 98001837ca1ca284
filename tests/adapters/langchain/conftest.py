"""A LangChain vector store in a world with a provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from support.invariants import check_invariants
from support.world import World


@pytest.fixture
def embeddings(world: World) -> DeferredEmbeddings:
    return DeferredEmbeddings(world.keyring(), embedder=world.embedder())


@pytest.fixture
def vector_store(world: World, embeddings: DeferredEmbeddings) -> Iterator[SemcoreVectorStore]:
    """Deferred embeddings, nothing in it yet."""
    yield SemcoreVectorStore(world.store, embedding=embeddings)
    check_invariants(world.store)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.db"
