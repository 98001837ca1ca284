"""Job rows as values, whatever their columns contain: one damaged row hides no other."""

import contextlib
import json
import logging
import math
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from semantic_core.database import any_text
from semantic_core.database.port import Connection
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import FailureReason, HoldReason, JobStatus, JobStep

_log = logging.getLogger(__name__)

_UUID_LENGTH = 36

# The year 10000, which no date can say.
_END_OF_TIME = 253_402_300_800.0

# Without these columns the state of a job, its owner, or the completeness of its results is unknown.
NEEDED = frozenset(
    {
        *("step", "status", "hold_reason", "display_name", "model", "fingerprint", "provider"),
        *("google_job_id", "request_count"),
    }
)


def read_columns(
    names: Sequence[str], row: Sequence[Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a row's values, and the names of those that had to be replaced."""
    values: dict[str, Any] = {}
    unreadable = []
    for name, raw in zip(names, row, strict=True):
        read, stand_in = _COLUMNS[name]
        try:
            values[name] = read(raw)
        except ValueError:
            values[name] = stand_in
            unreadable.append(name)
    return values, tuple(unreadable)


def name_again(connection: Connection) -> None:
    """Give every job whose id is damaged one by which it can be worked on, and ended.

    Its display name ends with the one it had.
    """
    with any_text(connection):
        rows = connection.execute("SELECT pk, id, display_name FROM batch_jobs").fetchall()
    taken = {job_id for _, job_id, _ in rows}
    for pk, job_id, display_name in rows:
        if "id" not in read_columns(["id"], [job_id])[1]:
            continue
        own = str(display_name)[-_UUID_LENGTH:]
        new = own if _is_uuid(own) and own not in taken else str(uuid.uuid4())
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table, column in (("spot_checks", "job_id"), ("chunks", "batch_job_id")):
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE {column} = "
                "(SELECT id FROM batch_jobs WHERE pk = ?)",
                (new, pk),
            )
        connection.execute("UPDATE batch_jobs SET id = ? WHERE pk = ?", (new, pk))
        _log.warning("A batch job whose id was damaged is called %s now.", new)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def job_spec(connection: Connection, job_id: str) -> EmbeddingSpec:
    """Return the spec of a job, from its row or from a collection of its vector space.

    Only a spec of that space counts: under another one its vectors would serve other texts. Where
    none can be read, it raises a DatabaseCorruptError.
    """
    with any_text(connection):
        rows = connection.execute(
            "SELECT s.digest, j.spec FROM batch_jobs j JOIN spaces s ON s.id = j.space_id "
            "WHERE j.id = :job UNION ALL "
            "SELECT s.digest, c.spec FROM batch_jobs j JOIN spaces s ON s.id = j.space_id "
            "JOIN collections c ON c.space_id = s.id WHERE j.id = :job",
            {"job": job_id},
        ).fetchall()
    for digest, text in rows:
        with contextlib.suppress(DatabaseCorruptError):
            spec = EmbeddingSpec.from_json(text)
            if spec.space_digest == digest:
                return spec
    raise DatabaseCorruptError(
        f"The spec of batch job {job_id} in the database cannot be read: it is damaged, or "
        "another program changed it. Keep the file."
    )


def _text(raw: object) -> str:
    # A surrogate marks a byte that is not text; encoding it raises a ValueError.
    if not isinstance(raw, str) or not raw.encode():
        raise ValueError(raw)
    return raw


def _like(pattern: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if not re.fullmatch(pattern, _text(raw)):
            raise ValueError(raw)
        return str(raw)

    return read


def _any_string(raw: object) -> str:
    return "" if raw == "" else _text(raw)


def _count(raw: object) -> int:
    if not isinstance(raw, int) or raw < 0:
        raise ValueError(raw)
    return raw


def _dollars(raw: object) -> float:
    if not isinstance(raw, int | float) or not (0 <= raw < math.inf):
        raise ValueError(raw)
    return float(raw)


def _time(raw: object) -> float:
    moment = _dollars(raw)
    if moment >= _END_OF_TIME:
        raise ValueError(raw)
    return moment


def _yes(raw: object) -> bool:
    if raw not in (0, 1):
        raise ValueError(raw)
    return bool(raw)


def _shares(raw: object) -> tuple[tuple[str, int], ...]:
    found = {} if raw is None else json.loads(_text(raw))
    if isinstance(found, dict):
        return tuple((name, _count(tokens)) for name, tokens in found.items())
    raise ValueError(raw)


def _or_none(read: Callable[[Any], Any]) -> Callable[[object], Any]:
    return lambda raw: None if raw is None else read(raw)


# How each column is read, and what replaces an unreadable value: never one that would end a job
# or free its texts.
_COLUMNS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    # It names files here.
    "id": (_like(r"[A-Za-z0-9-]{1,64}"), "?"),
    "provider": (_like(r"[a-z][a-z0-9-]*"), "?"),
    "status": (JobStatus, JobStatus.CREATED),
    "step": (JobStep, JobStep.CREATING),
    "failure_reason": (_or_none(FailureReason), None),
    "hold_reason": (_or_none(HoldReason), None),
    "display_name": (_text, "?"),
    "model": (_any_string, "?"),
    **dict.fromkeys(("fingerprint", "spec"), (_text, "?")),
    "collections": (_shares, ()),
    "is_adopted": (_yes, False),
    **dict.fromkeys(("space_id", "request_count", "estimated_tokens"), (_count, 0)),
    **dict.fromkeys(("done_count", "failed_count"), (_count, 0)),
    **dict.fromkeys(("uncounted_tokens", "picture_count"), (_count, 0)),
    "token_count": (_or_none(_count), None),
    **dict.fromkeys(("cost_usd", "live_price", "batch_price"), (_or_none(_dollars), None)),
    "created_at": (_time, 0.0),
    **dict.fromkeys(
        (
            *("google_job_id", "input_file", "result_file", "provider_state", "error_message"),
            "absence",
        ),
        (_or_none(_any_string), None),
    ),
    **dict.fromkeys(
        (*("cancel_requested_at", "submitted_at", "finished_at", "fetched_at"),),
        (_or_none(_time), None),
    ),
}
