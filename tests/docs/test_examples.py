"""The example notebooks, as somebody without a key runs them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.html import read_html
from support.notebooks import EXAMPLES, outputs, printed, read_notebook, run_notebook, shown

NAMES = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))

# A notebook that is opened over a slow line should not be felt.
MOST_BYTES = 200_000

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What a notebook shows.

    Attributes:
        prints: patterns of what it prints, or shows as plain text.
        plots: how many pictures.
        tables: patterns of what stands in the tables of values.
        bars: how many bars.
    """

    prints: tuple[str, ...]
    plots: int = 0
    tables: tuple[str, ...] = ()
    bars: int = 0


PROMISES = {
    "langchain_quickstart.ipynb": Promise(
        prints=(
            r"[1-9]\d* documents have their vector, 0 wait, 0 failed",
            r"keyword +PENDING +house-rule",
            r"'num_added': 0, .*'num_skipped': [1-9]",
            r"Texts that wait to be paid for: 1\b",
        )
    ),
    "llamaindex_quickstart.ipynb": Promise(
        prints=(
            r"[1-9]\d* nodes saved in",
            r"[1-9]\d* nodes have their vector, 0 wait, 0 failed",
            r"vector +READY +Exceptions",
            r"keyword +PENDING +House rule",
            r"Context information is below\.",
            r"Texts that wait to be paid for: 0\b",
        )
    ),
    "langchain_qdrant.ipynb": Promise(
        prints=(
            r"0 points in Qdrant yet",
            r"[1-9]\d* points in Qdrant, 0 wait",
            r"house-rule",
            r"1 point less in Qdrant",
        )
    ),
    "langchain_rag.ipynb": Promise(
        prints=(
            r"[1-9]\d* documents saved in",
            # Before the vectors and after them, which bring what older Pythons say of await.
            r"(?s)'See async, [^']*compound\.'.*'See async, [^']*compound\.'",
            *([r"'See async, await, .*\.'"] if sys.version_info < (3, 13) else []),
            r"keyword +PENDING +python/async#",
            r"keyword +[5-9]\d% of the questions answered",
            r"vector +[5-9]\d% of the questions answered",
            r"hybrid +[89]\d% of the questions answered",
        ),
        plots=2,
        tables=(r"Estimate of what waits", r"are sent once", r"Receipt of \d+ batch jobs"),
    ),
    "llamaindex_rag.ipynb": Promise(
        prints=(
            r"[1-9]\d* nodes saved in",
            r"answered by keyword, before any vector: [5-9]\d%",
            r"Context information is below\.",
            r"found by both +async",
            r"run again: 0 texts to pay for; longest document edited: [1-9]",
        ),
        plots=3,
        tables=(r"Estimate of what waits", r"in flight \d", r"Receipt of \d+ batch jobs"),
        bars=1,
    ),
    "pictures.ipynb": Promise(
        prints=(
            r"6 pictures have their vector, 0 wait, 0 failed",
            r"Texts that wait to be paid for: 0\b",
        ),
        tables=(
            r"6 chunks wait with 6 distinct texts",
            r"(?s)1 hit\n.*keyword\nlamp#0\nPENDING\ndesk lamp of brass\nlamp\.png",
            r"1\n\d\.\d+\nvector\nsneaker#0\nREADY",
            r"1\n\d\.\d+\nvector\nkite#0\nREADY",
            r"1\n\d\.\d+\nvector\nboot#0\nREADY",
            r"Receipt of 1 batch job",
        ),
    ),
    "moving_over.ipynb": Promise(
        prints=(
            r"(.* same as before\n){5}",
            r"the same five documents: True",
            r"(?s)embedded 0 documents since the move began.*embedded 0 documents since",
            r"([1-9]\d+) moved: \1 ready, 0 to pay for",
            r"again: [1-9]\d+ unchanged, 0 inserted",
            r"belongs to the foreign embedder 'old-model'",
            r"(?s)moved: 100 ready, 0 to pay for.*new: 0 ready, 1 to pay for",
            r"the same text without its vector: 0 ready, 1 to pay for",
            r"notes +gemini-embedding-001 +[1-9]\d+ ready",
        ),
        tables=(r"house-rule", r"Receipt of 1 batch job"),
    ),
}


def test_every_notebook_promises_something() -> None:
    assert sorted(PROMISES) == NAMES


@pytest.mark.parametrize("name", PROMISES)
def test_a_notebook_runs_and_shows_what_it_promises(name: str, tmp_path: Path) -> None:
    notebook = run_notebook(name, tmp_path)
    promise = PROMISES[name]
    text = printed(notebook) + "\n".join(shown(notebook, "text/plain"))
    assert [pattern for pattern in promise.prints if not re.search(pattern, text)] == []
    assert len(shown(notebook, "image/png")) == promise.plots
    tables = "\n".join(read_html(html).text for html in shown(notebook, "text/html"))
    assert [pattern for pattern in promise.tables if not re.search(pattern, tables)] == []
    assert len(shown(notebook, WIDGET)) == promise.bars
    assert printed(notebook, "stderr") == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_sees_what_it_shows(name: str) -> None:
    """`make notebooks` runs all of them and keeps that."""
    notebook = read_notebook(name)
    promise = PROMISES[name]
    text = printed(notebook) + "\n".join(shown(notebook, "text/plain"))
    assert [pattern for pattern in promise.prints if not re.search(pattern, text)] == []
    assert len(shown(notebook, "image/png")) == promise.plots
    assert not any(output.get("name") == "stderr" for output in outputs(notebook))
    assert (EXAMPLES / name).stat().st_size < MOST_BYTES
