"""IngestionPipeline drops a node whose embedding is None in silence. Not one of ours is lost."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import llama_index.core
import pytest
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, Document, TextNode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from llamaindex_semcore import DeferredEmbedding, EmbeddingSpec, SemcoreVectorStore
from semantic_core import EmbeddingStatus
from support.llamaindex import embed_all
from support.world import World

SPLITTER = SentenceSplitter(chunk_size=32, chunk_overlap=0)
UPSERTS, DUPLICATES, UPSERTS_AND_DELETE = (
    DocstoreStrategy.UPSERTS,
    DocstoreStrategy.DUPLICATES_ONLY,
    DocstoreStrategy.UPSERTS_AND_DELETE,
)

# A worker imports LlamaIndex anew; one CPU makes LlamaIndex warn; a fork with threads, Python.
workers = pytest.mark.filterwarnings(
    "ignore:Specified num_workers", "ignore:.*fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def offline_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads the tokenizer that LlamaIndex brings along, and does not download it."""
    files = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(files))


def documents(count: int = 6, *, changed: Sequence[int] = ()) -> list[Document]:
    """Return documents of several sentences each; every sentence is like no other."""
    return [
        Document(
            id_=f"doc {number}",
            text=" ".join(
                f"Document {number} tells in sentence {sentence} of things that "
                f"{'have changed' if number in changed else 'are as they were'} since then."
                for sentence in range(6)
            ),
            metadata={"number": number},
        )
        for number in range(count)
    ]


def pipeline_into(
    vector_store: SemcoreVectorStore,
    *,
    strategy: DocstoreStrategy | None = None,
    transformations: Sequence[TransformComponent] = (SPLITTER, DeferredEmbedding()),
) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=list(transformations),
        vector_store=vector_store,
        docstore=None if strategy is None else SimpleDocumentStore(),
        docstore_strategy=strategy or UPSERTS,
    )


def stored(vector_store: SemcoreVectorStore) -> dict[str, str]:
    """Return the texts of all nodes by id."""
    return {node.node_id: node.get_content() for node in vector_store.get_nodes()}


def texts(nodes: Sequence[BaseNode]) -> dict[str, str]:
    return {node.node_id: node.get_content() for node in nodes}


def split(given: list[Document]) -> list[str]:
    """Return the texts that the documents consist of."""
    return sorted(node.get_content() for node in SPLITTER(given))


def test_every_node_of_a_run_is_stored(offline_store: SemcoreVectorStore) -> None:
    nodes = pipeline_into(offline_store).run(documents=documents())
    assert stored(offline_store) == texts(nodes)
    assert sorted(stored(offline_store).values()) == split(documents())
    assert len(nodes) > len(documents())
    assert offline_store.client.stats().waiting == len(nodes)


async def test_every_node_of_an_async_run_is_stored(offline_store: SemcoreVectorStore) -> None:
    nodes = await pipeline_into(offline_store).arun(documents=documents())
    assert stored(offline_store) == texts(nodes)
    assert sorted(stored(offline_store).values()) == split(documents())


@workers
def test_every_node_of_spawned_workers_is_stored(offline_store: SemcoreVectorStore) -> None:
    """Their embed model is a pickled copy, their nodes come back pickled; then from the cache."""
    pipeline = pipeline_into(offline_store)
    for _ in range(2):
        offline_store.clear()
        nodes = pipeline.run(documents=documents(), num_workers=2)
        assert stored(offline_store) == texts(nodes)
        assert sorted(stored(offline_store).values()) == split(documents())
        assert offline_store.client.stats().waiting == len(nodes)


@workers
async def test_every_node_of_async_workers_is_stored(offline_store: SemcoreVectorStore) -> None:
    nodes = await pipeline_into(offline_store).arun(documents=documents(), num_workers=2)
    assert stored(offline_store) == texts(nodes)
    assert sorted(stored(offline_store).values()) == split(documents())


@pytest.mark.parametrize("strategy", DocstoreStrategy)
def test_running_again_changes_nothing(
    offline_store: SemcoreVectorStore, strategy: DocstoreStrategy
) -> None:
    pipeline = pipeline_into(offline_store, strategy=strategy)
    pipeline.run(documents=documents())
    before = offline_store.client.chunks()
    assert pipeline.run(documents=documents()) == []
    assert offline_store.client.chunks() == before


@pytest.mark.parametrize("strategy", [UPSERTS, UPSERTS_AND_DELETE])
@pytest.mark.parametrize("is_split", [True, False], ids=["split", "whole"])
async def test_a_changed_document_is_replaced(
    offline_store: SemcoreVectorStore, strategy: DocstoreStrategy, *, is_split: bool
) -> None:
    transformations = (SPLITTER, DeferredEmbedding()) if is_split else (DeferredEmbedding(),)
    pipeline = pipeline_into(offline_store, strategy=strategy, transformations=transformations)
    pipeline.run(documents=documents())
    pipeline.run(documents=documents(changed=[2]))
    await pipeline.arun(documents=documents(changed=[2, 4]))
    now = documents(changed=[2, 4])
    expected = split(now) if is_split else sorted(document.text for document in now)
    assert sorted(stored(offline_store).values()) == expected


@pytest.mark.parametrize("is_split", [True, False], ids=["split", "whole"])
def test_a_deleted_document_goes_where_the_strategy_says_so(
    offline_store: SemcoreVectorStore, *, is_split: bool
) -> None:
    transformations = (SPLITTER, DeferredEmbedding()) if is_split else (DeferredEmbedding(),)
    left = documents()[:4]
    for strategy, remaining in ((UPSERTS_AND_DELETE, left), (UPSERTS, documents())):
        offline_store.clear()
        pipeline = pipeline_into(offline_store, strategy=strategy, transformations=transformations)
        pipeline.run(documents=documents())
        pipeline.run(documents=left)
        expected = split(remaining) if is_split else sorted(one.text for one in remaining)
        assert sorted(stored(offline_store).values()) == expected


def test_duplicates_only_keeps_both_versions(offline_store: SemcoreVectorStore) -> None:
    pipeline = pipeline_into(offline_store, strategy=DUPLICATES)
    pipeline.run(documents=documents())
    pipeline.run(documents=documents(changed=[0]))
    changed = documents(changed=[0])[:1]
    assert sorted(stored(offline_store).values()) == sorted(split(documents()) + split(changed))


def test_nodes_from_the_cache_are_stored_like_the_first_time(
    offline_store: SemcoreVectorStore, tmp_path: Path
) -> None:
    """The placeholder survives being JSON."""
    pipeline = pipeline_into(offline_store)
    first = pipeline.run(documents=documents())
    pipeline.persist(str(tmp_path / "pipeline"))
    assert '"embedding": []' in json.dumps(
        json.loads((tmp_path / "pipeline" / "llama_cache").read_text(encoding="utf-8"))
    )
    offline_store.clear()
    again = pipeline_into(offline_store)
    again.load(str(tmp_path / "pipeline"))
    second = again.run(documents=documents())
    assert texts(second) == texts(first) == stored(offline_store)
    assert offline_store.client.stats().waiting == len(first)


def test_the_cache_tells_specs_apart(offline_store: SemcoreVectorStore, tmp_path: Path) -> None:
    """And what was cached by a live embed model is no placeholder of ours."""
    pipeline = pipeline_into(offline_store)
    pipeline.run(documents=documents(1))
    second = DeferredEmbedding(spec=EmbeddingSpec.gemini_embedding_2())
    keys = set(pipeline.cache.cache.get_all(collection=pipeline.cache.collection))
    pipeline.transformations = [SPLITTER, second]
    pipeline.run(documents=documents(1))
    more = set(pipeline.cache.cache.get_all(collection=pipeline.cache.collection))
    assert len(more - keys) == 1


def test_a_blank_node_stops_nothing(offline_store: SemcoreVectorStore) -> None:
    nodes = [TextNode(id_="blank", text="  "), TextNode(id_="good", text="words")]
    pipeline_into(offline_store, transformations=[DeferredEmbedding()]).run(nodes=nodes)
    blank, good = offline_store.client.get(["blank", "good"])
    assert (blank.status, good.status) == (EmbeddingStatus.FAILED, EmbeddingStatus.PENDING)


def test_nothing_is_marked_as_done_where_adding_fails(offline_store: SemcoreVectorStore) -> None:
    """The next run takes the same documents again."""
    pipeline = pipeline_into(offline_store, strategy=UPSERTS, transformations=[DeferredEmbedding()])
    bad = Document(id_="bad", text="bad \0")
    with pytest.raises(ValueError, match="'bad'"):
        pipeline.run(documents=[*documents(2), bad])
    assert offline_store.get_nodes() == []
    pipeline.run(documents=documents(2))
    assert set(stored(offline_store)) == {"doc 0", "doc 1"}


def test_nothing_is_paid_for_twice_over_many_runs(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    pipeline = pipeline_into(vector_store, strategy=UPSERTS_AND_DELETE)
    for given in (documents(), documents(4), documents(changed=[1]), documents()):
        pipeline.run(documents=given)
        if vector_store.client.stats().waiting:
            embed_all(world)
    assert vector_store.client.stats().ready == len(split(documents()))
    assert not world.emulator.ledger.overbilled()
    assert set(world.emulator.ledger.billed().values()) == {1}


def test_a_pipeline_goes_on_in_another_process(database_path: Path, tmp_path: Path) -> None:
    """Docstore and cache from their files, the database from its own."""
    for changed in ([], [3]):
        with closing(SemcoreVectorStore(database_path)) as vector_store:
            pipeline = pipeline_into(vector_store, strategy=UPSERTS)
            if changed:
                pipeline.load(str(tmp_path / "pipeline"))
            pipeline.run(documents=documents(changed=changed))
            pipeline.persist(str(tmp_path / "pipeline"))
            assert sorted(stored(vector_store).values()) == split(documents(changed=changed))
