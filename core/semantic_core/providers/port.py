"""What batching asks of a provider, and what a provider says, as frozen values.

A provider is a folder beside this file that implements `BatchProvider` and `Embedder`. Nothing
above knows which one it speaks to.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import TOO_LONG
from semantic_core.domain.types import Vector
from semantic_core.providers.terms import Limits, ModelFacts


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
    """One text to embed.

    Attributes:
        key: the content hash in hex; comes back with the result.
        text: the exact text to embed, templates already applied.
    """

    key: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An input file at the provider.

    Attributes:
        name: its name there.
        request_count: lines in it.
        byte_count: its size.
    """

    name: str
    request_count: int
    byte_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the provider lists it.

    Attributes:
        name: its name there.
        display_name: what it was uploaded as; for our input files that of their job.
    """

    name: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteJob:
    """A batch job as the provider describes it.

    Attributes:
        name: its id there.
        state: its state.
        raw_state: the provider's word, kept for messages.
        display_name: ours, by which a job is found again.
        model: model id.
        input_file: name of the input file, where the provider says it.
        result_file: name of the result file, once there is one.
        error_code: code of the job's error, if any.
        error_message: the provider's reason, if any.
        request_count: requests in the job, 0 if not said.
        successful_count: requests done so far, 0 if not said.
        failed_count: requests failed so far, 0 if not said.
        created_at: epoch seconds, or None.
        ended_at: epoch seconds, or None.
        is_done: the provider says that it will not change any more.
    """

    name: str
    state: RemoteState
    raw_state: str
    display_name: str | None = None
    model: str | None = None
    input_file: str | None = None
    result_file: str | None = None
    error_code: int | None = None
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
    """What one complete listing of the provider's jobs showed.

    Attributes:
        jobs: those that were asked for.
        date: when the provider answered, by its own clock, in epoch seconds; None if it did not
            say.
    """

    jobs: tuple[RemoteJob, ...]
    date: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLine:
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


def keep_nothing() -> None:
    """Do nothing while something takes its time."""


class Keyring(Protocol):
    """The two keys of a provider."""

    @property
    def batch_available(self) -> bool:
        """Whether there is a key for batch jobs."""

    def get_default_key(self) -> str:
        """Return the key for live calls, or raise `MissingDefaultKeyError`."""

    def get_batch_key(self) -> str:
        """Return the key for batch jobs, or raise `MissingBatchKeyError`."""


class Embedder(Protocol):
    """Embeds texts at once, at the full price. Used as a context manager, it closes itself."""

    @property
    def group_size(self) -> int:
        """Texts in one request, at most."""

    @property
    def longest_call(self) -> float:
        """Seconds from one request to the next, at most."""

    @property
    def provenance(self) -> str:
        """Names whose vectors these are."""

    def embed_query(self, text: str, *, spec: EmbeddingSpec) -> Vector:
        """Embed one query with the query task or template of the spec."""

    def embed_documents(
        self, texts: Sequence[str], *, spec: EmbeddingSpec
    ) -> npt.NDArray[np.float32]:
        """Embed texts with the document task or template of the spec, in order."""

    def embed_in_parts(
        self,
        texts: Sequence[str],
        *,
        spec: EmbeddingSpec,
        before_each: Callable[[], None] | None = None,
    ) -> Iterator[dict[int, Vector | str]]:
        """Embed texts, one request at a time, and tell of each what became of it.

        Yields:
            For each answered request: by position in ``texts``, the vector, or why the text is
            too long.
        """

    def close(self) -> None:
        """Close the connection. A later call opens a new one."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class BatchProvider(Protocol):
    """Submits, watches, fetches and removes embedding jobs. Decides nothing, knows no database.

    Whatever costs nothing may be tried again within a call; `create` never is. Errors are those
    of `semantic_core.domain.errors`, and ``error.is_definite`` tells whether the call surely had
    no effect.
    """

    @property
    def provenance(self) -> str:
        """Names whose vectors come back."""

    @property
    def limits(self) -> Limits:
        """What the provider allows."""

    def model(self, name: str, /) -> ModelFacts:
        """Return what is known of a model."""

    def account(self, salt: str, /) -> str:
        """Return a name for who pays that does not give the key away."""

    def line(self, spec: EmbeddingSpec, /) -> Callable[[EmbeddingRequest], bytes]:
        """Return a function from a request to its line of an input file."""

    def stage(
        self,
        lines: Iterable[bytes],
        *,
        name: str,
        spool: Path,
        keep: Callable[[], None] = keep_nothing,
    ) -> Staged:
        """Bring an input file to the provider. Costs nothing; may be repeated.

        Args:
            lines: read once; may be of any length.
            name: shown at the provider.
            spool: path for the file on this disk, which must not exist; removed at the end,
                however that comes.
            keep: called from time to time; what it raises ends it.
        """

    def create(self, staged: Staged, /, *, spec: EmbeddingSpec, name: str) -> RemoteJob:
        """Create a job of a staged file: one request, ever. From here on it is billed.

        Args:
            staged: what `stage` gave.
            spec: what its vectors are to be.
            name: by which the job is found again; no other job has it.
        """

    def job(self, job_id: str, /) -> RemoteJob:
        """Ask for the state of a job."""

    def jobs(self, prefix: str, /, *, inputs: Container[str] = ()) -> JobListing:
        """Return all jobs whose name starts so, or whose input file is one of these.

        Of the complete listing, or an error.
        """

    def cancel(self, job_id: str, /) -> None:
        """Ask the provider to stop a job. It may still succeed: poll it. Idempotent."""

    def fetch(
        self, job: RemoteJob, to: Path, /, *, keep: Callable[[], None] = keep_nothing
    ) -> None:
        """Download a job's results: complete, synced to disk, under that name; or not at all."""

    def results(self, path: Path, /, spec: EmbeddingSpec) -> Iterator[ResultLine]:
        """Read a fetched file line by line; of two vectors for one key neither is given."""

    def staged_files(self, prefix: str, /) -> list[RemoteFile]:
        """Return the input files whose name starts so."""

    def remove(self, *, job: str | None = None, files: Iterable[str] = ()) -> bool:
        """Remove a job and files; return whether nothing is left that could be removed."""

    def is_job_id(self, value: object, /) -> bool:
        """Return whether this may be the id of a job there."""

    def live(self, keyring: Keyring, /) -> Embedder:
        """Return an embedder at the same endpoint, on the default key."""

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
