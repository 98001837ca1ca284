"""Pictures in LlamaIndex: nodes with images, and the multi-modal index on two collections."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from pathlib import Path

import pytest
from llama_index.core import StorageContext
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    MediaResource,
    MetadataMode,
    Node,
)

from llamaindex_semcore import DeferredEmbedding, EmbeddingSpec, SemcoreVectorStore
from semantic_core import Chunk, EmbeddingStatus, InvalidInputError, Media
from support.pictures import picture
from support.world import World

SPEC = EmbeddingSpec.gemini_embedding_2(dimensions=256)


@pytest.fixture
def image_store(world: World) -> SemcoreVectorStore:
    return SemcoreVectorStore(world.store, "images", spec=SPEC)


@pytest.fixture
def image_model(world: World) -> DeferredEmbedding:
    return DeferredEmbedding(world.keyring(), spec=SPEC, embedder=world.embedder())


def finish(world: World) -> None:
    manager = world.manager()
    while manager.flush_queue() is not None:
        pass
    world.clock.advance(3600)
    manager.sync_status()


def test_nodes_with_pictures_are_embedded_with_them_and_come_back_whole(
    world: World, image_store: SemcoreVectorStore, tmp_path: Path
) -> None:
    path = tmp_path / "lamp.png"
    path.write_bytes(picture(2))
    encoded = base64.b64encode(picture(1))
    nodes = [
        ImageNode(id_="image", text="a shoe", image=encoded.decode()),
        ImageDocument(id_="document", image_path=str(path), text="a lamp"),
        Node(id_="node", image_resource=MediaResource(data=picture(3), mimetype="image/png")),
    ]
    image_store.add(nodes)
    assert [chunk.media[0].path for chunk in world.store.chunks(collection="images")] == [
        None,
        str(path),
        None,
    ]
    finish(world)
    assert world.emulator.ledger.media_tokens() == 3 * 258
    found = {node.node_id: node for node in image_store.get_nodes()}
    image, document, node = found["image"], found["document"], found["node"]
    assert isinstance(image, ImageNode)
    assert image.image == encoded.decode()
    assert isinstance(document, ImageDocument)
    assert document.image_path == str(path)
    assert isinstance(node, Node)
    assert node.image_resource is not None
    assert node.image_resource.data == nodes[2].image_resource.data
    assert image.get_content(metadata_mode=MetadataMode.NONE) == "a shoe"


def test_the_bytes_of_a_picture_are_kept_once(
    world: World, image_store: SemcoreVectorStore
) -> None:
    """Whoever lists nodes would hold all pictures in memory otherwise."""
    encoded = base64.b64encode(picture(1))
    nodes = [
        ImageNode(id_="node", image=encoded.decode()),
        ImageDocument(id_="document", image=encoded.decode(), image_mimetype="image/png"),
    ]
    image_store.add(nodes)
    for chunk in world.store.chunks(collection="images"):
        assert encoded.decode() not in str(chunk.payload)
    assert image_store.get_nodes(["node", "document"]) == nodes


def test_pictures_that_came_in_by_another_way_are_image_nodes(
    world: World, image_store: SemcoreVectorStore, tmp_path: Path
) -> None:
    path = tmp_path / "lamp.png"
    path.write_bytes(picture(2))
    world.store.collection("images", SPEC)
    world.store.save(
        [
            Chunk(id="bytes", text="a shoe", media=Media(picture(1))),
            Chunk(id="path", text="", media=Media(path)),
        ],
        collection="images",
    )
    shoe, lamp = image_store.get_nodes(["bytes", "path"])
    assert isinstance(shoe, ImageNode)
    assert isinstance(lamp, ImageNode)
    assert shoe.resolve_image().read() == picture(1)
    assert (lamp.resolve_image(), lamp.image_mimetype) == (str(path), "image/png")


def test_a_text_model_embeds_the_text_of_an_image_node_as_before(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    vector_store.add([ImageNode(id_="image", text="a shoe", image_path="nowhere.png")])
    (chunk,) = world.store.chunks()
    assert (chunk.status, chunk.media) == (EmbeddingStatus.PENDING, ())


def test_the_multi_modal_index_answers_before_and_after_the_batch(
    world: World, image_store: SemcoreVectorStore, image_model: DeferredEmbedding, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{name}.png" for name in ("shoe", "lamp", "sofa")]
    for seed, path in enumerate(paths, start=1):
        path.write_bytes(picture(seed))
    index = MultiModalVectorStoreIndex.from_documents(
        [
            Document(id_="text", text="The warehouse closes at noon."),
            *(ImageDocument(text=f"a {path.stem}", image_path=str(path)) for path in paths),
        ],
        storage_context=StorageContext.from_defaults(
            vector_store=SemcoreVectorStore(world.store, "texts", spec=SPEC),
            image_store=image_store,
        ),
        embed_model=image_model,
        image_embed_model=image_model,
    )
    retriever = index.as_retriever(similarity_top_k=1, image_similarity_top_k=1)
    early = retriever.retrieve("warehouse")
    assert [hit.node.get_content() for hit in early] == ["The warehouse closes at noon."]
    (hit,) = retriever.text_to_image_retrieve("lamp")
    assert hit.node.metadata["_semcore"]["match"] == "keyword"
    wanted = tmp_path / "query.png"
    wanted.write_bytes(picture(3, size=150))
    assert retriever.image_to_image_retrieve(str(wanted)) == []

    finish(world)

    (hit,) = retriever.text_to_image_retrieve("a lamp")
    assert isinstance(hit.node, ImageNode)
    assert hit.node.image_path == str(paths[1])
    (hit,) = retriever.image_to_image_retrieve(str(wanted))
    assert hit.node.get_content() == "a sofa"
    embedding = image_model.get_image_embedding(BytesIO(picture(1, size=99)))
    assert len(embedding) == 256


def test_the_async_twins_embed_none_and_find_pictures_by_another(
    world: World, image_store: SemcoreVectorStore, image_model: DeferredEmbedding, tmp_path: Path
) -> None:
    """As the index does for itself, where it is told to be asynchronous."""
    nodes = [
        ImageNode(id_=str(seed), image=base64.b64encode(picture(seed)).decode())
        for seed in (1, 2, 3)
    ]
    images = [node.resolve_image() for node in nodes]
    vectors = asyncio.run(image_model.aget_image_embedding_batch(images))
    assert [len(vector) for vector in vectors] == [0, 0, 0]
    asyncio.run(image_store.async_add(nodes))
    finish(world)
    index = MultiModalVectorStoreIndex.from_vector_store(
        SemcoreVectorStore(world.store, "texts", spec=SPEC),
        embed_model=image_model,
        image_vector_store=image_store,
        image_embed_model=image_model,
    )
    wanted = tmp_path / "query.png"
    wanted.write_bytes(picture(2, size=150))
    retriever = index.as_retriever(image_similarity_top_k=1)
    (hit,) = asyncio.run(retriever.aimage_to_image_retrieve(str(wanted)))
    assert hit.node == nodes[1]


def test_a_text_model_says_by_its_name_that_it_looks_for_no_pictures(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shoe.png"
    path.write_bytes(picture(1))
    model = DeferredEmbedding(world.keyring(), embedder=world.embedder())
    assert len(model.get_image_embedding(str(path))) == 0
    assert "gemini-embedding-001 takes only text" in caplog.text
    model.on_query_error = "raise"
    with pytest.raises(InvalidInputError, match="gemini-embedding-001 takes only text"):
        model.get_image_embedding(BytesIO(picture(1)))
