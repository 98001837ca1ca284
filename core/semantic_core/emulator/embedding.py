"""Deterministic embeddings: hashed words and character n-grams, so related texts are nearer.

Every sum is over whole numbers that a float64 holds exactly, so the same text gives the same
bits on every machine, alone or in a batch.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatVector = npt.NDArray[np.float32]

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")

_BYTES_PER_TOKEN = 4
_PLACES_PER_WORD = 8
_PLACES_PER_GRAM = 2
_GRAM_SIZES = (3, 4)
_LONGEST_CACHED_WORD = 32
_MOST_CACHED_WORDS = 50_000

# Function words join every text with every other one; they hardly count.
_COMMON_WORDS = (
    "a an and are as at be but by can did do does for from had has have how i if in into is it "
    "its more no not of on or our so than that the their then there these they this to was we "
    "were what when where which who why will with would you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_WORD_WEIGHT = 64
_GRAM_WEIGHT = 112
_COMMON_SHARE = 8
_NOISE_SIZE = 1 << 16


class _Features(NamedTuple):
    hashes: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.float64]


_words: dict[tuple[str, str], _Features] = {}


def fake_embed(
    text: str,
    *,
    model: str = "gemini-embedding-001",
    dimensions: int = 3072,
    task_type: str | None = None,
    always_normalized: bool | None = None,
) -> FloatVector:
    """Return the vector the emulator gives this text: float32, finite, never zero.

    Vectors of another model or other dimensions are not comparable; the task type shifts a
    vector only slightly. As at Google, `gemini-embedding-001` gives unit length at 3072
    dimensions only, the newer models always.

    Args:
        text: the text.
        model: model id, without ``models/``.
        dimensions: length of the vector.
        task_type: such as ``RETRIEVAL_QUERY``, or None.
        always_normalized: override of what the model's name says.
    """
    features = _features_of(text, model)
    places = features.hashes % np.uint32(dimensions)
    counts = np.bincount(places, weights=features.weights, minlength=dimensions)
    vector = np.asarray(counts, dtype=np.float64)
    # Keeps two texts of the same words apart, and any text away from zero.
    vector += _noise_for(f"{model}\0{text}", dimensions)
    if task_type:
        strength = max(1, 64 // math.isqrt(dimensions))
        vector += strength * _noise_for(f"task\0{task_type}", dimensions)
    squares = float(np.dot(vector, vector))
    if not squares:
        vector[0] = squares = 1.0
    if always_normalized is None:
        always_normalized = model != "gemini-embedding-001"
    length = 1.0 if always_normalized or dimensions == 3072 else _length_of(text)
    return (vector * (length / math.sqrt(squares))).astype(np.float32)


def count_tokens(text: str) -> int:
    """Estimate the tokens of a text: a quarter of its bytes, but at least its words."""
    size = len(text.encode("utf-8", "surrogatepass"))
    return max(-(-size // _BYTES_PER_TOKEN), len(_TOKEN.findall(text)))


def _features_of(text: str, model: str) -> _Features:
    lowered = text.lower()
    found = [_features_of_word(word, model) for word in _WORD.findall(lowered)]
    if not found:
        found = [_features_of_word(lowered, model)]
    if len(found) == 1:
        return found[0]
    return _Features(
        np.concatenate([one.hashes for one in found]),
        np.concatenate([one.weights for one in found]),
    )


def _features_of_word(word: str, model: str) -> _Features:
    features = _words.get((model, word))
    if features is None:
        features = _make_features(word, model)
        if len(word) <= _LONGEST_CACHED_WORD:
            if len(_words) >= _MOST_CACHED_WORDS:
                _words.clear()
            _words[model, word] = features
    return features


def _make_features(word: str, model: str) -> _Features:
    padded = f"<{word}>"
    grams = [
        padded[start : start + size]
        for size in _GRAM_SIZES
        for start in range(len(padded) - size + 1)
    ]
    share = _COMMON_SHARE if word in _COMMON else 1
    hashes = [_hash(f"{model}\0w\0{word}", _PLACES_PER_WORD)]
    hashes += [_hash(f"{model}\0g\0{gram}", _PLACES_PER_GRAM) for gram in grams]
    all_hashes = np.concatenate(hashes)
    signs = np.where(all_hashes & 1, 1.0, -1.0)
    # A long word must not outweigh a short one only for its many n-grams.
    gram_weight = max(1, _GRAM_WEIGHT // max(1, math.isqrt(len(grams)))) // share or 1
    weights = np.full(len(all_hashes), float(gram_weight))
    weights[:_PLACES_PER_WORD] = _WORD_WEIGHT // share
    return _Features(np.right_shift(all_hashes, np.uint32(1)), signs * weights)


def _hash(feature: str, places: int) -> npt.NDArray[np.uint32]:
    digest = hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=4 * places)
    return np.frombuffer(digest.digest(), dtype="<u4").astype(np.uint32)


def _number(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _noise_for(text: str, dimensions: int) -> npt.NDArray[np.float64]:
    start = _number(text) % _NOISE_SIZE
    return _noise(dimensions)[start : start + dimensions]


@cache
def _noise(extra: int) -> npt.NDArray[np.float64]:
    """Return a fixed row of -1, 0 and 1, long enough to cut ``extra`` numbers at any place."""
    block = hashlib.shake_256(b"semcore emulator noise").digest(_NOISE_SIZE)
    row = np.frombuffer(block, dtype=np.uint8).astype(np.float64) % 3 - 1
    return np.resize(row, _NOISE_SIZE + extra)


def _length_of(text: str) -> float:
    """Return a length that is plainly not 1, so that a client which forgets to normalise shows."""
    return 0.55 + (_number(f"length\0{text}") % 256) / 1024
