"""What an examination finds, as frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

# Names that are shown of many.
_SHOWN = 5


class Trouble(StrEnum):
    DAMAGE = "damaged database"
    CONTRADICTION = "rows that contradict each other"
    FULL_TEXT = "full-text index"
    TAGS = "metadata index"
    COUNTS = "counts"
    VECTOR_INDEX = "vector index"
    LARGE_INDEX = "vector index of many vectors"
    FREE_VECTOR = "vector that is stored but not used"
    STUCK_CLAIM = "claim of an ended job"
    FAR_LEASE = "lease that ends too late"
    FAR_PAUSE = "pause that ends too late"
    BUDGET = "budget that keeps texts back"
    NOT_SENT = "texts that cannot be sent"
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
    TARGET = "chunk that a target lost"
    NOT_LOOKED = "not looked at"


# What ends or goes on by itself: nothing is wrong yet.
_NOTES = frozenset(
    {
        Trouble.LARGE_INDEX,
        Trouble.REMOTE_FILE,
        Trouble.UNCERTAIN_JOB,
        Trouble.LEFT_JOB,
        Trouble.OVERDUE_JOB,
        Trouble.SPOT_CHECK,
        Trouble.NOT_LOOKED,
    }
)

# What is said of each, and what to do about it.
_WORDS = {
    Trouble.DAMAGE: "{file} is damaged ({problems}). Keep the file, restore a backup, and do not "
    "write to this one.",
    Trouble.CONTRADICTION: "{count:,} {what}. Semcore never writes this: restore a backup, or "
    "save these chunks again, which pays for their vectors again.",
    Trouble.FULL_TEXT: "The full-text index differs from the texts, so that keyword search may "
    "miss some. It can be rebuilt from them.",
    Trouble.TAGS: "{count:,} entries of the metadata index differ from the chunks, so that a "
    "search with a filter may miss some. It can be rebuilt from them.",
    Trouble.COUNTS: "{count:,} kept counts differ from the rows, so that status shows wrong "
    "numbers. They can be counted again.",
    Trouble.VECTOR_INDEX: "The vector index differs from the rows for {count:,} chunks. It can be "
    "dropped: the next search reads the rows.",
    Trouble.LARGE_INDEX: "Collection {name!r} has {count:,} vectors, which each machine that searches "
    "reads whole. The server can search them: `semcore index {name}`, see the guide to PostgreSQL.",
    Trouble.FREE_VECTOR: "The vectors of {count:,} waiting texts are stored already, and would be "
    "paid for again. They can be used at once.",
    Trouble.STUCK_CLAIM: "{count:,} claims are held by batch jobs that have ended, so these texts "
    "are never sent. They may have been paid for, so they are not freed here. Semcore never "
    "leaves this behind: restore a backup, which takes what the provider still has.",
    Trouble.FAR_LEASE: "{count:,} batch jobs or live texts are reserved for more than a day: the "
    "clock was wrong when they were worked on. The reservation can be ended.",
    Trouble.FAR_PAUSE: "{chunks} and {models} wait for more than {hours:.1f} hours before they "
    "are sent again: the provider asked for it, or the clock was wrong when it was noted. Ending "
    "the pause costs nothing; `semcore retry` ends every one.",
    Trouble.BUDGET: "{what}",
    Trouble.NOT_SENT: "{what}",
    Trouble.TEMPORARY_FILE: "Temporary files of {count:,} batch jobs that nobody works on lie in "
    "{folder}. They hold texts, are never read again, and can be removed.",
    Trouble.OPEN_FILE: "{files} of the database can be written by others than their owner "
    "({names}): they could change what is found, and what is sent and paid for. chmod go-w ends "
    "that.",
    Trouble.UNKNOWN_JOB: "{count:,} jobs at the provider bear this database's name but have no "
    "row here, or one that was given up: a backup was restored, a copy of the database sends as "
    "well, or the provider listed them late. They can be adopted, so that `semcore sync` takes "
    "their results instead of paying again.",
    Trouble.DOUBLE_JOB: "{count:,} jobs at the provider have the same name as one that is used "
    "here, and may be billed as well: {names}. Cancel them there.",
    Trouble.REMOTE_FILE: "{count:,} input files of jobs that have ended are still at the "
    "provider. They hold texts; `semcore sync` removes them, and they can be removed now.",
    Trouble.FAILED_CHUNK: "{chunks} failed at the provider, found by keyword alone. "
    "`semcore failed` says why; fix the text, delete it, or `semcore retry`.",
    Trouble.HELD_JOB: "{count:,} batch jobs wait for a person, and nothing of them is sent again. "
    "`semcore status` says why; `semcore release` gives one up, which may pay for its texts "
    "again: {names}.",
    Trouble.UNCERTAIN_JOB: "{count:,} batch jobs may or may not have reached the provider. "
    "`semcore sync` finds out: {names}.",
    Trouble.LEFT_JOB: "{count:,} batch jobs were left by a process that stopped before sending "
    "them. `semcore flush` goes on: {names}.",
    Trouble.OVERDUE_JOB: "{count:,} batch jobs have been at the provider for more than a day. "
    "They are neither lost nor sent again: {names}.",
    Trouble.EXPIRING_RESULT: "{count:,} batch jobs have results at the provider that it will soon "
    "remove. Run `semcore sync`, and look at what it says: {names}.",
    Trouble.WRONG_VECTOR: "{check}: {count:,} vectors are not those of their texts, of the chunks "
    "{names}. Delete such chunks with purge=True and save them again, which pays for them again; "
    "check more with a larger --sample.",
    Trouble.SPOT_CHECK: "{check}, and paid for.",
    Trouble.TARGET: "{count:,} chunks are not found at the target {what}: {names}. Everything can "
    "be delivered anew, which costs nothing while its vectors are kept here; `semcore deliver "
    "--again` with its --target does so, too.",
    Trouble.NOT_LOOKED: "{what}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        message: what it is, of what, and what to do.
        count: of how many things.
        is_fixable: whether fixing it can neither lose nor cost anything.
    """

    trouble: Trouble
    message: str
    count: int = 1
    is_fixable: bool = False
    is_fixed: bool = False

    @classmethod
    def of(
        cls,
        trouble: Trouble,
        count: int = 1,
        *,
        is_fixed: bool | None = None,
        names: Sequence[str] = (),
        **words: object,
    ) -> Self:
        """Return a finding in the words of its trouble; what cannot be fixed is fixed None."""
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        return cls(
            trouble=trouble,
            message=_WORDS[trouble].format(count=count, names=shown, **words),
            count=count,
            is_fixable=is_fixed is not None,
            is_fixed=bool(is_fixed),
        )

    @property
    def is_note(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self.trouble in _NOTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything that was found: one for each kind of trouble, the gravest first."""

    findings: tuple[Finding, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is left that somebody should do something about."""
        return all(finding.is_note or finding.is_fixed for finding in self.findings)
