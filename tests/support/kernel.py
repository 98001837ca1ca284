"""A notebook's kernel: a process with an event loop that runs cells, and is interrupted in them."""

from __future__ import annotations

import time
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

_PATIENCE = 60.0


class Kernel:
    """A kernel of its own. Use `close` at the end; it does not outlive the test."""

    def __init__(self) -> None:
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel()
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=_PATIENCE)
        self._printed: list[str] = []
        self._running: str | None = None

    def start(self, cell: str) -> None:
        """Begin to run a cell."""
        # Otherwise what is asked for shortly after an error is dropped.
        self._running = self._client.execute(cell, stop_on_error=False)

    def interrupt(self) -> None:
        """Press the button with the black square."""
        self._manager.interrupt_kernel()

    def outcome(self) -> str:
        """Wait until the cell has ended; return the name of what it raised, or ``ok``."""
        while True:
            reply = self._client.get_shell_msg(timeout=_PATIENCE)
            # A slow kernel was asked more than once whether it is ready.
            if reply["parent_header"]["msg_id"] == self._running:
                break
        content: dict[str, Any] = reply["content"]
        return str(content["ename"] if content["status"] == "error" else content["status"])

    def run(self, cell: str) -> str:
        """Run a cell that raises nothing; return what it printed."""
        self.start(cell)
        outcome = self.outcome()
        printed = []
        while True:
            message = self._client.get_iopub_msg(timeout=_PATIENCE)
            kind, content = message["msg_type"], message["content"]
            is_ours = message["parent_header"].get("msg_id") == self._running
            if is_ours and kind == "stream" and content["name"] == "stdout":
                printed.append(content["text"])
            if is_ours and kind == "error":
                printed += content["traceback"]
            if is_ours and kind == "status" and content["execution_state"] == "idle":
                break
        assert outcome == "ok", "\n".join(printed)
        return "".join(printed)

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


def wait_until(condition: Any, what: str) -> None:
    """Wait for another process or thread to get somewhere."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
