"""What the package offers, and that its documentation runs."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

import langchain_semcore
from langchain_semcore import (
    DeferredEmbeddings,
    PaidEmbeddings,
    SemcoreRetriever,
    SemcoreVectorStore,
)
from support.world import BATCH_KEY, DEFAULT_KEY, World

EXPECTED_ALL = [
    "RESULT_KEY",
    "BatchConfig",
    "BatchManager",
    "DeferredEmbeddings",
    "EmbeddingSpec",
    "GoogleKeyring",
    "PaidEmbeddings",
    "SemcoreRetriever",
    "SemcoreTranslator",
    "SemcoreVectorStore",
]


def test_all_imports() -> None:
    assert langchain_semcore.__all__ == EXPECTED_ALL
    assert all(hasattr(langchain_semcore, name) for name in EXPECTED_ALL)


def examples(documented: type) -> list[tuple[str, str | None]]:
    """Return each example with the output that follows it, if one does."""
    text = inspect.cleandoc(documented.__doc__ or "")
    blocks = re.findall(r"^ *```(python|txt)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    followers = [*blocks[1:], ("", "")]
    return [
        (textwrap.dedent(code), textwrap.dedent(after) if kind == "txt" else None)
        for (language, code), (kind, after) in zip(blocks, followers, strict=True)
        if language == "python"
    ]


def run(code: str, names: dict[str, Any]) -> str:
    """Run an example as a notebook would; return what it prints, or the value it ends with."""
    tree = ast.parse(code)
    shown = io.StringIO()
    if isinstance(tree.body[-1], ast.Expr) and not isinstance(tree.body[-1].value, ast.Await):
        last = ast.Expression(tree.body.pop().value)
    else:
        last = None
    with contextlib.redirect_stdout(shown):
        compiled = compile(tree, "docstring", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, names)  # the only way to run `await` on the top level
        if inspect.iscoroutine(result):
            asyncio.run(result)
        value = None if last is None else eval(compile(last, "docstring", "eval"), names)
    return shown.getvalue() or f"{value!r}\n"


def test_every_example_of_the_documentation_runs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And shows what stands below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", BATCH_KEY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", world.emulator.url)
    names: dict[str, Any] = {"model": FakeListChatModel(responses=["No idea."])}
    compared = 0
    try:
        for documented in (
            SemcoreVectorStore,
            SemcoreRetriever,
            PaidEmbeddings,
            DeferredEmbeddings,
        ):
            for code, expected in examples(documented):
                shown = run(code, names)
                if expected is not None:
                    assert shown == expected
                    compared += 1
    finally:
        for opened in ("manager", "embeddings", "vector_store"):
            names[opened].close()
        names["vector_store"].embeddings.close()
    assert compared == 1
    assert len(names["vector"]) == 768
