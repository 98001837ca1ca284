"""semcore beside both frameworks' PGVectorStore: the same rows, on one server, in one run.

    python benchmarks/pgvectorstores.py                        10k, 50k and 100k x 768
    python benchmarks/pgvectorstores.py --sizes 1000000x768    takes hours
    python benchmarks/pgvectorstores.py --url postgresql://... a server on this machine

What counts is CPU time, of this process and of all of the server's: it depends on other work least.
Each store gets texts, metadata and vectors by pages of 1,000 and, when all are there, an HNSW index
in its own way; each index is of pgvector, with its default size. semcore keeps a full-text index,
and a hash of each text, the others neither. Then statistics are gathered for the planner, and the
same queries are asked, one after the other: as they are, and with a filter that leaves 5 %.

Without a URL it starts the server of the tests, which does not wait for the disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from shared import machine, made
from shared.cpu import Cpu

SIZES = ("10000x768", "50000x768", "100000x768")
LIMIT = 10
PAGE = 1000
QUERIES = 40
TENANT = 3


class Semcore:
    """Vectors that the caller gives, as the others take them."""

    def __init__(self, url: str, dimensions: int) -> None:
        from semantic_core import EmbeddingSpec, PeeweeVectorStore

        self._store = PeeweeVectorStore(url)
        self._store.collection("default", EmbeddingSpec.external("made", dimensions=dimensions))

    def add(self, numbers: Sequence[int], texts: Sequence[str], vectors: made.Floats) -> None:
        from semantic_core import Chunk

        self._store.save(
            [
                Chunk(id=str(number), text=text, metadata=made.metadata(number), vector=vector)
                for number, text, vector in zip(numbers, texts, vectors, strict=True)
            ]
        )

    def index(self) -> None:
        self._store.index()

    def query(self, vector: made.Floats, tenant: int | None) -> list[int]:
        filters = None if tenant is None else {"tenant": tenant}
        found = self._store.search(vector=vector, mode="vector", limit=LIMIT, filters=filters)
        return [int(hit.chunk.id) for hit in found]


class LangChain:
    """langchain-postgres."""

    def __init__(self, url: str, dimensions: int) -> None:
        from langchain_core.embeddings import DeterministicFakeEmbedding
        from langchain_postgres import Column, PGEngine, PGVectorStore

        engine = PGEngine.from_connection_string(
            url.replace("postgresql://", "postgresql+psycopg://")
        )
        engine.init_vectorstore_table("texts", dimensions, id_column=Column("id", "TEXT"))
        unused = DeterministicFakeEmbedding(size=dimensions)
        self._store = PGVectorStore.create_sync(engine, unused, "texts", id_column="id")

    def add(self, numbers: Sequence[int], texts: Sequence[str], vectors: made.Floats) -> None:
        self._store.add_embeddings(
            list(texts),
            vectors.tolist(),
            metadatas=[made.metadata(number) for number in numbers],
            ids=[str(number) for number in numbers],
        )

    def index(self) -> None:
        from langchain_postgres.v2.indexes import HNSWIndex

        self._store.apply_vector_index(HNSWIndex())

    def query(self, vector: made.Floats, tenant: int | None) -> list[int]:
        filters = None if tenant is None else {"tenant": tenant}
        found = self._store.similarity_search_by_vector(vector.tolist(), LIMIT, filters)
        return [int(document.id) for document in found]


class LlamaIndex:
    """llama-index-vector-stores-postgres."""

    def __init__(self, url: str, dimensions: int, **options: object) -> None:
        self._options = {
            "connection_string": url.replace("postgresql://", "postgresql+psycopg2://"),
            "async_connection_string": url.replace("postgresql://", "postgresql+asyncpg://"),
            "embed_dim": dimensions,
            "use_jsonb": True,
            **options,
        }
        self._open()

    def _open(self, **options: object) -> None:
        from llama_index.vector_stores.postgres import PGVectorStore

        self._store = PGVectorStore.from_params(**self._options, **options)

    def add(self, numbers: Sequence[int], texts: Sequence[str], vectors: made.Floats) -> None:
        from llama_index.core.schema import TextNode

        self._store.add(
            [
                TextNode(
                    id_=str(number), text=text, metadata=made.metadata(number), embedding=vector
                )
                for number, text, vector in zip(numbers, texts, vectors.tolist(), strict=True)
            ]
        )

    def index(self) -> None:
        # Made when a store is opened that is told to have one: row by row it would take longer.
        self._open(hnsw_kwargs={"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 40})
        self.query(np.zeros(self._options["embed_dim"], dtype=np.float32) + 1, None)

    def query(self, vector: made.Floats, tenant: int | None) -> list[int]:
        from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery

        filters = MetadataFilters(filters=[MetadataFilter(key="tenant", value=tenant)])
        query = VectorStoreQuery(
            query_embedding=vector.tolist(),
            similarity_top_k=LIMIT,
            filters=None if tenant is None else filters,
        )
        return [int(name) for name in self._store.query(query).ids or ()]


STORES = {
    "semcore": Semcore,
    "langchain-postgres": LangChain,
    "LlamaIndex": LlamaIndex,
    "LlamaIndex, hybrid": partial(LlamaIndex, hybrid_search=True, text_search_config="english"),
}


def main() -> None:
    """Measure, print a line a store and size, and keep all of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="*", default=SIZES)
    parser.add_argument("--only", nargs="*", choices=STORES, default=list(STORES))
    parser.add_argument("--url", help="a superuser's, of a server on this machine")
    options = parser.parse_args()
    about = machine.describe()
    rows: list[dict[str, Any]] = []
    with _server(options.url) as url:
        with psycopg.connect(url) as connection:
            (about["postgres"],) = connection.execute("SHOW server_version").fetchone()
        for size in options.sizes:
            count, dimensions = map(int, size.split("x"))
            rows += [_measured(name, url, count, dimensions) for name in options.only]
            _print(rows[-len(options.only) :])
            about["load_after"] = round(os.getloadavg()[0], 1)
            machine.keep("pgvectorstores", {"machine": about, "limit": LIMIT, "rows": rows})


def _measured(name: str, server: str, count: int, dimensions: int) -> dict[str, Any]:
    """Measure one store in a database of its own."""
    vectors = made.vectors(count, dimensions)
    queries = made.vectors(QUERIES, dimensions, seed=2)
    with _database(server, name) as url:
        used = Cpu(url)
        store = STORES[name](url, dimensions)
        add, added = 0.0, 0
        while added < count:
            # Made page by page, and not timed: what is timed is the store's alone.
            numbers = range(added, min(count, added + PAGE))
            texts, page = made.texts(added, numbers.stop), vectors[added : numbers.stop]
            add += used.by(lambda: store.add(numbers, texts, page))  # noqa: B023  # called at once
            added = numbers.stop
        index = used.by(store.index)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        row = {
            "store": name,
            "rows": count,
            "dimensions": dimensions,
            "add_ms_per_row": round(1e3 * add / count, 3),
            "index_ms_per_row": round(1e3 * index / count, 3),
            "disk_mb": round(size / 1e6),
        }
        scores = queries @ vectors.T
        for kind, tenant in (("", None), ("filtered_", TENANT)):
            if tenant is not None:
                others = np.arange(count) % made.TENANTS != tenant
                scores[:, others] = -np.inf
            found = _asked(store, queries, scores, tenant, used)
            row |= {f"{kind}{what}": value for what, value in found.items()}
        print(json.dumps(row), flush=True)
        return row


def _asked(
    store: Any, queries: made.Floats, scores: made.Floats, tenant: int | None, used: Cpu
) -> dict[str, Any]:
    store.query(queries[0], tenant)
    took, times, recalls, short = 0.0, [], [], 0
    for query, true in zip(queries, scores, strict=True):
        started = time.perf_counter()
        answer: list[int] = []
        took += used.by(lambda q=query: answer.extend(store.query(q, tenant)))  # noqa: B023  # called at once
        times.append(time.perf_counter() - started)
        tenth = np.partition(true, -LIMIT)[-LIMIT]
        recalls.append(sum(true[number] >= tenth - 1e-5 for number in answer) / LIMIT)
        short += len(answer) < LIMIT
    return {
        "query_cpu_ms": round(1e3 * took / len(queries), 1),
        "recall": round(float(np.mean(recalls)), 4),
        "short_answers": short,
        "p50_ms": round(1e3 * float(np.median(times)), 1),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    for row in rows:
        less = row["add_ms_per_row"] / (first["add_ms_per_row"] or 1)
        print(
            f"{row['store']:<20} {row['rows']:>9,} rows: {row['add_ms_per_row']:6.2f} ms CPU a row "
            f"({first['store']} takes {less:.1f} times less CPU), index "
            f"{row['index_ms_per_row']:.2f}; recall {row['recall']:.3f}, with a filter "
            f"{row['filtered_recall']:.3f} ({row['filtered_short_answers']} of {QUERIES} short)",
            flush=True,
        )


@contextlib.contextmanager
def _database(server: str, name: str) -> Iterator[str]:
    database = "bench_" + "".join(filter(str.isalnum, name)).lower()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {database}")
        url = f"{server.rpartition('/')[0]}/{database}"
        with psycopg.connect(url, autocommit=True) as inside:
            inside.execute("CREATE EXTENSION vector")
        yield url
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


@contextlib.contextmanager
def _server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.postgres_server import PostgresServer

    with contextlib.closing(PostgresServer()) as server:
        yield server.url


if __name__ == "__main__":
    main()
