"""Every state a row can be in. The tables repeat them as CHECK constraints."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from semantic_core.domain.errors import DatabaseCorruptError

# How the reason begins for which a text is FAILED that its model does not take whole: it is never
# sent again by itself.
TOO_LONG = "too long"


class _State(StrEnum):
    """A state that rows hold."""

    @classmethod
    def read(cls, value: str) -> Self:
        """Return the state that a row holds.

        Raises:
            DatabaseCorruptError: it is none.
        """
        try:
            return cls(value)
        except ValueError as error:
            raise DatabaseCorruptError.unreadable("A state", error) from error


class EmbeddingStatus(_State):
    """Where a chunk stands on its way to a vector."""

    READY = "READY"  #: the serving vector is the one its text asks for
    PENDING = "PENDING"  #: waits for a vector, or for the batch job that brings it
    FAILED = "FAILED"  #: will not get one by itself; ``error_message`` says why


class JobStatus(_State):
    """Where a batch job stands, in the user's words."""

    CREATED = "CREATED"  #: claimed here, not yet surely accepted by the provider
    SUBMITTED = "SUBMITTED"  #: accepted, waiting at the provider
    PROCESSING = "PROCESSING"  #: running at the provider, or its results are being applied
    COMPLETED = "COMPLETED"  #: every line of its result is stored
    FAILED = "FAILED"  #: ended without results; ``failure_reason`` says why


class JobStep(_State):
    """The last step of the submit protocol that is surely done: the recovery point."""

    CLAIMED = "claimed"  #: its texts belong to it; nothing was sent
    UPLOADED = "uploaded"  #: the input file is at the provider; costs nothing
    CREATING = "creating"  #: the create call may have been sent: from here on money is at stake
    SUBMITTED = "submitted"  #: the provider's job id is stored
    FETCHED = "fetched"  #: the provider is done and its result was downloaded once
    APPLIED = "applied"  #: every vector is stored
    CLEANED = "cleaned"  #: remote files are removed, as far as the provider allows


class HoldReason(_State):
    """Why a job waits for a person. A held job keeps its claims: nothing is sent again."""

    CANCELLED_ELSEWHERE = "cancelled elsewhere"
    LOST = "lost"
    RESULT_EXPIRED = "result expired"
    OTHER_PROJECT = "other project"
    BAD_RESULTS = "bad results"
    UNREADABLE = "unreadable"
    SPOT_CHECK = "spot check failed"


class FailureReason(_State):
    """Why a job ended FAILED."""

    ABANDONED = "abandoned before create"
    NEVER_CREATED = "never reached the provider"
    REFUSED = "refused by the provider"
    PROVIDER_FAILED = "failed at the provider"
    EXPIRED = "expired at the provider"
    CANCELLED = "cancelled"
    RELEASED = "released"


class ItemState(_State):
    """What became of one content hash in one job."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    RELEASED = "released"  #: its job ended without it, or another job brings it
    UNSENT = "unsent"  #: let go of before the input file was sent


class BudgetUse(StrEnum):
    """What a settled item takes from the retry budget of its content hash."""

    NOTHING = "nothing"
    ATTEMPT = "attempt"
    JOB_FAILURE = "job failure"
    EXPIRY = "expiry"
    EVERYTHING = "everything"  #: the provider refused this text for good
    FORGIVEN = "forgiven"  #: an earlier use, before retry_failed() began a new budget


class VectorOrigin(StrEnum):
    """How a stored vector came to be."""

    BATCH = "batch"
    LIVE = "live"
    GIVEN = "given"


class SearchMode(StrEnum):
    """What a search ranks by."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    KEYWORD = "keyword"


class Match(StrEnum):
    """What a search hit rests on."""

    VECTOR = "vector"
    KEYWORD = "keyword"
    BOTH = "both"
