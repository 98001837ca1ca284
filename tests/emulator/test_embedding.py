from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_emulator import count_tokens, fake_embed
from batch_emulator.embedding import FloatVector

ROOT = "how do I read a file in Python"
NEAR = "Reading files: open the file, then read it with Python"
FAR = "quarterly revenue of the company rose in autumn"


def cosine(left: FloatVector, right: FloatVector) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


@pytest.mark.parametrize("dimensions", [64, 768, 3072])
@pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2"])
def test_related_texts_are_nearer(model: str, dimensions: int) -> None:
    root, near, far = (
        fake_embed(text, model=model, dimensions=dimensions) for text in (ROOT, NEAR, FAR)
    )
    assert cosine(root, near) > 0.4
    assert abs(cosine(root, far)) < 0.3


def test_related_words_are_nearer() -> None:
    left, right, other = (fake_embed(word) for word in ("embedding", "embeddings", "revenue"))
    assert cosine(left, right) > cosine(left, other) + 0.2


def test_a_task_shifts_a_vector_only_slightly() -> None:
    query = fake_embed(ROOT, dimensions=768, task_type="RETRIEVAL_QUERY")
    document = fake_embed(ROOT, dimensions=768, task_type="RETRIEVAL_DOCUMENT")
    assert 0.9 < cosine(query, document) < 1


def test_models_and_sizes_are_not_comparable() -> None:
    first = fake_embed(ROOT, dimensions=768)
    second = fake_embed(ROOT, dimensions=768, model="gemini-embedding-2")
    assert abs(cosine(first, second)) < 0.3
    assert not np.array_equal(fake_embed(ROOT, dimensions=1536)[:768], first)


def test_only_some_vectors_have_length_one() -> None:
    """A client that forgets to normalise must not get away with it."""
    assert np.linalg.norm(fake_embed(ROOT, dimensions=3072)) == pytest.approx(1)
    assert np.linalg.norm(fake_embed(ROOT, dimensions=768)) < 0.9
    second = fake_embed(ROOT, dimensions=768, model="gemini-embedding-2")
    assert np.linalg.norm(second) == pytest.approx(1)


@settings(deadline=None)
@given(st.text(), st.integers(min_value=1, max_value=64))
def test_every_text_has_a_vector(text: str, dimensions: int) -> None:
    vector = fake_embed(text, dimensions=dimensions)
    assert vector.shape == (dimensions,)
    assert vector.dtype == np.float32
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) > 0.1
    assert count_tokens(text) >= 0


def test_texts_of_the_same_words_differ() -> None:
    texts = ("first second", "second first", "First second", "first  second", "", "!", "?")
    model = "gemini-embedding-2"
    vectors = {fake_embed(text, model=model, dimensions=64).tobytes() for text in texts}
    assert len(vectors) == len(texts)


def test_another_process_gets_the_same_bits() -> None:
    code = (
        "import sys; from batch_emulator import fake_embed;"
        f"sys.stdout.write(fake_embed({ROOT!r}, dimensions=768).tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == fake_embed(ROOT, dimensions=768).tobytes().hex()


def test_a_token_is_a_word_or_four_bytes() -> None:
    assert count_tokens("") == 0
    assert count_tokens("a b c d") == 4
    assert count_tokens("abcdefghijkl") == 3
    assert count_tokens("\u6f22\u5b57\u6f22\u5b57") == 5
