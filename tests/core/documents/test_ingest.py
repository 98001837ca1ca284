"""Every document that is handed in is saved or named, whatever ids and sources they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_core import (
    Document,
    GoogleKeyring,
    IngestError,
    IngestReport,
    InvalidInputError,
    PeeweeVectorStore,
    SemanticCore,
    Splitter,
)
from semantic_core.documents.ingest import PAGE
from support.clock import ManualClock

LONGEST = 8  # characters of a chunk, where a page has to be filled with few documents
PAGES = [Document(content=f"Page {number} of it.", source="report.pdf") for number in range(5)]


@pytest.fixture
def core(store: PeeweeVectorStore) -> SemanticCore:
    return SemanticCore(store, GoogleKeyring())


def ingest(core: SemanticCore, documents: Sequence[Any], **options: Any) -> IngestReport:
    """Return the report, whether or not documents were refused."""
    try:
        report = core.ingest(iter(documents), **options)
    except IngestError as error:
        report = error.report or IngestReport()
    assert report.documents + report.rejected_count == len(documents)
    return report


def texts(core: SemanticCore) -> list[str]:
    return sorted(chunk.text for chunk in core.store.chunks())


def filler(count: int) -> list[Document]:
    return [Document(content=f"Filler {number}.") for number in range(count)]


def test_documents_of_one_source_do_not_overwrite_each_other(core: SemanticCore) -> None:
    report = ingest(core, PAGES)
    assert (report.documents, report.removed) == (5, 0)
    assert texts(core) == [page.content for page in PAGES]


def test_pages_of_one_source_in_several_transactions_are_all_kept(core: SemanticCore) -> None:
    ingest(core, [PAGES[0], *filler(PAGE), PAGES[1], PAGES[0]])
    assert texts(core).count(PAGES[0].content) == 2
    assert PAGES[1].content in texts(core)


def test_the_same_text_with_other_metadata_is_another_document(core: SemanticCore) -> None:
    """Within one call, and beyond the page that holds the first."""
    same = [Document(content="Same.", metadata={"n": number}) for number in range(3)]
    ingest(core, [*same[:2], *filler(PAGE), same[2]])
    found = [chunk.metadata["n"] for chunk in core.store.chunks() if chunk.text == "Same."]
    assert sorted(found) == [0, 1, 2]


def test_ingesting_again_changes_nothing(core: SemanticCore) -> None:
    documents = [*PAGES, *PAGES, Document(content="Page 1 of it."), *filler(3)]
    ingest(core, documents)
    before = core.store.chunks()
    again = ingest(core, documents)
    assert (again.chunks.unchanged, again.removed) == (len(documents), 0)
    assert core.store.chunks() == before


def test_an_edited_document_without_an_id_is_another_one(core: SemanticCore) -> None:
    ingest(core, [Document(content="Old.", source="a")])
    ingest(core, [Document(content="New.", source="a")])
    assert texts(core) == ["New.", "Old."]


@pytest.mark.parametrize("between", [0, PAGE], ids=["one-page", "pages-apart"])
def test_an_id_twice_in_one_call_is_rejected_and_named(core: SemanticCore, between: int) -> None:
    twice = [Document(id="x", content="First."), Document(id="x", content="Second.")]
    report = ingest(core, [twice[0], *filler(between), twice[1]])
    (rejected,) = report.rejected
    assert (rejected.position, rejected.name) == (between + 1, "document 'x'")
    assert "number 0" in rejected.reason
    assert "First." in texts(core)
    assert "Second." not in texts(core)


def test_an_id_whose_first_document_was_refused_is_free(core: SemanticCore) -> None:
    ingest(core, [Document(id="x", content=" "), Document(id="x", content="Good.")])
    assert texts(core) == ["Good."]


@pytest.mark.parametrize("field", ["id", "source"])
@pytest.mark.parametrize("value", [7, "\ud800", "a\0b"])
def test_an_id_or_source_that_cannot_be_kept_is_named(
    core: SemanticCore, field: str, value: object
) -> None:
    report = ingest(core, [Document(content="Bad.", **{field: value}), Document(content="Good.")])  # type: ignore[arg-type]
    assert report.rejected_count == 1
    assert f"the {field} of" in report.rejected[0].reason
    assert texts(core) == ["Good."]


# --- replacing what stood under a source -------------------------------------------------


def test_replace_sources_removes_what_earlier_calls_saved_under_them(core: SemanticCore) -> None:
    ingest(core, [*PAGES, Document(content="Other.", source="other.pdf"), *filler(1)])
    edited = [PAGES[0], Document(content="Page 1, edited.", source="report.pdf")]
    report = ingest(core, edited, replace_sources=True)
    assert report.removed == 4
    assert texts(core) == ["Filler 0.", "Other.", "Page 0 of it.", "Page 1, edited."]
    assert ingest(core, edited, replace_sources=True).removed == 0


def test_replace_sources_removes_documents_with_ids_too(core: SemanticCore) -> None:
    ingest(core, [Document(id="a", content="A.", source="s"), Document(id="b", content="B.")])
    report = ingest(core, [Document(id="c", content="C.", source="s")], replace_sources=True)
    assert (report.removed, texts(core)) == (1, ["B.", "C."])


def test_replace_sources_looks_at_its_own_collection_only(core: SemanticCore) -> None:
    ingest(core, PAGES)
    other = SemanticCore(core.store, GoogleKeyring(), collection="other")
    assert ingest(other, PAGES[:1], replace_sources=True).removed == 0
    assert len(texts(core)) == len(PAGES)


def test_a_source_with_a_refused_document_keeps_what_it_had(core: SemanticCore) -> None:
    """What takes the place of the earlier text is not all there."""
    ingest(core, PAGES)
    report = ingest(
        core, [PAGES[0], Document(content=" ", source="report.pdf")], replace_sources=True
    )
    assert (report.rejected_count, report.removed) == (1, 0)
    assert len(texts(core)) == len(PAGES)


def test_nothing_is_removed_before_everything_is_saved(core: SemanticCore) -> None:
    ingest(core, PAGES)

    def stopped() -> Iterator[Document]:
        yield Document(content="New.", source="report.pdf")
        yield from filler(PAGE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        core.ingest(stopped(), replace_sources=True)
    assert {page.content for page in PAGES} | {"New."} <= set(texts(core))


def test_what_another_process_saves_meanwhile_is_not_removed(
    core: SemanticCore, clock: ManualClock
) -> None:
    """Two calls that overlap would otherwise each remove what the other one saved."""

    def slow() -> Iterator[Document]:
        yield PAGES[0]
        clock.advance(1)
        core.ingest(iter(PAGES[1:2]), replace_sources=True)

    core.ingest(slow(), replace_sources=True)
    assert texts(core) == [page.content for page in PAGES[:2]]


# --- whatever comes ----------------------------------------------------------------------

_DOCUMENTS = st.lists(
    st.builds(
        Document,
        content=st.sampled_from(["One.", "Two.", "Three.", " "]),
        id=st.sampled_from([None, None, None, "a", "b"]),
        source=st.sampled_from([None, "s", "t"]),
        metadata=st.sampled_from([{}, {"n": 1}, {"n": float("nan")}]),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents=_DOCUMENTS, at=st.integers(0, 12), replaces=st.sampled_from([True, False]))
def test_any_documents_are_saved_or_named_and_twice_is_once(
    core: SemanticCore,
    documents: list[Document],
    at: int,
    replaces: bool,  # noqa: FBT001
) -> None:
    """Wherever one transaction ends and the next one begins."""
    core.store.clear()
    core.splitter = Splitter(max_chars=LONGEST)
    # All but fills a page: the next document but one is in another transaction.
    documents.insert(at, Document(content=" ".join(f"word{n:04}" for n in range(PAGE - 1))))
    report = ingest(core, documents, replace_sources=replaces)
    refused = {entry.position for entry in report.rejected}
    assert len(refused) == report.rejected_count
    accepted = [one for number, one in enumerate(documents) if number not in refused]
    found = core.store.chunks()
    assert len({chunk.document_id for chunk in found}) == len(accepted) == report.documents
    small = [chunk for chunk in found if not chunk.text.startswith("word")]
    assert sorted((chunk.text, str(chunk.metadata)) for chunk in small) == sorted(
        (one.content, str(one.metadata)) for one in accepted if len(one.content) <= LONGEST
    )
    for one in accepted:
        assert len(core.search(one.content[:8], mode="keyword")) > 0
    again = ingest(core, documents, replace_sources=replaces)
    assert core.store.chunks() == found
    assert (again.chunks.unchanged, again.removed) == (len(found), 0)


def test_one_document_by_itself_raises_its_own_error(core: SemanticCore) -> None:
    with pytest.raises(InvalidInputError, match="source"):
        core.ingest(Document(content="x", source=7))  # type: ignore[arg-type]
