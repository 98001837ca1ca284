from __future__ import annotations

from uuid import UUID

import pytest

from semantic_core.vector_index import Identity, Moment
from semantic_core.vector_index.cells import LIMITS
from semantic_core.vector_index.layout import HEADER_SIZE, Header, UnusableError

IDENTITY = Identity(database=UUID(int=7), collection=3, space="gemini", dimensions=768)


def test_a_header_reads_back() -> None:
    header = Header.of(IDENTITY, rows=10, moment=Moment(2**40, -(2**63)))._replace(
        depth=2000, measured_at=7, cells=3, cell_depth=400
    )
    page = header.pack(b"digest")
    assert len(page) == HEADER_SIZE
    assert Header.unpack(page, IDENTITY) == header


@pytest.mark.parametrize("dimensions", [1, 63, 64, 65, 768, 3072])
@pytest.mark.parametrize("rows", [0, 1, 7, 100_000])
@pytest.mark.parametrize(("depth", "cells"), [(0, 0), (2000, 0), (2000, 1), (2000, 1001)])
def test_parts_are_aligned_and_do_not_overlap(
    dimensions: int, rows: int, depth: int, cells: int
) -> None:
    identity = Identity(database=UUID(int=7), collection=3, space="s", dimensions=dimensions)
    header = Header.of(identity, rows=rows, moment=Moment(1))._replace(depth=depth, cells=cells)
    sections = header.sections()
    ids, mean, codes, starts, margins, centres, vectors, size = sections
    coded = depth > 0
    words = -(-dimensions // 64)
    assert ids == HEADER_SIZE
    assert mean >= ids + 8 * rows
    assert codes >= mean + 4 * dimensions * coded
    assert starts >= codes + 8 * words * rows * coded
    assert margins >= starts + 8 * (cells + 1) * (cells > 0)
    assert centres >= margins + 4 * len(LIMITS) * (cells > 0)
    assert vectors >= centres + 4 * dimensions * cells
    assert size >= vectors + 4 * dimensions * rows
    assert not any(offset % 64 for offset in sections)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"database": UUID(int=8)}, "another database"),
        ({"collection": 4}, "another collection"),
        ({"space": "openai"}, "another space"),
        ({"dimensions": 384}, "another dimensions"),
    ],
)
def test_a_header_of_another_owner_is_refused(other: dict[str, object], reason: str) -> None:
    values = {name: getattr(IDENTITY, name) for name in Identity.__slots__}
    page = Header.of(Identity(**values | other), rows=1, moment=Moment(1)).pack()
    with pytest.raises(UnusableError, match=reason):
        Header.unpack(page, IDENTITY)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (b"", "cut off"),
        (b"SEMCVECS", "cut off"),
        (b"\0" * HEADER_SIZE, "no index of semcore's"),
        (b"SEMCVECS\x01".ljust(HEADER_SIZE, b"\0"), "has format 1, not 2"),
    ],
)
def test_what_is_no_header_is_refused(page: bytes, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        Header.unpack(page, IDENTITY)
