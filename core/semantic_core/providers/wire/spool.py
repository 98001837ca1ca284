"""An input file on this disk, on its way to a provider."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from semantic_core.domain.errors import InvalidInputError
from semantic_core.providers.wire.private_file import PrivateFile


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
