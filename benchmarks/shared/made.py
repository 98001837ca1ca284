"""Texts and vectors that are made: the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

from semantic_core.domain.spec import EmbeddingSpec

Floats = npt.NDArray[np.float32]

CHARACTERS = 800
TENANTS = 20  # a filter on one of them chooses 5 %

_LETTERS = "etaoinshrdlcumwfgypbvk"
_CLUSTERS = 1_000


def texts(start: int, stop: int) -> list[str]:
    """Return texts of about 800 characters whose words follow Zipf's law, as those of prose do."""
    words = _words()
    ends = np.cumsum(1 / np.arange(1, len(words) + 1))
    rng = np.random.default_rng((7, start))
    drawn = np.searchsorted(ends, rng.random((stop - start, CHARACTERS // 6)) * ends[-1])
    return [
        f"{' '.join([words[word] for word in row])} {number}."
        for number, row in enumerate(drawn.tolist(), start)
    ]


def metadata(number: int) -> dict[str, str | int]:
    """Return what goes with a text."""
    return {"tenant": number % TENANTS, "source": f"notes/{number // 8}.md", "lang": "en"}


def vectors(count: int, dimensions: int, *, seed: int = 1) -> Floats:
    """Return vectors of length 1 from a mixture of 1,000 clusters, the same ones for any seed."""
    centres = np.random.default_rng(dimensions).standard_normal(
        (_CLUSTERS, dimensions), dtype=np.float32
    )
    rng = np.random.default_rng((seed, count))
    made = np.empty((count, dimensions), dtype=np.float32)
    for start in range(0, count, 10_000):
        page = made[start : start + 10_000]
        page[:] = rng.standard_normal(page.shape, dtype=np.float32)
        page += centres[rng.integers(0, _CLUSTERS, len(page))]
        page /= np.linalg.norm(page, axis=1, keepdims=True)
    return made


def result_lines(keys: Iterator[str] | list[str], dimensions: int) -> Iterator[bytes]:
    """Yield a result line for each key, as the Batch API writes it, nine digits a number."""
    # A thousand different vectors are enough to parse; formatting more would take longer.
    values = [
        ",".join(f"{value:.9g}" for value in vector.tolist()).encode()
        for vector in vectors(1000, dimensions, seed=3)
    ]
    for number, key in enumerate(keys):
        yield (
            b'{"key":"%b","response":{"embedding":{"values":[%b]},'
            b'"usageMetadata":{"promptTokenCount":200}}}\n'
            % (key.encode(), values[number % len(values)])
        )


def content_hashes(some: list[str], spec: EmbeddingSpec) -> list[str]:
    """Return the content hashes of texts, in hex."""
    hasher = spec.hasher()
    return [hasher(text).hex() for text in some]


@cache
def _words() -> list[str]:
    rng = np.random.default_rng(5)
    letters = np.array(list(_LETTERS))
    return ["".join(rng.choice(letters, length)) for length in rng.integers(2, 11, 20_000)]
