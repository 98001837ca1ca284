"""semcore and its peers behind one interface, each used as its own documentation shows.

Those that keep texts get texts and metadata; FAISS and usearch keep vectors alone. Each is
imported only by the process that measures it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shared.made import Floats, metadata

Found = list[str]


class Engine:
    """One store in one folder.

    Attributes:
        name: what the table calls it.
        keeps: what it keeps beside vectors.
        can_filter: whether it takes a condition on metadata.
        can_update: whether a vector can be replaced and removed.
    """

    name: ClassVar[str]
    keeps: ClassVar[str] = "text, metadata"
    can_filter: ClassVar[bool] = True
    can_update: ClassVar[bool] = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.folder = folder
        self.dimensions = dimensions

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        """Add a page; the id of a row is its number."""
        raise NotImplementedError

    def finish(self) -> None:
        """Make what was added durable, where adding did not."""

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        """Return the ids of the nearest, those of one tenant if one is named."""
        raise NotImplementedError

    def settle(self) -> None:
        """After a first query: wait for what is made beside the queries, if anything is."""

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        """Replace rows."""
        self.add(numbers, texts, vectors)

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove rows."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything."""


class Semcore(Engine):
    """The public store; its full-text index is kept too."""

    name = "semcore"
    keeps = "text, metadata, full-text index"
    exact = False

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore

        self._chunk = Chunk
        self._store = PeeweeVectorStore(folder / "semcore.db")
        self._store.collection(spec=EmbeddingSpec.external("benchmark", dimensions))

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self._store.save(
            [
                self._chunk(id=str(n), text=text, metadata=metadata(n), vector=vector)
                for n, text, vector in zip(numbers, texts, vectors, strict=True)
            ]
        )

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        hits = self._store.search(
            vector=vector,
            mode="vector",
            limit=limit,
            filters=None if tenant is None else {"tenant": tenant},
            exact=self.exact,
        )
        return [hit.chunk.id for hit in hits]

    def settle(self) -> None:
        while self._store._vectors._beside.is_busy:  # noqa: SLF001  # no user has to wait
            time.sleep(0.1)

    def delete(self, numbers: Sequence[int]) -> None:
        self._store.delete(ids=[str(n) for n in numbers])

    def close(self) -> None:
        self._store.close()


class SemcoreExact(Semcore):
    """The same store, asked with ``exact=True``."""

    name = "semcore, exact"
    exact = True


class Chroma(Engine):
    """Its persistent client with cosine HNSW, otherwise as it comes."""

    name = "Chroma"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        import chromadb

        settings = chromadb.Settings(anonymized_telemetry=False)
        self._client = chromadb.PersistentClient(str(folder / "chroma"), settings)
        self._collection = self._client.get_or_create_collection(
            "made", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self._collection.upsert(
            ids=[str(n) for n in numbers],
            embeddings=vectors,
            documents=texts,
            metadatas=[metadata(n) for n in numbers],
        )

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        where = None if tenant is None else {"tenant": tenant}
        return self._collection.query(query_embeddings=vector[None], n_results=limit, where=where)[
            "ids"
        ][0]

    def delete(self, numbers: Sequence[int]) -> None:
        self._collection.delete(ids=[str(n) for n in numbers])


class LanceDB(Engine):
    """A table without an index, which is exact; the vector itself is not returned."""

    name = "LanceDB, no index"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        import lancedb
        import pyarrow as pa

        self._pa = pa
        self._schema = pa.schema(
            [
                ("id", pa.string()),
                ("text", pa.string()),
                ("metadata", pa.string()),
                ("tenant", pa.int64()),
                ("vector", pa.list_(pa.float32(), dimensions)),
            ]
        )
        database = lancedb.connect(folder / "lance")
        self._table = database.create_table("made", schema=self._schema, exist_ok=True)

    def _rows(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> Any:
        flat = self._pa.array(vectors.ravel())
        return self._pa.Table.from_arrays(
            [
                self._pa.array([str(n) for n in numbers]),
                self._pa.array(texts),
                self._pa.array([json.dumps(metadata(n)) for n in numbers]),
                self._pa.array([metadata(n)["tenant"] for n in numbers], self._pa.int64()),
                self._pa.FixedSizeListArray.from_arrays(flat, self.dimensions),
            ],
            schema=self._schema,
        )

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self._table.add(self._rows(numbers, texts, vectors))

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        search = self._table.search(vector).distance_type("cosine")
        if tenant is not None:
            search = search.where(f"tenant = {tenant}", prefilter=True)
        found = search.select(["id", "text", "metadata"]).limit(limit).to_list()
        return [row["id"] for row in found]

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        merge = self._table.merge_insert("id").when_matched_update_all()
        merge.when_not_matched_insert_all().execute(self._rows(numbers, texts, vectors))

    def delete(self, numbers: Sequence[int]) -> None:
        self._table.delete(f"id IN ({', '.join(repr(str(n)) for n in numbers)})")


class LanceDBText(LanceDB):
    """The same table with a full-text index, made once after the last row: what semcore keeps."""

    name = "LanceDB, full-text index"
    keeps = "text, metadata, full-text index"

    def finish(self) -> None:
        self._table.create_fts_index("text", stem=True, remove_stop_words=False, replace=True)


class SqliteVec(Engine):
    """A vec0 table through apsw, since many Pythons' own sqlite3 loads no extensions."""

    name = "sqlite-vec"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        import apsw
        import sqlite_vec

        self._connection = apsw.Connection(str(folder / "vec.db"))
        self._connection.enable_load_extension(True)
        self._connection.load_extension(sqlite_vec.loadable_path())
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS made USING vec0(id INTEGER PRIMARY KEY, "
            f"vector FLOAT[{dimensions}] distance_metric=cosine, tenant INTEGER, "
            "+text TEXT, +metadata TEXT)"
        )

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        with self._connection:
            self._connection.executemany(
                "INSERT INTO made (id, vector, tenant, text, metadata) VALUES (?, ?, ?, ?, ?)",
                [
                    (n, vector.tobytes(), metadata(n)["tenant"], text, json.dumps(metadata(n)))
                    for n, text, vector in zip(numbers, texts, vectors, strict=True)
                ],
            )

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        where = "" if tenant is None else " AND tenant = ?"
        values = (vector.tobytes(), limit) if tenant is None else (vector.tobytes(), limit, tenant)
        return [
            str(row[0])
            for row in self._connection.execute(
                f"SELECT id, text, metadata FROM made WHERE vector MATCH ? AND k = ?{where}", values
            )
        ]

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self.delete(numbers)
        self.add(numbers, texts, vectors)

    def delete(self, numbers: Sequence[int]) -> None:
        with self._connection:
            self._connection.executemany("DELETE FROM made WHERE id = ?", [(n,) for n in numbers])

    def close(self) -> None:
        self._connection.close()


class FaissFlat(Engine):
    """Exact inner product, with ids."""

    name = "FAISS flat"
    keeps = "nothing"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        import faiss

        self._faiss = faiss
        self._path = folder / "faiss.index"
        self._index = faiss.read_index(str(self._path)) if self._path.exists() else self._new()
        self._total = self._index.ntotal

    def _new(self) -> Any:
        return self._faiss.IndexIDMap2(self._faiss.IndexFlatIP(self.dimensions))

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:  # noqa: ARG002  # keeps none
        self._index.add_with_ids(vectors, np.asarray(numbers, dtype=np.int64))

    def finish(self) -> None:
        self._faiss.write_index(self._index, str(self._path))

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        parameters = None
        if tenant is not None:
            allowed = np.arange(tenant, self._index.ntotal, 20, dtype=np.int64)
            parameters = self._parameters(self._faiss.IDSelectorBatch(allowed))
        _, ids = self._index.search(vector[None], limit, params=parameters)
        return [str(number) for number in ids[0]]

    def _parameters(self, selector: Any) -> Any:
        return self._faiss.SearchParameters(sel=selector)

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self.delete(numbers)
        self.add(numbers, texts, vectors)
        self.finish()

    def delete(self, numbers: Sequence[int]) -> None:
        self._index.remove_ids(np.asarray(numbers, dtype=np.int64))
        self.finish()


class FaissHnsw(FaissFlat):
    """HNSW with 32 links; it cannot remove."""

    name = "FAISS HNSW"
    can_update = False

    def _new(self) -> Any:
        faiss = self._faiss
        index = faiss.IndexHNSWFlat(self.dimensions, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 64
        return faiss.IndexIDMap2(index)

    def _parameters(self, selector: Any) -> Any:
        return self._faiss.SearchParametersHNSW(sel=selector, efSearch=64)


class Usearch(Engine):
    """HNSW as it comes; its Python interface has no filter."""

    name = "usearch"
    keeps = "nothing"
    can_filter = False

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        from usearch.index import Index

        self._path = folder / "usearch.index"
        self._index = Index(ndim=dimensions, metric="cos", dtype="f32")
        if self._path.exists():
            self._index.load(str(self._path))

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:  # noqa: ARG002  # keeps none
        self._index.add(np.asarray(numbers, dtype=np.uint64), vectors)

    def finish(self) -> None:
        self._index.save(str(self._path))

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:  # noqa: ARG002  # no filter
        return [str(number) for number in self._index.search(vector, limit).keys]

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self.delete(numbers)
        self.add(numbers, texts, vectors)
        self.finish()

    def delete(self, numbers: Sequence[int]) -> None:
        self._index.remove(np.asarray(numbers, dtype=np.uint64))
        self.finish()


class LlamaIndexSimple(Engine):
    """SimpleVectorStore, with its persist; the texts would lie in a docstore beside it."""

    name = "LlamaIndex SimpleVectorStore"
    keeps = "metadata"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        from llama_index.core.schema import TextNode
        from llama_index.core.vector_stores import SimpleVectorStore, types

        self._node, self._types = TextNode, types
        self._path = folder / "simple.json"
        self._store = (
            SimpleVectorStore.from_persist_path(str(self._path))
            if self._path.exists()
            else SimpleVectorStore()
        )

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self._store.add(
            [
                self._node(id_=str(n), text=text, metadata=metadata(n), embedding=vector.tolist())
                for n, text, vector in zip(numbers, texts, vectors, strict=True)
            ]
        )

    def finish(self) -> None:
        self._store.persist(str(self._path))

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        filters = None
        if tenant is not None:
            filters = self._types.MetadataFilters(
                filters=[self._types.MetadataFilter(key="tenant", value=tenant)]
            )
        return self._store.query(
            self._types.VectorStoreQuery(
                query_embedding=vector.tolist(), similarity_top_k=limit, filters=filters
            )
        ).ids

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self.add(numbers, texts, vectors)
        self.finish()

    def delete(self, numbers: Sequence[int]) -> None:
        self._store.delete_nodes([str(n) for n in numbers])
        self.finish()


class LangChainInMemory(Engine):
    """InMemoryVectorStore, with its dump."""

    name = "LangChain InMemoryVectorStore"

    def __init__(self, folder: Path, dimensions: int) -> None:
        super().__init__(folder, dimensions)
        from langchain_core.embeddings import Embeddings
        from langchain_core.vectorstores import InMemoryVectorStore

        class Ready(Embeddings):
            """Returns the vectors that were laid ready."""

            vectors: Sequence[list[float]] = ()

            def embed_documents(self, texts: list[str]) -> list[list[float]]:  # noqa: ARG002  # the interface's
                return list(self.vectors)

            def embed_query(self, text: str) -> list[float]:  # noqa: ARG002  # the interface's
                return self.vectors[0]

        self._ready = Ready()
        self._path = folder / "memory.json"
        self._store = (
            InMemoryVectorStore.load(str(self._path), self._ready)
            if self._path.exists()
            else InMemoryVectorStore(self._ready)
        )

    def add(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self._ready.vectors = vectors.tolist()
        self._store.add_texts(texts, [metadata(n) for n in numbers], ids=[str(n) for n in numbers])

    def finish(self) -> None:
        self._store.dump(str(self._path))

    def query(self, vector: Floats, limit: int, tenant: int | None = None) -> Found:
        chosen = None
        if tenant is not None:

            def chosen(document: Any) -> bool:
                return document.metadata["tenant"] == tenant

        found = self._store.similarity_search_by_vector(vector.tolist(), limit, filter=chosen)
        return [str(document.id) for document in found]

    def update(self, numbers: Sequence[int], texts: list[str], vectors: Floats) -> None:
        self.add(numbers, texts, vectors)
        self.finish()

    def delete(self, numbers: Sequence[int]) -> None:
        self._store.delete([str(n) for n in numbers])
        self.finish()


ENGINES: dict[str, type[Engine]] = {
    engine.name: engine
    for engine in (
        Semcore,
        SemcoreExact,
        Chroma,
        LanceDB,
        LanceDBText,
        SqliteVec,
        FaissFlat,
        FaissHnsw,
        Usearch,
        LlamaIndexSimple,
        LangChainInMemory,
    )
}


def disk_use(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def clear(folder: Path) -> None:
    """Empty a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
