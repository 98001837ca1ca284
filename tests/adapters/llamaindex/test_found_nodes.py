import copy
import pickle
from pathlib import Path

import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeWithScore,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import VectorStoreQuery

from llamaindex_semcore import RESULT_KEY, SemcoreVectorStore

METADATA = {"title": "T", "n": 1}
NODES = [
    TextNode(id_="x", text="some words", metadata=METADATA),
    IndexNode(id_="x", text="some words", metadata=METADATA, index_id="i"),
    ImageNode(id_="x", text="some words", metadata=METADATA, image="aGVsbG8="),
    Node(id_="x", text_resource=MediaResource(text="some words"), metadata=METADATA),
    Document(id_="x", text="some words", metadata=METADATA),
    ImageDocument(id_="x", text="some words", metadata=METADATA),
]


def find(vector_store: SemcoreVectorStore, words: str = "words") -> BaseNode:
    result = vector_store.query(VectorStoreQuery(query_str=words))
    assert result.nodes
    return result.nodes[0]


@pytest.mark.parametrize("added", NODES, ids=lambda node: node.class_name())
def test_no_model_and_no_hash_sees_the_result_information(
    offline_store: SemcoreVectorStore, added: BaseNode
) -> None:
    offline_store.add([added])
    found = find(offline_store)
    assert found.metadata[RESULT_KEY]["status"] == "PENDING"
    assert found.metadata == added.metadata
    assert found == added
    assert found.hash == added.hash
    for mode in (MetadataMode.LLM, MetadataMode.EMBED, MetadataMode.NONE):
        assert found.get_content(metadata_mode=mode) == added.get_content(metadata_mode=mode)


@pytest.mark.parametrize("added", NODES, ids=lambda node: node.class_name())
def test_a_found_node_is_of_its_class(offline_store: SemcoreVectorStore, added: BaseNode) -> None:
    offline_store.add([added])
    found = find(offline_store)
    assert isinstance(found, type(added))
    assert found.class_name() == added.class_name()
    assert found.get_type() == added.get_type()
    assert found.as_related_node_info().hash == added.hash


@pytest.mark.parametrize("added", NODES, ids=lambda node: node.class_name())
def test_adding_a_found_node_again_changes_nothing(
    offline_store: SemcoreVectorStore, added: BaseNode
) -> None:
    offline_store.add([added])
    before = offline_store.client.get(["x"])
    found = find(offline_store)
    offline_store.add([found])
    assert offline_store.client.get(["x"]) == before
    assert RESULT_KEY in found.metadata, "the caller's own node stays as it is"


def test_information_that_somebody_copied_is_stripped(offline_store: SemcoreVectorStore) -> None:
    """It would be embedded, and stay when it is no longer true."""
    metadata = {"n": 1, RESULT_KEY: {"status": "READY"}}
    offline_store.add([TextNode(id_="x", text="some words", metadata=metadata)])
    [chunk] = offline_store.client.get(["x"])
    assert chunk.metadata == {"n": 1}
    assert chunk.vector_source == "n: 1\n\nsome words"


def test_get_nodes_returns_what_was_added_and_no_more(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([NODES[0]])
    [node] = offline_store.get_nodes()
    assert node.metadata == METADATA


def test_a_found_node_survives_pickle_and_json(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([NODES[0]])
    found = find(offline_store)
    again = pickle.loads(pickle.dumps(found))
    assert (again.hash, again.metadata) == (found.hash, found.metadata)
    assert RESULT_KEY not in again.metadata, "LlamaIndex makes nodes anew from what they hold"
    copied = copy.deepcopy(found)
    assert copied.metadata[RESULT_KEY] == found.metadata[RESULT_KEY]
    dumped = NodeWithScore(node=found, score=1.0).to_dict()
    assert dumped["node"]["metadata"] == METADATA, "what one query says is not what is stored"


@pytest.mark.parametrize("added", NODES, ids=lambda node: node.class_name())
def test_a_docstore_filled_with_found_nodes_holds_them_as_they_were_added(
    offline_store: SemcoreVectorStore, tmp_path: Path, added: BaseNode
) -> None:
    offline_store.add([added])
    docstore = SimpleDocumentStore()
    docstore.add_documents([find(offline_store)])
    docstore.persist(str(tmp_path / "docstore.json"))
    again = SimpleDocumentStore.from_persist_path(str(tmp_path / "docstore.json"))
    for kept in (docstore.get_node("x"), again.get_node("x")):
        assert kept.metadata == METADATA
        assert RESULT_KEY not in kept.metadata
        assert RESULT_KEY not in kept.excluded_llm_metadata_keys
        assert kept.hash == added.hash
    assert RESULT_KEY not in (tmp_path / "docstore.json").read_text()


def test_a_node_found_by_two_queries_is_one_node(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([NODES[0]])
    by_words, by_more = find(offline_store), find(offline_store, "some words")
    by_more.metadata[RESULT_KEY]["match"] = "both"
    assert by_words == by_more
    assert by_words.hash == by_more.hash
    assert by_words.metadata[RESULT_KEY] != by_more.metadata[RESULT_KEY]
