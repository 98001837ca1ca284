"""SelfQueryRetriever: what a language model wrote becomes a filter of this store."""

from __future__ import annotations

import json

import pytest
from langchain_classic.chains.query_constructor.schema import AttributeInfo
from langchain_classic.retrievers import SelfQueryRetriever
from langchain_core.language_models import FakeListChatModel
from langchain_core.structured_query import Comparison, Operation, StructuredQuery

from langchain_semcore import SemcoreTranslator, SemcoreVectorStore
from semantic_core import InvalidFilterError
from support.langchain import embed_all, ids
from support.world import World

FILMS = {
    "alien": {"year": 1979, "genres": ["horror", "space"], "seen": "2024-05-06", "by": "Scott"},
    "heat": {"year": 1995, "genres": ["crime"], "seen": "2024-07-08", "by": "Mann"},
    "up": {"year": 2009, "genres": [], "seen": "2023-01-02", "by": "Docter"},
}
FIELDS = [
    AttributeInfo(name=name, description="as it says", type="string or integer")
    for name in ("year", "genres", "seen", "by")
]


@pytest.fixture
def films(vector_store: SemcoreVectorStore) -> SemcoreVectorStore:
    vector_store.add_texts(
        [f"A film named {name}" for name in FILMS], list(FILMS.values()), ids=list(FILMS)
    )
    return vector_store


def retriever(
    films: SemcoreVectorStore, written: str, query: str = "film", **options: object
) -> SelfQueryRetriever:
    answer = json.dumps({"query": query, "filter": written, "limit": options.pop("limit", None)})
    return SelfQueryRetriever.from_llm(
        FakeListChatModel(responses=[f"```json\n{answer}\n```"]),
        films,
        "films",
        FIELDS,
        structured_query_translator=SemcoreTranslator(),
        enable_limit=True,
        **options,
    )


EXPECTED = {
    'eq("by", "Mann")': {"heat"},
    'ne("by", "Mann")': {"alien", "up"},
    'gt("year", 1995)': {"up"},
    'gte("year", 1995)': {"heat", "up"},
    'lt("year", 1995)': {"alien"},
    'lte("year", 1995)': {"alien", "heat"},
    'contain("genres", "space")': {"alien"},
    'contain("by", "nn")': {"heat"},
    'contain("genres", 7)': set(),
    'like("by", "%o%t%")': {"alien", "up"},
    'in("by", ["Mann", "Scott"])': {"heat", "alien"},
    'nin("by", ["Mann", "Scott"])': {"up"},
    'in("by", "Mann")': {"heat"},
    'gte("seen", "2024-05-06")': {"heat", "alien"},
    'lt("seen", "2024-05-06")': {"up"},
    'in("seen", ["2024-05-06", "2024-07-08"])': {"alien", "heat"},
    'and(gt("year", 1980), eq("by", "Mann"))': {"heat"},
    'or(lt("year", 1980), eq("by", "Mann"))': {"alien", "heat"},
    'not(eq("by", "Mann"))': {"alien", "up"},
    'and(or(eq("by", "Mann"), eq("by", "Scott")), not(contain("genres", "space")))': {"heat"},
    "NO_FILTER": {"alien", "heat", "up"},
}


@pytest.mark.parametrize("written", EXPECTED)
def test_what_a_model_writes_chooses_documents(films: SemcoreVectorStore, written: str) -> None:
    assert set(ids(retriever(films, written).invoke("anything"))) == EXPECTED[written]


@pytest.mark.parametrize("search_type", ["similarity", "mmr"])
def test_once_there_are_vectors_too(
    world: World, films: SemcoreVectorStore, search_type: str
) -> None:
    embed_all(world)
    found = retriever(films, 'gt("year", 1980)', search_type=search_type, limit=1).invoke("q")
    assert len(found) == 1
    assert found[0].metadata["year"] > 1980


def test_a_filter_alone_is_enough(world: World, films: SemcoreVectorStore) -> None:
    """LangChain asks for a blank then."""
    for _ in range(2):
        assert ids(retriever(films, 'eq("by", "Mann")', query="").invoke("by Mann")) == ["heat"]
        embed_all(world)


async def test_beside_the_event_loop(films: SemcoreVectorStore) -> None:
    found = await retriever(films, 'eq("by", "Mann")').ainvoke("anything")
    assert ids(found) == ["heat"]


def test_a_moment_is_compared_as_text() -> None:
    moment = {"datetime": "2024-05-06T07:08:09", "type": "datetime"}
    query = StructuredQuery("q", Comparison("lte", "at", moment))
    _, options = SemcoreTranslator().visit_structured_query(query)
    assert options["filter"].value == "2024-05-06T07:08:09"


def test_what_cannot_be_asked_is_refused() -> None:
    query = StructuredQuery("q", Operation("and", []))
    with pytest.raises(InvalidFilterError, match="joins nothing"):
        SemcoreTranslator().visit_structured_query(query)
