"""Real vector stores of both frameworks, each empty, as targets; and what they hold, read directly."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import chromadb
import numpy as np
import psycopg
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from langchain_milvus import Milvus
from langchain_postgres import PGEngine, PGVectorStore
from langchain_qdrant import QdrantVectorStore
from llama_index.core.vector_stores.types import BasePydanticVectorStore
from llama_index.vector_stores.chroma import ChromaVectorStore
from llama_index.vector_stores.milvus import MilvusVectorStore
from llama_index.vector_stores.postgres import PGVectorStore as LlamaIndexPGVectorStore
from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexQdrantVectorStore
from pymilvus import MilvusClient, connections
from qdrant_client import QdrantClient, models

SIZE = 8

# What LlamaIndex's stores put beside a node's own metadata.
_NODE_KEYS = ("_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id")


@dataclass(frozen=True)
class Held:
    """One document of a store."""

    id: str
    text: str
    metadata: dict[str, Any]
    vector: list[float]


@dataclass(frozen=True)
class RealStore:
    """A vector store that is there.

    Attributes:
        name: framework and store.
        build: makes LangChain's store of embeddings; None for LlamaIndex.
        store: LlamaIndex's store; None for LangChain.
        read: returns all that it holds.
    """

    name: str
    read: Callable[[], list[Held]]
    build: Callable[[Embeddings], VectorStore] | None = None
    store: BasePydanticVectorStore | None = None

    def held(self) -> dict[str, Held]:
        """Return what it holds by the ids of the chunks; no chunk is there twice."""
        found = {one.metadata["_semcore_id"]: one for one in self.read()}
        assert len(found) == len(self.read())
        return found


LANGCHAIN = ("langchain-qdrant", "langchain-chroma", "langchain-milvus", "langchain-pgvector")
LLAMA_INDEX = tuple(name.replace("langchain", "llama-index") for name in LANGCHAIN)
NEEDS_SERVER = (LANGCHAIN[-1], LLAMA_INDEX[-1])


@contextmanager
def real_store(name: str, folder: Path, postgres_url: str | None) -> Iterator[RealStore]:
    """Make an empty store of this name; ``postgres_url`` is where a database of its own is."""
    with ExitStack() as stack:
        yield _MAKERS[name](name, folder, postgres_url or "", stack)


def _langchain_qdrant(name: str, _: Path, __: str, stack: ExitStack) -> RealStore:
    client = _qdrant(stack)

    def build(embeddings: Embeddings) -> VectorStore:
        return QdrantVectorStore(client, "docs", embedding=embeddings)

    def read() -> list[Held]:
        points, _ = client.scroll("docs", limit=100_000, with_vectors=True)
        return [
            Held(str(one.id), one.payload["page_content"], one.payload["metadata"], one.vector)  # type: ignore[index,arg-type]
            for one in points
        ]

    return RealStore(name, read, build=build)


def _llama_index_qdrant(name: str, _: Path, __: str, stack: ExitStack) -> RealStore:
    client = _qdrant(stack)

    def read() -> list[Held]:
        points, _ = client.scroll("docs", limit=100_000, with_vectors=True)
        return [_held(one.id, dict(one.payload or {}), one.vector) for one in points]

    return RealStore(name, read, store=LlamaIndexQdrantVectorStore("docs", client=client))


def _qdrant(stack: ExitStack) -> QdrantClient:
    client = QdrantClient(":memory:")
    stack.callback(client.close)
    config = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=config)
    return client


def _chroma_held(collection: Any, text_of: Callable[[Any], str]) -> list[Held]:
    found = collection.get(include=["embeddings", "metadatas", "documents"])
    rows = zip(
        found["ids"], found["documents"], found["metadatas"], found["embeddings"], strict=True
    )
    return [Held(id_, text, _own(metadata), list(vector)) for id_, text, metadata, vector in rows]


def chroma_client() -> Any:
    """Return Chroma in memory; a process has one, whose settings are those of its first."""
    settings = chromadb.Settings(anonymized_telemetry=False)
    return chromadb.EphemeralClient(settings=settings)


def _langchain_chroma(name: str, _: Path, __: str, ___: ExitStack) -> RealStore:
    client, place = chroma_client(), f"docs-{uuid.uuid4()}"

    def build(embeddings: Embeddings) -> VectorStore:
        return Chroma(place, embedding_function=embeddings, client=client)

    return RealStore(name, lambda: _chroma_held(client.get_collection(place), str), build=build)


def _llama_index_chroma(name: str, _: Path, __: str, ___: ExitStack) -> RealStore:
    collection = chroma_client().create_collection(f"docs-{uuid.uuid4()}")
    store = ChromaVectorStore(chroma_collection=collection)
    return RealStore(name, lambda: _chroma_held(collection, str), store=store)


def _langchain_milvus(name: str, folder: Path, _: str, stack: ExitStack) -> RealStore:
    uri = str(folder / "milvus.db")

    def build(embeddings: Embeddings) -> VectorStore:
        store = Milvus(
            embeddings,
            connection_args={"uri": uri},
            auto_id=False,
            enable_dynamic_field=True,
            index_params={"index_type": "FLAT", "metric_type": "COSINE"},
        )
        # Newer versions of pymilvus do not connect by themselves.
        connections.connect(alias=store.alias, uri=uri)
        stack.callback(connections.disconnect, store.alias)
        stack.callback(store.client.close)
        built.append(store)
        return store

    built: list[Milvus] = []

    def read() -> list[Held]:
        client = built[-1].client
        place = built[-1].collection_name
        if not client.has_collection(place):
            return []
        rows = client.query(place, filter="", limit=16_384, output_fields=["*"])
        return [Held(row.pop("pk"), row.pop("text"), row, row.pop("vector")) for row in rows]

    return RealStore(name, read, build=build)


def _llama_index_milvus(name: str, folder: Path, _: str, stack: ExitStack) -> RealStore:
    store = MilvusVectorStore(
        str(folder / "milvus.db"), dim=SIZE, similarity_metric="COSINE", use_async_client=False
    )
    client: MilvusClient = store.client
    stack.callback(client.close)

    def read() -> list[Held]:
        rows = client.query("llamacollection", filter="", limit=16_384, output_fields=["*"])
        return [
            Held(row.pop("id"), row.pop("text"), vector=row.pop("embedding"), metadata=_own(row))
            for row in rows
        ]

    return RealStore(name, read, store=store)


def _langchain_pgvector(name: str, _: Path, url: str, stack: ExitStack) -> RealStore:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    stack.callback(lambda: engine._run_as_sync(engine.close()))
    engine.init_vectorstore_table("docs", vector_size=SIZE)

    def build(embeddings: Embeddings) -> VectorStore:
        return PGVectorStore.create_sync(engine, table_name="docs", embedding_service=embeddings)

    def read() -> list[Held]:
        with psycopg.connect(url) as connection:
            rows = connection.execute(
                "SELECT langchain_id::text, content, langchain_metadata, embedding::text FROM docs"
            ).fetchall()
        return [Held(id_, text, meta, json.loads(vector)) for id_, text, meta, vector in rows]

    return RealStore(name, read, build=build)


def _llama_index_pgvector(name: str, _: Path, url: str, stack: ExitStack) -> RealStore:
    place = urlsplit(url)
    store = LlamaIndexPGVectorStore.from_params(
        database=place.path[1:],
        host=place.hostname,
        port=str(place.port),
        user=place.username,
        password=place.password or "",
        table_name="docs",
        embed_dim=SIZE,
    )
    stack.callback(lambda: asyncio.run(store.close()))

    def read() -> list[Held]:
        with psycopg.connect(url) as connection:
            (is_there,) = connection.execute("SELECT to_regclass('data_docs')").fetchone() or (
                None,
            )
            rows = (
                connection.execute(
                    "SELECT node_id, text, metadata_, embedding::text FROM data_docs"
                ).fetchall()
                if is_there
                else []
            )
        return [Held(id_, text, _own(meta), json.loads(vector)) for id_, text, meta, vector in rows]

    return RealStore(name, read, store=store)


def _held(id_: Any, payload: dict[str, Any], vector: Any) -> Held:
    text = json.loads(payload["_node_content"])["text"]
    return Held(str(id_), text, _own(payload), np.asarray(vector).tolist())


def _own(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key not in _NODE_KEYS}


_MAKERS: dict[str, Callable[[str, Path, str, ExitStack], RealStore]] = {
    "langchain-qdrant": _langchain_qdrant,
    "langchain-chroma": _langchain_chroma,
    "langchain-milvus": _langchain_milvus,
    "langchain-pgvector": _langchain_pgvector,
    "llama-index-qdrant": _llama_index_qdrant,
    "llama-index-chroma": _llama_index_chroma,
    "llama-index-milvus": _llama_index_milvus,
    "llama-index-pgvector": _llama_index_pgvector,
}
