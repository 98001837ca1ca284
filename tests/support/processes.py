"""Other Python processes that a test talks with, line by line."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Protocol

_TESTS = Path(__file__).parent.parent

_PREAMBLE = """
import sys

def say(text):
    print(text, flush=True)

def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return line.rstrip("\\n")
"""


class Child:
    """A running child process."""

    def __init__(self, code: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PREAMBLE + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_TESTS), *sys.path[1:]])},
        )

    def say(self, text: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        """Wait for its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the child ended with {self._process.wait()}"
        return line.rstrip("\n")

    def ask(self, text: str) -> str:
        """Write a line and wait for the answer."""
        self.say(text)
        return self.hear()

    def end(self) -> None:
        """Let it run to its end, and check that it did not fail."""
        self._hang_up()
        assert self._process.wait(timeout=300) == 0

    def kill(self) -> None:
        """End it, whatever it does. Idempotent."""
        self._process.kill()
        self._hang_up()
        self._process.wait()

    def _hang_up(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Python(Protocol):
    """Starts a child that runs this code, which has ``say`` and ``hear``."""

    def __call__(self, code: str) -> Child: ...
