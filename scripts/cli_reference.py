"""Write the reference of the command line from what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from semantic_core.cli.app import app

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

# `make docs` writes this page; a test compares it with the commands.
_HEAD = """\
# Command line

What each command says to `--help`. `python -m semantic_core` is the same as `semcore`.

Keys come from `GEMINI_API_KEY` (queries, `ingest --sync`) and `GEMINI_BATCH_API_KEY` (`flush`,
`sync`, `watch`, `cancel`, `release`); the other commands need none. `SEMCORE_DB` names the database
where `--db` is left out. Output for people goes to the terminal's width, without control codes
where it is no terminal, and without colours if `NO_COLOR` is set; `--json` prints one line for
scripts. What the exit codes mean for a crontab is under
[Run it from cron](../how-to/cron.md#exit-codes).
"""


def page() -> str:
    """Return the page."""
    names = [
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback is not None
    ]
    parts = [_HEAD, _block("semcore", [])]
    parts += [_block(f"semcore {name}", [name]) for name in names]
    return "\n".join(parts)


def _block(title: str, arguments: list[str]) -> str:
    result = CliRunner().invoke(
        app, [*arguments, "--help"], prog_name="semcore", terminal_width=80, color=False
    )
    return f"## {title}\n\n```text\n{result.output.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
