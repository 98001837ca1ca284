"""SemanticCore: saved at once, searched at once, embedded live only where asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core import (
    BatchManager,
    BlankTextError,
    Document,
    EmbeddingSpec,
    EmbeddingStatus,
    GoogleKeyring,
    IngestError,
    InvalidInputError,
    InvalidMetadataError,
    Match,
    MissingDefaultKeyError,
    ProvenanceError,
    ProviderUnavailableError,
    SemanticCore,
    Splitter,
)
from support.keys import canary
from support.world import BATCH_KEY, DEFAULT_KEY, World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


@pytest.fixture
def core(world: World) -> SemanticCore:
    return SemanticCore(world.store, world.keyring(), embedder=world.embedder())


def embedded(world: World) -> None:
    world.manager().drain_queue()
    world.manager().wait()


def test_it_is_shown_by_what_it_works_on_and_without_a_key(world: World) -> None:
    core = SemanticCore(world.store, world.keyring(), collection="notes")
    assert repr(core) == f"SemanticCore({world.store!r}, collection='notes')"
    manager = BatchManager(world.keyring(), world.store)
    assert repr(manager) == f"BatchManager({world.store!r}, collection=None)"
    assert DEFAULT_KEY not in repr(core)
    assert BATCH_KEY not in repr(manager)


# --- ingest ------------------------------------------------------------------------------


def test_async_ingest_returns_before_anything_is_sent(world: World, core: SemanticCore) -> None:
    report = core.ingest(Document(content="The cat sat on the mat.", metadata={"lang": "en"}))
    assert (report.documents, report.chunks.inserted, report.chunks.pending) == (1, 1, 1)
    assert world.emulator.requests == []
    (chunk,) = world.store.chunks()
    assert (chunk.text, chunk.metadata) == ("The cat sat on the mat.", {"lang": "en"})


def test_ingesting_again_changes_nothing_and_costs_nothing(
    world: World, core: SemanticCore
) -> None:
    documents = [Document(content=f"Paragraph {number}.") for number in range(5)]
    core.ingest(documents)
    embedded(world)
    again = core.ingest(documents)
    assert (again.chunks.unchanged, again.chunks.ready, again.removed) == (5, 5, 0)
    assert world.manager().flush_queue() is None


def test_a_new_version_of_a_document_pays_only_for_what_changed(
    world: World, core: SemanticCore
) -> None:
    core.splitter = Splitter(max_chars=30)
    first = "The first paragraph is here.\n\nThe second one is here.\n\nThe third one is here."
    core.ingest(Document(id="doc", content=first))
    embedded(world)
    report = core.ingest(Document(id="doc", content=first.replace("second", "other")[:-26]))
    assert report.chunks.unchanged == 1
    assert report.removed >= 1
    assert world.manager().get_queue_stats().waiting_texts == 1


def test_sync_ingest_is_ready_at_once(world: World, core: SemanticCore) -> None:
    report = core.ingest([Document(content="one"), Document(content="two")], mode="sync")
    assert report.chunks.ready == 2
    assert world.manager().flush_queue() is None
    core.ingest([Document(content="one")], mode="sync")
    assert world.emulator.ledger.times_billed("one") == 1


def test_sync_ingest_leaves_a_text_in_flight_to_its_job(world: World, core: SemanticCore) -> None:
    core.ingest(Document(id="a", content="one"))
    world.manager().flush_queue()
    core.ingest(Document(id="b", content="one"), mode="sync")
    embedded(world)
    assert {chunk.status for chunk in world.store.chunks()} == {READY}
    assert world.emulator.ledger.times_billed("one") == 1


def test_sync_ingest_without_a_default_key_saves_nothing(world: World) -> None:
    core = SemanticCore(world.store, GoogleKeyring(batch_key=canary("only-a-batch")))
    with pytest.raises(MissingDefaultKeyError, match="GEMINI_API_KEY"):
        core.ingest(Document(content="one"), mode="sync")
    assert world.store.chunks() == []


def test_a_failing_live_call_keeps_the_pages_before_it(world: World, core: SemanticCore) -> None:
    long = "\n\n".join(f"Paragraph number {number} of a long document." for number in range(1100))
    core.splitter = Splitter(max_chars=60)
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=500), skip=1, times=None)
    )
    with pytest.raises(ProviderUnavailableError):
        core.ingest([Document(content="short"), Document(content=long)], mode="sync")
    assert [chunk.text for chunk in world.store.chunks()] == ["short"]


def test_anything_with_content_and_metadata_is_read_lazily(
    world: World, core: SemanticCore
) -> None:
    taken: list[int] = []

    @dataclass
    class Note:
        content: str
        metadata: dict[str, Any] = field(default_factory=dict)

    def notes() -> Iterator[Note]:
        for number in range(2500):
            taken.append(number)
            if number == 2400:
                # By now everything but the last page must be saved.
                assert len(world.store.chunks()) >= 2000
            yield Note(f"note {number}")

    assert core.ingest(notes()).documents == 2500


def test_one_bad_document_names_itself_and_loses_nothing_of_the_others(
    world: World, core: SemanticCore
) -> None:
    documents = [
        Document(content="good one"),
        Document(id="empty", content="  \n "),
        Document(id="nan", content="text", metadata={"x": float("nan")}),
        Document(id="nul", content="a\0b"),
        Document(id="surrogate", content="\ud800"),
        Document(content="good two"),
        object(),
    ]
    with pytest.raises(IngestError, match="5 documents were refused") as raised:
        core.ingest(documents)  # type: ignore[arg-type]
    report = raised.value.report
    assert report is not None
    assert [entry.position for entry in report.rejected] == [1, 2, 3, 4, 6]
    assert "'empty'" in report.rejected[0].name
    assert sorted(chunk.text for chunk in world.store.chunks()) == ["good one", "good two"]


def test_a_single_bad_document_raises_its_own_error(core: SemanticCore) -> None:
    with pytest.raises(BlankTextError):
        core.ingest(Document(content=" "))
    with pytest.raises(InvalidMetadataError, match="'deep'"):
        core.ingest(Document(content="x", metadata={"deep": {"a": {1, 2}}}))
    with pytest.raises(InvalidInputError, match="async, sync"):
        core.ingest(Document(content="x"), mode="later")


def test_the_heading_path_is_embedded_but_not_shown(world: World, core: SemanticCore) -> None:
    core.ingest(
        Document(
            content="# Animals\n\nSome are shy.\n\n## Cats\n\nThey sleep a lot.",
            format="markdown",
            id="d",
        )
    )
    chunk = world.store.chunks()[-1]
    assert "Animals" in chunk.vector_source
    assert "Animals" not in chunk.text


# --- search ------------------------------------------------------------------------------


def test_search_works_before_and_after(world: World, core: SemanticCore) -> None:
    core.ingest([Document(content="The cat sat on the mat."), Document(content="Dogs bark.")])
    before = core.search("cat")
    assert [hit.match for hit in before] == [Match.KEYWORD]
    assert before.coverage.by_vector == 0
    assert "no vector" in (before.degraded or "")

    embedded(world)
    after = core.search("cat on a mat")
    assert after[0].match is Match.BOTH
    assert (after.degraded, after.coverage.by_vector) == (None, 1.0)


def test_a_search_without_vectors_makes_no_live_call(world: World, core: SemanticCore) -> None:
    core.ingest(Document(content="The cat sat on the mat."))
    core.search("cat")
    assert world.emulator.calls(Operation.EMBED) == []


@pytest.mark.parametrize("code", [401, 429, 500])
def test_a_query_that_cannot_be_embedded_is_answered_by_keyword(
    world: World, core: SemanticCore, code: int
) -> None:
    core.ingest(Document(content="The cat sat on the mat."))
    embedded(world)
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=code), times=None)
    )
    results = core.search("cat")
    assert [hit.match for hit in results] == [Match.KEYWORD]
    assert "keyword alone" in (results.degraded or "")


def test_without_a_key_search_is_by_keyword_and_says_so(world: World) -> None:
    world.save("The cat sat on the mat.")
    embedded(world)
    core = SemanticCore(world.store, GoogleKeyring(), embedder=world.embedder(GoogleKeyring()))
    assert "GEMINI_API_KEY" in (core.search("cat").degraded or "")


@pytest.mark.parametrize("query", ["cat \ud800", "cat\0", "cat " * 20_000, '"', "NEAR( *"])
def test_no_query_is_an_error(world: World, core: SemanticCore, query: str) -> None:
    """What cannot be embedded is looked up by its words."""
    core.ingest(Document(content="The cat sat on the mat."))
    embedded(world)
    results = core.search(query)
    assert len(results) == 1


def test_another_endpoint_answers_by_keyword_and_mixes_no_vectors(world: World) -> None:
    world.save("The cat sat on the mat.")
    embedded(world)
    core = SemanticCore(world.store, world.keyring())  # Google's own endpoint
    results = core.search("cat")
    assert [hit.match for hit in results] == [Match.KEYWORD]
    assert "endpoint:" in str(results.degraded)
    with pytest.raises(ProvenanceError):
        core.ingest(Document(content="new"), mode="sync")
    assert [hit.match for hit in core.search("cat", mode="keyword")] == [Match.KEYWORD]


def test_an_external_collection_is_searched_by_keyword(world: World) -> None:
    world.store.collection("foreign", EmbeddingSpec.external("other"))
    core = SemanticCore(world.store, world.keyring(), collection="foreign")
    assert len(core.search("anything")) == 0


# --- the rest ----------------------------------------------------------------------------


def test_delete_and_stats(core: SemanticCore) -> None:
    core.ingest([Document(id="a", content="one"), Document(id="b", content="two")])
    assert core.stats().waiting == 2
    assert core.delete(document_ids=["a"]) == 1
    assert core.stats().waiting == 1
