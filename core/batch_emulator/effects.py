"""What a fault does: frozen values, which `FaultRule` aims."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from batch_emulator.journal import Operation


class Damage(StrEnum):
    """What happens to a result line."""

    WRONG_DIMENSION = "wrong dimension"  #: one number short
    NAN = "nan"
    INFINITE = "infinite"
    ZERO = "zero"  #: all numbers 0
    OVERFLOW = "overflow"  #: 1e39, too large for a float32
    TEXT_NUMBERS = "text numbers"
    BOOLEANS = "booleans"
    MISSING = "missing"  #: the line is left out
    DUPLICATE = "duplicate"  #: the line is there twice
    CONFLICT = "conflict"  #: the line is there twice, with two vectors
    FOREIGN_KEY = "foreign key"  #: another line follows, with a key that nobody sent
    NO_KEY = "no key"
    MALFORMED = "malformed"  #: the line breaks off in its middle
    EMPTY = "empty"  #: neither a response nor an error
    SWAPPED = "swapped"  #: the vector of the next input line
    UNCOUNTED = "uncounted"  #: without its token count, as seen of gemini-embedding-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Which lines of a job: those that fit everything given; by default all.

    Attributes:
        keys: their keys.
        numbers: their places in the input file, from 0.
        containing: words in their text.
    """

    keys: tuple[str, ...] | None = None
    numbers: tuple[int, ...] | None = None
    containing: str | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "numbers"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))

    def fit(self, *, key: str | None, number: int, text: str) -> bool:
        """Tell whether a line is meant."""
        return (
            (self.keys is None or key in self.keys)
            and (self.numbers is None or number in self.numbers)
            and (self.containing is None or self.containing in text)
        )


# --- effects on one call -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer with an error.

    Attributes:
        code: HTTP status.
        message: the provider's words; by default some that fit.
        status: the provider's word; by default the one for the code.
        retry_delay: seconds in a RetryInfo detail; None leaves it out.
        retry_after: seconds in a Retry-After header; None leaves it out.
        as_text: a plain text body instead of JSON.
        after: do what was asked, then answer so.
    """

    code: int
    message: str | None = None
    status: str | None = None
    retry_delay: float | None = None
    retry_after: float | None = None
    as_text: bool = False
    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Close the connection without a word; `after`: having done what was asked."""

    after: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Wait, in real seconds; `after`: having done what was asked, else before doing it."""

    seconds: float
    after: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """Do what was asked and answer 200 with another body, such as a proxy's HTML page."""

    body: str = "<html><body>Welcome to the hotel network. Please log in.</body></html>"
    content_type: str = "text/html"
    after: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Misdate:
    """Answer as ever, but with another ``Date`` header.

    Attributes:
        seconds: how far the provider's clock is ahead; None leaves the header out.
    """

    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Send the client elsewhere, without doing what was asked."""

    location: str
    code: int = 302


# --- effects on one kind of call -----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HideJob:
    """Leave a job out of lists for its first seconds, by the emulator's clock."""

    seconds: float
    operation: ClassVar[Operation] = Operation.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """Describe a new job in other words than it was asked for with.

    Attributes:
        name_length: how much of its display name is kept; 0 drops it, None keeps all.
        display_name: another one in its place.
        model: another spelling of its model.
    """

    name_length: int | None = None
    display_name: str | None = None
    model: str | None = None
    operation: ClassVar[Operation] = Operation.CREATE


@dataclass(frozen=True, slots=True, kw_only=True)
class CutUpload:
    """Close the connection once so many bytes of an upload's chunk have come in."""

    at: int
    operation: ClassVar[Operation] = Operation.UPLOAD


@dataclass(frozen=True, slots=True, kw_only=True)
class CutDownload:
    """Close the connection after so many bytes of a download.

    Attributes:
        at: bytes sent.
        tells_length: with the true Content-Length, so that the cut shows; without it the body
            just ends.
    """

    at: int
    tells_length: bool = True
    operation: ClassVar[Operation] = Operation.DOWNLOAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Bomb:
    """Answer a download with zeros.

    Attributes:
        size: bytes after decoding.
        compressed: as gzip, a thousandth of that on the wire.
    """

    size: int
    compressed: bool = True
    operation: ClassVar[Operation] = Operation.DOWNLOAD


# --- effects on a job and its results ------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EndJob:
    """End a job in this state when its time is up.

    Attributes:
        state: such as ``BATCH_STATE_FAILED``, ``_EXPIRED``, ``_CANCELLED``,
            ``_PARTIALLY_SUCCEEDED``, ``_SUCCEEDED``.
        code: code of its error, if any.
        message: the provider's words for it.
        has_results: whether there is a result file; by default for the two successes.
        is_billed: whether its texts are billed, and counted, although there is no result file.
        is_counted: whether the job tells how many of its requests succeeded and failed.
    """

    state: str
    code: int | None = None
    message: str | None = None
    has_results: bool | None = None
    is_billed: bool = False
    is_counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StickJob:
    """Keep a job in this state, known or not, for as long as the rule stands."""

    state: str = "BATCH_STATE_RUNNING"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailLines:
    """Give lines an error instead of a vector. They are not billed.

    Attributes:
        code: in the error, as an HTTP or a gRPC number.
        message: in the error.
        status: in the error, if any.
        lines: which.
    """

    code: int
    message: str = "An internal error has occurred. Please retry."
    status: str | None = None
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageLines:
    """Spoil result lines. They are billed; those whose vector is gone count as lost."""

    damage: Damage
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceLines:
    """Put this in the place of result lines. They are billed, and count as lost."""

    text: str
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipLines:
    """End the job before it comes to these lines: no result, no count, no bill."""

    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutResult:
    """Store only the first bytes of a result file; lines not whole count as lost."""

    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapResults:
    """Let two results come back, each whole and well formed, under the key of the other.

    Both are billed, and count as lost.

    Attributes:
        first: the place of one in the input file, from 0.
        second: that of the other.
    """

    first: int = 0
    second: int = 1


CallEffect = Reply | Drop | Delay | Garbage | Redirect | CutDownload | Bomb
LineEffect = FailLines | DamageLines | ReplaceLines | SkipLines | CutResult | SwapResults
Effect = CallEffect | CutUpload | HideJob | Misdate | Relabel | EndJob | StickJob | LineEffect

CALL_EFFECTS = (Reply, Drop, Delay, Garbage, Redirect, CutDownload, Bomb)
LINE_EFFECTS = (FailLines, DamageLines, ReplaceLines, SkipLines, CutResult, SwapResults)
