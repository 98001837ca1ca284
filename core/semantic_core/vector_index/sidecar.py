"""A saved index in a file beside the database, ready to be mapped.

It is a cache of rows: whatever is wrong with it, it is ignored, search answers from the rows, and
the log says so once. It is replaced whole, by rename, and never changed in place, so that a
process that has the old file mapped keeps it.
"""

import logging
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.leftovers import CAREFUL, new_file, remove_abandoned, sync
from semantic_core.vector_index.cells import LIMITS, Cells
from semantic_core.vector_index.codes import Codes, word_count
from semantic_core.vector_index.first_pass import FirstPass
from semantic_core.vector_index.index import VectorIndex
from semantic_core.vector_index.layout import HEADER_SIZE, Header, Identity, Moment, UnusableError
from semantic_core.vector_index.matrix import Matrix

_log = logging.getLogger(__name__)

# Vectors written at once.
_WRITTEN = 1024


class Sidecar:
    """The saved index of one collection. Any number of processes may open and save it at once.

    A file of anyone else's is ignored, then replaced; where its folder cannot be written, there is
    no cache.
    """

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path = path
        self.identity = identity
        self._new_path = path.with_name(path.name + ".new")
        self._noted: set[str] = set()

    def open(self, *, oldest: int, newest: int) -> tuple[VectorIndex, Moment] | None:
        """Return the saved index and the moment it was saved at, or None.

        It costs one pass over the file, for its checksum. The index keeps the file mapped, even
        when the file is replaced. A file from before ``oldest``, after which every change is still
        known, is of no use, which is nothing to report; one beyond ``newest`` is of another past.
        Whether the moment is one of this database's own past is for the caller to judge.
        """
        with self._noting():
            remove_abandoned(self._new_path)
        with self._noting():
            found = _mapped(self.path, self.identity)
            if found is None:
                return None
            header, content = found
            if header.seq > newest:
                raise UnusableError("is newer than the database, which was restored or replaced")
            if header.seq >= oldest:
                moment = Moment(header.seq, header.mark)
                return _index_over(header, content, self.identity), moment
        return None

    def save(
        self, index: VectorIndex, moment: Moment, *, is_hurried: Callable[[], bool] = lambda: False
    ) -> bool:
        """Write the index as of a moment, and put it in place of the old file in one step.

        A crash at any moment leaves the old file or the new one. While another process saves,
        nothing is done. The index must not change meanwhile. Cells are left out when ``is_hurried``
        before they are made. Returns whether it was written.
        """
        with self._noting():
            return _replace(
                self.path, self._new_path, self.identity, index, moment, is_hurried=is_hurried
            )
        return False

    def remove(self) -> None:
        with self._noting():
            self.path.unlink(missing_ok=True)

    def ignore(self, reason: str) -> None:
        """Say once why the file is not used."""
        self._note(f"{self.path} {reason}")

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except UnusableError as error:
            self._note(f"{self.path} {error}")
        except OSError as error:
            self._note(f"{self.path}: {error.strerror}")

    def _note(self, reason: str) -> None:
        if reason not in self._noted:
            self._noted.add(reason)
            _log.warning("No saved vector index (%s). Search answers from the rows.", reason)


def _mapped(path: Path, identity: Identity) -> tuple[Header, mmap.mmap] | None:
    """Map a file whose every byte was checked, or return None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | CAREFUL)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnusableError("is no regular file")
        page = os.pread(descriptor, HEADER_SIZE, 0)
        header = Header.unpack(page, identity)
        size = header.sections().size
        # Before anything is mapped: touching a page beyond the end would kill the process.
        if status.st_size != size:
            raise UnusableError(f"has {status.st_size} bytes, not {size}")
        content = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
    header.check(page, content)
    return header, content


def _index_over(header: Header, content: mmap.mmap, identity: Identity) -> VectorIndex:
    sections, count, dimensions = header.sections(), header.rows, identity.dimensions
    ids = np.frombuffer(content, "<i8", count, sections.ids)
    vectors = np.frombuffer(content, "<f4", count * dimensions, sections.vectors)
    first_pass = None
    if header.depth:
        words = word_count(dimensions)
        codes = np.frombuffer(content, np.uint64, words * count, sections.codes)
        mean = np.frombuffer(content, "<f4", dimensions, sections.mean)
        coded = Codes(mean, codes.reshape(words, count))
        first_pass = FirstPass(coded, header.depth, header.measured_at, _cells(header, content))
    matrix = Matrix(dimensions, ids, vectors.reshape(count, dimensions))
    return VectorIndex.over(matrix, first_pass=first_pass)


def _cells(header: Header, content: mmap.mmap) -> Cells | None:
    if not header.cells:
        return None
    sections, dimensions = header.sections(), header.dimensions
    starts = np.frombuffer(content, "<i8", header.cells + 1, sections.starts)
    margins = np.frombuffer(content, "<f4", len(LIMITS), sections.margins)
    centres = np.frombuffer(content, "<f4", header.cells * dimensions, sections.centres)
    return Cells(centres.reshape(header.cells, dimensions), starts, margins, header.cell_depth)


def _replace(
    path: Path,
    new_path: Path,
    identity: Identity,
    index: VectorIndex,
    moment: Moment,
    *,
    is_hurried: Callable[[], bool],
) -> bool:
    remove_abandoned(new_path)
    with new_file(new_path) as descriptor:
        if descriptor is None:
            return False
        with os.fdopen(descriptor, "r+b", closefd=False) as file:
            _write(file, identity, index, moment, is_hurried=is_hurried)
        reach(FailPoint.INDEX_WRITTEN)
        os.fsync(descriptor)
        reach(FailPoint.INDEX_SYNCED)
        new_path.replace(path)
        reach(FailPoint.INDEX_REPLACED)
    sync(path.parent)
    return True


def _write(
    file: BinaryIO,
    identity: Identity,
    index: VectorIndex,
    moment: Moment,
    *,
    is_hurried: Callable[[], bool],
) -> None:
    first_pass, cells = index.first_pass(), None
    rows = index.matrix.live_rows()
    header = Header.of(identity, rows=len(rows), moment=moment)
    if first_pass:
        rows, first_pass = first_pass.arranged(index.matrix, is_hurried)
        header = header._replace(depth=first_pass.depth, measured_at=first_pass.measured_at)
        cells = first_pass.cells
    if cells:
        header = header._replace(cells=len(cells.centres), cell_depth=cells.depth)
    sections = header.sections()
    file.seek(sections.ids)
    file.write(index.matrix.ids[rows].astype("<i8").tobytes())
    if first_pass:
        file.seek(sections.mean)
        file.write(first_pass.codes.mean.astype("<f4").tobytes())
        file.seek(sections.codes)
        file.write(first_pass.codes.base.tobytes())
    if cells:
        file.seek(sections.starts)
        file.write(cells.starts.astype("<i8").tobytes())
        file.seek(sections.margins)
        file.write(cells.margins.astype("<f4").tobytes())
        file.seek(sections.centres)
        file.write(cells.centres.astype("<f4").tobytes())
    file.seek(sections.vectors)
    for start in range(0, len(rows), _WRITTEN):
        page = index.matrix.gather(rows[start : start + _WRITTEN])
        file.write(page.astype("<f4", copy=False).tobytes())
    file.truncate(sections.size)
    file.flush()
    with mmap.mmap(file.fileno(), sections.size, access=mmap.ACCESS_READ) as content:
        digest = header.digest(content)
    file.seek(0)
    file.write(header.pack(digest))
    file.flush()
