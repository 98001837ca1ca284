from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.spec import EmbeddingSpec

SPECS = [
    EmbeddingSpec(),
    EmbeddingSpec.gemini_embedding_001(dimensions=3072),
    EmbeddingSpec.gemini_embedding_2(),
    EmbeddingSpec.external("minilm"),
    EmbeddingSpec.external("minilm", 384),
]


def test_the_content_hash_never_changes() -> None:
    """It names what was paid for: another hash for the same text means paying for it again."""
    assert EmbeddingSpec().hasher()("hello").hex() == (
        "392277edea1c63d9791366cbce25bd3bf82e9124d93b3e9f4a4c6ddb6edd6df6"
    )
    assert EmbeddingSpec.gemini_embedding_2().hasher()("héllo").hex() == (
        "db5fa494c59fb838c3471bc6685da116a08bcd8bbfa72bcd13ae0de35c867381"
    )
    assert EmbeddingSpec.external("minilm", 384).hasher()("hello").hex() == (
        "a0004a26a7f270b7ab75cc13bb777985374376507bec0d28bf77d6f2d2f44152"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"model": "gemini-embedding-2"},
        {"dimensions": 1536},
        {"document_task": "CLUSTERING"},
        {"document_task": None},
        {"document_template": "title: none | text: {text}"},
        {"normalized": False},
        {"is_external": True},
    ],
    ids=repr,
)
def test_the_document_side_decides_the_content_hash(change: dict[str, object]) -> None:
    spec = EmbeddingSpec()
    other = replace(spec, **change)  # type: ignore[arg-type]  # one field of each type
    assert other.hasher()("hello") != spec.hasher()("hello")
    assert other.space_digest != spec.space_digest


def test_the_query_side_does_not() -> None:
    spec = EmbeddingSpec()
    other = replace(spec, query_task="QUESTION_ANSWERING", query_template="query: {text}")
    assert other != spec
    assert other.hasher()("hello") == spec.hasher()("hello")


def test_an_external_space_is_named_by_its_embedder_alone() -> None:
    """Its dimensions come with the first vector, which must not make another space of it."""
    unfixed, fixed = EmbeddingSpec.external("minilm"), EmbeddingSpec.external("minilm", 384)
    assert unfixed.space_digest == fixed.space_digest
    assert EmbeddingSpec.external("other").space_digest != unfixed.space_digest


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_different_texts_have_different_hashes(one: str, other: str) -> None:
    hasher = EmbeddingSpec().hasher()
    assert (hasher(one) == hasher(other)) == (one == other)
    assert len(hasher(one)) == 32


def test_a_hasher_keeps_nothing_of_the_text_before() -> None:
    hasher = EmbeddingSpec().hasher()
    first = hasher("a")
    hasher("b")
    assert hasher("a") == first


def test_a_text_without_utf8_form_has_no_hash() -> None:
    with pytest.raises(InvalidInputError, match="lone surrogate at character 1"):
        EmbeddingSpec().hasher()("a\ud800")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.model}-{spec.dimensions}")
def test_a_spec_comes_back_from_json(spec: EmbeddingSpec) -> None:
    assert EmbeddingSpec.from_json(spec.to_json()) == spec


def test_equal_specs_give_equal_json_and_different_ones_differ() -> None:
    assert EmbeddingSpec().to_json() == EmbeddingSpec.gemini_embedding_001().to_json()
    assert len({spec.to_json() for spec in SPECS}) == len(SPECS)


def test_both_of_googles_spellings_are_one_model() -> None:
    """Or the same text would be paid for under each, and one of them have no price."""
    assert EmbeddingSpec(model="models/gemini-embedding-001") == EmbeddingSpec()
    assert EmbeddingSpec.external("models/mine").model == "models/mine"


def test_templates_go_around_the_text() -> None:
    spec = EmbeddingSpec.gemini_embedding_2()
    assert spec.document_text("{text} {x}") == "title: none | text: {text} {x}"
    assert spec.query_text("why?") == "task: search result | query: why?"
    assert EmbeddingSpec().document_text("as it is") == "as it is"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": " "}, "model is blank"),
        ({"dimensions": None}, "dimensions is missing"),
        ({"dimensions": 0}, "from 1 to 3,072"),
        ({"dimensions": 3073}, "from 1 to 3,072"),
        ({"dimensions": 65_537, "model": "another"}, "from 1 to 65,536"),
        ({"dimensions": "768"}, "is '768'.*whole number"),
        ({"dimensions": 2.5}, "is 2.5.*whole number"),
        ({"document_template": "no place"}, r"document_template must hold \{text\} once"),
        ({"query_template": "{text} {text}"}, r"query_template must hold \{text\} once"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        replace(EmbeddingSpec(), **change)  # type: ignore[arg-type]  # one field of each type
