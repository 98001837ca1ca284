"""What all work on batch jobs shares, and the lease under which one job is worked on."""

import logging
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from semantic_core.batches.config import BatchConfig
from semantic_core.batches.job.workspace import Workspace
from semantic_core.database.port import Connection
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import DatabaseCorruptError, StorageError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import JobStep
from semantic_core.providers.port import BatchProvider, Keyring
from semantic_core.queue import jobs
from semantic_core.queue.items import Outcome, settle_items
from semantic_core.queue.job_rows import job_spec
from semantic_core.queue.jobs import JobRecord
from semantic_core.store import BaseVectorStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchContext:
    """What working on any job needs.

    The default key of ``keyring`` pays for spot checks, ``fingerprint`` names the batch key, and
    with ``prefix`` the display names of this database's jobs begin.
    """

    store: BaseVectorStore
    provider: BatchProvider
    keyring: Keyring
    config: BatchConfig
    clock: Clock
    fingerprint: str
    prefix: str
    workspace: Workspace


class LeasedJob:
    """One batch job that nobody else works on while the lease lives.

    Every write goes through `transaction`, which first proves that the lease is still ours: a
    process that slept too long finds its job taken over and changes nothing. The token names the
    lease, and is written to the job's row already.
    """

    def __init__(self, context: BatchContext, job_id: str, token: str) -> None:
        self.context = context
        self.id = job_id
        self.token = token
        self._kept_at = context.clock.now()

    @classmethod
    @certain_exit
    def take(cls, context: BatchContext, job_id: str) -> Generator[Self | None]:
        """Take the lease of a job and give it back at the end; None if another holds it."""
        with cls.take_all(context, [job_id]) as leased:
            yield leased[0] if leased else None

    @classmethod
    @certain_exit
    def take_all(cls, context: BatchContext, job_ids: Sequence[str]) -> Generator[list[Self]]:
        """Take the leases of those jobs that nobody else holds; give them back at the end."""
        leased = [cls(context, job_id, uuid.uuid4().hex) for job_id in job_ids]
        now = context.clock.now()
        until = now + context.config.lease
        ours: list[Self] = []
        try:
            if leased:
                with context.store.database.transaction() as connection:
                    for job in leased:
                        if jobs.take_lease(
                            connection, job.id, token=job.token, now=now, until=until
                        ):
                            ours.append(job)  # noqa: PERF401  # given back, however this ends
            if ours:
                reach(FailPoint.LEASE_TAKEN)
            yield ours
        finally:
            for job in ours:
                job.give_back()

    def give_back(self) -> None:
        """Let others work on the job at once; where that fails, once the lease is over.

        It raises nothing: what the work itself raised must reach the caller.
        """
        try:
            with self.context.store.database.transaction() as connection:
                jobs.drop_lease(connection, self.id, token=self.token)
        except StorageError as error:
            _log.warning("Batch job %s stays reserved until its lease is over: %s", self.id, error)

    @certain_exit
    def transaction(self) -> Generator[Connection]:
        """Open a write transaction fenced by the lease, which it extends; see `jobs.keep_lease`."""
        now = self.context.clock.now()
        until = now + self.context.config.lease
        with self.context.store.database.transaction() as connection:
            jobs.keep_lease(connection, self.id, token=self.token, until=until)
            yield connection
        self._kept_at = now

    def keep(self) -> None:
        """Extend the lease once a good part of it is over; for long work that writes nothing."""
        if self.context.clock.now() - self._kept_at >= self.context.config.lease / 3:
            with self.transaction():
                pass

    def record(self) -> JobRecord:
        with self.context.store.database.snapshot() as connection:
            return JobRecord.read(connection, self.id)

    def spec(self) -> EmbeddingSpec:
        with self.context.store.database.snapshot() as connection:
            return job_spec(connection, self.id)

    def is_elsewhere(self, record: JobRecord) -> bool:
        """Return whether the job is another provider's: this one must not be asked about it."""
        is_known = "provider" not in record.unreadable
        return is_known and record.provider != self.context.provider.name

    def trouble(self, record: JobRecord) -> str | None:
        damaged = list(record.unreadable)
        if record.step in (JobStep.SUBMITTED, JobStep.FETCHED):
            if not self.context.provider.is_job_id(record.google_job_id):
                damaged.append("google_job_id")
            # The results of an adopted job are read for every space that they can be of.
            if not record.is_adopted:
                try:
                    self.spec()
                except DatabaseCorruptError:
                    damaged.append("spec")
        return ", ".join(dict.fromkeys(damaged)) or None

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """End open items of the job without a vector, in one transaction."""
        if not outcomes:
            return
        budget, now = self.context.config.budget, self.context.clock.now()
        with self.transaction() as connection:
            settle_items(connection, self.id, outcomes, budget=budget, now=now)

    def move(self, *steps: JobStep, **values: Any) -> None:
        """Change the job's columns in one transaction, guarded by lease and expected steps."""
        with self.transaction() as connection:
            jobs.move(connection, self.id, token=self.token, steps=steps, **values)
