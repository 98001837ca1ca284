"""Processes that deliver to a `FileTarget` and are killed at one step of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semantic_core.delivery import outbox
from semantic_core.domain.failpoints import FailPoint, arm
from semantic_core.store import PeeweeVectorStore
from support.clock import SharedClock
from support.targets import FileTarget

WITHIN_PUT = "within a put"
STEPS = (*(point for point in FailPoint if point.startswith("delivery.")), WITHIN_PUT)

KILLED = 137

# So that there are many steps.
_PAGE = 7


def serve(say: Callable[[str], None], hear: Callable[[], str]) -> None:
    """Fork a process for each order that comes, and tell how it ended."""
    outbox.PAGE = _PAGE  # type: ignore[attr-defined]  # imported there
    while True:
        order = json.loads(hear())
        child = os.fork()
        if not child:
            _deliver(**order)
        _, status = os.waitpid(child, 0)
        say(str(os.waitstatus_to_exitcode(status)))


class _KilledWithin(FileTarget):
    """Ends its process when it was given so many chunks."""

    left = 0

    def _check(self, chunk_id: str) -> None:
        self.left -= 1
        if self.left == 0:
            os._exit(KILLED)


def _deliver(database: str, folder: str, step: str | None, hit: int, keep: dict[str, Any]) -> None:
    try:
        target = _KilledWithin(Path(folder) / "target.db")
        passed = 0

        def pass_by() -> None:
            nonlocal passed
            passed += 1
            if passed == hit:
                os._exit(KILLED)

        if step == WITHIN_PUT:
            target.left = hit
        elif step is not None:
            arm(FailPoint(step), pass_by)
        with PeeweeVectorStore(database, clock=SharedClock(Path(folder) / "clock")) as store:
            store.delivery.attach(target, name="one", **keep)
            store.delivery.deliver()
        os._exit(0)
    finally:
        os._exit(1)
