"""Jobs that bear our name at the provider but are in no row here: a backup was restored, say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from semantic_core.pricing import Price
from semantic_core.queue.costs import mean_tokens
from semantic_core.spec import EmbeddingSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundJob:
    """A job that the provider lists under our prefix.

    Attributes:
        id: the local id, from its display name.
        display_name: our name for it.
        google_job_id: the provider's.
        model: model id.
        request_count: its texts, where the provider says.
        provider_state: the provider's word.
        fingerprint: of the key that sees it.
        submitted_at: epoch seconds.
    """

    id: str
    display_name: str
    google_job_id: str
    model: str
    request_count: int
    provider_state: str
    fingerprint: str
    submitted_at: float


def unknown_names(connection: sqlite3.Connection, names: Iterable[str]) -> set[str]:
    """Return which display names no job here bears."""
    return {
        row[0]
        for row in connection.execute(
            "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT display_name FROM batch_jobs)",
            (json.dumps(list(names)),),
        )
    }


def adopt(
    connection: sqlite3.Connection, job: FoundJob, *, price: Price | None, now: float
) -> bool:
    """Insert a row for a found job; return whether there is a vector space it can be for.

    It carries no items: nobody knows its texts before its results are here. It counts as
    cleaned from the start, since its remote files may belong to another copy of this database.
    Until they are, it costs what so many texts of this database would.
    """
    spaces = possible_spaces(connection, job.model)
    if not spaces:
        return False
    space_id, spec = spaces[0]
    tokens = job.request_count * mean_tokens(connection, space_id, spec)
    connection.execute(
        "INSERT INTO batch_jobs (id, google_job_id, status, step, display_name, space_id, spec, "
        "model, fingerprint, provider_state, request_count, byte_count, estimated_tokens, "
        "live_price, batch_price, is_adopted, created_at, submitted_at, cleaned_at) "
        "VALUES (?, ?, 'SUBMITTED', 'submitted', ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, 1, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (
            job.id,
            job.google_job_id,
            job.display_name,
            space_id,
            spec.to_json(),
            job.model,
            job.fingerprint,
            job.provider_state,
            job.request_count,
            tokens,
            None if price is None else price.live,
            None if price is None else price.batch,
            job.submitted_at,
            job.submitted_at,
            now,
        ),
    )
    return True


def open_adopted(connection: sqlite3.Connection) -> list[str]:
    """Return adopted jobs that still run, or whose results look wrong.

    Nobody knows which texts they hold, so that any text that is sent may be paid for twice.
    """
    return [
        row[0]
        for row in connection.execute(
            "SELECT id FROM batch_jobs WHERE is_adopted AND (hold_reason IS NULL "
            "OR hold_reason = 'bad results') AND status NOT IN ('COMPLETED', 'FAILED')"
        )
    ]


def wanted_hashes(
    connection: sqlite3.Connection, space_id: int, content_hashes: Sequence[bytes]
) -> set[bytes]:
    """Return which hashes a chunk of this space wants and does not have."""
    marks = ", ".join("?" * len(content_hashes))
    return {
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT k.content_hash FROM chunks k JOIN collections c "
            "ON c.id = k.collection_id AND c.space_id = ? "
            f"WHERE k.embedding_status <> 'READY' AND k.content_hash IN ({marks})",
            (space_id, *content_hashes),
        )
    }


def possible_spaces(connection: sqlite3.Connection, model: str) -> list[tuple[int, EmbeddingSpec]]:
    """Return the vector spaces that an adopted job of this model can be for."""
    return [
        (row[0], EmbeddingSpec.from_json(row[1]))
        for row in connection.execute(
            "SELECT s.id, min(c.spec) FROM spaces s JOIN collections c ON c.space_id = s.id "
            "WHERE s.model = ? AND NOT s.is_external GROUP BY s.id ORDER BY s.id",
            (model,),
        )
    ]
