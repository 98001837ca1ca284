"""Folders in memory: syncing to a disk is slow, and most tests are not about power cuts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")

# Free bytes below which tests stay on the disk: a container often has 64 MB of shared memory.
_ROOM = 4 << 30


def memory_root() -> Path | None:
    """Return a folder in memory that has room for what tests write and run, or None."""
    if not os.access(_SHARED_MEMORY, os.W_OK):
        return None
    status = os.statvfs(_SHARED_MEMORY)
    can_run = not status.f_flag & os.ST_NOEXEC
    return _SHARED_MEMORY if can_run and status.f_bavail * status.f_frsize >= _ROOM else None


def memory_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that is removed in the end: in memory, where the system has such a place."""
    where = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="semcore-test-", dir=where)
