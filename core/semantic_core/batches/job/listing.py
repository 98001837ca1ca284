"""One complete listing of the provider's jobs, as far as they can be ours."""

from __future__ import annotations

from dataclasses import dataclass, replace

from semantic_core.batches.job.absence import Reading
from semantic_core.batches.job.context import BatchContext
from semantic_core.providers.types import RemoteJob
from semantic_core.queue.adoption import FoundJob, inputs_without_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a listing showed.

    Attributes:
        jobs: every job that bears this database's prefix, or whose input file is one of ours.
        taken: when it was asked for.
    """

    jobs: tuple[RemoteJob, ...]
    taken: Reading

    def find(self, display_name: str, input_file: str | None) -> list[RemoteJob]:
        """Return the jobs that are this one of ours, the one to use first.

        Our name alone decides, whatever else the provider says of the job. Only where nothing
        bears it (it was cut, dropped or changed), our input file does.
        """
        found = [job for job in self.jobs if job.display_name == display_name]
        if not found and input_file is not None:
            found = [job for job in self.jobs if job.input_file == input_file]
        return sorted(found, key=lambda job: (job.is_barren, job.created_at or 0.0, job.name))


def list_provider(context: BatchContext) -> Listing:
    """List the provider's jobs, all pages.

    Raises:
        ProviderError: the listing failed or was incomplete: it says nothing of any job.
    """
    taken = Reading.take(context.clock)
    with context.store.database.snapshot() as connection:
        # What is older is over, and so are its results: nothing could be taken any more.
        since = taken.wall - context.provider.limits.longest_use
        inputs = inputs_without_job(connection, since=since)
    listed = context.provider.jobs(context.prefix, inputs=inputs)
    return Listing(jobs=listed.jobs, taken=replace(taken, provider=listed.date))


def found_job(
    context: BatchContext, remote: RemoteJob, *, job_id: str, display_name: str
) -> FoundJob:
    """Return what a row keeps of a listed job, under the id and the name that are ours."""
    return FoundJob(
        id=job_id,
        display_name=display_name,
        google_job_id=remote.name,
        model=remote.model or "",
        request_count=remote.request_count,
        provider_state=remote.raw_state,
        fingerprint=context.fingerprint,
        submitted_at=remote.created_at or context.clock.now(),
    )
