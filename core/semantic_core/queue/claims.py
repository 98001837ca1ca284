"""Giving texts to a job: the claim, and the texts it carries."""

import json
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL

from semantic_core.database import IDS, among, id_set, row_set, rows_of
from semantic_core.database.conditions import (
    IS_CACHED,
    IS_CARRIED,
    OF_JOB,
    USES_BUDGET,
    WAITING_ORDER,
    WAITS,
    WANTS,
)
from semantic_core.database.port import Connection
from semantic_core.database.queries import run
from semantic_core.database.tables import TABLES
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.media import sent_bytes
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import JobStatus, JobStep, Obstacle
from semantic_core.queue.budget import LONGEST_PAUSE, RetryBudget, used_budgets
from semantic_core.queue.counts import count_waiting, read_waiting
from semantic_core.queue.items import fail_chunks
from semantic_core.queue.live_claims import IS_EMBEDDED_LIVE
from semantic_core.queue.vectors import serve_vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimLimits:
    """What one job may carry at most: distinct texts, their UTF-8 bytes, their estimated tokens."""

    requests: int
    source_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The distinct texts that one job would take.

    Attributes:
        text_tokens: estimated tokens of each of them, in the order of the contents.
        source_bytes: UTF-8 bytes of them.
        collection_tokens: estimated tokens by the collection they were found in first, its id.
        is_full: more are waiting, but a limit of the job is reached.
    """

    space_id: int
    spec: EmbeddingSpec
    contents: tuple[int, ...]
    text_tokens: tuple[int, ...]
    source_bytes: int
    collection_tokens: Mapping[int, int]
    is_full: bool

    @property
    def tokens(self) -> int:
        return sum(self.text_tokens)


_Job, _Space = TABLES.BatchJobModel, TABLES.SpaceModel

# Waiting chunks in an order that the index has: first those whose time has come to be sent again,
# then those that wait for no time, oldest first: with each, how many have to be looked at for the
# oldest of all, where -1 is all. Semcore notes no pause of more than a day, so one that lasts
# longer was noted while the clock was ahead, and is over.
_DUE = (
    ("not_before <= :now", -1),
    (f"not_before > :now + {LONGEST_PAUSE}", -1),
    ("not_before IS NULL", 1),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A vector space with due texts: what one job may carry.

    Of its collections with due texts the one with the oldest comes first.
    """

    space_id: int
    spec: EmbeddingSpec
    collection_ids: tuple[int, ...]


def candidates(connection: Connection, *, collection: str | None, now: float) -> list[Candidate]:
    """Return the spaces with due texts, the one whose text has waited longest first.

    The work is proportional to the number of collections, not to what is stored or waits.
    """
    firsts = ", ".join(
        "(SELECT CAST(updated_at AS DOUBLE PRECISION) FROM chunks "
        f"WHERE collection_id = c.id AND {WAITS} AND {due} ORDER BY {WAITING_ORDER} LIMIT 1)"
        for due, _ in _DUE
    )
    due = []
    for collection_id, space_id, spec, *since in connection.execute(
        f"SELECT c.id, c.space_id, c.spec, {firsts} FROM collections c "
        "JOIN spaces s ON s.id = c.space_id AND NOT s.is_external "
        "WHERE c.name = :collection OR :collection IS NULL",
        {"collection": collection, "now": now},
    ):
        found = [moment for moment in since if moment is not None]
        if found:
            due.append((min(found), space_id, collection_id, spec))
    by_space: dict[int, list[tuple[int, str]]] = {}
    for _, space_id, collection_id, spec in sorted(due):
        by_space.setdefault(space_id, []).append((collection_id, spec))
    return [
        Candidate(space_id, EmbeddingSpec.from_json(found[0][1]), tuple(one for one, _ in found))
        for space_id, found in by_space.items()
    ]


def _due_texts(
    connection: Connection, candidate: Candidate, now: float
) -> Generator[tuple[int, int, int, int, str | None, bool, bool]]:
    """Yield (collection id, content id, tokens, bytes, media, is budget used, is vector stored).

    What is being embedded live is left out: it waits on.
    """
    for collection_id in candidate.collection_ids:
        for due, _ in _DUE:
            # A chunk saved while its text backs off elsewhere waits with it.
            yield from connection.stream(
                "SELECT collection_id, content_id, tokens, "
                "length(CAST(coalesce(vector_source, text) AS BLOB)), media, "
                "EXISTS (SELECT 1 FROM batch_items i WHERE i.content_id = c.content_id "
                f"AND {USES_BUDGET}), EXISTS (SELECT 1 FROM embeddings e "
                f"WHERE e.content_id = c.content_id AND {IS_CACHED}) "
                "FROM chunks c WHERE collection_id = :collection "
                f"AND {WAITS} AND {due} AND NOT {IS_EMBEDDED_LIVE} AND NOT EXISTS (SELECT 1 FROM chunks o "
                "WHERE o.content_id = c.content_id AND o.embedding_status <> 'READY' "
                f"AND o.not_before > :now AND o.not_before <= :now + {LONGEST_PAUSE} "
                # Looked up for each: PostgreSQL would compare all with all that it believes to be few.
                "LIMIT -1 OFFSET 0) "
                f"ORDER BY {WAITING_ORDER}",
                {"collection": collection_id, "now": now},
            )


def fill_job(
    connection: Connection,
    candidate: Candidate,
    *,
    limits: ClaimLimits,
    budget: RetryBudget,
    now: float,
) -> Waiting | None:
    """Return one job's worth of a candidate's texts; None if none of them is to be sent.

    A text whose retry budget is spent (it was deleted and added again, say) is not sent: its
    chunks become FAILED here. A text whose vector is stored is served by it: the cache is asked
    once more before money. The work is proportional to what one job takes.
    """
    contents: dict[int, int] = {}
    spent: dict[int, None] = {}
    stored: dict[int, None] = {}
    collection_tokens: Counter[int] = Counter()
    source_bytes = tokens = 0
    is_full = False
    for found_in, content, text_tokens, text_bytes, media, has_uses, is_stored in _due_texts(
        connection, candidate, now
    ):
        if content in contents or content in spent:
            continue
        if is_stored:
            stored[content] = None
            continue
        if has_uses and budget.is_spent(used_budgets(connection, [content])[content]):
            spent[content] = None
            continue
        if not isinstance(text_tokens, int) or text_tokens < 0:
            raise DatabaseCorruptError.unreadable("The tokens of a chunk", ValueError(text_tokens))
        size = text_bytes + sent_bytes(media)
        # A single text over a limit still goes, alone: the provider decides about it.
        is_full = bool(contents) and (
            len(contents) >= limits.requests
            or source_bytes + size > limits.source_bytes
            or tokens + text_tokens > limits.tokens
        )
        if is_full:
            break
        contents[content] = text_tokens
        collection_tokens[found_in] += text_tokens
        source_bytes += size
        tokens += text_tokens
    # After the loop: it reads from the index that this changes.
    serve_vectors(connection, list(stored), now=now)
    fail_chunks(connection, _last_errors(connection, spent), now=now)
    if not contents:
        return None
    return Waiting(
        space_id=candidate.space_id,
        spec=candidate.spec,
        contents=tuple(contents),
        text_tokens=tuple(contents.values()),
        source_bytes=source_bytes,
        collection_tokens=collection_tokens,
        is_full=is_full,
    )


def oldest_due(connection: Connection, candidate: Candidate, *, now: float) -> float:
    """Return since when the oldest due chunk of a candidate waits."""
    return min(
        float(row[0])
        for collection_id in candidate.collection_ids
        for due, limit in _DUE
        for row in connection.execute(
            f"SELECT updated_at FROM chunks WHERE collection_id = :collection AND {WAITS} "
            f"AND {due} ORDER BY {WAITING_ORDER} LIMIT {limit}",
            {"collection": collection_id, "now": now},
        )
    )


def note_passed(
    connection: Connection, space_id: int | None, obstacle: Obstacle, why: str, *, now: float
) -> None:
    """Note why the texts of a space, or of all, are not sent now, for status.

    The moment noted is the one since when this is why.
    """
    note = _Space.update(passed_over=why, obstacle=obstacle, passed_at=now)
    note = note.where(SQL("passed_over IS NOT ?", (why,)))
    run(connection, note if space_id is None else note.where(_Space.id == space_id))


def forget_passed(connection: Connection, model: str, *, space_id: int | None = None) -> None:
    """Note that nothing is known to keep the texts of a model, or of one space of it."""
    note = _Space.update(passed_over=None, obstacle=None, passed_at=None)
    note = note.where(_Space.model == model, SQL("passed_over IS NOT NULL"))
    run(connection, note if space_id is None else note.where(_Space.id == space_id))


def claim(connection: Connection, waiting: Waiting, job_id: str, **columns: Any) -> None:
    """Insert a job with its open items, and give it the chunks that want them.

    The unique index on open items makes it impossible that a text is in two jobs. ``columns`` are
    what else is known of the job: its lease, its price, who sends it.
    """
    # As text: what is none, in a damaged row, would be no key of JSON.
    names = dict(connection.execute("SELECT id, CAST(name AS TEXT) FROM collections").fetchall())
    shares = {names[found_in]: tokens for found_in, tokens in waiting.collection_tokens.items()}
    new = _Job.insert(
        id=job_id,
        status=JobStatus.CREATED,
        step=JobStep.CLAIMED,
        space=waiting.space_id,
        spec=waiting.spec.to_json(),
        model=waiting.spec.model,
        request_count=len(waiting.contents),
        byte_count=waiting.source_bytes,
        estimated_tokens=waiting.tokens,
        collections=json.dumps(shares),
        **columns,
    )
    ((pk,),) = run(connection, new.returning(_Job.pk)).fetchall()
    # Read before anything is written: PostgreSQL would look through the table that it fills, each time.
    used = used_budgets(connection, waiting.contents)
    texts = [
        (content, tokens, 1 + sum(used.get(content, {}).values()))
        for content, tokens in zip(waiting.contents, waiting.text_tokens, strict=True)
    ]
    # SQL over sets: a claim takes thousands of texts, and row by row it would take six times as long
    # on PostgreSQL.
    connection.execute(
        "INSERT INTO batch_items (job_pk, content_id, tokens, state, attempt) "
        "SELECT :job, t.content, t.tokens, 'open', t.attempt "
        f"FROM {rows_of(content='BIGINT', tokens='BIGINT', attempt='BIGINT')} t",
        {"job": pk, **row_set(texts)},
    )
    count_waiting(connection, read_waiting(connection, waiting.contents, sign=-1))
    connection.execute(
        "UPDATE chunks SET batch_job_id = :job, not_before = NULL "
        f"WHERE content_id IN {IDS} AND {WANTS} AND {WAITS}",
        {"job": job_id, **id_set(waiting.contents)},
    )


def claimed_texts(
    connection: Connection, job_id: str, *, after: int, limit: int
) -> list[tuple[int, int, bytes, str | None, str | None]]:
    """Return (item id, content id, its hash, vector source, media) of open items after an item id.

    The source is None where no chunk wants the content any more: it was edited or deleted since.
    """
    return connection.execute(
        "SELECT i.id, i.content_id, k.hash, coalesce(c.vector_source, c.text), c.media "
        "FROM batch_items i JOIN contents k ON k.id = i.content_id "
        "LEFT JOIN chunks c ON c.pk = (SELECT w.pk FROM chunks w "
        f"WHERE w.content_id = i.content_id AND {WANTS} LIMIT 1) "
        f"WHERE {OF_JOB} AND {IS_CARRIED} AND i.id > :after ORDER BY i.id LIMIT :limit",
        {"job": job_id, "after": after, "limit": limit},
    ).fetchall()


def wanted_sources(
    connection: Connection, content_hashes: Sequence[bytes]
) -> dict[bytes, tuple[str, str | None]]:
    """Return (vector source, media) of those hashes that chunks want and do not have."""
    named = among("k.hash", content_hashes)
    return {
        key: (source, media)
        for key, source, media in connection.execute(
            "SELECT k.hash, coalesce(c.vector_source, c.text), c.media FROM contents k "
            f"JOIN chunks c ON c.content_id = k.id WHERE {named.sql} AND c.{WANTS}",
            named.values,
        )
    }


def _last_errors(connection: Connection, contents: Collection[int]) -> dict[int, str]:
    errors = connection.execute(
        f"SELECT content_id, error FROM batch_items WHERE content_id IN {IDS} "
        f"AND {USES_BUDGET} AND error IS NOT NULL ORDER BY id",
        id_set(contents),
    ).fetchall()
    return dict.fromkeys(contents, "no tries left") | dict(errors)
