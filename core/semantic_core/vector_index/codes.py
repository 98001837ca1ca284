"""One bit per dimension: a first pass that reads a thirty-second of the matrix.

A bit says whether a vector is above or below the mean in that dimension. The number of bits in
which two codes differ estimates the angle between the vectors; the true scores of the best rows
by that estimate are then computed from the matrix. On real text embeddings (61,911 of 384
dimensions) the ten nearest are among the best 2,000 by estimate in 99.94 % of all cases. The mean
is needed: embeddings of some models all point in nearly the same direction, so most of their signs
would be equal.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from semantic_core.vector_index.arrays import Flags, Floats, Rows, Words

Distances = npt.NDArray[np.uint16]

# A distance larger than any two codes can have.
FARTHEST = np.uint16(np.iinfo(np.uint16).max)

# Rows coded, or compared, at once: the intermediate arrays stay in one core's cache.
_CODED = 1024
_COMPARED = 8192

# Where other threads search as well, a step waits for the GIL at its end: fewer steps save more
# time than leaving the cache costs.
_COMPARED_SHARED = 65_536

# The largest weight of a dimension. Of 9,000 dimensions, the sum is still less than FARTHEST.
_LEVELS = 7

_FIRST_CAPACITY = 1024
_WORD = 64


class Codes:
    """The codes of the rows 0, 1, 2, …, stored word by word.

    Word by word, so that numpy works through long contiguous arrays: row by row is three times
    slower. The ``base`` of shape (words, n) has the first rows, and is never written to.
    """

    def __init__(self, mean: Floats, base: Words | None = None) -> None:
        words = word_count(len(mean))
        self.mean = mean
        self.base = np.empty((words, 0), dtype=np.uint64) if base is None else base
        self._tail = np.empty((words, _FIRST_CAPACITY), dtype=np.uint64)
        self.count = self.base.shape[1]

    def extend(self, vectors: Floats) -> None:
        used = self.count - self.base.shape[1]
        needed = used + len(vectors)
        if needed > self._tail.shape[1]:
            tail = np.empty((len(self._tail), max(2 * used, needed)), dtype=np.uint64)
            tail[:, :used] = self._tail[:, :used]
            self._tail = tail
        for start in range(0, len(vectors), _CODED):
            some = vectors[start : start + _CODED]
            self._tail[:, used + start : used + start + len(some)] = self._encode(some)
        self.count += len(vectors)

    def distances(
        self,
        query: Floats,
        count: int,
        *,
        spans: Rows | None = None,
        rows: Rows | None = None,
        is_shared: bool = False,
    ) -> Distances:
        """Return how many bits of each of the first ``count`` codes differ from a query's code.

        With ``spans`` (first, end) only these of the base are compared, or with ``rows`` only those
        of all, and more closely: a bit counts by how far the query is from the mean there. That
        takes three times as long, and a fifth of the rows need to be scored.
        """
        code = self._encode(query[None, :])[:, :1]
        masks = [] if spans is None and rows is None else self._masks(query)
        base, tail = self.base, self._tail[:, : count - self.base.shape[1]]
        if spans is not None:
            base = np.concatenate([base[:, start:end] for start, end in spans.tolist()], axis=1)
        if rows is not None:
            base, tail = self.of(rows), tail[:, :0]
        near = base.shape[1]
        distances = np.empty(near + tail.shape[1], dtype=np.uint16)
        step = _COMPARED_SHARED if is_shared else _COMPARED
        _compare(base, code, masks, distances[:near], step)
        _compare(tail, code, masks, distances[near:], step)
        return distances

    def numbers(self, spans: Rows, count: int) -> Rows:
        """Return the rows of the codes that `distances` compares."""
        base = self.base.shape[1]
        spans = np.concatenate((spans, [(base, count)]))
        lengths = spans[:, 1] - spans[:, 0]
        ends = np.cumsum(lengths)
        return np.repeat(spans[:, 1] - ends, lengths) + np.arange(ends[-1])

    def of(self, rows: Rows) -> Words:
        """Return the codes of some rows, ready to be the base of other `Codes`."""
        base = self.base.shape[1]
        codes = np.empty((len(self.base), len(rows)), dtype=np.uint64)
        from_base = rows < base
        if from_base.all():
            return np.take(self.base, rows, axis=1)
        codes[:, from_base] = self.base[:, rows[from_base]]
        codes[:, ~from_base] = self._tail[:, rows[~from_base] - base]
        return codes

    def _masks(self, query: Floats) -> list[Words]:
        """Return the dimensions whose weight has the bit 1, those with 2, and so on."""
        weights = np.abs(query - self.mean)
        levels = np.rint(weights * (_LEVELS / max(float(weights.max()), 1e-30))).astype(np.int64)
        return [self._packed((levels & bit > 0)[None]) for bit in (1, 2, 4)]

    def _encode(self, vectors: Floats) -> Words:
        return self._packed(vectors > self.mean)

    def _packed(self, flags: Flags) -> Words:
        packed = np.packbits(flags, axis=1, bitorder="little")
        padded = np.zeros((len(flags), len(self.base) * (_WORD // 8)), dtype=np.uint8)
        padded[:, : packed.shape[1]] = packed
        return padded.view(np.uint64).T


def word_count(dimensions: int) -> int:
    return -(-dimensions // _WORD)


def _compare(codes: Words, code: Words, masks: Sequence[Words], out: Distances, step: int) -> None:
    for start in range(0, len(out), step):
        part = slice(start, start + step)
        differing = codes[:, part] ^ code
        if not masks:
            np.add.reduce(np.bitwise_count(differing), axis=0, dtype=np.uint16, out=out[part])
            continue
        out[part] = 0
        for power, mask in enumerate(masks):
            bits = np.bitwise_count(differing & mask)
            out[part] += np.add.reduce(bits, axis=0, dtype=np.uint16) << power
