"""A net under the whole suite: no key in any log, output, traceback, file or cassette.

`conftest.py` takes the fixture and the hooks from here. What a test leaks fails that test; what
shows only afterwards, such as captured output, fails the run.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.keys import CANARY, keys_of_environment

# Whatever they write at any level: their debug logs are where a header would show.
LOGGERS = (
    "semantic_core",
    "llamaindex_semcore",
    "langchain_semcore",
    "google_genai",
    "httpx2",
    "httpcore2",
    "httpx",
    "httpcore",
)

CASSETTES = Path(__file__).parents[2] / "cassettes"


def _needles() -> tuple[str, ...]:
    """Return what is looked for: the suite's keys, and the real ones where there are any."""
    real = keys_of_environment()
    return (
        CANARY,
        *([real.get_default_key()] if real.live_available else []),
        *([real.get_batch_key()] if real.batch_available else []),
    )


NEEDLES = _needles()

_leaks: list[str] = []
_searched: set[Path] = set()


def holds_key(text: str) -> bool:
    """Return whether a text holds a key."""
    return any(needle in text for needle in NEEDLES)


def files_with_keys(folder: Path) -> list[Path]:
    """Return the files under a folder that hold a key."""
    _searched.add(folder)
    found = []
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            if not path.stat().st_size:
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if any(content.find(needle.encode()) >= 0 for needle in NEEDLES):
                    found.append(path)
    return found


class _Listener(logging.Handler):
    """Notes who logged a key, not what."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.found: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if holds_key(text) or holds_key(repr(record.args)):
            self.found.add(f"a log record of {record.name} ({record.pathname}:{record.lineno})")


@pytest.fixture(autouse=True)
def no_key_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs a key or writes one to a file."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    listener = _Listener()
    logging.getLogger().addHandler(listener)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield
    logging.getLogger().removeHandler(listener)
    leaks = sorted(listener.found)
    if folder is not None:
        leaks += [f"the file {path.relative_to(folder)}" for path in files_with_keys(folder)]
    if leaks:
        _leaks.extend(f"{request.node.nodeid}: {leak}" for leak in leaks)
        pytest.fail(f"A key is in {', '.join(leaks)}.", pytrace=False)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Search what a test printed, and its traceback."""
    for title, content in [("its traceback", report.longreprtext), *report.sections]:
        if holds_key(content):
            _leaks.append(f"{report.nodeid}: {title}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search the cassettes, and the folders that no single test owns."""
    base = session.config._tmp_path_factory._basetemp  # type: ignore[attr-defined]
    shared = [] if base is None else [path for path in base.iterdir() if path not in _searched]
    # A worker's folder is searched by the worker, which knows what was searched already.
    own = [path for path in shared if path.is_dir() and not path.name.startswith("popen-")]
    for folder in [CASSETTES, *own]:
        _leaks.extend(f"{path}: this file" for path in files_with_keys(folder))
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["leaks"] = _leaks
    elif _leaks and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker found."""
    _leaks.extend(getattr(node, "workeroutput", {}).get("leaks", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where keys are."""
    if _leaks:
        terminalreporter.section("keys leaked")
        for leak in dict.fromkeys(_leaks):
            terminalreporter.line(leak)
