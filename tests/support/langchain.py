"""LangChain objects that several test modules use."""

from __future__ import annotations

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from support.world import World

CAT = Document(id="cat", page_content="The cat sat on the mat.", metadata={"kind": "animal"})
DOG = Document(id="dog", page_content="A dog barked at the postman.", metadata={"kind": "animal"})
CAR = Document(id="car", page_content="Cars need fuel and roads.", metadata={"kind": "machine"})
DOCUMENTS = [CAT, DOG, CAR]


class TableEmbeddings(Embeddings):
    """Somebody else's embedding: looks vectors up, counts what it was asked."""

    def __init__(self, vectors: dict[str, list[float]], model: str = "table-1") -> None:
        self.model = model
        self.vectors = vectors
        self.documents: list[str] = []
        self.queries: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.documents += texts
        return [self.vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        self.queries.append(text)
        return self.vectors[text]


def embed_all(world: World) -> None:
    """Let everything that waits go through a batch."""
    world.manager().drain_queue()
    world.manager().wait()


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]
