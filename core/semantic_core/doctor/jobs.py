"""Jobs and their files: as recorded, on this disk, and at the provider."""

from collections.abc import Iterator

from semantic_core.batches import BatchManager
from semantic_core.batches.adopt import adopt_unknown_jobs, is_ours, reopen_late_jobs
from semantic_core.batches.job.context import BatchContext
from semantic_core.batches.job.listing import list_provider
from semantic_core.batches.job.workspace import Workspace
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.domain.statuses import JobStep, Obstacle
from semantic_core.queue.adoption import believed_absent
from semantic_core.queue.jobs import ended_inputs, leased_jobs, remote_ids
from semantic_core.views.sentences import passed_over_since


def waiting_jobs(manager: BatchManager) -> Iterator[Finding]:
    """Tell of open jobs that do not simply run, and of texts that nobody will send."""
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
            yield Finding.of(trouble, len(found), names=[job.id for job in found])
    for passed in stats.passed_over:
        if passed.needs_somebody:
            trouble = Trouble.BUDGET if passed.obstacle is Obstacle.BUDGET else Trouble.NOT_SENT
            yield Finding.of(trouble, what=passed_over_since(passed))


def temporary_files(manager: BatchManager, *, fix: bool) -> Iterator[Finding]:
    """Find files that a killed process left beside the database; remove them."""
    workspace = Workspace(manager.store.database.path)
    with manager.store.database.snapshot() as connection:
        leased = leased_jobs(connection, now=manager.clock.now())
    left = [job_id for job_id in workspace.jobs() if job_id not in leased]
    if left:
        if fix:
            for job_id in left:
                workspace.forget(job_id)
        folder = workspace.folder
        yield Finding.of(Trouble.TEMPORARY_FILE, len(left), is_fixed=fix, folder=folder)


def remote_jobs(context: BatchContext, *, fix: bool) -> Iterator[Finding]:
    """Find jobs of ours that no row counts on, or that exist twice; adopt the former."""
    listing = list_provider(context)
    listed = [job for job in listing.jobs if is_ours(context, job) and not job.is_barren]
    names = {str(remote.display_name) for remote in listed}
    with context.store.database.snapshot() as connection:
        known = remote_ids(connection, names)
        late = {name for _, name, _ in believed_absent(connection, names, ())}
    unknown = (names - known.keys()) | late
    if unknown:
        if fix:
            reopen_late_jobs(context, listing)
            adopt_unknown_jobs(context, listing)
        yield Finding.of(Trouble.UNKNOWN_JOB, len(unknown), is_fixed=fix)
    double = [
        remote.name
        for remote in listed
        if known.get(str(remote.display_name), remote.name) not in (None, remote.name)
    ]
    if double:
        yield Finding.of(Trouble.DOUBLE_JOB, len(double), names=double)


def remote_files(context: BatchContext, *, fix: bool) -> Iterator[Finding]:
    """Find input files whose job has ended; remove them.

    Files of jobs that no row knows are left alone, since another copy of the database may be using
    them. The provider removes them after two days.
    """
    files = context.provider.staged_files(context.prefix)
    with context.store.database.snapshot() as connection:
        left = sorted(
            ended_inputs(connection, [(file.name, str(file.display_name)) for file in files])
        )
    if left:
        is_fixed = fix and context.provider.remove(files=left)
        yield Finding.of(Trouble.REMOTE_FILE, len(left), is_fixed=is_fixed)
