"""What the provider allows: one dated table. What a text may hold is the model's, in `spec`."""

from __future__ import annotations

from dataclasses import dataclass

HOUR = 3600.0

# How the reason begins for which a text is FAILED that its model does not take whole: it is never
# sent again by itself.
TOO_LONG = "too long"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLimits:
    """Limits of a batch API. Times are seconds.

    Attributes:
        file_bytes: largest input file of a job.
        storage_bytes: all files of a project together, results included.
        open_jobs: jobs queued or running at one time.
        job_target: how soon a job is to be done; many are not.
        job_lifetime: a job that is not done by then expires, without results and without cost.
        result_lifetime: how long results can be fetched after the end of their job.
        source: where the limits are from.
        as_of: when they were read there.
    """

    file_bytes: int
    storage_bytes: int
    open_jobs: int
    job_target: float
    job_lifetime: float
    result_lifetime: float
    source: str
    as_of: str

    @property
    def result_warning(self) -> float:
        """Seconds after the end of a job when results that are not stored begin to be urgent."""
        return self.result_lifetime / 2


GEMINI_LIMITS = ProviderLimits(
    # Google says "2 GB" and does not say which.
    file_bytes=2_000_000_000,
    storage_bytes=20_000_000_000,
    open_jobs=100,
    job_target=24 * HOUR,
    job_lifetime=48 * HOUR,
    # Result files live as long as any file. How many tokens may be enqueued depends on model and
    # tier and stands in AI Studio only: see queue/ceilings.py.
    result_lifetime=48 * HOUR,
    source="https://ai.google.dev/gemini-api/docs/batch-api and .../files and .../rate-limits",
    as_of="2026-11",
)
"""Google's, for the paid tiers."""

# A result line of 768 numbers was measured with 9,500 bytes.
RESULT_NUMBER_BYTES = 13
RESULT_LINE_BYTES = 200
