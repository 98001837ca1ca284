"""A disk that runs full, and files that may not be read or written."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the operating system refuse to write a file beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def binding_permissions() -> Iterator[None]:
    """Let permissions bind this thread, where they do not because root runs the tests.

    Another user would not do: whatever is imported late would be out of their reach wherever only
    root may enter the checkout.
    """
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may read and write everything here")
    effective = _capabilities()
    _set_capabilities(effective & ~_OVERRIDES)
    try:
        yield
    finally:
        _set_capabilities(effective)


# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7).
_OVERRIDES = 1 << 1 | 1 << 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    def __init__(self) -> None:
        super().__init__(0x20080522, 0)


# Effective, permitted and inheritable capabilities: their lower 32 bits, then the upper ones.
_Sets = ctypes.c_uint32 * 6


def _read_sets() -> ctypes.Array[ctypes.c_uint32]:
    sets = _Sets()
    assert ctypes.CDLL(None, use_errno=True).capget(ctypes.byref(_Header()), sets) == 0
    return sets


def _capabilities() -> int:
    return int(_read_sets()[0])


def _set_capabilities(effective: int) -> None:
    sets = _read_sets()
    sets[0] = effective
    assert ctypes.CDLL(None, use_errno=True).capset(ctypes.byref(_Header()), sets) == 0
