"""Pictures in LangChain: added as to Chroma, found by caption at once and by picture later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings

from langchain_semcore import (
    DeferredEmbeddings,
    EmbeddingSpec,
    SemcoreRetriever,
    SemcoreVectorStore,
)
from semantic_core import (
    Chunk,
    ConfigurationError,
    InvalidInputError,
    InvalidMetadataError,
    Media,
    UnreadableFileError,
)
from support.invariants import check_invariants
from support.langchain import TableEmbeddings, embed_all, ids
from support.pictures import picture
from support.world import World

SPEC = EmbeddingSpec.gemini_embedding_2(dimensions=256)


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """A shoe, a lamp and a sofa."""
    paths = [tmp_path / f"{name}.png" for name in ("running_shoe", "lamp", "sofa")]
    for seed, path in enumerate(paths, start=1):
        path.write_bytes(picture(seed))
    return [str(path) for path in paths]


@pytest.fixture
def image_store(world: World) -> Iterator[SemcoreVectorStore]:
    embeddings = DeferredEmbeddings(world.keyring(), spec=SPEC, embedder=world.embedder())
    yield SemcoreVectorStore(world.store, embedding=embeddings)
    check_invariants(world.store)


def scaled(folder: Path, seed: int) -> Path:
    path = folder / "wanted.jpg"
    path.write_bytes(picture(seed, size=150, kind="JPEG"))
    return path


def test_pictures_are_found_before_and_after_their_batch(
    world: World, image_store: SemcoreVectorStore, pictures: list[str], tmp_path: Path
) -> None:
    added = image_store.add_images(
        pictures,
        [{"price": 30}, {"price": 90, "source": "catalogue"}, {}],
        ["shoe", "lamp", "sofa"],
        captions=["", "a brass desk lamp", ""],
    )
    assert added == ["shoe", "lamp", "sofa"]
    wanted = scaled(tmp_path, 3)

    (shoe,) = image_store.similarity_search("running shoe", k=1)
    assert (shoe.id, shoe.page_content) == ("shoe", "running_shoe.png")
    assert shoe.metadata == {"price": 30, "source": pictures[0]}
    (lamp,) = image_store.similarity_search("brass", k=1)
    assert (lamp.page_content, lamp.metadata["source"]) == ("a brass desk lamp", "catalogue")
    assert image_store.similarity_search_by_image(wanted) == []

    embed_all(world)

    assert world.emulator.ledger.media_tokens(live=False) == 3 * 258
    found = image_store.similarity_search_by_image(wanted, k=2)
    assert (ids(found)[0], len(found)) == ("sofa", 2)
    scored = image_store.similarity_search_by_image_with_relevance_score(str(wanted))
    assert scored[0][0].id == "sofa"
    relevances = [relevance for _, relevance in scored]
    assert relevances == sorted(relevances, reverse=True)
    assert relevances[0] > 0.95
    assert min(relevances) >= 0
    cheap = image_store.similarity_search_by_image(wanted, filter={"price": {"$lt": 50}})
    assert ids(cheap) == ["shoe"]
    assert ids(SemcoreRetriever(vectorstore=image_store, k=1).invoke("desk lamp")) == ["lamp"]


def test_the_async_twins_do_the_same(
    world: World, image_store: SemcoreVectorStore, pictures: list[str], tmp_path: Path
) -> None:
    asyncio.run(image_store.aadd_images(pictures, ids=["shoe", "lamp", "sofa"]))
    embed_all(world)
    wanted = scaled(tmp_path, 2)
    assert ids(asyncio.run(image_store.asimilarity_search_by_image(wanted, k=1))) == ["lamp"]
    search = image_store.asimilarity_search_by_image_with_relevance_score
    ((document, relevance),) = asyncio.run(search(wanted, k=1))
    assert document.id == "lamp"
    assert relevance > 0.95


def test_a_store_that_embeds_at_once_has_the_vectors_of_pictures(
    world: World, pictures: list[str], tmp_path: Path
) -> None:
    embeddings = DeferredEmbeddings(world.keyring(), spec=SPEC, embedder=world.embedder())
    store = SemcoreVectorStore(world.store, embedding=embeddings, mode="sync")
    store.add_images(pictures, ids=["shoe", "lamp", "sofa"])
    assert ids(store.similarity_search_by_image(scaled(tmp_path, 2), k=1)) == ["lamp"]
    assert world.emulator.ledger.media_tokens(live=False) == 0


def test_why_nothing_is_found_before_a_batch_is_in_the_log(
    image_store: SemcoreVectorStore, pictures: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    image_store.add_images(pictures)
    assert image_store.similarity_search_by_image(pictures[0]) == []
    assert "Nothing was found: no vector is stored yet" in caplog.text


def test_pictures_that_came_in_by_another_way_have_their_file_names(
    world: World, image_store: SemcoreVectorStore, pictures: list[str]
) -> None:
    world.store.collection("default", SPEC)
    world.store.save(
        [
            Chunk(id="path", text="", media=Media(pictures[1])),
            Chunk(id="x", text="", media=Media(picture(9))),
        ]
    )
    assert [one.page_content for one in image_store.get_by_ids(["path", "x"])] == ["lamp.png", ""]


def test_a_text_model_refuses_pictures_by_its_name(
    vector_store: SemcoreVectorStore, pictures: list[str]
) -> None:
    for call in (
        vector_store.add_images,
        lambda paths: vector_store.similarity_search_by_image(paths[0]),
    ):
        with pytest.raises(InvalidInputError, match="gemini-embedding-001 takes only text"):
            call(pictures)


def test_odd_arguments_are_refused_and_nothing_is_saved(
    world: World, image_store: SemcoreVectorStore, pictures: list[str]
) -> None:
    add = image_store.add_images
    for call, error in (
        (lambda: add(pictures[0]), InvalidInputError),
        (lambda: add([b"bytes"]), InvalidInputError),  # type: ignore[list-item]  # wrong on purpose
        (lambda: add(pictures, [{}]), InvalidInputError),
        (lambda: add(pictures, captions=["one"]), InvalidInputError),
        (lambda: add(pictures[:1], ["text"]), InvalidMetadataError),  # type: ignore[list-item]  # likewise
        (lambda: add(["https://example.org/shoe.png"]), UnreadableFileError),
        (lambda: image_store.similarity_search_by_image("none.png"), UnreadableFileError),
    ):
        with pytest.raises(error):
            call()
    assert world.store.chunks() == []


def test_a_foreign_embedding_of_pictures_embeds_them_at_once(
    path: Path, pictures: list[str]
) -> None:
    class ImageTable(TableEmbeddings):
        def embed_image(self, uris: list[str]) -> list[list[float]]:
            return [self.vectors[Path(uri).stem] for uri in uris]

    table = ImageTable({"running_shoe": [1.0, 0.0], "lamp": [0.0, 1.0], "sofa": [0.6, 0.8]})
    with SemcoreVectorStore(path, embedding=table, mode="sync") as store:
        store.add_images(pictures, ids=["shoe", "lamp", "sofa"])
        assert ids(store.similarity_search_by_image(pictures[1], k=2)) == ["lamp", "sofa"]
        assert table.documents == []


@pytest.mark.parametrize("embedding", [None, TableEmbeddings({})])
def test_who_embeds_no_pictures_says_so(
    path: Path, pictures: list[str], embedding: Embeddings | None
) -> None:
    mode = "async" if embedding is None else "sync"
    with SemcoreVectorStore(path, embedding=embedding, mode=mode) as store:
        with pytest.raises(ConfigurationError, match="gemini_embedding_2"):
            store.similarity_search_by_image(pictures[0])
        with pytest.raises((ConfigurationError, InvalidInputError), match="gemini_embedding_2"):
            store.add_images(pictures)
