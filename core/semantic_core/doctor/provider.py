"""Jobs and files at the provider under this database's name. Needs the batch key; costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

from semantic_core.batches.adopt import adopt_unknown_jobs, is_ours
from semantic_core.batches.job.context import BatchContext
from semantic_core.batches.job.listing import list_provider
from semantic_core.batches.reopen import reopen_late_jobs
from semantic_core.doctor.findings import Finding, Trouble
from semantic_core.queue.adoption import believed_absent
from semantic_core.queue.jobs import ended_inputs, remote_ids


def remote_jobs(context: BatchContext, *, fix: bool) -> Iterator[Finding]:
    """Find jobs of ours that no row counts on, or that exist twice; adopt the former.

    Raises:
        ProviderError: the listing failed or was incomplete.
    """
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
        yield Finding(
            trouble=Trouble.UNKNOWN_JOB,
            count=len(unknown),
            message=f"{len(unknown):,} jobs at the provider bear this database's name but have no "
            "row here, or one that was given up: a backup was restored, a copy of the database "
            "sends as well, or the provider listed them late. They can "
            "be adopted, so that `semcore sync` takes their results instead of paying again.",
            is_fixable=True,
            is_fixed=fix,
        )
    double = [
        remote.name
        for remote in listed
        if known.get(str(remote.display_name), remote.name) not in (None, remote.name)
    ]
    if double:
        yield Finding(
            trouble=Trouble.DOUBLE_JOB,
            count=len(double),
            message=f"{len(double):,} jobs at the provider have the same name as one that "
            f"is used here, and may be billed as well: {', '.join(double[:5])}. Cancel them there.",
        )


def remote_files(context: BatchContext, *, fix: bool) -> Iterator[Finding]:
    """Find input files whose job has ended; remove them.

    Files of jobs that no row knows are left alone: another copy of the database may be using
    them. The provider removes them after two days.

    Raises:
        ProviderError: the listing failed.
    """
    files = context.provider.staged_files(context.prefix)
    with context.store.database.snapshot() as connection:
        left = sorted(
            ended_inputs(connection, [(file.name, str(file.display_name)) for file in files])
        )
    if not left:
        return
    is_fixed = fix and context.provider.remove(files=left)
    yield Finding(
        trouble=Trouble.REMOTE_FILE,
        count=len(left),
        message=f"{len(left):,} input files of jobs that have ended are still at the provider. "
        "They hold texts; `semcore sync` removes them, and they can be removed now.",
        is_fixable=True,
        is_fixed=is_fixed,
    )
