import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import VectorStoreQuery

from llamaindex_semcore import SemcoreVectorStore
from llamaindex_semcore.nodes import to_chunk, to_node
from semantic_core import Chunk, EmbeddingStatus, InvalidInputError, StoredChunk

RELATIONS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="doc", node_type="4", metadata={"a": 1}, hash="h"
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before"),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="after"),
    NodeRelationship.PARENT: RelatedNodeInfo(node_id="parent"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="one"), RelatedNodeInfo(node_id="two")],
}
FULL = {
    "id_": "the id",
    "text": "Füße, 漢字, 😀\r\n\ttabs and \u2028 separators ",
    "metadata": {"z": 1, "a": [1, 2.5, None, True], "nested": {"ключ": "wert"}, "e": 1e-300},
    "relationships": RELATIONS,
    "excluded_embed_metadata_keys": ["z", "nested"],
    "excluded_llm_metadata_keys": ["a"],
    "metadata_template": "{key} => {value}",
    "metadata_separator": " | ",
    "text_template": "<<{content}>> {metadata_str}",
    "mimetype": "text/markdown",
    "start_char_idx": 17,
    "end_char_idx": 42,
}
IMAGE = {"image": "aGVsbG8=", "image_mimetype": "image/png", "image_url": "https://host.test/a.png"}

NODES: dict[str, BaseNode] = {
    "text": TextNode(**FULL),
    "plain text": TextNode(text="only a text"),
    "index": IndexNode(**FULL, index_id="other"),
    "index of a node": IndexNode(**FULL, index_id="other", obj=TextNode(id_="inner", text="in")),
    "image": ImageNode(**FULL, **IMAGE, text_embedding=[0.5, 1.0]),
    "image without text": ImageNode(id_="picture", **IMAGE),
    "document": Document(
        id_="doc",
        text_resource=MediaResource(text="The whole text.", mimetype="text/plain"),
        metadata={"title": "T"},
        excluded_llm_metadata_keys=["title"],
    ),
    "document without text": Document(id_="empty", metadata={"title": "T"}),
    "document with an empty text": Document(id_="empty", text_resource=MediaResource(text="")),
    "image document": ImageDocument(
        id_="picture",
        text="What it shows.",
        image_resource=MediaResource(url="https://host.test/a.png", mimetype="image/png"),
    ),
    "multimodal": Node(
        id_="many",
        text_resource=MediaResource(text="Spoken.", path=Path("a.txt")),
        audio_resource=MediaResource(url="https://host.test/a.mp3"),
    ),
}


BYTES = b"\x89PNG\r\n\x1a\n\0\xff"

MEDIA: dict[str, BaseNode] = {
    "image document": ImageDocument(id_="a", text="A cat.", image=base64.b64encode(BYTES).decode()),
    "image document without text": ImageDocument(id_="a", image="aGVsbG8="),
    "image resource": Document(id_="a", text="A cat.", image_resource=MediaResource(data=BYTES)),
    "audio and video": Node(
        id_="a",
        text_resource=MediaResource(text="Spoken.", data=b"not base64!"),
        audio_resource=MediaResource(data=BYTES, mimetype="audio/mpeg"),
        video_resource=MediaResource(data=b"", url="https://host.test/a.mp4"),
    ),
    "within an index node": IndexNode(
        id_="a", text="x", index_id="i", obj=Node(id_="b", image_resource=MediaResource(data=BYTES))
    ),
}


def media_of(node: BaseNode | None) -> list[bytes | None]:
    resources = [
        getattr(node, f"{name}_resource", None) for name in ("text", "image", "audio", "video")
    ]
    found = [None if resource is None else resource.data for resource in resources]
    return found + (media_of(node.obj) if isinstance(node, IndexNode) else [])


@pytest.mark.parametrize("added", MEDIA.values(), ids=MEDIA)
def test_the_bytes_of_media_come_back(offline_store: SemcoreVectorStore, added: BaseNode) -> None:
    """LlamaIndex's own JSON leaves them out."""
    offline_store.add([added])
    [found] = offline_store.get_nodes(["a"])
    assert any(media_of(added))
    assert media_of(found) == media_of(added)
    assert found == added
    assert found.hash == added.hash
    answer = offline_store.query(VectorStoreQuery(query_str="cat spoken x", mode="text_search"))
    for hit in answer.nodes or []:
        assert media_of(hit) == media_of(added)
        assert hit.hash == added.hash


def test_bytes_that_were_put_in_later_come_back_as_they_are(
    offline_store: SemcoreVectorStore,
) -> None:
    added = ImageDocument(id_="a", text="A cat.", image="aGVsbG8=")
    assert added.image_resource is not None
    added.image_resource.data = BYTES  # unchecked by LlamaIndex, and no base64
    offline_store.add([added])
    assert media_of(offline_store.get_nodes(["a"])[0]) == media_of(added)


@pytest.mark.parametrize("status", [status.value for status in EmbeddingStatus])
def test_an_embedding_status_of_the_users_own_comes_back(
    offline_store: SemcoreVectorStore, status: str
) -> None:
    """A docstore or a pipeline's JSON leaves a plain string of whatever stood there."""
    added = TextNode(id_="a", text="words", metadata={"embedding_status": status})
    offline_store.add([TextNode.from_json(added.to_json())])
    assert offline_store.get_nodes(["a"]) == [added]
    assert offline_store.client.stats().waiting == 1


def test_our_enum_in_a_nodes_metadata_keeps_it_from_being_sent(
    offline_store: SemcoreVectorStore,
) -> None:
    metadata = {"embedding_status": EmbeddingStatus.FAILED}
    offline_store.add([TextNode(id_="a", text="words", metadata=metadata)])
    assert offline_store.client.stats().failed == 1


def stored(chunk: Chunk) -> StoredChunk:
    """Return a chunk as the store gives it back."""
    return StoredChunk(
        id=chunk.id or "",
        collection="default",
        text=chunk.text,
        metadata=json.loads(json.dumps(chunk.metadata)),
        document_id=chunk.document_id,
        vector_source=chunk.vector_source or chunk.text,
        payload=chunk.payload,
        content_hash="",
        status=EmbeddingStatus.PENDING,
        is_stale=False,
        batch_job_id=None,
        error_message=None,
        created_at=0.0,
        updated_at=0.0,
    )


@pytest.mark.parametrize("added", NODES.values(), ids=NODES)
def test_a_node_comes_back_exactly(offline_store: SemcoreVectorStore, added: BaseNode) -> None:
    offline_store.add([added])
    [found] = offline_store.get_nodes([added.node_id])
    assert type(found) is type(added)
    assert found == added
    assert found.hash == added.hash
    assert found.to_dict() == added.to_dict()
    for mode in MetadataMode:
        assert found.get_content(metadata_mode=mode) == added.get_content(metadata_mode=mode)


@given(
    text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    metadata=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, width=16)
            | st.sampled_from(["", "x", "😀"]),
            lambda inner: st.lists(inner, max_size=2),
            max_leaves=4,
        ).filter(lambda value: value not in (float("inf"), -float("inf"))),
        max_size=3,
    ),
    excluded=st.lists(st.text(max_size=3), max_size=2),
)
def test_any_text_node_comes_back_exactly(
    text: str, metadata: dict[str, object], excluded: list[str]
) -> None:
    added = TextNode(text=text, metadata=metadata, excluded_embed_metadata_keys=excluded)
    found = to_node(stored(to_chunk(added)))
    assert found == added
    assert found.hash == added.hash


def test_the_chunk_holds_what_others_can_use(offline_store: SemcoreVectorStore) -> None:
    """Keyword search and other adapters see the text and the user's metadata, and no more."""
    added = TextNode(**FULL)
    offline_store.add([added])
    [chunk] = offline_store.client.get(["the id"])
    assert chunk.text == added.text
    assert chunk.metadata == added.metadata
    assert list(chunk.metadata) == list(added.metadata)
    assert chunk.document_id == "doc"
    assert added.text not in str(chunk.payload)


def test_what_is_embedded_is_the_embed_mode_content() -> None:
    chunk = to_chunk(TextNode(**FULL))
    assert chunk.vector_source == TextNode(**FULL).get_content(metadata_mode=MetadataMode.EMBED)
    assert "a => [1, 2.5, None, True]" in str(chunk.vector_source)
    assert "z => 1" not in str(chunk.vector_source)


@pytest.mark.parametrize("embedding", [None, []])
def test_a_node_without_an_embedding_waits_for_its_vector(
    offline_store: SemcoreVectorStore, embedding: list[float] | None
) -> None:
    offline_store.add([TextNode(id_="a", text="words", embedding=embedding)])
    [chunk] = offline_store.client.get(["a"])
    assert chunk.status is EmbeddingStatus.PENDING


@pytest.mark.parametrize(
    "blank",
    [
        TextNode(id_="a", text=""),
        TextNode(id_="a", text=" \n\t"),
        TextNode(id_="a", text="---\n***", metadata={"file": "x"}),
        TextNode(id_="a", text=" ", metadata={"file": "x"}),
        TextNode(id_="a", text="words", metadata={"file": "x"}, text_template=" "),
        ImageNode(id_="a", **IMAGE),
    ],
    ids=["empty", "white space", "no letter", "only metadata", "template without content", "image"],
)
def test_a_blank_node_is_kept_and_never_sent(
    offline_store: SemcoreVectorStore, blank: TextNode
) -> None:
    offline_store.add([blank, TextNode(id_="b", text="words")])
    [chunk] = offline_store.client.get(["a"])
    assert chunk.status is EmbeddingStatus.FAILED
    assert chunk.error_message == "blank text: nothing to embed"
    assert offline_store.client.stats().waiting_texts == 1
    assert offline_store.get_nodes(["a"]) == [blank]


def test_a_blank_node_with_a_vector_is_ready(external_store: SemcoreVectorStore) -> None:
    external_store.add([ImageNode(id_="a", **IMAGE, embedding=[1.0, 2.0])])
    [chunk] = external_store.client.get(["a"], collection="external")
    assert chunk.status is EmbeddingStatus.READY


def test_a_node_without_a_source_is_its_own_document() -> None:
    """IngestionPipeline deletes it by its own id when it changed."""
    assert to_chunk(Document(id_="d", text="words")).document_id == "d"


def test_what_came_by_another_way_is_a_text_node_of_its_document(
    offline_store: SemcoreVectorStore,
) -> None:
    offline_store.client.save(
        [
            Chunk(id="d#0", document_id="d", text="from elsewhere", metadata={"n": 1}),
            Chunk(id="alone", text="more", payload='{"another_adapter": {}}'),
        ]
    )
    piece, alone = offline_store.get_nodes(["d#0", "alone"])
    assert isinstance(piece, TextNode)
    assert (piece.text, piece.metadata, piece.ref_doc_id) == ("from elsewhere", {"n": 1}, "d")
    assert alone.ref_doc_id is None


class OwnNode(TextNode):
    """A class that the reader of the database may not have."""

    extra: str = "x"

    @classmethod
    def class_name(cls) -> str:
        return "OwnNode"


class Strange(BaseNode):
    def get_content(self, metadata_mode: MetadataMode = MetadataMode.ALL) -> str:
        return "text"

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.ALL) -> list[object]:
        return []

    def set_content(self, value: str) -> None: ...

    @classmethod
    def get_type(cls) -> str:
        return "strange"

    @property
    def hash(self) -> str:
        return ""


def test_a_class_of_the_users_comes_back_as_llamaindexs_own(
    offline_store: SemcoreVectorStore,
) -> None:
    offline_store.add([OwnNode(id_="a", text="words")])
    [found] = offline_store.get_nodes()
    assert type(found) is TextNode
    assert found.get_content() == "words"


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (IndexNode(id_="bad", text="x", index_id="i", obj=object()), "cannot be written as JSON"),
        (Strange(id_="bad"), "is a Strange, which is none of: TextNode"),
    ],
    ids=["object", "class"],
)
def test_what_cannot_be_kept_is_refused_and_nothing_written(
    offline_store: SemcoreVectorStore, bad: BaseNode, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match) as caught:
        offline_store.add([TextNode(text="good"), bad])
    assert "'bad'" in str(caught.value)
    assert offline_store.get_nodes() == []
