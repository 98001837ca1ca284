"""What goes to a provider and what it answers, as frozen values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from semantic_core.domain.media import MediaBytes
from semantic_core.domain.statuses import TOO_LONG
from semantic_core.domain.types import Vector


class RemoteState(StrEnum):
    """The state of a job at the provider.

    A job that succeeded in part is SUCCEEDED or FAILED, with its counts and a result file.
    """

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"  #: a word not known here; never taken for an end


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """One content to embed.

    Attributes:
        key: the content hash in hex; comes back with the result.
        text: the exact text to embed, templates already applied; empty beside media alone.
        media: pictures and pages that make one vector with it.
    """

    key: str
    text: str
    media: tuple[MediaBytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An input file at the provider: its name there, and how many lines and bytes it has."""

    name: str
    request_count: int
    byte_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the provider lists it; an input file has the display name of its job."""

    name: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A batch job as the provider describes it. What it does not say is None, a count 0.

    Attributes:
        name: its id there.
        raw_state: the provider's word for its state, kept for messages.
        display_name: ours, by which a job is found again.
        result_file: name of the result file, once there is one.
        created_at: epoch seconds; so is ``ended_at``.
        is_done: the provider says that it will not change any more.
    """

    name: str
    state: RemoteState
    raw_state: str
    display_name: str | None = None
    model: str | None = None
    input_file: str | None = None
    result_file: str | None = None
    error_message: str | None = None
    request_count: int = 0
    successful_count: int = 0
    failed_count: int = 0
    created_at: float | None = None
    ended_at: float | None = None
    is_done: bool = False

    @property
    def is_barren(self) -> bool:
        """Whether it ended without results: a result file counts, whatever the state says."""
        return self.result_file is None and self.state in (
            RemoteState.FAILED,
            RemoteState.EXPIRED,
            RemoteState.CANCELLED,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobListing:
    """What one complete listing of the provider's jobs showed, and when by its own clock."""

    jobs: tuple[RemoteJob, ...]
    date: float | None = None


class ResultLine(NamedTuple):
    """One checked line of a result file. Exactly one of ``vector`` and ``error`` is set.

    Attributes:
        key: the content hash in hex, or None for a line that names none.
        vector: float32, finite, of the right size and not zero; normalised as the spec says.
        token_count: tokens the provider counted, or None; with an unusable vector, too.
        error: why there is no vector: the provider's words, or what is wrong with the line.
        is_transient: sending the text again may help.
        is_quota: the provider had no room for it, which says nothing about the text.
        is_wrong_size: the line held a vector of another dimension.
        is_refused: the error is the provider's: the text was not embedded, and not billed.
    """

    key: str | None
    vector: Vector | None = None
    token_count: int | None = None
    error: str | None = None
    is_transient: bool = False
    is_quota: bool = False
    is_wrong_size: bool = False
    is_refused: bool = False

    @property
    def is_too_long(self) -> bool:
        """Whether the model does not take the whole text, now or later."""
        return self.error is not None and self.error.startswith(TOO_LONG)
