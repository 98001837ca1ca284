"""Temporary files, which nobody needs once the process that made them was killed."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Do not follow a link or wait for a pipe: another program may have replaced the file.
CAREFUL = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def is_mine(descriptor: int, path: Path) -> bool:
    """Lock an open file; return whether that worked and it still has this name.

    The kernel releases the lock when its holder dies. Only the holder of the lock renames or
    removes the file.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        return False


@contextmanager
def new_file(path: Path) -> Iterator[int | None]:
    """Make a locked file that nobody else may read; it is gone afterwards if it has this name.

    It gives the descriptor, or None if the file exists, or another process just locked it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | CAREFUL, 0o600)
    except FileExistsError:
        yield None
        return
    try:
        yield descriptor if is_mine(descriptor, path) else None
    finally:
        if is_mine(descriptor, path):
            with suppress(OSError):
                path.unlink()
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file, or a folder with the names in it, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path) -> None:
    """Remove the file of a process that died, if there is one; keep that of a running process."""
    try:
        descriptor = os.open(path, os.O_RDWR | CAREFUL)
    except FileNotFoundError:
        return
    try:
        if is_mine(descriptor, path):
            path.unlink()
    finally:
        os.close(descriptor)
