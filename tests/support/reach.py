"""What can be reached from a raised error: causes, tracebacks with their variables, all they hold."""

from __future__ import annotations

import gc
import os
import types
from collections.abc import Iterator
from pathlib import Path

import httpx2

from semantic_core.providers.gemini import GoogleKeyring
from semantic_core.providers.wire.access import Secret

# What holds a key on purpose, and shows it to nobody who does not ask; the network, which sends it;
# and what leads everywhere.
_ENDS = (GoogleKeyring, Secret, httpx2.BaseTransport, types.ModuleType, type, type(os.environ))

_MOST = 400_000


def strings_in_reach(error: BaseException, *, but_of: str) -> Iterator[tuple[str, str]]:
    """Yield every string and bytes in reach of an error, with where it was found.

    Args:
        error: where to begin.
        but_of: path of the test itself, whose variables hold the key.
    """
    todo: list[tuple[object, str]] = [(error, type(error).__name__)]
    seen: set[int] = set()
    keep = []
    while todo:
        thing, path = todo.pop()
        if id(thing) in seen or isinstance(thing, _ENDS):
            continue
        seen.add(id(thing))
        keep.append(thing)  # an id is only one while its object lives
        assert len(seen) < _MOST, "the walk leads everywhere"
        if isinstance(thing, str | bytes | bytearray | memoryview):
            text = thing if isinstance(thing, str) else bytes(thing).decode("latin-1")
            yield text, path
        elif isinstance(thing, types.TracebackType):
            todo.append((thing.tb_next, path))
            frame = thing.tb_frame
            name = f"{path}, {Path(frame.f_code.co_filename).name}:{thing.tb_lineno}"
            if frame.f_code.co_filename != but_of:
                todo.extend((value, f"{name} {key}") for key, value in frame.f_locals.items())
        elif isinstance(thing, types.FrameType | types.CodeType):
            continue
        elif isinstance(thing, types.FunctionType):
            todo.extend((cell, f"{path}()") for cell in thing.__closure__ or ())
        else:
            if isinstance(thing, BaseException):
                near = (thing.__cause__, thing.__context__, thing.__traceback__)
                todo.extend((one, f"{path} > {type(one).__name__}") for one in near)
            todo.extend(
                (found, f"{path}.{type(thing).__name__}") for found in gc.get_referents(thing)
            )
