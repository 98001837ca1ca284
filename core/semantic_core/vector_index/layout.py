"""The layout of a saved index, and the checksum over it.

Little-endian. First a page with the header and the checksum. Then, each from a multiple of 64
bytes on: the ids (int64); where there is a first pass, its mean (float32) and codes; where there
are cells, their starts (int64), and their margins and centres (float32); the vectors (float32).
No Python object is ever stored: reading a planted file cannot run code.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self
from uuid import UUID

import numpy as np

from semantic_core.domain.uninterrupted import side_by_side
from semantic_core.vector_index.arrays import Words
from semantic_core.vector_index.cells import LIMITS
from semantic_core.vector_index.codes import word_count

MAGIC = b"SEMCVECS"
FORMAT_VERSION = 2

HEADER_SIZE = 4096
_ALIGNMENT = 64
_DIGEST_SIZE = 32

# The checksum lays the words (uint64) out in lines, adds up each line and, over many lines, each
# column, and hashes the sums: no two words or vectors can change places anywhere in the file. That
# takes 1.7 times as long as adding up alone, and half as long as a CRC. A block of lines stays in a
# core's own cache while it is added up twice; segments are summed by several cores at once.
_COLUMNS = 2048
_BLOCK = 32 * _COLUMNS
_SEGMENT = 2**22
_MOST_THREADS = 4

# Odd, so that no bit of an earlier block is lost from a column.
_STEP = np.uint64(0x9E3779B97F4A7C15)


class UnusableError(Exception):
    """Why a saved index cannot be used. It is logged, never raised to a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose vectors a saved index holds; ``space`` names the vector space, in any text."""

    database: UUID
    collection: int
    space: str
    dimensions: int


class Moment(NamedTuple):
    """A point in the history of a database: the last change there was; ``seq`` 0 is before any.

    The mark tells it from another change of this number. A restored backup counts on from where it
    was, and gives the same numbers out again.
    """

    seq: int
    mark: int = 0


class Sections(NamedTuple):
    """Where each part begins, and how long the file is, in bytes."""

    ids: int
    mean: int
    codes: int
    starts: int
    margins: int
    centres: int
    vectors: int
    size: int


class Header(NamedTuple):
    """What a saved index says of itself, in the order in which it is packed.

    ``depth`` is 0 where there is no first pass. ``seq`` and ``mark`` are the `Moment`; ``cells`` is
    how many there are, and ``cell_depth`` theirs.
    """

    magic: bytes
    version: int
    database: bytes
    collection: int
    space: bytes
    dimensions: int
    rows: int
    seq: int
    mark: int
    depth: int = 0
    measured_at: int = 0
    cells: int = 0
    cell_depth: int = 0

    @classmethod
    def of(cls, identity: Identity, *, rows: int, moment: Moment) -> Self:
        return cls(
            magic=MAGIC,
            version=FORMAT_VERSION,
            database=identity.database.bytes,
            collection=identity.collection,
            space=hashlib.sha256(identity.space.encode()).digest(),
            dimensions=identity.dimensions,
            rows=rows,
            seq=moment.seq,
            mark=moment.mark,
        )

    @classmethod
    def unpack(cls, page: bytes, identity: Identity) -> Self:
        """Read the header from the first page, or raise `UnusableError`: it is of another owner."""
        if len(page) < HEADER_SIZE:
            raise UnusableError("is cut off")
        found = cls(*_PACKED.unpack_from(page))
        if found.magic != MAGIC:
            raise UnusableError("is no index of semcore's")
        if found.version != FORMAT_VERSION:
            raise UnusableError(f"has format {found.version}, not {FORMAT_VERSION}")
        wanted = cls.of(identity, rows=0, moment=Moment(0))
        if found.database != wanted.database:
            raise UnusableError("belongs to another database")
        for name in ("collection", "space", "dimensions"):
            if getattr(found, name) != getattr(wanted, name):
                raise UnusableError(f"is of another {name}")
        return found

    def pack(self, digest: bytes = b"") -> bytes:
        return (_PACKED.pack(*self) + digest).ljust(HEADER_SIZE, b"\0")

    def sections(self) -> Sections:
        coded = self.depth > 0
        ids = HEADER_SIZE
        mean = _aligned(ids + 8 * self.rows)
        codes = _aligned(mean + 4 * self.dimensions * coded)
        words = word_count(self.dimensions) * self.rows * coded
        starts = _aligned(codes + 8 * words)
        margins = _aligned(starts + 8 * (self.cells + 1) * (self.cells > 0))
        centres = _aligned(margins + 4 * len(LIMITS) * (self.cells > 0))
        vectors = _aligned(centres + 4 * self.dimensions * self.cells)
        size = _aligned(vectors + 4 * self.dimensions * self.rows)
        return Sections(ids, mean, codes, starts, margins, centres, vectors, size)

    def digest(self, content: mmap.mmap) -> bytes:
        """Return the checksum of a file with this header: any byte of it that differs shows.

        Made for damage, not against an enemy: who can write this file can write the database.
        """
        digest = hashlib.blake2b(_PACKED.pack(*self), digest_size=_DIGEST_SIZE)
        words: Words = np.frombuffer(content, "<u8", -1, HEADER_SIZE)
        segments = [words[at : at + _SEGMENT] for at in range(0, len(words), _SEGMENT)]
        threads = min(len(segments), os.cpu_count() or 1, _MOST_THREADS)
        if threads > 1:
            shares = [partial(_digests, segments[turn::threads]) for turn in range(threads)]
            found = side_by_side(shares)
            parts = [found[at % threads][at // threads] for at in range(len(segments))]
        else:
            parts = _digests(segments)
        digest.update(b"".join(parts))
        return digest.digest()

    def check(self, page: bytes, content: mmap.mmap) -> None:
        """Compare the checksum in the first page, or raise `UnusableError`."""
        written = page[_PACKED.size : _PACKED.size + _DIGEST_SIZE]
        padding = page[_PACKED.size + _DIGEST_SIZE :]
        if written != self.digest(content) or padding.strip(b"\0"):
            raise UnusableError("is damaged")


_PACKED = struct.Struct("<8sI16sq32sQQqqQQQQ")


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _digests(segments: Sequence[Words]) -> list[bytes]:
    return [_digest(segment) for segment in segments]


def _digest(words: Words) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    whole = len(words) - len(words) % _COLUMNS
    columns = np.zeros(_COLUMNS, dtype=np.uint64)
    for start in range(0, whole, _BLOCK):
        lines = words[start : min(start + _BLOCK, whole)].reshape(-1, _COLUMNS)
        digest.update(np.add.reduce(lines, axis=1).tobytes())
        columns *= _STEP
        columns += np.add.reduce(lines, axis=0)
    digest.update(columns.tobytes())
    digest.update(words[whole:].tobytes())
    return digest.digest()
