"""The cosine of two vectors, as an inner product of vectors of length 1."""

import numpy as np

from semantic_core.vector_index.arrays import Flags, Floats

# Rows normalised at once. With 1,024, making an index of 100,000 x 768 takes twice as long: their
# float64 copies no longer fit the cache, and each copy is newly allocated memory.
_PAGE = 256


def unit_rows(vectors: Floats) -> tuple[Floats, Flags]:
    """Return vectors with length 1, and which of them can be compared.

    A vector that is not finite, or is all zero, cannot be compared.
    """
    rows = np.empty(vectors.shape, dtype=np.float32)
    usable = np.empty(len(vectors), dtype=np.bool_)
    for start in range(0, len(vectors), _PAGE):
        page = slice(start, start + _PAGE)
        wide = vectors[page].astype(np.float64)
        lengths = np.sqrt(np.add.reduce(wide * wide, axis=1))
        usable[page] = np.isfinite(lengths) & (lengths > 0)
        np.divide(wide, lengths[:, None], out=wide, where=usable[page, None])
        rows[page] = wide
    return rows, usable


def exact_scores(rows: Floats, query: Floats) -> Floats:
    """Return the cosines of a few unit rows, the same for the same row at any position.

    A matrix product rounds a row differently at different positions in the matrix. Equal vectors
    could get different scores, and two searches that reach the same row could disagree. This
    function sums each row by itself, in float64.
    """
    wide = np.add.reduce(rows.astype(np.float64) * query, axis=1)
    scores: Floats = wide.clip(-1.0, 1.0).astype(np.float32)
    return scores


def rank_error(dimensions: int) -> float:
    """Return the largest error between two cosines from a float32 product.

    A sum of n float32 products is off by at most n * 2**-24 of the sum of their sizes (Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1), which is at most the product of both
    lengths.
    """
    return 2.0 * (dimensions + 4) * 2.0**-24
