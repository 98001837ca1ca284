"""A file that holds the user's text or vectors: made by us alone, readable by nobody else."""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from semantic_core.domain.errors import InvalidInputError, StorageError, StorageFullError
from semantic_core.domain.leftovers import sync

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_BUFFER = 1 << 20


class PrivateFile:
    """A new file of mode 0600, open for writing; a context manager.

    It is removed again if the block fails. Only what the disk says becomes a StorageError: an
    error of the code that produces the bytes passes through. ``what`` names it in errors.

    Raises:
        StorageError: the path exists, as a link say (and stays as it is), or cannot be written;
            `StorageFullError` where the disk is full. Nothing is left behind.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self.path = path
        self._what = what
        with self._disk_errors():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=_BUFFER)

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._storage_error(error) from error

    def move_to(self, destination: Path) -> None:
        """Give the complete file its final name, in one step that survives a power loss."""
        with self._disk_errors():
            self._file.flush()
            os.fsync(self._file.fileno())
            self.path.replace(destination)
            sync(destination.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            with self._disk_errors():
                self._file.close()
        except StorageError:
            self.path.unlink(missing_ok=True)
            # The block's own error came first and says more.
            if kind is None:
                raise
        if kind is not None:
            self.path.unlink(missing_ok=True)

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._storage_error(error) from error

    def _storage_error(self, error: OSError) -> StorageError:
        if error.errno == errno.EEXIST:
            return StorageError(
                f"{self._what} cannot be written: {self.path} exists. It was left as it is; "
                "remove it or choose another path."
            )
        if error.errno in _FULL:
            return StorageFullError(
                f"The disk is full: {self._what} could not be written to {self.path}. Nothing of "
                "it was kept; free some room and call again."
            )
        return StorageError(f"{self._what} cannot be written to {self.path}: {error.strerror}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledFile:
    """An input file on disk, ready to be uploaded: lines, bytes, and their hex digest."""

    path: Path
    request_count: int
    byte_count: int
    sha256: str


def write_lines(lines: Iterable[bytes], destination: Path) -> SpooledFile:
    """Write an input file in one streaming pass: new, of mode 0600, gone again if it fails.

    No lines are an InvalidInputError, and what the disk refuses a StorageError.
    """
    digest = hashlib.sha256()
    request_count = byte_count = 0
    with PrivateFile(destination, what="The input file of a batch job") as file:
        for line in lines:
            file.write(line)
            digest.update(line)
            request_count += 1
            byte_count += len(line)
        if not request_count:
            raise InvalidInputError("There are no requests to write: a batch job needs one.")
    return SpooledFile(
        path=destination,
        request_count=request_count,
        byte_count=byte_count,
        sha256=digest.hexdigest(),
    )
