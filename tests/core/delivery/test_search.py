"""A search through a target finds what a search here would, and says where it could not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semantic_core.domain.errors import InvalidFilterError
from semantic_core.domain.statuses import Match, SearchMode
from semantic_core.domain.types import Chunk, SearchResults, Vector
from semantic_core.filters import Condition, Filter
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, embed_all, vector_of
from support.targets import FileTarget

TEXTS = [f"{word} number {number}" for number in range(30) for word in ("cat", "dog")]


@pytest.fixture
def target(store: PeeweeVectorStore, tmp_path: Path) -> FileTarget:
    store.collection(spec=SPEC)
    store.save([Chunk(id=text, text=text, metadata={"word": text[:3]}) for text in TEXTS])
    embed_all(store)
    made = FileTarget(tmp_path / "target.db")
    store.delivery.attach(made, name="one")
    store.delivery.deliver()
    return made


def _ids(results: SearchResults) -> list[str]:
    return [hit.chunk.id for hit in results]


def _search(store: PeeweeVectorStore, text: str = "cat", **options: Any) -> SearchResults:
    return store.search(text=text, vector=vector_of("asked"), **options)


@pytest.mark.parametrize("mode", [SearchMode.HYBRID, SearchMode.VECTOR])
@pytest.mark.parametrize("filters", [None, {"word": "dog"}])
def test_it_is_the_search_that_is_made_here(
    store: PeeweeVectorStore, target: FileTarget, mode: SearchMode, filters: dict[str, str] | None
) -> None:
    through = _search(store, mode=mode, filters=filters)
    assert target.filters is not None
    here = _search(store, mode=mode, filters=filters, exact=True)
    assert through == here
    assert len(through) == 10


def test_what_a_wide_filter_of_a_target_lets_through_is_left_out(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    """It filters nothing: it is asked again, for more."""
    store.save([Chunk(id="rare", text="rare", metadata={"word": "owl"})])
    embed(store, "rare")
    store.delivery.deliver()
    found = _search(store, "owl", filters={"word": "owl"}, target_filter="word == 'owl'")
    assert _ids(found) == ["rare"]
    assert target.filters == (Condition("word", "eq", "owl"), "word == 'owl'")  # type: ignore[arg-type]  # a value of it


def test_deleted_and_changed_chunks_are_shown_as_they_are_here(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    nearest = _ids(_search(store, mode="vector", text="nothing"))
    store.delete(ids=nearest[:3])
    store.save([Chunk(id=nearest[3], text="another text")])
    found = _search(store, mode="vector", text="nothing")
    assert found.hits == _search(store, mode="vector", text="nothing", exact=True).hits
    assert (found[0].chunk.text, found[0].stale) == ("another text", True)
    assert set(_ids(found)).isdisjoint(nearest[:3])


def test_what_a_target_was_not_told_is_compared_here(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    store.save(chunks_of(["asked"]))
    embed(store, "asked")
    for mode in (SearchMode.HYBRID, SearchMode.VECTOR):
        assert _search(store, "owl", mode=mode) == _search(store, "owl", mode=mode, exact=True)
    assert _search(store, "owl", mode="vector")[0].chunk.id == "asked"


def test_what_is_compared_here_does_not_stand_for_what_a_target_should_find(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    """A target that filters nothing has the nearest match too far behind to name it at once."""
    order = sorted(TEXTS, key=lambda text: -float(vector_of(text) @ vector_of("asked")))
    store.save([Chunk(id=text, text=text, metadata={"word": "owl"}) for text in order[-9:]])
    store.delivery.deliver()
    store.save([Chunk(id=order[-1], text=order[-1], metadata={"word": "owl", "new": True})])
    found = _search(store, "?", mode="vector", limit=1, filters={"word": "owl"})
    assert _ids(found) == [order[-9]]


def test_more_than_is_compared_here_is_found_by_its_words(
    store: PeeweeVectorStore, target: FileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semantic_core.store.reading.searcher._COMPARED_HERE", 0)
    store.save(chunks_of(["a new owl"]))
    embed(store, "a new owl")
    for mode in SearchMode:
        (best, *_) = _search(store, "owl", mode=mode)
        assert (best.chunk.id, best.match) == ("a new owl", Match.KEYWORD), mode
    # In both lists, it is one hit.
    store.save([Chunk(id="cat number 3", text="cat number 3", metadata={"word": "owl"})])
    found = _ids(_search(store, "cat number 3", mode="vector", limit=100))
    assert len(found) == len(set(found)) >= len(TEXTS)
    store.delivery.deliver()
    assert _search(store, "owl") == _search(store, "owl", exact=True)


def test_a_target_that_is_down_leaves_keywords_and_says_so(
    store: PeeweeVectorStore, target: FileTarget
) -> None:
    target.is_down = True
    found = _search(store, "cat")
    assert len(found) == 10
    assert {hit.match for hit in found} == {Match.KEYWORD}
    assert found.degraded is not None
    assert "'one' could not search (ConnectionError: nobody is there)" in found.degraded
    # What is here answers what never goes there.
    for options in ({"exact": True}, {"ids": TEXTS}, {"mode": "keyword"}):
        assert _search(store, **options).degraded is None


def test_a_filter_that_a_target_cannot_answer_is_an_error(
    store: PeeweeVectorStore, target: FileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(
        vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> list[str]:
        raise InvalidFilterError("no such operator there")

    monkeypatch.setattr(target, "nearest", refuse)
    with pytest.raises(InvalidFilterError, match="no such operator there"):
        _search(store, filters={"word": "cat"})


def test_no_transaction_is_open_while_a_target_is_asked(
    store: PeeweeVectorStore, target: FileTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearest = target.nearest

    def write_and_ask(*asked: Any, **options: Any) -> list[str]:
        store.save(chunks_of(["saved meanwhile"]))  # refused within a transaction
        return nearest(*asked, **options)

    monkeypatch.setattr(target, "nearest", write_and_ask)
    assert "saved meanwhile" in _ids(_search(store, "meanwhile"))


def test_until_it_has_everything_a_new_target_is_not_asked(
    store: PeeweeVectorStore, target: FileTarget, tmp_path: Path
) -> None:
    store.delivery.forget("one")
    fresh = FileTarget(tmp_path / "fresh.db")
    store.delivery.attach(fresh, name="two")
    assert len(_search(store, mode="vector")) == 10
    assert fresh.filters is None
    store.delivery.deliver()
    _search(store, mode="vector")
    assert fresh.filters == (None, None)
