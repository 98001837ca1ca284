"""What the package offers, and that its documentation runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

import langchain_semcore
from langchain_semcore import DeferredEmbeddings, SemcoreRetriever, SemcoreVectorStore
from support.world import BATCH_KEY, DEFAULT_KEY, World

EXPECTED_ALL = ["DeferredEmbeddings", "SemcoreRetriever", "SemcoreVectorStore"]


def test_all_imports() -> None:
    assert sorted(langchain_semcore.__all__) == EXPECTED_ALL


def code_blocks(documented: type) -> list[str]:
    text = textwrap.dedent(inspect.cleandoc(documented.__doc__ or ""))
    blocks = re.findall(r"^ *```python\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    return [textwrap.dedent(block) for block in blocks]


def run(code: str, names: dict[str, Any]) -> None:
    compiled = compile(code, "docstring", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)  # the only way to run code with `await` on its top level
    if inspect.iscoroutine(result):
        asyncio.run(result)


def test_every_example_of_the_documentation_runs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", BATCH_KEY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    names: dict[str, Any] = {"model": FakeListChatModel(responses=["No idea."])}
    for documented in (SemcoreVectorStore, SemcoreRetriever, DeferredEmbeddings):
        for code in code_blocks(documented):
            run(code, names)
    assert len(names["vector"]) == 768
    names["manager"].close()
    names["embeddings"].close()
    names["vector_store"].embeddings.close()
    names["vector_store"].close()
