"""What can go wrong, as rules: frozen values that the state file keeps."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import ClassVar, Self, TypeVar

from semantic_core.emulator.journal import Operation
from semantic_core.emulator.state import State
from semantic_core.errors import InvalidInputError


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
    DUPLICATE = "duplicate"  #: the line stands twice
    CONFLICT = "conflict"  #: the line stands twice, with two vectors
    FOREIGN_KEY = "foreign key"  #: another line follows, with a key that nobody sent
    NO_KEY = "no key"
    MALFORMED = "malformed"  #: the line breaks off in its middle
    EMPTY = "empty"  #: neither a response nor an error
    SWAPPED = "swapped"  #: the vector of the next input line


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
        as_text: a plain text body instead of JSON.
        after: do what was asked, then answer so.
    """

    code: int
    message: str | None = None
    status: str | None = None
    retry_delay: float | None = None
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
        is_billed: whether its texts are billed although there is no result file.
    """

    state: str
    code: int | None = None
    message: str | None = None
    has_results: bool | None = None
    is_billed: bool = False


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
class CutResult:
    """Store only the first bytes of a result file; lines not whole count as lost."""

    at: int


CallEffect = Reply | Drop | Delay | Garbage | Redirect | CutDownload | Bomb
LineEffect = FailLines | DamageLines | ReplaceLines | CutResult
Effect = CallEffect | HideJob | EndJob | StickJob | LineEffect

CALL_EFFECTS = (Reply, Drop, Delay, Garbage, Redirect, CutDownload, Bomb)
LINE_EFFECTS = (FailLines, DamageLines, ReplaceLines, CutResult)

_EFFECTS: dict[str, type[Effect]] = {
    kind.__name__: kind for kind in (*CALL_EFFECTS, HideJob, EndJob, StickJob, *LINE_EFFECTS)
}
_JOB_EFFECTS = (EndJob, StickJob, *LINE_EFFECTS)

E = TypeVar("E", bound=Effect)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRule:
    """When something goes wrong, and what.

    Attributes:
        effect: what happens.
        operation: in which call; None for any. Effects on a job or on its results happen when
            the job runs, so they take none.
        target: only where this pattern (``*`` matches anything) fits a name of what is asked
            for: remote name or display name, of the file or of its job.
        skip: let so many matches pass first.
        times: how many matches after that go wrong; None for all. Effects on a job count jobs.
    """

    effect: Effect
    operation: Operation | None = None
    target: str | None = None
    skip: int = 0
    times: int | None = 1

    def __post_init__(self) -> None:
        implied = getattr(self.effect, "operation", None)
        is_wrong = isinstance(self.effect, _JOB_EFFECTS) or implied not in (None, self.operation)
        if self.operation is not None and is_wrong:
            raise InvalidInputError(
                f"{type(self.effect).__name__} cannot happen in the call {self.operation}. Leave "
                "`operation` out: the effect knows when it happens."
            )
        if implied is not None:
            object.__setattr__(self, "operation", implied)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: it is no rule.
        """
        try:
            values = json.loads(text)
            effect = dict(values.pop("effect"))
            kind = _EFFECTS[effect.pop("kind")]
            if "lines" in effect:
                effect["lines"] = Lines(**effect["lines"])
            if "damage" in effect:
                effect["damage"] = Damage(effect["damage"])
            if values.get("operation") is not None:
                values["operation"] = Operation(values["operation"])
            if hasattr(kind, "operation"):
                values.pop("operation", None)
            return cls(effect=kind(**effect), **values)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"This is not a fault rule ({error}). Write one with FaultRule(...).to_json()."
            ) from error

    def to_json(self) -> str:
        """Return the rule as JSON."""
        effect = {"kind": type(self.effect).__name__, **asdict(self.effect)}
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps(values | {"effect": effect})

    def fits(self, operation: Operation | None, names: Iterable[str]) -> bool:
        """Tell whether the rule speaks of this call, or job, and one of its names."""
        return self.operation in (None, operation) and (
            self.target is None or any(fnmatchcase(name, self.target) for name in names)
        )


class FaultBook:
    """Keeps rules and counts what they matched, so that a restart changes nothing."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, rule: FaultRule) -> int:
        """Add a rule; return its number."""
        with self._state.transaction() as connection:
            number = connection.execute(
                "INSERT INTO faults (rule) VALUES (?)", (rule.to_json(),)
            ).lastrowid
        assert number is not None  # noqa: S101  # an INSERT always has one
        return number

    def remove(self, number: int) -> None:
        """Remove a rule, if it is still there."""
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM faults WHERE id = ?", (number,))

    def clear(self) -> None:
        """Remove all rules."""
        with self._state.transaction() as connection:
            connection.execute("DELETE FROM faults")

    def rules(self) -> dict[int, FaultRule]:
        """Return all rules by number."""
        return {
            row["id"]: FaultRule.from_json(row["rule"])
            for row in self._state.rows("SELECT id, rule FROM faults ORDER BY id")
        }

    def hits(self, number: int) -> int:
        """Return how often a rule made something go wrong."""
        rule = self.rules().get(number)
        row = self._state.row("SELECT count(*) FROM fault_matches WHERE fault = ?", (number,))
        if rule is None or row is None:
            return 0
        after_skip = max(0, int(row[0]) - rule.skip)
        return after_skip if rule.times is None else min(after_skip, rule.times)

    def take(
        self,
        kinds: tuple[type[E], ...],
        *,
        subject: str,
        names: Collection[str],
        operation: Operation | None = None,
    ) -> list[E]:
        """Return the effects that strike a subject now, in the order of their rules.

        The same subject counts once for a rule, however often it is asked about.

        Args:
            kinds: classes of effects asked for.
            subject: what is counted: one call, or one job.
            names: what `FaultRule.target` is compared with.
            operation: the call, or None for a job that runs.
        """
        effects: list[E] = []
        for number, rule in self.rules().items():
            if not isinstance(rule.effect, kinds) or not rule.fits(operation, names):
                continue
            place = self._count(number, subject)
            if rule.skip < place and (rule.times is None or place <= rule.skip + rule.times):
                effects.append(rule.effect)
        return effects

    def _count(self, number: int, subject: str) -> int:
        with self._state.transaction() as connection:
            connection.execute(
                "INSERT INTO fault_matches (fault, subject, number) SELECT ?1, ?2, "
                "(SELECT count(*) + 1 FROM fault_matches WHERE fault = ?1) "
                "WHERE EXISTS (SELECT 1 FROM faults WHERE id = ?1) "
                "ON CONFLICT (fault, subject) DO NOTHING",
                (number, subject),
            )
            row = connection.execute(
                "SELECT number FROM fault_matches WHERE fault = ? AND subject = ?",
                (number, subject),
            ).fetchone()
        return 0 if row is None else int(row[0])
