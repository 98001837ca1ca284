"""Collections own their spec."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semantic_core.domain.errors import (
    InvalidInputError,
    InvalidTextError,
    SpecMismatchError,
    UnknownCollectionError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.collections import get_collection
from support.chunks import SPEC


def test_collection_is_created_once_with_the_default_spec(store: PeeweeVectorStore) -> None:
    created = store.collection()
    assert (created.name, created.spec) == ("default", EmbeddingSpec())
    assert store.collection() == created
    assert store.collection("default", EmbeddingSpec()) == created


def test_another_spec_is_refused_and_both_are_named(store: PeeweeVectorStore) -> None:
    store.collection("notes", SPEC)
    with pytest.raises(SpecMismatchError) as raised:
        store.collection("notes", EmbeddingSpec.gemini_embedding_2(dimensions=1536))
    message = str(raised.value)
    for part in (
        "'notes'",
        "gemini-embedding-001",
        "dimensions=8",
        "gemini-embedding-2",
        "dimensions=1536",
    ):
        assert part in message


@pytest.mark.parametrize(
    "other",
    [
        {"dimensions": 9},
        {"document_task": "CLUSTERING"},
        {"query_task": "QUESTION_ANSWERING"},
        {"document_template": "title: none | text: {text}"},
        {"query_template": "query: {text}"},
        {"normalized": False},
    ],
    ids=lambda other: next(iter(other)),
)
def test_every_part_of_the_spec_counts(store: PeeweeVectorStore, other: dict[str, object]) -> None:
    store.collection("notes", SPEC)
    with pytest.raises(SpecMismatchError):
        store.collection("notes", replace(SPEC, **other))  # type: ignore[arg-type]


def test_a_save_creates_the_collection_with_the_default_spec(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text="a")], collection="notes")
    assert store.collection("notes").spec == EmbeddingSpec()


def test_collections_are_listed_by_name(store: PeeweeVectorStore) -> None:
    store.collection("b", SPEC)
    store.collection("a")
    assert [collection.name for collection in store.collections()] == ["a", "b"]


@pytest.mark.parametrize("name", ["", "  "])
def test_blank_name_is_refused(store: PeeweeVectorStore, name: str) -> None:
    with pytest.raises(InvalidInputError, match="blank"):
        store.collection(name)


@pytest.mark.parametrize("name", ["\ud800", "a\0"])
def test_name_that_cannot_be_stored_is_refused(store: PeeweeVectorStore, name: str) -> None:
    with pytest.raises(InvalidTextError, match="name"):
        store.collection(name)
    with pytest.raises(InvalidTextError, match="name"):
        store.search(text="a", collection=name)


def test_unknown_collection_names_those_there_are(store: PeeweeVectorStore) -> None:
    store.collection("notes")
    with (
        store.database.snapshot() as connection,
        pytest.raises(
            UnknownCollectionError, match=r"'nots' \(did you mean 'notes'\? there is: 'notes'\)"
        ),
    ):
        get_collection(connection, "nots")


def test_external_space_is_opened_with_or_without_its_dimensions(store: PeeweeVectorStore) -> None:
    store.collection("f", EmbeddingSpec.external("foreign", 3))
    assert store.collection("f", EmbeddingSpec.external("foreign")).spec.dimensions == 3
    with pytest.raises(SpecMismatchError, match=r"3 dimensions.*4 dimensions"):
        store.collection("f", EmbeddingSpec.external("foreign", 4))
    with pytest.raises(SpecMismatchError, match="other"):
        store.collection("f", EmbeddingSpec.external("other"))


def test_dimensions_named_later_are_fixed_from_then_on(store: PeeweeVectorStore) -> None:
    store.collection("f", EmbeddingSpec.external("foreign"))
    assert store.collection("f", EmbeddingSpec.external("foreign", 3)).spec.dimensions == 3
    with pytest.raises(SpecMismatchError):
        store.collection("f", EmbeddingSpec.external("foreign", 4))


def test_new_collection_of_a_known_external_space_has_its_dimensions(
    store: PeeweeVectorStore,
) -> None:
    store.collection("one", EmbeddingSpec.external("foreign", 3))
    assert store.collection("two", EmbeddingSpec.external("foreign")).spec.dimensions == 3
    with pytest.raises(SpecMismatchError, match="has 3 dimensions, not 4"):
        store.collection("three", EmbeddingSpec.external("foreign", 4))
    assert [collection.name for collection in store.collections()] == ["one", "two"]


def test_mismatch_names_an_external_space_whose_size_is_unknown(store: PeeweeVectorStore) -> None:
    store.collection("f", EmbeddingSpec.external("foreign"))
    with pytest.raises(SpecMismatchError, match="external 'foreign', dimensions not known yet"):
        store.collection("f", SPEC)
