"""Folders in memory: syncing to a disk is slow, and most tests are not about power cuts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


def memory_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder that is removed in the end: in memory, where the system has such a place."""
    where = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="semcore-test-", dir=where)
