"""A real browser without a window: Chromium, asked over a pipe, without a library."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# It reads from file 3 and writes to file 4, whichever they are here.
_START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass(frozen=True, slots=True)
class Screen:
    """What a reader looks at a page with."""

    width: int
    height: int = 900
    is_dark: bool = False


class Browser:
    """One tab. What a test evaluates runs beside the page, whose own JavaScript is mostly off."""

    def __init__(self, requests: Any, answers: Any) -> None:
        self._requests, self._answers = requests, answers
        self._ids = itertools.count(1)
        self._tab: str | None = None
        self.requested: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Accessibility", "Runtime"):
            self._call(f"{domain}.enable")

    def show(self, page: Path, screen: Screen, *, has_scripts: bool = False) -> None:
        """Open a file on a screen; what it loads is in ``requested`` then."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=1,
            mobile=screen.width < 600,
        )
        scheme = "dark" if screen.is_dark else "light"
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)
        self._call("Emulation.setScriptExecutionDisabled", value=not has_scripts)
        self.requested.clear()
        self._call("Page.navigate", url=page.as_uri())
        self._wait("Page.loadEventFired")

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript in the page, as its inspector does."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def roles(self) -> list[tuple[str, str]]:
        """Return the role and the name of whatever a screen reader is told of."""
        nodes = self._call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]

    def picture(self, *, whole: bool = True) -> bytes:
        """Return a PNG of the page, or of what of it is on the screen."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        request = {"id": number, "method": method, "params": parameters}
        if self._tab is not None:
            request["sessionId"] = self._tab
        self._requests.write(json.dumps(request).encode() + b"\0")
        self._requests.flush()
        while (message := self._read()).get("id") != number:
            pass
        assert "error" not in message, (method, message)
        result: dict[str, Any] = message["result"]
        return result

    def _wait(self, event: str) -> None:
        while self._read().get("method") != event:
            pass

    def _read(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            data += byte
        message: dict[str, Any] = json.loads(data)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        return message


@contextlib.contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own; where there is none, say so and skip."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: on Debian and Ubuntu, apt-get install chromium")
    to_browser, requests = os.pipe()
    answers, from_browser = os.pipe()
    options = [
        *("--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
        *("--no-first-run", "--hide-scrollbars", "--disable-dev-shm-usage"),
        *("--disable-background-networking", "--disable-component-update"),
        f"--user-data-dir={folder / 'profile'}",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(to_browser), str(from_browser), program, *options],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        with os.fdopen(requests, "wb") as writer, os.fdopen(answers, "rb") as reader:
            yield Browser(writer, reader)
    finally:
        process.terminate()
        process.wait(timeout=300)
