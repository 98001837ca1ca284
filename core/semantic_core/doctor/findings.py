"""What an examination finds, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """What can be wrong."""

    DAMAGE = "damaged database"
    CONTRADICTION = "rows that contradict each other"
    FULL_TEXT = "full-text index"
    TAGS = "metadata index"
    COUNTS = "counts"
    VECTOR_INDEX = "vector index"
    FREE_VECTOR = "vector that is stored but not used"
    STUCK_CLAIM = "claim of an ended job"
    FAR_LEASE = "lease that ends too late"
    FAR_PAUSE = "pause that ends too late"
    TEMPORARY_FILE = "temporary file"
    OPEN_FILE = "file that others may write"
    UNKNOWN_JOB = "unknown job at the provider"
    DOUBLE_JOB = "job that exists twice at the provider"
    REMOTE_FILE = "input file at the provider"
    FAILED_CHUNK = "failed chunk"
    HELD_JOB = "held job"
    UNCERTAIN_JOB = "uncertain job"
    LEFT_JOB = "job of a stopped process"
    OVERDUE_JOB = "job that takes long"
    EXPIRING_RESULT = "results about to be removed"
    WRONG_VECTOR = "vector of another text"
    SPOT_CHECK = "spot check"
    NOT_LOOKED = "not looked at"


# What ends or goes on by itself: nothing is wrong yet.
_NOTES = frozenset(
    {
        Trouble.REMOTE_FILE,
        Trouble.UNCERTAIN_JOB,
        Trouble.LEFT_JOB,
        Trouble.OVERDUE_JOB,
        Trouble.SPOT_CHECK,
        Trouble.NOT_LOOKED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        trouble: what kind of thing.
        message: what it is, of what, and what to do.
        count: of how many things.
        is_fixable: whether mending it can neither lose anything nor cost anything.
        is_fixed: whether it was fixed just now.
    """

    trouble: Trouble
    message: str
    count: int = 1
    is_fixable: bool = False
    is_fixed: bool = False

    @property
    def is_note(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self.trouble in _NOTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was found.

    Attributes:
        findings: one for each kind of trouble, the gravest first.
    """

    findings: tuple[Finding, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is left that somebody should do something about."""
        return all(finding.is_note or finding.is_fixed for finding in self.findings)
