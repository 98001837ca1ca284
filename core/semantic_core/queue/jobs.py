"""The batch job: who works on it (lease), and each step of its way (guarded UPDATEs)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, TypeVar

from peewee import SQL

from semantic_core.database import any_text
from semantic_core.database.conditions import (
    IS_CARRIED,
    IS_ENDED,
    IS_OPEN,
    IS_RUNNING,
    OF_JOB,
    USES_BUDGET,
)
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column, first_value, json_set, run
from semantic_core.database.tables import TABLES
from semantic_core.domain.errors import BatchNotFoundError, TransitionError
from semantic_core.domain.statuses import FailureReason, JobStatus, JobStep
from semantic_core.domain.types import BatchJob
from semantic_core.queue.items import count_open
from semantic_core.queue.job_rows import NEEDED, read_columns

_Job = TABLES.BatchJobModel

T = TypeVar("T", bound=BatchJob)

# Given up in the belief that the provider does not have it. Where it has, it needs its input.
_MAY_COME_LATE = (
    "(google_job_id IS NULL AND failure_reason IN ('never reached the provider', 'released'))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord(BatchJob):
    """A job with what working on it needs to know beyond what users see.

    Attributes:
        unreadable: what of it is damaged in the database and is needed to go on.
    """

    provider: str
    input_file: str | None
    result_file: str | None
    spec: str
    space_id: int
    fingerprint: str
    absence: str | None
    cancel_requested_at: float | None
    is_adopted: bool
    fetched_at: float | None
    batch_price: float | None

    @classmethod
    def read(cls, connection: Connection, job_id: str) -> Self:
        """Read one job, or raise `BatchNotFoundError`."""
        for job in _read(connection, cls, "WHERE id = ?", (job_id,)):
            return replace(job, unreadable=tuple(n for n in job.unreadable if n in NEEDED))
        raise BatchNotFoundError(
            f"There is no batch job {job_id!r}. `semcore status` lists the jobs.", batch_id=job_id
        )


def list_jobs(connection: Connection, *, only_open: bool = False) -> list[BatchJob]:
    return _read(connection, BatchJob, f"WHERE {IS_OPEN}" if only_open else "")


def open_ids(connection: Connection) -> list[str]:
    """Return the open jobs that can be worked on, oldest first.

    One whose id is damaged cannot be named, until `name_again` gave it another.
    """
    found = list_jobs(connection, only_open=True)
    return [job.id for job in found if "id" not in job.unreadable]


def _read(
    connection: Connection, kind: type[T], where: str, values: Sequence[object] = ()
) -> list[T]:
    names = [field.name for field in fields(kind) if field.name != "unreadable"]
    with any_text(connection):
        rows = connection.execute(
            f"SELECT {', '.join(names)} FROM batch_jobs {where} ORDER BY created_at, id", values
        ).fetchall()
    found = [read_columns(names, row) for row in rows]
    return [kind(**columns, unreadable=unreadable) for columns, unreadable in found]


def jobs_to_clean(connection: Connection, *, most_tries: int) -> list[str]:
    return first_column(
        connection,
        "SELECT id FROM batch_jobs WHERE cleaned_at IS NULL AND input_file IS NOT NULL "
        f"AND {IS_ENDED} AND NOT coalesce({_MAY_COME_LATE}, FALSE) AND cleanup_tries < ?",
        (most_tries,),
    )


def ended_names(connection: Connection, names: Iterable[str]) -> set[str]:
    """Return which display names are those of jobs that ended here."""
    return set(
        first_column(
            connection,
            "SELECT display_name FROM batch_jobs WHERE display_name IN "
            f"(SELECT value FROM json_each(?)) AND {IS_ENDED}",
            (json_set(names),),
        )
    )


def ended_inputs(connection: Connection, files: Iterable[tuple[str, str]]) -> set[str]:
    """Return which files, given as (remote name, display name), are inputs of ended jobs.

    The display name alone does not say so once there was a job: its results may bear it, too.
    """
    return set(
        first_column(
            connection,
            "SELECT json_extract(f.value, '$[0]') FROM json_each(?) f JOIN batch_jobs j "
            "ON json_extract(f.value, '$[0]') = j.input_file "
            "OR (json_extract(f.value, '$[1]') = j.display_name AND j.google_job_id IS NULL) "
            f"WHERE {IS_ENDED} AND NOT coalesce({_MAY_COME_LATE}, FALSE)",
            (json_set(files),),
        )
    )


def remote_ids(connection: Connection, names: Iterable[str]) -> dict[str, str | None]:
    """Return the provider's ids of those jobs, among these display names, that have a row."""
    with any_text(connection):
        return dict(
            connection.execute(
                "SELECT display_name, google_job_id FROM batch_jobs WHERE display_name IN "
                "(SELECT value FROM json_each(?))",
                (json_set(names),),
            ).fetchall()
        )


def undecided_jobs(connection: Connection, *, now: float) -> list[str]:
    """Return the jobs of stopped processes of which nobody knows whether the provider has them."""
    with any_text(connection):
        rows = connection.execute(
            "SELECT id FROM batch_jobs WHERE status = 'CREATED' "
            "AND (lease_token IS NULL OR lease_until <= ?) ORDER BY created_at, id",
            (now,),
        ).fetchall()
    return [row[0] for row in rows if not read_columns(["id"], row)[1]]


def know_key(connection: Connection, names: Iterable[str], fingerprint: str) -> None:
    """Let undecided jobs of another key count as those of this one, if it sees what that one sent.

    ``names`` are display names of the jobs that this key is shown: the key that sent one of them
    is of the same project, and was rotated.
    """
    connection.execute(
        "UPDATE batch_jobs SET fingerprint = :key WHERE status = 'CREATED' AND fingerprint IN "
        "(SELECT fingerprint FROM batch_jobs WHERE google_job_id IS NOT NULL AND display_name IN "
        "(SELECT value FROM json_each(:names)))",
        {"key": fingerprint, "names": json_set(names)},
    )


def count_at_provider(connection: Connection) -> int:
    """Return how many jobs are, or may be, queued or running at the provider."""
    return int(first_value(connection, f"SELECT count(*) FROM batch_jobs WHERE {IS_RUNNING}"))


def _update(connection: Connection, job_id: str, *where: Any, **values: Any) -> bool:
    """Change a job's columns where it meets every condition; return whether it did."""
    return run(connection, _Job.update(**values).where(_Job.id == job_id, *where)).rowcount == 1


def take_lease(
    connection: Connection, job_id: str, *, token: str, now: float, until: float
) -> bool:
    """Take the right to work on a job, unless another worker's lease is still alive."""
    # A time that is none ends no lease, and a job nobody can work on ends never.
    is_free = SQL(
        "(lease_token IS NULL OR lease_until <= ? "
        "OR typeof(lease_until) NOT IN ('integer', 'real'))",
        (now,),
    )
    return _update(connection, job_id, is_free, lease_token=token, lease_until=until)


def keep_lease(connection: Connection, job_id: str, *, token: str, until: float) -> None:
    """Prove that the lease is still ours, and extend it: the fence of every later write.

    Where another worker took the job over, it raises a TransitionError.
    """
    if not _update(connection, job_id, _Job.lease_token == token, lease_until=until):
        raise TransitionError(
            f"Batch job {job_id} was taken over by another process. Nothing was changed here; "
            "sync_status() shows its state.",
            batch_id=job_id,
        )


def drop_lease(connection: Connection, job_id: str, *, token: str) -> None:
    """Give the lease back, if it is still ours."""
    _update(connection, job_id, _Job.lease_token == token, lease_token=None, lease_until=None)


def leased_jobs(connection: Connection, *, now: float) -> set[str]:
    return set(
        first_column(
            connection,
            "SELECT id FROM batch_jobs WHERE lease_token IS NOT NULL AND lease_until > ? "
            "AND typeof(lease_until) IN ('integer', 'real')",
            (now,),
        )
    )


def far_leases(connection: Connection, *, after: float, end: bool) -> int:
    """Return how many leases, of jobs and live calls, end after a moment; end them now if asked."""
    where = "lease_token IS NOT NULL AND lease_until > ?"
    if end:
        ended = (
            f"UPDATE batch_jobs SET lease_token = NULL, lease_until = NULL WHERE {where}",
            f"DELETE FROM live_claims WHERE {where}",
        )
        return sum(connection.execute(statement, (after,)).rowcount for statement in ended)
    counted = (
        f"SELECT count(*) FROM {table} WHERE {where}" for table in ("batch_jobs", "live_claims")
    )
    return sum(first_value(connection, statement, (after,)) for statement in counted)


def move(
    connection: Connection,
    job_id: str,
    *,
    token: str,
    steps: Sequence[JobStep] | None,
    **values: Any,
) -> None:
    """Change an open job's columns, guarded by lease and expected steps (None: any of them).

    A TransitionError where the job is not ours, not at one of these steps, or already ended.
    """
    guards = [_Job.lease_token == token, SQL(IS_OPEN)]
    if steps is not None:
        guards.append(_Job.step.in_(steps))
    if not _update(connection, job_id, *guards, **values):
        raise TransitionError(
            f"Batch job {job_id} is no longer at step {' or '.join(steps or ['it was'])}, or "
            "another process has it. Nothing was changed; call sync_status() and look at it again.",
            batch_id=job_id,
        )


def fail_job(
    connection: Connection,
    job_id: str,
    *,
    token: str,
    steps: Sequence[JobStep] | None,
    reason: FailureReason,
    error: str,
) -> None:
    """End a job FAILED. Its items must be settled already: that, too, is a `TransitionError`."""
    if count_open(connection, job_id):
        raise TransitionError(
            f"Batch job {job_id} still carries texts and cannot end.", batch_id=job_id
        )
    if steps is None:
        # What is no step, or one that only a COMPLETED job has, no job can end with.
        is_none = _Job.step.not_in(list(JobStep)[: list(JobStep).index(JobStep.APPLIED)])
        ours = _Job.lease_token == token
        _update(connection, job_id, ours, is_none, SQL(IS_OPEN), step=JobStep.CREATING)
    move(
        connection,
        job_id,
        token=token,
        steps=steps,
        status=JobStatus.FAILED,
        failure_reason=reason,
        hold_reason=None,
        error_message=error,
    )


def mark_cleaned(connection: Connection, job_id: str, *, now: float, is_clean: bool) -> None:
    to_clean = (SQL("cleaned_at IS NULL"), SQL(IS_ENDED))
    if not is_clean:
        _update(connection, job_id, *to_clean, cleanup_tries=_Job.cleanup_tries + 1)
        return
    step = SQL("CASE WHEN step = 'applied' THEN 'cleaned' ELSE step END")
    if _update(connection, job_id, *to_clean, cleaned_at=now, step=step):
        _prune_items(connection, job_id)


def _prune_items(connection: Connection, job_id: str) -> None:
    """Forget the texts of a job that is done with, but for those that used their retry budget.

    A job without a remote one may be listed late, and needs to know its texts then.
    """
    connection.execute(
        f"DELETE FROM batch_items WHERE {OF_JOB} AND NOT ({IS_CARRIED}) AND NOT ({USES_BUDGET}) "
        "AND EXISTS (SELECT 1 FROM batch_jobs WHERE id = :job AND google_job_id IS NOT NULL)",
        {"job": job_id},
    )
