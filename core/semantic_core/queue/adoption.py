"""Jobs at the provider that no row here counts on: a backup was restored, or one was listed late."""

from collections.abc import Iterable, Sequence

from peewee import SQL

from semantic_core.database import IDS, among, any_text, id_set
from semantic_core.database.conditions import IS_CACHED, IS_CARRIED, IS_OPEN, OF_JOB, WANTS
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column, first_value, json_set, run
from semantic_core.database.tables import TABLES
from semantic_core.domain.pricing import PriceTable
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import FailureReason, JobStatus, JobStep
from semantic_core.providers.types import RemoteJob
from semantic_core.queue.costs import mean_tokens, price_columns
from semantic_core.queue.counts import waiting_moves

_Job = TABLES.BatchJobModel

# An ended row that never had a job at the provider, as far as anybody knew.
_BELIEVED_ABSENT = "status = 'FAILED' AND google_job_id IS NULL"


def unknown_names(connection: Connection, names: Iterable[str]) -> set[str]:
    return set(
        first_column(
            connection,
            "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT display_name FROM batch_jobs)",
            (json_set(names),),
        )
    )


def adopt(
    connection: Connection,
    job: RemoteJob,
    *,
    job_id: str,
    provider: str,
    fingerprint: str,
    prices: PriceTable,
    now: float,
) -> bool:
    """Insert a row for a job that the provider lists under a name of ours.

    Its name is ours, so a model that no collection has is one that the provider spells otherwise.
    It carries no items: nobody knows its texts before its results are here. It counts as
    cleaned from the start, since its remote files may belong to another copy of this database.
    Until they are, it costs what so many texts of this database would.

    Returns:
        Whether there is a vector space it can be for.
    """
    spaces = possible_spaces(connection, job.model or "")
    if not spaces:
        return False
    space_id, spec = spaces[0]
    tokens = job.request_count * mean_tokens(connection, space_id, spec)
    new = _Job.insert(
        id=job_id,
        provider=provider,
        google_job_id=job.name,
        status=JobStatus.SUBMITTED,
        step=JobStep.SUBMITTED,
        display_name=job.display_name,
        space=space_id,
        spec=spec.to_json(),
        model=spec.model,
        fingerprint=fingerprint,
        provider_state=job.raw_state,
        request_count=job.request_count,
        byte_count=0,
        estimated_tokens=tokens,
        **price_columns(prices, spec.model),
        is_adopted=True,
        created_at=job.created_at or now,
        submitted_at=job.created_at or now,
        cleaned_at=now,
    )
    # Peewee's own word for it, OR IGNORE, would let pass whatever the tables forbid, too.
    run(connection, new, " ON CONFLICT DO NOTHING")
    return True


def open_adopted(connection: Connection) -> list[str]:
    """Return adopted jobs that still run, or whose results look wrong.

    Nobody knows which texts they hold, so that any text that is sent may be paid for twice.
    """
    return first_column(
        connection,
        "SELECT id FROM batch_jobs WHERE is_adopted AND (hold_reason IS NULL "
        f"OR hold_reason = 'bad results') AND {IS_OPEN}",
    )


def wanted_contents(
    connection: Connection, space_id: int, content_hashes: Sequence[bytes]
) -> dict[bytes, int]:
    """Return those contents that a chunk of this space wants and does not have, by their hashes."""
    named = among("t.hash", content_hashes)
    return dict(
        connection.execute(
            "SELECT DISTINCT t.hash, t.id FROM contents t JOIN chunks k ON k.content_id = t.id "
            "JOIN collections c ON c.id = k.collection_id AND c.space_id = ? "
            f"WHERE {WANTS} AND {named.sql}",
            (space_id, *named.values),
        ).fetchall()
    )


def possible_spaces(connection: Connection, model: str) -> list[tuple[int, EmbeddingSpec]]:
    """Return the vector spaces that an adopted job of this model can be for.

    Where no collection has a model of that name, all of them: the content hashes of its lines
    decide.
    """
    spaces = [
        (row[0], EmbeddingSpec.from_json(row[1]))
        for row in connection.execute(
            "SELECT s.id, min(c.spec) FROM spaces s JOIN collections c ON c.space_id = s.id "
            "WHERE NOT s.is_external GROUP BY s.id ORDER BY s.id"
        )
    ]
    return [space for space in spaces if space[1].model == model] or spaces


def inputs_without_job(connection: Connection, *, since: float) -> set[str]:
    """Return the input files of jobs that may be at the provider, unknown to their row."""
    with any_text(connection):
        return set(
            first_column(
                connection,
                "SELECT input_file FROM batch_jobs WHERE google_job_id IS NULL "
                "AND input_file IS NOT NULL AND (status <> 'FAILED' OR created_at > ?)",
                (since,),
            )
        )


def may_be_late(connection: Connection, *, since: float) -> bool:
    """Return whether a job that was believed absent could still spare an open one its bill."""
    found = first_value(
        connection,
        f"SELECT EXISTS (SELECT 1 FROM batch_jobs WHERE {_BELIEVED_ABSENT} AND creating_at > ? "
        "AND failure_reason IN (?, ?)) AND EXISTS (SELECT 1 FROM batch_jobs "
        "WHERE status IN ('SUBMITTED', 'PROCESSING') AND hold_reason IS NULL)",
        (since, FailureReason.NEVER_CREATED, FailureReason.RELEASED),
    )
    return bool(found)


def believed_absent(
    connection: Connection, names: Iterable[str], inputs: Iterable[str]
) -> list[tuple[str, str, str | None]]:
    """Return (id, display name, input file) of ended rows without a job, of these names or files."""
    with any_text(connection):
        return connection.execute(
            f"SELECT id, display_name, input_file FROM batch_jobs WHERE {_BELIEVED_ABSENT} AND ("
            "display_name IN (SELECT value FROM json_each(?)) "
            "OR input_file IN (SELECT value FROM json_each(?))) ORDER BY created_at, id",
            (json_set(names), json_set(inputs)),
        ).fetchall()


def lacks_vectors(connection: Connection, job_id: str) -> bool:
    found = first_value(
        connection,
        f"SELECT EXISTS (SELECT 1 FROM batch_items i WHERE {OF_JOB} "
        f"AND NOT EXISTS (SELECT 1 FROM embeddings WHERE content_id = i.content_id AND {IS_CACHED}))",
        {"job": job_id},
    )
    return bool(found)


def reopen(
    connection: Connection, job_id: str, job: RemoteJob, *, fingerprint: str, now: float
) -> bool:
    """Take back that a job was never created; return False if another process did so already.

    It gets those of its texts again whose vector is still wanting. A text that another job
    carries by now stays with that one.
    """
    again = _Job.update(
        status=JobStatus.SUBMITTED,
        step=JobStep.SUBMITTED,
        failure_reason=None,
        error_message=None,
        absence=None,
        lease_token=None,
        lease_until=None,
        google_job_id=job.name,
        provider_state=job.raw_state,
        fingerprint=fingerprint,
        submitted_at=job.created_at or now,
        reopened_at=now,
    ).where(
        _Job.id == job_id,
        SQL(_BELIEVED_ABSENT),
        SQL("NOT EXISTS (SELECT 1 FROM batch_jobs WHERE google_job_id = ?)", (job.name,)),
    )
    if run(connection, again).rowcount != 1:
        return False
    _take_back(connection, job_id)
    return True


def _take_back(connection: Connection, job_id: str) -> None:
    """Open a job's released items that nobody else brings or brought; give it their chunks."""
    connection.execute(
        f"UPDATE batch_items AS i SET state = 'open', error = NULL WHERE {OF_JOB} "
        "AND state = 'released' AND NOT EXISTS (SELECT 1 FROM embeddings e "
        f"WHERE e.content_id = i.content_id AND {IS_CACHED}) AND NOT EXISTS (SELECT 1 "
        "FROM batch_items o WHERE o.content_id = i.content_id AND o.state = 'open')",
        {"job": job_id},
    )
    carried = first_column(
        connection,
        f"SELECT content_id FROM batch_items WHERE {OF_JOB} AND {IS_CARRIED}",
        {"job": job_id},
    )
    with waiting_moves(connection, carried):
        connection.execute(
            f"UPDATE chunks SET batch_job_id = :job, not_before = NULL WHERE content_id IN {IDS} "
            f"AND {WANTS} AND embedding_status = 'PENDING'",
            {"job": job_id, **id_set(carried)},
        )


def rivals(connection: Connection, job_id: str) -> list[tuple[str, str | None]]:
    """Return the open jobs that were sent texts of a reopened one since: (id, remote id).

    The remote id of a job that is uncertain is not known yet.
    """
    return connection.execute(
        "SELECT DISTINCT other.id, other.google_job_id FROM batch_items mine "
        "JOIN batch_items theirs ON theirs.content_id = mine.content_id "
        "AND theirs.state = 'open' JOIN batch_jobs other ON other.pk = theirs.job_pk "
        f"WHERE mine.{OF_JOB} AND mine.state = 'released' AND other.hold_reason IS NULL",
        {"job": job_id},
    ).fetchall()


def hand_over(connection: Connection, giver: str, taker: str) -> None:
    """Let a reopened job bring the texts that another open job carries, too.

    Whichever is done first settles them: results are stored by hash.
    """
    connection.execute(
        "UPDATE batch_items SET state = 'released', error = 'another job brings it' WHERE state = 'open' "
        "AND job_pk = (SELECT pk FROM batch_jobs WHERE id = :giver) AND content_id IN "
        f"(SELECT content_id FROM batch_items WHERE {OF_JOB} AND state = 'released')",
        {"giver": giver, "job": taker},
    )
    _take_back(connection, taker)
