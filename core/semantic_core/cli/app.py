"""The ``semcore`` command: its subcommands, and what its exit codes mean."""

from __future__ import annotations

import sys

import typer

from semantic_core.cli import corpus, developing, queue
from semantic_core.cli.output import fail
from semantic_core.errors import SemanticCoreError

app = typer.Typer(
    name="semcore",
    help="Ingest at once, embed at half price through Google's Gemini Batch API, search the "
    "whole time.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 75 try again later (a rate limit, no "
    "connection, a locked database).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
corpus.register(app)
queue.register(app)
developing.register(app)


def main() -> None:
    """Run the command; a typed error becomes its message and an exit code."""
    try:
        app()
    except SemanticCoreError as error:
        sys.exit(fail(error))
    except KeyboardInterrupt:
        sys.exit(130)
