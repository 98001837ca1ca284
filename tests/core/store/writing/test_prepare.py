"""Everything is checked before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.errors import (
    BlankTextError,
    DuplicateIdError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidTextError,
    InvalidVectorError,
    NotBatchableError,
    SemanticCoreError,
    TextTooLongError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import model_facts
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.writing.prepare import PreparedChunk, prepare_chunks
from support.chunks import SPEC, vector_of

LIMIT = model_facts(SPEC.model).byte_limit or 0

BAD = {
    "empty": (BlankTextError, lambda: Chunk(text="")),
    "blank": (BlankTextError, lambda: Chunk(text=" \n\t\u3000")),
    "no letter or digit": (BlankTextError, lambda: Chunk(text="\n---\n* * *")),
    "source without one": (BlankTextError, lambda: Chunk(text="a", vector_source="…")),
    "blank vector source": (BlankTextError, lambda: Chunk(text="a", vector_source=" ")),
    "blank text with a source": (BlankTextError, lambda: Chunk(text=" ", vector_source="a")),
    "too long": (TextTooLongError, lambda: Chunk(text="a" * (LIMIT + 1))),
    "source too long": (TextTooLongError, lambda: Chunk(text="a", vector_source="a " * LIMIT)),
    "surrogate": (InvalidTextError, lambda: Chunk(text="a\ud800")),
    "NUL": (InvalidTextError, lambda: Chunk(text="a\0b")),
    "surrogate in source": (InvalidTextError, lambda: Chunk(text="a", vector_source="\udfff")),
    "source that is no text": (
        InvalidTextError,
        lambda: Chunk(text="a", metadata={"_vector_source": 1}),
    ),
    "surrogate in payload": (InvalidTextError, lambda: Chunk(text="a", payload="\ud800")),
    "surrogate in id": (InvalidTextError, lambda: Chunk(text="a", id="\ud800")),
    "NUL in id": (InvalidTextError, lambda: Chunk(text="a", id="x\0")),
    "id that is no text": (InvalidTextError, lambda: Chunk(text="a", id=7)),
    "blank id": (InvalidInputError, lambda: Chunk(text="a", id=" ")),
    "blank document id": (InvalidInputError, lambda: Chunk(text="a", document_id="")),
    "NUL in document id": (InvalidTextError, lambda: Chunk(text="a", document_id="\0")),
    "text that is no text": (InvalidTextError, lambda: Chunk(text=b"a")),
    "NaN in metadata": (InvalidMetadataError, lambda: Chunk(text="a", metadata={"x": np.nan})),
    "tuple in metadata": (InvalidMetadataError, lambda: Chunk(text="a", metadata={"x": (1,)})),
    "no mapping": (InvalidMetadataError, lambda: Chunk(text="a", metadata=[("x", 1)])),
    "no metadata": (InvalidMetadataError, lambda: Chunk(text="a", metadata=None)),
    "huge metadata": (InvalidMetadataError, lambda: Chunk(text="a", metadata={"x": "y" * 2**20})),
    "wrong size": (InvalidVectorError, lambda: Chunk(text="a", vector=[1.0] * 7)),
    "empty vector": (InvalidVectorError, lambda: Chunk(text="a", vector=[])),
    "NaN in vector": (InvalidVectorError, lambda: Chunk(text="a", vector=[np.nan] * 8)),
    "beyond float32": (InvalidVectorError, lambda: Chunk(text="a", vector=[1e39] * 8)),
    "zero vector": (InvalidVectorError, lambda: Chunk(text="a", vector=[0.0] * 8)),
    "READY without a vector": (
        InvalidInputError,
        lambda: Chunk(text="a", embedding_status=EmbeddingStatus.READY),
    ),
    "FAILED with a vector": (
        InvalidInputError,
        lambda: Chunk(text="a", embedding_status=EmbeddingStatus.FAILED, vector=[1.0] * 8),
    ),
    "surrogate in the error": (
        InvalidTextError,
        lambda: Chunk(text="", embedding_status=EmbeddingStatus.FAILED, error_message="\ud800"),
    ),
}


@pytest.mark.parametrize(("error", "make"), BAD.values(), ids=BAD)
def test_bad_chunk_is_refused_before_anything_is_written(
    store: PeeweeVectorStore, error: type[SemanticCoreError], make: Callable[[], Chunk]
) -> None:
    """Neither the good chunks of the call nor the collection are left behind."""
    store.collection("known", SPEC)
    for collection in ("known", "new"):
        chunks = [Chunk(id="good", text="good"), make()]
        with pytest.raises(error, match="chunk"):
            store.save(chunks, collection=collection)
        assert store.chunks(collection=collection) == []
    assert [collection.name for collection in store.collections()] == ["known"]


def test_error_names_the_chunk() -> None:
    with pytest.raises(BlankTextError, match="chunk number 1"):
        prepare_chunks([Chunk(text="a"), Chunk(text="")], SPEC)
    with pytest.raises(BlankTextError, match="chunk 'x'"):
        prepare_chunks([Chunk(text="", id="x")], SPEC)


def test_same_id_twice_in_one_call_is_an_error() -> None:
    with pytest.raises(DuplicateIdError, match="'x'"):
        prepare_chunks([Chunk(text="a", id="x"), Chunk(text="b", id="x")], SPEC)


def test_text_of_just_the_limit_is_the_providers_call() -> None:
    (row,) = prepare_chunks([Chunk(text="a" * LIMIT)], SPEC)
    assert row.content.text == "a" * LIMIT


def test_a_long_text_may_have_a_short_source_or_a_vector() -> None:
    text = "a" * (LIMIT + 1)
    rows = prepare_chunks(
        [Chunk(text=text, vector_source="a"), Chunk(text=text, vector=vector_of("a"))], SPEC
    )
    assert [row.content.text for row in rows] == [text, text]


def test_vectors_of_one_call_have_one_size() -> None:
    chunks = [Chunk(text="a", vector=[1.0]), Chunk(text="b", vector=[1.0, 2.0])]
    with pytest.raises(InvalidVectorError, match=r"\[1, 2\]"):
        prepare_chunks(chunks, EmbeddingSpec.external("foreign"))


def test_external_space_takes_no_chunk_without_a_vector() -> None:
    with pytest.raises(NotBatchableError, match="foreign"):
        prepare_chunks([Chunk(text="a")], EmbeddingSpec.external("foreign"))


def _prepared(**fields: Any) -> PreparedChunk:
    (row,) = prepare_chunks([Chunk(**{"text": "a", **fields})], SPEC)
    return row


def test_vector_source_comes_from_metadata_or_field() -> None:
    """It decides the content hash, and the field comes before the metadata."""
    hasher = SPEC.hasher()
    from_metadata = _prepared(metadata={"_vector_source": "source", "k": 1})
    assert (from_metadata.content.vector_source, from_metadata.content.metadata) == (
        "source",
        '{"k":1}',
    )
    assert from_metadata.content_hash == hasher("source")
    both = _prepared(vector_source="field", metadata={"_vector_source": "source"})
    assert (both.content.vector_source, both.content_hash) == ("field", hasher("field"))
    assert both.content.metadata == "{}"
    assert _prepared(metadata={"_vector_source": None}).content_hash == hasher("a")


def test_vector_source_equal_to_the_text_is_no_other_content() -> None:
    assert _prepared(vector_source="a").content.vector_source is None


@pytest.mark.parametrize("status", list(EmbeddingStatus))
def test_embedding_status_is_taken_out_of_metadata(status: EmbeddingStatus) -> None:
    vector = None if status is EmbeddingStatus.FAILED else vector_of("a")
    row = _prepared(metadata={"embedding_status": status, "k": 1}, vector=vector)
    assert row.content.metadata == '{"k":1}'
    assert (row.refusal is not None) == (status is EmbeddingStatus.FAILED)


@pytest.mark.parametrize(
    "value", ["READY", "PENDING", "FAILED", "done", 1, None, ["READY"], {"READY": 1}]
)
def test_embedding_status_of_the_users_own_stays(value: object) -> None:
    """Only our enum steers: a plain string of the same letters does not."""
    row = _prepared(metadata={"embedding_status": value})
    assert json.loads(row.content.metadata) == {"embedding_status": value}
    assert (row.refusal, row.status) == (None, EmbeddingStatus.PENDING)


def test_chunk_saved_as_failed_may_be_blank() -> None:
    """LlamaIndex's splitters emit blank nodes, and a pipeline must not die of one."""
    row = _prepared(text=" ", embedding_status=EmbeddingStatus.FAILED, error_message="blank text")
    assert row.refusal == "blank text"


def test_callers_metadata_is_left_alone() -> None:
    metadata = {"_vector_source": "b", "embedding_status": EmbeddingStatus.PENDING}
    _prepared(metadata=metadata)
    assert metadata == {"_vector_source": "b", "embedding_status": EmbeddingStatus.PENDING}
    frozen: Mapping[str, Any] = MappingProxyType({"k": 1})
    assert _prepared(metadata=frozen).content.metadata == '{"k":1}'


@given(st.lists(st.text(st.characters(), max_size=5), max_size=4))
def test_any_text_is_saved_or_refused_with_a_typed_error(texts: list[str]) -> None:
    """Lone surrogates and NULs included."""
    chunks = [Chunk(text=text, id=str(number)) for number, text in enumerate(texts)]
    try:
        rows = prepare_chunks(chunks, SPEC)
    except InvalidInputError:
        assert any(
            not any(map(str.isalnum, text))
            or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text)
            for text in texts
        )
    else:
        assert [row.content.text for row in rows] == texts
