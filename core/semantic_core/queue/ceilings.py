"""How much one key may have enqueued of one model, as far as its refusals (429) say.

How many tokens and jobs a project may have open depends on project, tier and model, and is told to
no program: what a project takes is found out by trying.
"""

from dataclasses import asdict, dataclass
from typing import NamedTuple, Self

from semantic_core.database.conditions import IS_RUNNING
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_value, run
from semantic_core.database.tables import TABLES
from semantic_core.queue.budget import LONGEST_PAUSE

# First-tier projects report 130,000 to 480,000 enqueued tokens; none reports less than these.
LEAST_TOKENS = 50_000
LEAST_REQUESTS = 50

# A quota may have been raised meanwhile, or the tier.
FORGOTTEN_AFTER = 86_400.0

# Queued or running, as far as anybody here knows.
_IS_ENQUEUED = f"{IS_RUNNING} AND finished_at IS NULL"

_Ceiling = TABLES.CeilingModel


def _sum(expression: str) -> str:
    # Of whatever a damaged row holds: neither an overflow nor infinity is a number of tokens.
    return f"coalesce(max(0, min(total({expression}), 1e18)), 0)"


_SUMS = f"{_sum('request_count')}, {_sum('estimated_tokens')}"


class QuotaKey(NamedTuple):
    """Whom a quota belongs to: a batch key, by its fingerprint, and a model."""

    fingerprint: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A number of jobs, with the texts and the estimated tokens that they carry together."""

    jobs: int = 0
    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingBounds:
    """What a ceiling begins with, where nothing is known of a key and model, and never passes."""

    first_tokens: int
    most: Load


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the open jobs of one key and model may carry together, the next one included.

    Attributes:
        open_jobs: nothing is sent while so many are open; 0 for no such wait.
        not_before: epoch seconds before which nothing is sent, or None.
        message: what was refused and what is tried next, where nothing was taken since.
    """

    requests: int
    tokens: int
    open_jobs: int = 0
    not_before: float | None = None
    message: str | None = None

    def is_closed(self, enqueued: Load, *, now: float) -> bool:
        """Return whether it is too early for another job."""
        is_early = self.not_before is not None and self.not_before > now
        return is_early or 0 < self.open_jobs <= enqueued.jobs

    def lowered(self, refused: Load, enqueued: Load, *, not_before: float) -> Self:
        """Return the ceiling after a job was refused while others were, or were not, enqueued."""
        if enqueued.jobs:
            requests, tokens = enqueued.requests, enqueued.tokens
        else:
            requests = _half(self.requests, refused.requests, LEAST_REQUESTS)
            tokens = _half(self.tokens, refused.tokens, LEAST_TOKENS)
        return type(self)(
            requests=min(self.requests, max(LEAST_REQUESTS, requests)),
            tokens=min(self.tokens, max(LEAST_TOKENS, tokens)),
            open_jobs=enqueued.jobs,
            not_before=not_before,
        )

    def raised(self, enqueued: Load, most: Load) -> Self:
        """Return the ceiling after a job was taken, which is enqueued now.

        It doubles, but never beyond twice what was taken: a small job shows nothing about a
        large one.
        """
        return type(self)(
            requests=max(
                self.requests, min(2 * self.requests, 2 * enqueued.requests, most.requests)
            ),
            tokens=max(self.tokens, min(2 * self.tokens, 2 * enqueued.tokens, most.tokens)),
        )


def _half(ceiling: int, refused: int, least: int) -> int:
    # A job as small as any quota was not refused for its size, so that its own says nothing.
    return (min(ceiling, refused) if refused > least else ceiling) // 2


def read_enqueued(connection: Connection, key: QuotaKey, *, beside: str | None = None) -> Load:
    """Return what is, or may be, enqueued at the provider, or about to be.

    ``beside`` a job, it and those whose create call cannot have been sent yet are left out.
    """
    row = connection.execute(
        f"SELECT count(*), {_SUMS} FROM batch_jobs WHERE {_IS_ENQUEUED} "
        "AND fingerprint = :fingerprint AND model = :model "
        "AND ((id <> :beside AND step NOT IN ('claimed', 'uploaded')) OR :beside IS NULL)",
        {**key._asdict(), "beside": beside},
    ).fetchone()
    return Load(jobs=row[0], requests=int(row[1]), tokens=int(row[2]))


def stored_bytes(
    connection: Connection, fingerprint: str, *, number_bytes: int, line_bytes: int
) -> int:
    """Return what the files of a key's open jobs take at the provider, results included.

    In a result file a vector takes ``number_bytes`` a number, and the rest of its line the others.
    """
    taken = first_value(
        connection,
        f"SELECT {_sum('j.byte_count + j.request_count * (s.dimensions * ? + ?)')} "
        "FROM batch_jobs j JOIN spaces s ON s.id = j.space_id "
        f"WHERE {IS_RUNNING} AND j.fingerprint = ?",
        (number_bytes, line_bytes, fingerprint),
    )
    return int(taken)


def read_ceiling(
    connection: Connection, key: QuotaKey, *, bounds: CeilingBounds, now: float
) -> Ceiling:
    """Return the ceiling of a key and model; the first one where none is noted, or not lately.

    One that was noted in the future was noted by a wrong clock, and counts as forgotten.
    """
    row = connection.execute(
        "SELECT requests, tokens, open_jobs, not_before, message FROM ceilings "
        "WHERE fingerprint = ? AND model = ? AND noted_at <= ? AND noted_at > ? "
        # A damaged row is none.
        "AND typeof(requests) || typeof(tokens) || typeof(open_jobs) = 'integerintegerinteger' "
        "AND typeof(not_before) IN ('real', 'null') AND typeof(message) IN ('text', 'null')",
        (*key, now, now - FORGOTTEN_AFTER),
    ).fetchone()
    most = bounds.most
    if row is None:
        # What is open was taken once.
        (_, taken) = connection.execute(
            f"SELECT {_SUMS} FROM batch_jobs WHERE {_IS_ENQUEUED} AND status <> 'CREATED' "
            "AND fingerprint = ? AND model = ?",
            key,
        ).fetchone()
        tokens = min(most.tokens, max(bounds.first_tokens, 2 * int(taken)))
        return Ceiling(requests=most.requests, tokens=tokens)
    requests, tokens, *rest = row
    return Ceiling(min(most.requests, requests), min(most.tokens, tokens), *rest)


def write_ceiling(connection: Connection, key: QuotaKey, ceiling: Ceiling, *, now: float) -> None:
    """Note the ceiling of a key and model, with its date."""
    noted = {**asdict(ceiling), "noted_at": now}
    for name in ("requests", "tokens"):
        # A configured limit may be any number, a column holds 64 bits.
        noted[name] = min(noted[name], 1 << 62)
    new = _Ceiling.insert(**key._asdict(), **noted)
    target = [_Ceiling.fingerprint, _Ceiling.model]
    run(connection, new.on_conflict(conflict_target=target, preserve=list(noted)))


def pause_until(now: float, seconds: float) -> float:
    """Return when a pause of so many seconds is over; a provider may ask for any number."""
    return now + min(seconds, LONGEST_PAUSE)
