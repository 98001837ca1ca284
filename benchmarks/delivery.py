"""What delivering new vectors costs, beside the other store's own batch add of the same ones.

    python benchmarks/delivery.py [VECTORS] [--only NAME] [--postgres URL]

Both get the same texts, metadata and vectors, 1,000 at once, into empty stores, in alternating
rounds. CPU time of this process counts (Qdrant, Chroma and Milvus run in it; a PostgreSQL server
does the same work either way, so that counting it would only bring the two nearer). Delivering
includes noting all that is to be delivered, reading it, and forgetting it again.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from llama_index.core.schema import TextNode

import langchain_semcore
import llamaindex_semcore
from semantic_core import EmbeddingSpec, PeeweeVectorStore
from shared import machine, made

DIMENSIONS = 768
PAGE = 1000
ROUNDS = 3
SPEC = EmbeddingSpec.external("benchmark", DIMENSIONS)


class ReadyEmbeddings(Embeddings):
    """Hands out the vectors of a page."""

    vectors: Any = ()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the next vectors, one a text."""
        taken, self.vectors = self.vectors[: len(texts)], self.vectors[len(texts) :]
        # Qdrant asks for one more, while it is made.
        return [vector.tolist() for vector in taken] or [[1.0] * DIMENSIONS]

    def embed_query(self, text: str) -> list[float]:
        """Return a vector."""
        return self.embed_documents([text])[0]


def main() -> None:
    """Print a line a store; write all measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("vectors", type=int, nargs="?", default=100_000)
    parser.add_argument("--only")
    parser.add_argument("--postgres", help="URL of an empty database")
    options = parser.parse_args()
    rows = Rows(options.vectors)
    builds: dict[str, Build] = {
        "Qdrant, LangChain": _qdrant,
        "Qdrant, LlamaIndex": _qdrant,
        "Chroma, LangChain": _chroma,
        "Chroma, LlamaIndex": _chroma,
        "Milvus, LangChain": _milvus,
        "Milvus, LlamaIndex": _milvus,
    }
    if options.postgres:
        pgvector = partial(_pgvector, url=options.postgres)
        builds |= {"pgvector, LangChain": pgvector, "pgvector, LlamaIndex": pgvector}
    result = []
    for name, build in builds.items():
        if options.only is None or options.only in name:
            own, delivered = _measured(rows, build, is_llama="LlamaIndex" in name)
            ratios = [two / one for one, two in zip(own, delivered, strict=True)]
            each = 1e6 / options.vectors
            result.append({"store": name, "own_us": [round(one * each) for one in own]})
            result[-1] |= {
                "delivered_us": [round(one * each) for one in delivered],
                "ratio": round(statistics.median(ratios), 3),
            }
            print(
                f"{name:<22} own add {statistics.median(own) * each:6.0f} us, delivered "
                f"{statistics.median(delivered) * each:6.0f} us a vector: "
                f"{statistics.median(ratios):.2f} x its own add"
            )
    about = {"vectors": options.vectors, "dimensions": DIMENSIONS, "machine": machine.describe()}
    machine.keep("delivery", about | {"rows": result})


class Rows:
    """Texts, metadata, ids and vectors."""

    def __init__(self, count: int) -> None:
        self.texts = made.texts(0, count)
        self.metadata = [dict(made.metadata(number)) for number in range(count)]
        self.ids = [str(uuid.UUID(int=number)) for number in range(count)]
        self.vectors = made.vectors(count, DIMENSIONS)

    def pages(self) -> list[slice]:
        """Return where each page is."""
        return [slice(start, start + PAGE) for start in range(0, len(self.ids), PAGE)]


Build = Callable[[Path, Any, ExitStack], Any]
"""Makes an empty store in a folder: LangChain's of embeddings, LlamaIndex's of None."""


def _measured(rows: Rows, build: Build, *, is_llama: bool) -> tuple[list[float], list[float]]:
    own: list[float] = []
    delivered: list[float] = []
    for _ in range(ROUNDS):
        for way, seconds in ((_own, own), (_delivered, delivered)):
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                seconds.append(way(rows, build, Path(folder), stack, is_llama))
    return own, delivered


def _timed(work: Callable[[], object]) -> float:
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def _own(rows: Rows, build: Build, folder: Path, stack: ExitStack, is_llama: bool) -> float:  # noqa: FBT001  # passed on
    embeddings = ReadyEmbeddings()
    store = build(folder, None if is_llama else embeddings, stack)

    def add() -> None:
        for page in rows.pages():
            found = zip(rows.ids[page], rows.texts[page], rows.metadata[page], strict=True)
            if is_llama:
                vectors = rows.vectors[page]
                store.add(
                    [
                        TextNode(id_=id_, text=text, metadata=metadata, embedding=vector.tolist())
                        for (id_, text, metadata), vector in zip(found, vectors, strict=True)
                    ]
                )
            else:
                embeddings.vectors = rows.vectors[page]
                documents = [
                    Document(id=id_, page_content=text, metadata=metadata)
                    for id_, text, metadata in found
                ]
                store.add_documents(documents, ids=rows.ids[page])

    return _timed(add)


def _delivered(rows: Rows, build: Build, folder: Path, stack: ExitStack, is_llama: bool) -> float:  # noqa: FBT001  # passed on
    store = stack.enter_context(PeeweeVectorStore(folder / "semcore.db"))
    documents = langchain_semcore.SemcoreVectorStore(store, spec=SPEC)
    for page in rows.pages():
        documents.add_embeddings(
            rows.texts[page], rows.vectors[page], rows.metadata[page], ids=rows.ids[page]
        )
    if is_llama:
        made_store = build(folder, None, stack)
        llamaindex_semcore.SemcoreVectorStore(store, deliver_to=("other", made_store))
    else:
        documents.deliver_to(lambda embeddings: build(folder, embeddings, stack), name="other")
    seconds = _timed(store.delivery.deliver)
    (status,) = store.delivery.targets()
    assert (status.waiting, status.last_error) == (0, None), status
    return seconds


def _qdrant(_: Path, embeddings: Embeddings | None, stack: ExitStack) -> Any:
    from langchain_qdrant import QdrantVectorStore
    from llama_index.vector_stores.qdrant import QdrantVectorStore as LlamaIndexStore
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    stack.callback(client.close)
    config = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=config)
    if embeddings is None:
        return LlamaIndexStore("docs", client=client)
    return QdrantVectorStore(client, "docs", embedding=embeddings)


def _chroma(folder: Path, embeddings: Embeddings | None, _: ExitStack) -> Any:
    import chromadb
    from langchain_chroma import Chroma
    from llama_index.vector_stores.chroma import ChromaVectorStore

    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder / "chroma"), settings=settings)
    if embeddings is None:
        return ChromaVectorStore(chroma_collection=client.create_collection("docs"))
    return Chroma("docs", embedding_function=embeddings, client=client)


def _milvus(folder: Path, embeddings: Embeddings | None, stack: ExitStack) -> Any:
    import warnings

    from langchain_milvus import Milvus
    from llama_index.vector_stores.milvus import MilvusVectorStore
    from pymilvus import connections

    warnings.filterwarnings("ignore", message=".*ORM-style PyMilvus API")
    uri = str(folder / "milvus.db")
    if embeddings is None:
        made_store = MilvusVectorStore(uri, dim=DIMENSIONS, use_async_client=False)
        stack.callback(made_store.client.close)
        return made_store
    store: VectorStore = Milvus(embeddings, connection_args={"uri": uri}, enable_dynamic_field=True)
    connections.connect(alias=store.alias, uri=uri)
    stack.callback(store.client.close)
    return store


def _pgvector(_: Path, embeddings: Embeddings | None, stack: ExitStack, *, url: str) -> Any:
    import asyncio
    from urllib.parse import urlsplit

    from langchain_postgres import PGEngine, PGVectorStore
    from llama_index.vector_stores.postgres import PGVectorStore as LlamaIndexStore

    table = f"docs_{uuid.uuid4().hex}"
    if embeddings is None:
        at = urlsplit(url)
        made_store = LlamaIndexStore.from_params(
            database=at.path[1:],
            host=at.hostname,
            port=str(at.port),
            user=at.username,
            password=at.password or "",
            table_name=table,
            embed_dim=DIMENSIONS,
        )
        stack.callback(lambda: asyncio.run(made_store.close()))
        return made_store
    engine = PGEngine.from_connection_string(url.replace("postgresql://", "postgresql+psycopg://"))
    stack.callback(lambda: engine._run_as_sync(engine.close()))  # noqa: SLF001  # it has no other way
    engine.init_vectorstore_table(table, vector_size=DIMENSIONS)
    return PGVectorStore.create_sync(engine, table_name=table, embedding_service=embeddings)


if __name__ == "__main__":
    main()
