"""The ``semcore`` command: its subcommands, and what its exit codes mean."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from batch_emulator import EmulatorError
from semantic_core.cli import (
    care,
    corpus,
    delivery,
    demo,
    documents,
    emulator,
    ingest,
    jobs,
    money,
    moving,
    queue,
    report,
    watch,
)
from semantic_core.cli.output import INTERRUPTED, fail, interrupted, prepare_streams
from semantic_core.domain.errors import InvalidInputError, SemanticCoreError
from semantic_core.views.wording import visible


class _Commands(TyperGroup):
    """Shows what was typed wrong, and obeys nothing of it."""

    def make_context(self, info_name: Any, args: list[str], *rest: Any, **options: Any) -> Any:
        with _visible_usage_errors():
            return super().make_context(info_name, args or ["--help"], *rest, **options)

    def invoke(self, ctx: Any) -> Any:
        with _visible_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _visible_usage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Click's own, wherever Typer keeps it.
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = visible(error.message)
        raise


# In the order in which --help lists them.
_COMMANDS: tuple[Callable[..., None], ...] = (
    *(ingest.ingest, corpus.search, queue.flush, queue.sync, queue.wait, queue.status),
    *(watch.watch, documents.list_documents, documents.show, documents.delete),
    documents.collections,
    *(moving.import_collection, moving.export),
    *(delivery.targets, delivery.deliver),
    *(jobs.jobs, jobs.failed, jobs.retry, jobs.cancel, jobs.release),
    *(money.estimate, money.receipt, report.report),
    *(care.backup, care.copy, care.reindex, care.index),
    *(care.doctor, demo.demo, emulator.emulator),
)

# Names that Python has itself.
_NAMES: dict[Callable[..., None], str] = {
    documents.list_documents: "list",
    moving.import_collection: "import",
}

app = typer.Typer(
    name="semcore",
    cls=_Commands,
    help="Ingest at once, embed at half price through Google's Gemini Batch API, search the "
    "whole time.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a budget is used up, 75 try again later "
    "(a rate limit, no connection, a locked database).",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in _COMMANDS:
    app.command(
        _NAMES.get(command),
        # A search answers itself what is too much: it knows what was meant.
        context_settings={"allow_extra_args": command is corpus.search},
    )(command)


@app.callback()
def options(
    version: Annotated[  # answered before the commands are imported
        bool, typer.Option("--version", help="Show the version and exit.")
    ] = False,
) -> None:
    """Ingest at once, embed at half price, search the whole time."""


def main() -> None:
    """Run the command; a typed error becomes its message and an exit code."""
    prepare_streams()
    try:
        app()
    except (SemanticCoreError, EmulatorError) as error:
        sys.exit(fail(error))
    except OSError as error:
        # Of a file that was named: nothing is wrong here.
        if error.filename is None:
            raise
        sys.exit(
            fail(InvalidInputError(f"{error.filename}: {error.strerror}. Choose another path."))
        )
    except KeyboardInterrupt:
        sys.exit(interrupted())
    except SystemExit as end:
        # Within a command Typer has made this code of the interrupt, and said nothing.
        if end.code == INTERRUPTED:
            interrupted()
        raise
