"""What the recorded jobs say: which need a person, and which need time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from semantic_core.batches import BatchManager
from semantic_core.batches.job.workspace import Workspace
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.statuses import JobStep
from semantic_core.domain.types import BatchJob
from semantic_core.queue.jobs import leased_jobs

_SHOWN = 5

_WORDS = {
    Trouble.HELD_JOB: "wait for a person, and nothing of them is sent again. `semcore status` "
    "says why; `semcore release` gives one up, which may pay for its texts again",
    Trouble.EXPIRING_RESULT: "have results at the provider that it will soon remove. Run "
    "`semcore sync`, and look at what it says",
    Trouble.UNCERTAIN_JOB: "may or may not have reached the provider. `semcore sync` finds out",
    Trouble.LEFT_JOB: "were left by a process that stopped before sending them. `semcore flush` "
    "goes on",
    Trouble.OVERDUE_JOB: "have been at the provider for more than a day. They are neither lost "
    "nor sent again",
}


def waiting_jobs(manager: BatchManager) -> Iterator[Finding]:
    """Tell of open jobs that do not simply run."""
    stats = manager.get_queue_stats()
    with manager.store.database.snapshot() as connection:
        leased = leased_jobs(connection, now=manager.clock.now())
    free = [job for job in stats.open_jobs if job.hold_reason is None and job.id not in leased]
    uncertain = [job for job in free if job.step is JobStep.CREATING]
    left = [job for job in free if job.step in (JobStep.CLAIMED, JobStep.UPLOADED)]
    by_trouble = {
        Trouble.HELD_JOB: stats.held_jobs,
        Trouble.EXPIRING_RESULT: stats.expiring_jobs,
        Trouble.UNCERTAIN_JOB: uncertain,
        Trouble.LEFT_JOB: left,
        Trouble.OVERDUE_JOB: stats.overdue_jobs,
    }
    for trouble, found in by_trouble.items():
        if found:
            yield Finding(
                trouble=trouble,
                count=len(found),
                message=f"{len(found):,} batch jobs {_WORDS[trouble]}: {_ids(found)}.",
            )


def temporary_files(manager: BatchManager, *, fix: bool) -> Finding | None:
    """Find files that a killed process left beside the database; remove them."""
    workspace = Workspace(manager.store.database.path)
    with manager.store.database.snapshot() as connection:
        leased = leased_jobs(connection, now=manager.clock.now())
    left = [job_id for job_id in workspace.jobs() if job_id not in leased]
    if not left:
        return None
    if fix:
        for job_id in left:
            workspace.forget(job_id)
    return Finding(
        trouble=Trouble.TEMPORARY_FILE,
        count=len(left),
        message=f"Temporary files of {len(left):,} batch jobs that nobody works on lie in "
        f"{workspace.folder}. They hold texts, are never read again, and can be removed.",
        is_fixable=True,
        is_fixed=fix,
    )


def _ids(found: Sequence[BatchJob]) -> str:
    shown = ", ".join(job.id for job in found[:_SHOWN])
    return shown + (", ..." if len(found) > _SHOWN else "")
