from pathlib import Path
from typing import Annotated

import typer

from batch_emulator import MODELS, Emulator, EmulatorConfig, EmulatorError, SentenceModel
from semantic_core.cli.output import say


def emulator(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")] = 8765,
    state: Annotated[Path, typer.Option(help="Where jobs, files and the ledger are kept.")] = Path(
        "emulator.db"
    ),
    pending: Annotated[float, typer.Option(min=0, help="Seconds a job stays queued.")] = 1.0,
    running: Annotated[float, typer.Option(min=0, help="Seconds a job runs.")] = 3.0,
    meaning: Annotated[
        bool, typer.Option("--meaning", help="Embed by a small real model (extra: demo).")
    ] = False,
) -> None:
    """Serve Gemini's batch and embedding API on this machine, for tests and demos."""
    models = SentenceModel.models() if meaning else MODELS
    config = EmulatorConfig(pending_seconds=pending, running_seconds=running, models=models)
    try:
        server = Emulator(state, port=port, config=config).start()
    except EmulatorError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise EmulatorError(f"{error} --port 0 takes any free one.") from error
    say(
        f"Emulator of the Gemini API on {server.url} (any key works; Ctrl-C stops it).",
        "In another terminal:",
        f"  export GOOGLE_GEMINI_BASE_URL={server.url} GEMINI_API_KEY=any-key "
        "GEMINI_BATCH_API_KEY=any-other-key",
    )
    server.serve_forever()
