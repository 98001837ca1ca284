"""A complete listing of the provider's jobs, and what is known of a job that none shows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from semantic_core.batches.job.context import BatchContext
from semantic_core.domain.clock import Clock
from semantic_core.providers.types import RemoteJob
from semantic_core.queue.adoption import inputs_without_job

# A listing can miss a job by chance, and two can share one stale page.
LISTINGS_NEEDED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One moment, as each clock within reach tells it, in seconds.

    Attributes:
        wall: by the machine's clock, which anybody may set.
        monotonic: by the clock that nobody sets, counted from ``boot``.
        provider: by the provider's ``Date`` header; None if it did not say.
    """

    wall: float
    monotonic: float
    boot: str
    provider: float | None = None

    @classmethod
    def take(cls, clock: Clock) -> Self:
        return cls(wall=clock.now(), monotonic=clock.monotonic(), boot=clock.boot_id())

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """Read what a row keeps of one; a ValueError, TypeError or KeyError if it is damaged."""
        provider = values["provider"]
        return cls(
            wall=float(values["wall"]),
            monotonic=float(values["monotonic"]),
            boot=str(values["boot"]),
            provider=None if provider is None else float(provider),
        )

    def since(self, earlier: Reading) -> float | None:
        """Return the seconds that surely passed since another moment: the least any clock says.

        None where only the machine's wall clock could tell, which alone is never believed, or
        where a clock went backwards.
        """
        spans = []
        if self.boot == earlier.boot:
            spans.append(self.monotonic - earlier.monotonic)
        if self.provider is not None and earlier.provider is not None:
            spans.append(self.provider - earlier.provider)
        if not spans:
            return None
        least = min(*spans, self.wall - earlier.wall)
        return None if least < 0 else least


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """How many complete looks did not show a job, and when the first and the last was taken."""

    looks: int
    first: Reading
    last: Reading

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what `to_json` wrote; None where that is damaged: then nothing is known."""
        try:
            values = json.loads(text)
            return cls(
                looks=int(values["looks"]),
                first=Reading.read(values["first"]),
                last=Reading.read(values["last"]),
            )
        except (ValueError, TypeError, KeyError):
            return None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def seconds(self) -> float:
        """How much time surely passed between the first and the last look."""
        return self.last.since(self.first) or 0.0


def seen_absent(before: str | None, now: Reading) -> Absence:
    """Return what is known after one more look that did not show the job.

    Where the time since the first look cannot be told any more (a clock was set back, say), what
    was known before counts for nothing.
    """
    known = None if before is None else Absence.read(before)
    if known is None or now.since(known.first) is None:
        return Absence(looks=1, first=now, last=now)
    return Absence(looks=known.looks + 1, first=known.first, last=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The listed jobs whose name or input file is one of ours, and when they were asked for."""

    jobs: tuple[RemoteJob, ...]
    taken: Reading

    def find(self, display_name: str, input_file: str | None) -> list[RemoteJob]:
        """Return the jobs that are this one of ours, the one to use first.

        Our name alone decides, whatever else the provider says of the job. Only where no
        job has it (it was cut, dropped or changed), our input file does.
        """
        found = [job for job in self.jobs if job.display_name == display_name]
        if not found and input_file is not None:
            found = [job for job in self.jobs if job.input_file == input_file]
        return sorted(found, key=lambda job: (job.is_barren, job.created_at or 0.0, job.name))


def list_provider(context: BatchContext) -> Listing:
    """List the provider's jobs, all pages; an incomplete listing says nothing, and is an error."""
    taken = Reading.take(context.clock)
    with context.store.database.snapshot() as connection:
        # What is older is over, and so are its results: nothing could be taken any more.
        since = taken.wall - context.provider.limits.longest_use
        inputs = inputs_without_job(connection, since=since)
    listed = context.provider.jobs(context.prefix, inputs=inputs)
    return Listing(jobs=listed.jobs, taken=replace(taken, provider=listed.date))
