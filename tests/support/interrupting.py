"""Child processes that act out a chapter and are interrupted at a failpoint.

A child is forked from a process that has imported everything and opened nothing: importing takes
a second, and the matrix needs hundreds of children.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from semantic_core.domain.errors import DatabaseUnavailableError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from support.chapters import CHAPTERS, Office
from support.postgres_server import end_sessions
from support.processes import Child


class Interruption(StrEnum):
    """What happens to a process at a failpoint."""

    KILL = "kill"  #: it ends at once, as under kill -9
    ERROR = "error"  #: an exception is raised there
    INTERRUPT = "interrupt"  #: one is raised that is no Exception
    STOP = "stop"  #: it stands still while others go on, and then goes on itself
    CUT = "cut"  #: the server ends its sessions, and it goes on
    NOTHING = "nothing"  #: failpoints are only counted


EXIT_CODES = {
    Interruption.KILL: 137,
    Interruption.ERROR: 3,
    Interruption.INTERRUPT: 3,
    Interruption.STOP: 0,
    Interruption.CUT: 0,
    Interruption.NOTHING: 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a child is to do.

    Attributes:
        folder: where the database and the clock are.
        url: where the provider is.
        database: the URL of the database; None for a file in the folder.
        chapter: which story.
        interruption: what happens to it.
        point: where.
        hit: which time it passes there, from 1.
    """

    folder: str
    url: str
    database: str | None
    chapter: str
    interruption: Interruption
    point: FailPoint | None = None
    hit: int = 1


class Stage:
    """Where children act. Use `close` at the end; no child outlives it."""

    def __init__(self) -> None:
        self._process = Child("from support.interrupting import serve\nserve(say, hear)")

    def act(self, order: Order, while_stopped: Callable[[], None] = lambda: None) -> int:
        """Let a child act; return its exit code, negative for a signal.

        Args:
            order: what it does.
            while_stopped: what others do while it stands still.
        """
        answer = json.loads(self._process.ask(json.dumps(asdict(order))))
        assert answer["stopped"] is (order.interruption is Interruption.STOP)
        if answer["stopped"]:
            while_stopped()
            answer = json.loads(self._process.ask("go on"))
        return int(answer["code"])

    def close(self) -> None:
        self._process.end()


def serve(say: Callable[[str], None], hear: Callable[[], str]) -> None:
    """Fork a child for each order that comes, and tell what became of it."""
    import google.genai  # noqa: F401  # most of a second, once

    while True:
        order = json.loads(hear())
        child = os.fork()
        if not child:
            _act(order)
        _, status = os.waitpid(child, os.WUNTRACED)
        while os.WIFSTOPPED(status):
            say(json.dumps({"stopped": True}))
            hear()
            os.kill(child, signal.SIGCONT)
            _, status = os.waitpid(child, os.WUNTRACED)
        say(json.dumps({"stopped": False, "code": os.waitstatus_to_exitcode(status)}))


class _StruckError(MemoryError):
    """Stands for whatever may be raised anywhere."""


class _StruckInterrupt(KeyboardInterrupt):
    """Stands for Ctrl-C and its like."""


def _act(order: dict[str, Any]) -> NoReturn:
    folder = Path(order["folder"])
    with (folder / "child.log").open("w") as log:
        # The parent's pipe is for the parent.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = 1
    try:
        hits = _arm(order)
        with Office(folder, order["url"], database=order["database"]) as office:
            try:
                CHAPTERS[order["chapter"]].act(office)
            except DatabaseUnavailableError:
                if order["interruption"] != Interruption.CUT:
                    raise
        for error in office.errors:
            print(repr(error))  # noqa: T201  # into the log
        (folder / "hits.json").write_text(json.dumps(hits))
        code = 0
    except (_StruckError, _StruckInterrupt):
        traceback.print_exc()
        code = 3
    except BaseException:  # noqa: BLE001  # told by the exit code, and in the log
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _strike(order: dict[str, Any]) -> None:
    disarm()
    match order["interruption"]:
        case Interruption.KILL:
            os._exit(137)
        case Interruption.ERROR:
            raise _StruckError
        case Interruption.INTERRUPT:
            raise _StruckInterrupt
        case Interruption.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Interruption.CUT:
            end_sessions(order["database"])


def _arm(order: dict[str, Any]) -> Counter[str]:
    hits: Counter[str] = Counter()

    def counted(point: FailPoint) -> Callable[[], None]:
        def pass_by() -> None:
            hits[point] += 1
            if point == order["point"] and hits[point] == order["hit"]:
                _strike(order)

        return pass_by

    for point in FailPoint:
        arm(point, counted(point))
    return hits
