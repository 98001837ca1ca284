"""A vector store and an embed model in a world with an emulator, or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llamaindex_semcore import DeferredEmbedding, EmbeddingSpec, SemcoreVectorStore
from semantic_core import PeeweeVectorStore
from support.invariants import check_invariants
from support.world import World, open_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as opened:
        yield opened
        check_invariants(opened.store)


@pytest.fixture
def vector_store(world: World) -> SemcoreVectorStore:
    return SemcoreVectorStore(world.store)


@pytest.fixture
def embed_model(world: World) -> DeferredEmbedding:
    return DeferredEmbedding(world.keyring(), embedder=world.embedder())


@pytest.fixture
def offline_store(store: PeeweeVectorStore) -> SemcoreVectorStore:
    """A store without any provider; its nodes stay PENDING."""
    return SemcoreVectorStore(store)


@pytest.fixture
def external_store(store: PeeweeVectorStore) -> SemcoreVectorStore:
    """A store for nodes that come with vectors of any one size."""
    return SemcoreVectorStore(store, "external", spec=EmbeddingSpec.external("mock"))
