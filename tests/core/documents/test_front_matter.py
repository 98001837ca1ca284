"""What stands above a Markdown text is its metadata, and never paid for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core import Document, GoogleKeyring, IngestError, PeeweeVectorStore, SemanticCore
from semantic_core.documents.front_matter import MOST_CHARS, take_front_matter
from semantic_core.domain.errors import InvalidMetadataError

PAGE = """---
title: "Cats: a guide"
date: 2024-05-01
draft: no
published: true
weight: 3
version: 1.10
code: 007
tags: [cats, "1"]
author:
  name: Ann
  mail:
---
# Cats

They sleep.
"""
FRONT = {
    "title": "Cats: a guide",
    "date": "2024-05-01",
    "draft": "no",
    "published": True,
    "weight": 3,
    "version": 1.1,
    "code": "007",
    "tags": ["cats", "1"],
    "author": {"name": "Ann", "mail": None},
}


def taken(text: str) -> tuple[dict[str, Any], str]:
    return take_front_matter(text, what="document 'x'")


@pytest.fixture
def core(store: PeeweeVectorStore) -> SemanticCore:
    return SemanticCore(store, GoogleKeyring())


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_front_matter_becomes_metadata_and_is_no_text(core: SemanticCore, newline: str) -> None:
    text = PAGE.replace("\n", newline)
    core.ingest(Document(content=text, format="markdown", metadata={"weight": 9, "mine": 1}))
    [chunk] = core.store.chunks()
    assert chunk.metadata == FRONT | {"weight": 9, "mine": 1}
    assert chunk.text.split() == ["#", "Cats", "They", "sleep."]
    assert chunk.vector_source == chunk.text


def test_only_markdown_has_front_matter(core: SemanticCore) -> None:
    core.ingest(Document(content=PAGE))
    assert "Cats: a guide" in core.store.chunks()[0].text
    assert core.store.chunks()[0].metadata == {}


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nA paragraph between rules.\n\n---\n\nText.",
        "---\n- an\n- item\n---\n",
        "---\nNever closed: really",
        " ---\na: 1\n---\n",
        "Text.\n\n---\na: 1\n---\n",
        "----\na: 1\n----\n",
        "---\n*emphasis* here: [broken\n---\n",
        "",
    ],
)
def test_what_is_no_mapping_at_the_very_beginning_is_text(text: str) -> None:
    assert taken(text) == ({}, text)


@pytest.mark.parametrize("text", ["---\n---\nText.", "---\n# a comment\n...\nText."])
def test_empty_front_matter_is_left_out(text: str) -> None:
    assert taken(text) == ({}, "Text.")


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("title: a: b", "mapping values are not allowed here in line 2"),
        ("title: x\nlist: [a, b", "in line 4"),
        (
            "a: &a [x, x]\n"
            + "".join(
                f"k{n}: &{b} [{', '.join([f'*{a}'] * 9)}]\n"
                for n, (a, b) in enumerate(zip("abcdefg", "bcdefgh", strict=True))
            ),
            "more than 10,000 values",
        ),
        ("a: &a [*a]", "in line|nested too deep|values"),
        ("a: " + "[" * 30_000, "nested too deep"),
        ("a: " + "x" * MOST_CHARS, "more than 65,536 characters"),
    ],
    ids=["colon", "open", "laughs", "itself", "deep", "long"],
)
def test_front_matter_that_cannot_be_read_is_refused_by_name(block: str, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidMetadataError, match=rf"front matter of document 'x'.*({reason})"):
        taken(f"---\n{block}\n---\nText.")
    assert time.process_time() - started < 20


def test_one_document_that_cannot_be_read_loses_no_other(core: SemanticCore) -> None:
    bad = Document(id="bad", content="---\ntitle: a: b\n---\nText.", format="markdown")
    with pytest.raises(IngestError, match="front matter of document 'bad'"):
        core.ingest([bad, Document(content=PAGE, format="markdown")])
    assert len(core.store.chunks()) == 1


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("!!python/object/apply:os.system [echo]", ["echo"]),
        ("!!binary aGk=", "aGk="),
        ("!!timestamp 2024-01-01", "2024-01-01"),
        ("1e999", float("inf")),
        (".nan", ".nan"),
        ("NaN", "NaN"),
        ("12:30", "12:30"),
        ("NULL", None),
        ("'true'", "true"),
        ("9" * 5_000, "9" * 5_000),
        ("|\n  two\n  lines", "two\nlines\n"),
    ],
)
def test_a_value_is_plain_json(value: str, read: object) -> None:
    """No tag makes anything of it."""
    assert taken(f"---\nkey: {value}\n---\n")[0] == {"key": read}


def test_keys_that_are_no_words_are_written_as_such() -> None:
    assert taken("---\n2024: a\ntrue: b\n[c, d]: e\n---\n")[0] == {
        "2024": "a",
        "true": "b",
        "['c', 'd']": "e",
    }


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), _JSON, min_size=1))
def test_any_json_comes_back(values: dict[str, Any]) -> None:
    """JSON is YAML, of which a mapping may be written in one line."""
    lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
    assert taken(f"---\n{lines}---\nText.") == (values, "Text.")


@given(st.text(st.sampled_from("-. ab:\n#[]{}&*!|>'\"%@`,?\t"), max_size=60))
def test_any_beginning_is_read_or_refused(text: str) -> None:
    try:
        values, rest = taken(f"---\n{text}")
    except InvalidMetadataError:
        return
    assert f"---\n{text}".endswith(rest)
    json.dumps(values)
