"""What delivering new vectors costs, beside the other store's own batch add of the same ones.

    python benchmarks/delivery.py [VECTORS] [--only NAME] [--postgres URL]

Both get the same texts, metadata and vectors, 1,000 at once, into empty stores. Each page is added
by the store itself right before or after it is delivered, so that whatever else the machine does
meets both. CPU time of this process counts (Qdrant, Chroma and Milvus run in it; a PostgreSQL
server does the same work either way, so that counting it would only bring the two nearer).
Delivering includes noting all that is to be delivered, reading it, and forgetting it again.

With ``--only`` the results of other stores stay as they were measured before.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from llama_index.core.schema import TextNode

import langchain_semcore
import llamaindex_semcore
from semantic_core import EmbeddingSpec, PeeweeVectorStore, TargetItem
from semantic_core.delivery.target import Target
from shared import machine, made

DIMENSIONS = 768
PAGE = 1000
TENTHS = 10
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
    for name, build in builds.items():
        if options.only is None or options.only in name:
            is_llama = "LlamaIndex" in name
            # What is imported at the first use, and kept for others, is no cost of either.
            _measured(Rows(PAGE), build, is_llama=is_llama)
            row = {"store": name} | _measured(Rows(options.vectors), build, is_llama=is_llama)
            _keep(row)
            print(
                f"{name:<22} own add {row['own_us']:6.0f} us, delivered {row['delivered_us']:6.0f} "
                f"us a vector: {row['ratio']:.2f} x its own add "
                f"({min(row['tenths']):.2f} to {max(row['tenths']):.2f})",
                flush=True,
            )


def _keep(row: dict[str, Any]) -> None:
    path = machine.RESULTS / "delivery.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() else {"rows": []}
    rows = [one for one in kept["rows"] if one["store"] != row["store"]] + [row]
    about = {"dimensions": DIMENSIONS, "machine": machine.describe()}
    machine.keep("delivery", about | {"rows": sorted(rows, key=lambda one: str(one["store"]))})


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


Build = Callable[..., Any]
"""Makes an empty store in a folder: LangChain's of embeddings, LlamaIndex's of None."""


class Beside:
    """A target that lets a store of its own add each page, too, and keeps both times."""

    def __init__(self, target: Target, add_own: Callable[[int], None]) -> None:
        self.kind = target.kind
        self.delete = target.delete
        self.nearest = target.nearest
        self.times: list[tuple[float, float]] = []
        self._target = target
        self._add_own = add_own
        self._own = 0.0
        gc.collect()
        self._started = time.process_time()

    def put(self, items: Sequence[TargetItem]) -> None:
        """Add a page, after or before the other store does."""
        number = len(self.times)
        if number % 2:
            self._add(number)
        self._target.put(items)
        if not number % 2:
            self._add(number)
        self.keep_time()

    def keep_time(self) -> None:
        """Keep how much CPU time both took until now: the own add, and the delivery."""
        taken = time.process_time() - self._started
        self.times.append((self._own, taken - self._own))

    def _add(self, page: int) -> None:
        started = time.process_time()
        self._add_own(page)
        self._own += time.process_time() - started


def _measured(rows: Rows, build: Build, *, is_llama: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for name in ("own", "delivered"):
            Path(folder, name).mkdir()
        own = _own(rows, partial(build, Path(folder, "own")), stack, is_llama=is_llama)
        store = stack.enter_context(PeeweeVectorStore(Path(folder, "semcore.db")))
        _attach(store, rows, partial(build, Path(folder, "delivered")), stack, is_llama=is_llama)
        (attached,) = store.delivery.attached
        beside = Beside(attached.target, own)
        store.delivery.attach(beside, name=attached.name)
        (status,) = store.delivery.deliver()
        beside.keep_time()
        assert (status.waiting, status.last_error) == (0, None), status
    # The end of the last page is that of the delivery.
    times = np.array([(0.0, 0.0), *beside.times[:-2], beside.times[-1]])
    # Of each tenth of the vectors, so that one sees how much the machine was disturbed.
    ends = np.unique(np.linspace(0, len(times) - 1, TENTHS + 1).astype(int))
    own_seconds, seconds = np.diff(times[ends], axis=0).T
    count = len(rows.ids)
    return {
        "vectors": count,
        "own_us": round(1e6 * own_seconds.sum() / count),
        "delivered_us": round(1e6 * seconds.sum() / count),
        "ratio": round(seconds.sum() / own_seconds.sum(), 3),
        "tenths": [round(ratio, 3) for ratio in (seconds / own_seconds).tolist()],
    }


def _own(rows: Rows, build: Build, stack: ExitStack, *, is_llama: bool) -> Callable[[int], None]:
    """Return what adds a page to a store as its users do."""
    embeddings = ReadyEmbeddings()
    store = build(None if is_llama else embeddings, stack)
    pages = rows.pages()

    def add(number: int) -> None:
        page = pages[number]
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

    return add


def _attach(
    store: PeeweeVectorStore, rows: Rows, build: Build, stack: ExitStack, *, is_llama: bool
) -> None:
    """Save all rows, and attach a store to deliver them to."""
    documents = langchain_semcore.SemcoreVectorStore(store, spec=SPEC)
    for page in rows.pages():
        documents.add_embeddings(
            rows.texts[page], rows.vectors[page], rows.metadata[page], ids=rows.ids[page]
        )
    if is_llama:
        llamaindex_semcore.SemcoreVectorStore(store, deliver_to=("other", build(None, stack)))
    else:
        documents.deliver_to(lambda embeddings: build(embeddings, stack), name="other")


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
