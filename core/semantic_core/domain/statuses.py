"""Every state that a row can have. The tables repeat them as CHECK constraints."""

from enum import StrEnum
from typing import Self

from semantic_core.domain.errors import DatabaseCorruptError

# The error message of a FAILED text that is too long for its model begins with this. Such a text
# is never sent again by itself.
TOO_LONG = "too long"


class _State(StrEnum):
    @classmethod
    def read(cls, value: str) -> Self:
        """Return the state that a row holds, or raise `DatabaseCorruptError`."""
        try:
            return cls(value)
        except ValueError as error:
            raise DatabaseCorruptError.unreadable("A state", error) from error


class EmbeddingStatus(_State):
    """Whether a chunk has its vector."""

    READY = "READY"  #: the serving vector is the one its text asks for
    PENDING = "PENDING"  #: waits for a vector, or for the batch job that brings it
    FAILED = "FAILED"  #: will not get one by itself; ``error_message`` says why


class JobStatus(_State):
    """The state of a batch job, as users see it."""

    CREATED = "CREATED"  #: claimed here; not known to be accepted by the provider
    SUBMITTED = "SUBMITTED"  #: accepted, waiting at the provider
    PROCESSING = "PROCESSING"  #: running at the provider, or its results are being applied
    COMPLETED = "COMPLETED"  #: every line of its result is stored
    FAILED = "FAILED"  #: ended without results; ``failure_reason`` says why


class JobStep(_State):
    """The last step of the submit protocol that is committed: the recovery point."""

    CLAIMED = "claimed"  #: its texts belong to it; nothing was sent
    UPLOADED = "uploaded"  #: the input file is at the provider; costs nothing
    CREATING = "creating"  #: the create call may have been sent: from here on it may cost money
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


class Obstacle(_State):
    """What keeps texts that wait from being sent."""

    LATER = "later"  #: goes by itself: the reason says what comes next
    BUDGET = "budget"
    REFUSAL = "refusal"  #: the provider refuses the key, the model or the request


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
    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    RELEASED = "released"  #: its job ended without it, or another job brings it
    UNSENT = "unsent"  #: dropped before the input file was sent


class BudgetUse(StrEnum):
    """What a settled item takes from the retry budget of its content hash."""

    NOTHING = "nothing"
    ATTEMPT = "attempt"
    JOB_FAILURE = "job failure"
    EXPIRY = "expiry"
    EVERYTHING = "everything"  #: the provider refused this text for good
    FORGIVEN = "forgiven"  #: an earlier use, before retry_failed() began a new budget


class VectorOrigin(StrEnum):
    BATCH = "batch"
    LIVE = "live"
    GIVEN = "given"
    DELIVERED = "delivered"  #: it is no longer here: only the targets have it


class SearchMode(StrEnum):
    """What a search ranks by."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    KEYWORD = "keyword"


class Match(StrEnum):
    """What found a search hit."""

    VECTOR = "vector"
    KEYWORD = "keyword"
    BOTH = "both"
    FILTER = "filter"  #: nothing else was asked for, so nothing was ranked


# The same of one that was not seen at the provider yet.
UNSENT_ADVICE = (
    "It is being sent. If its process has stopped, a sync or a flush with the batch key looks for "
    "it at the provider, and frees its texts if it is not there."
)

UNCERTAIN_ADVICE = (
    "Nobody knows yet whether the provider took it, so its texts are not sent again. A sync or a "
    "flush with the batch key finds out, by listing the provider's jobs."
)

_WAIT_AGAIN = (
    "Its texts wait for the next flush, after a pause. Those whose tries are used up are FAILED, "
    "and a retry gives them new ones."
)

# What the end of a job means for its texts and the bill, and what to do.
ENDED_ADVICE = {
    FailureReason.ABANDONED: "It was not sent, so it cost nothing. Its texts wait for the next "
    "flush.",
    FailureReason.NEVER_CREATED: "The provider never listed it, so as far as is known it cost "
    "nothing. Its texts wait for the next flush. If it is listed later, its results are used.",
    FailureReason.REFUSED: "Its texts wait: fix the cause, then flush again.",
    FailureReason.PROVIDER_FAILED: _WAIT_AGAIN,
    FailureReason.EXPIRED: _WAIT_AGAIN,
    FailureReason.CANCELLED: "Its texts that no other job carries wait for the next flush. What "
    "was embedded before the cancel may be billed.",
    FailureReason.RELEASED: "Its texts wait for the next flush, and may be paid for a second time.",
}
