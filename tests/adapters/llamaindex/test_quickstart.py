"""The quickstart notebook, as somebody without a key runs it."""

import re
from pathlib import Path

from support.notebooks import kept_outputs, run_notebook

NOTEBOOK = "llamaindex_quickstart.ipynb"


def test_the_notebook_runs_and_shows_what_it_promises(tmp_path: Path) -> None:
    outputs = run_notebook(NOTEBOOK, tmp_path)
    assert re.search(r"[1-9]\d* nodes saved in", outputs)
    assert re.search(r"[1-9]\d* nodes have their vector, 0 wait, 0 failed", outputs)
    assert re.search(r"vector +READY +Exceptions", outputs)
    assert re.search(r"keyword +PENDING +House rule", outputs)
    assert "Context information is below." in outputs
    assert "Texts that wait to be paid for: 0" in outputs
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_its_outputs() -> None:
    assert "nodes have their vector" in kept_outputs(NOTEBOOK)
