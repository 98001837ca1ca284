"""What names something is as long on a file as a server can index, so that every file can move."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from semantic_core import Document, IngestError, SemanticCore
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.types import Chunk
from semantic_core.domain.validation import MOST_NAME_BYTES
from semantic_core.store import PeeweeVectorStore
from support.chunks import chunks_of
from support.world import World

# A server presses what it can before it measures: this it cannot.
LONGEST = secrets.token_hex(MOST_NAME_BYTES)[:MOST_NAME_BYTES]


def test_the_longest_names_are_kept(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id=LONGEST, document_id=LONGEST, text="cat")], collection=LONGEST)
    (chunk,) = store.chunks(document_ids=[LONGEST], collection=LONGEST)
    assert (chunk.id, chunk.document_id) == (LONGEST, LONGEST)


@pytest.mark.parametrize(
    "save",
    [
        lambda store, name: store.save(chunks_of([name])),
        lambda store, name: store.save([Chunk(id="a", document_id=name, text="cat")]),
        lambda store, name: store.save(chunks_of(["a"]), collection=name),
        lambda store, name: store.collection(name),
    ],
)
def test_longer_ones_are_refused(
    store: PeeweeVectorStore, save: Callable[[PeeweeVectorStore, str], object]
) -> None:
    for name in ("a" * (MOST_NAME_BYTES + 1), "é" * (MOST_NAME_BYTES // 2 + 1)):
        with pytest.raises(InvalidInputError, match="more than 2,500 bytes"):
            save(store, name)
    assert store.collections() == []


def test_a_document_with_a_longer_one_is_rejected_and_the_others_are_saved(world: World) -> None:
    core = SemanticCore(world.store, world.keyring())
    room = len("#2147483648")
    documents = [
        Document(id=LONGEST[room:], content="A cat sat."),
        Document(id=LONGEST, content="A dog came."),
        Document(source=LONGEST + "a", content="A dog went."),
    ]
    with pytest.raises(IngestError, match="more than 2,500 bytes") as caught:
        core.ingest(documents, mode="async")
    assert caught.value.report is not None
    assert caught.value.report.documents == 1
    assert [chunk.document_id for chunk in world.store.chunks()] == [LONGEST[room:]]
