"""Deterministic embeddings: hashed words and character n-grams, so related texts are nearer.

Every sum is over whole numbers that a float64 holds exactly, so the same text gives the same
bits on every machine, alone or in a batch.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from batch_emulator.media import MediaPart, picture_vector

FloatVector = npt.NDArray[np.float32]

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]")

_BYTES_PER_TOKEN = 4
# Han, Kana and Hangul: reports of real counts go from 1 to 1.5.
_TOKENS_PER_EAST_ASIAN = 1.25
_PLACES_PER_WORD = 8
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
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

_Hashes = npt.NDArray[np.uint32]


class _Features(NamedTuple):
    hashes: _Hashes
    weights: npt.NDArray[np.float64]


_words: dict[tuple[str, str], _Features] = {}


def fake_embed(
    text: str,
    *,
    model: str = "gemini-embedding-001",
    dimensions: int = 3072,
    task_type: str | None = None,
    always_normalized: bool | None = None,
    media: Sequence[MediaPart] = (),
) -> FloatVector:
    """Return the vector the emulator gives this content: float32, finite, never zero.

    Vectors of another model or other dimensions are not comparable; the task type shifts a
    vector only slightly. As at Google, `gemini-embedding-001` gives unit length at 3072
    dimensions only, the newer models always.

    Args:
        text: the text.
        model: model id, without ``models/``.
        dimensions: length of the vector.
        task_type: such as ``RETRIEVAL_QUERY``, or None.
        always_normalized: override of what the model's name says.
        media: pictures and pages beside the text; each weighs as much as it.
    """
    said = "\n".join([text, *(part.text for part in media if part.text)])
    vector = picture_vector(media, model=model, dimensions=dimensions)
    if said.strip() or not media:
        features = _features_of(said, model)
        places = features.hashes % np.uint32(dimensions)
        counts = np.bincount(places, weights=features.weights, minlength=dimensions)
        vector += counts * max(1, math.isqrt(int(vector @ vector) // max(1, int(counts @ counts))))
    # Keeps two texts of the same words apart, and any text away from zero.
    identity = "\0".join([text, *(part.sha256 for part in media)])
    vector += _noise_for(f"{model}\0{identity}", dimensions)
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
    """Estimate the tokens of a text: a quarter of its bytes, but at least its words.

    A Han, Kana or Hangul character is more than one token.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    tokens = max(-(-size // _BYTES_PER_TOKEN), len(_TOKEN.findall(text)))
    if text.isascii():
        return tokens
    return max(tokens, math.ceil(_TOKENS_PER_EAST_ASIAN * len(_EAST_ASIAN.findall(text))))


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
    padded = np.frombuffer(f"<{word}>".encode("utf-32-le", "surrogatepass"), dtype="<u4")
    grams = [_hash_grams(padded, size, model) for size in _GRAM_SIZES if size <= len(padded)]
    hashes = np.concatenate([_hash_word(word, model), *grams])
    count = max(1, sum(len(one) for one in grams) // 2)
    # A long word must not outweigh a short one only for its many n-grams.
    gram_weight = max(1, _GRAM_WEIGHT // max(1, math.isqrt(count)))
    weights = np.full(len(hashes), float(gram_weight))
    weights[:_PLACES_PER_WORD] = _WORD_WEIGHT
    if word in _COMMON:
        weights = np.ceil(weights / _COMMON_SHARE)
    signs = np.where(hashes & 1, 1.0, -1.0)
    return _Features(np.right_shift(hashes, np.uint32(1)), signs * weights)


def _hash_word(word: str, model: str) -> _Hashes:
    text = f"{model}\0{word}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=4 * _PLACES_PER_WORD).digest()
    return np.frombuffer(digest, dtype="<u4").astype(np.uint32)


def _hash_grams(padded: npt.NDArray[np.uint32], size: int, model: str) -> _Hashes:
    """Return two hashes for each run of ``size`` characters, all runs at once."""
    count = len(padded) - size + 1
    mixed = np.full(count, _number(f"{model}\0{size}"), dtype=np.uint64)
    for place in range(size):
        mixed = (mixed ^ padded[place : place + count]) * _MIX[0]
    # The last steps of SplitMix64: without them near characters have near hashes.
    for factor, shift in zip(_MIX, (30, 27), strict=True):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * factor
    mixed ^= mixed >> np.uint64(31)
    low = (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return np.concatenate([low, (mixed >> np.uint64(32)).astype(np.uint32)])


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
