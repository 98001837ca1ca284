"""When things go wrong, as rules that the state file keeps and counts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Self, TypeVar

from batch_emulator.effects import (
    CALL_EFFECTS,
    LINE_EFFECTS,
    CutUpload,
    Damage,
    Effect,
    EndJob,
    HideJob,
    Lines,
    Misdate,
    Relabel,
    StickJob,
)
from batch_emulator.errors import InvalidRuleError
from batch_emulator.journal import Operation
from batch_emulator.state import State

_EFFECTS: dict[str, type[Effect]] = {
    kind.__name__: kind
    for kind in (
        *CALL_EFFECTS,
        CutUpload,
        HideJob,
        Misdate,
        Relabel,
        EndJob,
        StickJob,
        *LINE_EFFECTS,
    )
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
            raise InvalidRuleError(
                f"{type(self.effect).__name__} cannot happen in the call {self.operation}. Leave "
                "`operation` out: the effect knows when it happens."
            )
        if implied is not None:
            object.__setattr__(self, "operation", implied)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InvalidRuleError: it is no rule.
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
            raise InvalidRuleError(
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
