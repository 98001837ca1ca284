"""The terminal: the only package that prints."""

import sys
from importlib.metadata import version

# What the `cli` extra brings.
_EXTRA = ("typer", "rich")


def main() -> None:
    """Run the ``semcore`` command; without the ``cli`` extra, say in one line what is missing."""
    if sys.argv[1:2] == ["--version"]:
        # At once: importing all commands takes longer than most of them.
        sys.stdout.write(f"semcore {version('semcore')}\n")
        return
    try:
        from semantic_core.cli.app import main as run  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit(f'The semcore command needs {error.name}: pip install "semcore[cli]"')
    run()
