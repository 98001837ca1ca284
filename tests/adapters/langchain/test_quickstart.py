"""The quickstart notebook, as somebody without a key runs it."""

from __future__ import annotations

import re
from pathlib import Path

from support.notebooks import kept_outputs, run_notebook

NOTEBOOK = "langchain_quickstart.ipynb"


def test_the_notebook_runs_and_shows_what_it_promises(tmp_path: Path) -> None:
    outputs = run_notebook(NOTEBOOK, tmp_path)
    assert re.search(r"[1-9]\d* documents have their vector, 0 wait, 0 failed", outputs)
    assert re.search(r"keyword +PENDING +house-rule", outputs)
    assert re.search(r"'num_added': 0, .*'num_skipped': [1-9]", outputs)
    assert "Texts that wait to be paid for: 1" in outputs
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_its_outputs() -> None:
    assert "documents have their vector" in kept_outputs(NOTEBOOK)
