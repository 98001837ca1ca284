import os
import shlex
import subprocess
from typing import Annotated, Any, Self

import typer

from semantic_core.batches import BatchManager
from semantic_core.cli.output import to_json, warn
from semantic_core.cli.terms import in_terminal
from semantic_core.domain.statuses import JobStatus, Obstacle
from semantic_core.domain.types import BatchJob
from semantic_core.views.sentences import job_state
from semantic_core.views.wording import counted, shorten

Notify = Annotated[
    str | None,
    typer.Option(
        "--notify",
        metavar="COMMAND",
        help="Run this, without a shell, for each job that is done, failed or held, and once for "
        "a budget that is used up. SEMCORE_EVENT and SEMCORE_MESSAGE say what happened, and a line "
        "of JSON on its input says everything.",
    ),
]

# No sync waits for longer until a command has ended.
_SECONDS = 60.0


class Notifier:
    """Runs a command for whatever is new since it was made, or told last; also at its own end.

    Only words of ours are in the command's environment; what came from outside is in the JSON.
    """

    def __init__(self, manager: BatchManager, command: str | None) -> None:
        try:
            self._command = [] if command is None else shlex.split(command)
        except ValueError as error:
            raise typer.BadParameter(f"{error} in {command!r}.", param_hint="--notify") from error
        self._manager = manager
        self._known = self._facts().keys()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tell()

    def tell(self) -> None:
        """Run the command for each piece of news. What it does, or fails to do, changes nothing."""
        facts = self._facts()
        for key, fact in facts.items():
            if key not in self._known:
                self._run(fact)
        self._known = facts.keys()

    def _facts(self) -> dict[str, dict[str, Any]]:
        """Return what is worth telling as it is now, by what makes it another piece of news."""
        if not self._command:
            return {}
        jobs = {
            f"{event} {job.id}": {"event": event, "message": _result(job), "job": job}
            for job in self._manager.jobs()
            if (event := _event(job))
        }
        budgets = {
            f"budget {over}": {
                "event": "budget",
                "message": in_terminal(over.why),
                "passed_over": over,
            }
            for over in self._manager.get_queue_stats().passed_over
            if over.obstacle is Obstacle.BUDGET
        }
        return {**jobs, **budgets}

    def _run(self, fact: dict[str, Any]) -> None:
        words = {"SEMCORE_EVENT": fact["event"], "SEMCORE_MESSAGE": fact["message"]}
        try:
            done = subprocess.run(  # noqa: S603  # what the user typed, and no shell reads it
                self._command,
                input=to_json(fact) + "\n",
                env={**os.environ, **words},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            trouble = str(error)
        else:
            if not done.returncode:
                return
            trouble = f"it ended with code {done.returncode}. {shorten(done.stderr, 200)}".rstrip()
        warn(f"Nobody was told ({fact['message']}): {trouble}. Nothing else is changed by that.")


def _result(job: BatchJob) -> str:
    done, failed = counted(job.done_count, "text"), counted(job.failed_count, "text")
    return f"Batch job {job.id}: {job_state(job)}, {done} embedded, {failed} failed."


def _event(job: BatchJob) -> str | None:
    if job.hold_reason is not None:
        return "held"
    if job.status is JobStatus.COMPLETED:
        return "done"
    # What never came to the provider is said by the command that did not send it.
    return "failed" if job.status is JobStatus.FAILED and job.google_job_id is not None else None
