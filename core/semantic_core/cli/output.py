"""What the terminal shows: one console for people, one line of JSON for scripts."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Any

from rich.console import Console

from semantic_core.errors import (
    DatabaseBusyError,
    ProviderUnavailableError,
    RateLimitError,
    SemanticCoreError,
    SubmissionUncertainError,
    WaitTimeoutError,
)

FAILED = 1
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: cron and mail programs know it

_TRANSIENT = (
    RateLimitError,
    ProviderUnavailableError,
    DatabaseBusyError,
    SubmissionUncertainError,
    WaitTimeoutError,
)

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def say(text: str = "") -> None:
    """Print a line for people. Text from outside is never read as markup."""
    console.print(text, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print one line of JSON for scripts."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False) + "\n")


def fail(error: SemanticCoreError) -> int:
    """Print an error and return the exit code it stands for."""
    errors.print(f"Error: {error}", markup=False, soft_wrap=True, style="red")
    return TRY_AGAIN if isinstance(error, _TRANSIENT) else FAILED


def age(since: float | None) -> str:
    """Return how long ago a moment was, in the largest fitting unit."""
    if since is None:
        return "-"
    seconds = max(0.0, time.time() - since)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
