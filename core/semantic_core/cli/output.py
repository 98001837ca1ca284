"""What the terminal shows: one console for people, one line of JSON for scripts."""

import dataclasses
import io
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from semantic_core.cli.terms import in_terminal
from semantic_core.domain.errors import (
    BudgetExceededError,
    DatabaseBusyError,
    ProviderUnavailableError,
    RateLimitError,
    SubmissionUncertainError,
    WaitTimeoutError,
)
from semantic_core.views.progress import open_bar
from semantic_core.views.wording import Excerpt, from_here, span, visible

FAILED = 1
OVER_BUDGET = 3  # what is affordable was sent, the rest waits
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: cron and mail programs know it
INTERRUPTED = 130  # what a shell gives a program that SIGINT has ended

_TRANSIENT = (
    RateLimitError,
    ProviderUnavailableError,
    DatabaseBusyError,
    SubmissionUncertainError,
    WaitTimeoutError,
)

console = Console(highlight=False, emoji=False)
errors = Console(stderr=True, highlight=False, emoji=False)


class _VisibleFormatter(logging.Formatter):
    """Lets nothing in a log record reach the terminal as a command to it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base's name
        return visible(from_here(in_terminal(super().formatMessage(record))))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # likewise
        return "\n".join(map(visible, super().formatException(ei).split("\n")))


def prepare_streams() -> None:
    """Let a user's text reach a terminal that cannot show all of it, and logs harm none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    handler = logging.StreamHandler()
    handler.setFormatter(_VisibleFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def say(*lines: str) -> None:
    """Print lines for people. Text from outside is neither read as markup nor obeyed."""
    for line in lines:
        console.print(visible(line), markup=False, soft_wrap=True)


@contextmanager
def counting(done: str, *, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield what is to be told how far something is: on a terminal, a bar."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with open_bar(done, unit=unit) as bar:
        yield lambda count: bar(count, None)


def show_excerpt(part: Excerpt, *, indent: int) -> None:
    """Print a part of a text, the words that were asked in bold. Nothing of it is obeyed."""
    shown = Text(" " * indent)
    for piece, is_marked in part.pieces():
        shown.append(visible(piece), "bold" if is_marked else None)
    console.print(shown, soft_wrap=True)


def warn(text: str, *, style: str | None = None) -> None:
    """Print a line for people beside the answer, likewise."""
    errors.print(visible(from_here(in_terminal(text))), markup=False, soft_wrap=True, style=style)


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
) -> None:
    """Print a table, or a line for each row where the terminal is too narrow for it.

    A cell is never cut: what is left of an id could not be copied. Columns whose names are all
    blank have no header; those named by ``numbers`` are set to the right.
    """
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in numbers else "left")
    lines = []
    for row in rows:
        # A plain string in a cell would be read as markup.
        table.add_row(*(Text(visible(cell)) for cell in row))
        named = zip(columns, row, strict=True)
        lines.append(", ".join(f"{name} {cell}".strip() for name, cell in named))
    unbounded = console.options.update(max_width=10_000)
    if console.measure(table, options=unbounded).maximum <= console.width:
        console.print(table, markup=False)
        return
    say(f"{title}:", *(f"- {line}" for line in lines))


def print_json(value: Any) -> None:
    shows_all = sys.stdout.encoding.lower().startswith("utf")
    sys.stdout.write(visible(to_json(value, ensure_ascii=not shows_all)) + "\n")


def to_json(value: Any, *, ensure_ascii: bool = True) -> str:
    """Return a line of JSON of a value, dataclasses and states included."""
    return json.dumps(value, default=_plain, ensure_ascii=ensure_ascii)


def fail(error: Exception) -> int:
    """Print an error and return its exit code."""
    if isinstance(error, BudgetExceededError):
        warn(str(error), style="yellow")
        return OVER_BUDGET
    warn(f"Error: {error}", style="red")
    if isinstance(error, SubmissionUncertainError):
        warn("Next: semcore sync")
    return TRY_AGAIN if isinstance(error, _TRANSIENT) else FAILED


def interrupted() -> int:
    """Say what an interrupt means for what was done, and return its exit code."""
    warn("Interrupted. What was saved or sent stays; run the command again to go on.")
    return INTERRUPTED


def age(since: float | None) -> str:
    return "-" if since is None else span(time.time() - since)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)
