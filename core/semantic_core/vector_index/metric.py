"""What near means. A score is always higher for the nearer vector."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from semantic_core.vector_index.arrays import Flags, Floats

# Rows that are made ready at once. With 1,024, making an index of 100,000 x 768 takes twice as long:
# their float64 copies no longer stay in the cache, and each is memory that is new to the process.
_PAGE = 256

# Beyond this length a float32 product could overflow.
_LONGEST = 1e18


class Metric(StrEnum):
    """How two vectors are compared.

    Attributes:
        COSINE: the cosine of their angle, in [-1, 1].
        INNER_PRODUCT: their inner product.
        EUCLIDEAN: minus their distance.
    """

    COSINE = "cosine"
    INNER_PRODUCT = "inner_product"
    EUCLIDEAN = "euclidean"


def prepare(vectors: Floats, metric: Metric) -> tuple[Floats, Flags]:
    """Return vectors as the matrix holds them, and which of them can be compared at all.

    For the cosine they get length 1, so that an inner product is the cosine. What is not finite,
    or has no direction to compare, cannot be used.
    """
    rows = np.empty(vectors.shape, dtype=np.float32)
    usable = np.empty(len(vectors), dtype=np.bool_)
    for start in range(0, len(vectors), _PAGE):
        page = slice(start, start + _PAGE)
        wide = vectors[page].astype(np.float64)
        lengths = np.sqrt(np.add.reduce(wide * wide, axis=1))
        if metric is Metric.COSINE:
            usable[page] = np.isfinite(lengths) & (lengths > 0)
            np.divide(wide, lengths[:, None], out=wide, where=usable[page, None])
        else:
            usable[page] = lengths < _LONGEST
        rows[page] = wide
    return rows, usable


def exact_scores(rows: Floats, query: Floats, metric: Metric) -> Floats:
    """Return the scores of a few rows, the same for the same row wherever it stands.

    A matrix product rounds a row by its place in the matrix, so that equal vectors could come out
    unequal, and two paths to the same row could disagree. This one adds each row by itself, in
    float64.
    """
    wide = rows.astype(np.float64)
    scores: npt.NDArray[np.float64]
    if metric is Metric.EUCLIDEAN:
        scores = -np.sqrt(np.add.reduce((wide - query) ** 2, axis=1))
    else:
        scores = np.add.reduce(wide * query, axis=1)
    if metric is Metric.COSINE:
        scores = scores.clip(-1.0, 1.0)
    return scores.astype(np.float32)


def rank_error(query: Floats, longest: float, metric: Metric) -> float:
    """Bound by how much two ranks from a float32 product can be wrong against each other.

    A sum of n float32 products is off by at most n * 2**-24 of the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), which is at most the product of both
    lengths.

    Args:
        query: as `prepare` returns it.
        longest: the length of the longest row.
        metric: a Euclidean rank is ``x·q - x·x/2``.
    """
    size = longest * float(np.linalg.norm(query.astype(np.float64)))
    if metric is Metric.EUCLIDEAN:
        size += longest * longest / 2
    return 2.0 * (len(query) + 4) * 2.0**-24 * size


def half_squares(rows: Floats) -> Floats:
    """Return half the squared length of each row, for ranks by Euclidean distance."""
    squares: Floats = np.einsum("ij,ij->i", rows, rows)
    return squares * np.float32(0.5)
