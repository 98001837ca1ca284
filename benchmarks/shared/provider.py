"""A provider that takes no time: what is left is what semcore itself takes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import cast

from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.facts import LIMITS, model_facts
from semantic_core.providers.gemini import GeminiBatchClient, GoogleKeyring
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.gemini.results import trusted_results
from semantic_core.providers.terms import Limits, ModelFacts
from semantic_core.providers.types import (
    EmbeddingRequest,
    JobListing,
    RemoteJob,
    RemoteState,
    ResultLine,
    Staged,
)
from semantic_core.store import PeeweeVectorStore


class InstantProvider:
    """Stands where the Gemini client stands; every job is done at once.

    Attributes:
        results_file: the file that holds the answers to the next job; it is moved, not copied.
        keys: the content hashes of the last upload, in order.
    """

    name = "benchmark"
    provenance = "endpoint:benchmark"

    def __init__(self) -> None:
        self.results_file: Path | None = None
        self.keys: list[str] = []
        self._jobs: dict[str, RemoteJob] = {}

    @property
    def limits(self) -> Limits:
        """Allow what Google allows."""
        return LIMITS

    def account(self, salt: str) -> str:
        """Name the only payer."""
        return f"benchmark {salt}"

    def model(self, name: str) -> ModelFacts:
        """Know what everybody knows."""
        return model_facts(name)

    def is_job_id(self, value: object) -> bool:
        """Take any text."""
        return isinstance(value, str)

    def line(self, spec: EmbeddingSpec) -> Callable[[EmbeddingRequest], bytes]:
        """Write lines as the client does."""
        encode = request_encoder(spec)
        self.keys = []

        def write(request: EmbeddingRequest) -> bytes:
            self.keys.append(request.key)
            return encode(request)

        return write

    def stage(
        self,
        lines: Iterable[bytes],
        *,
        name: str,
        spool: Path,
        keep: Callable[[], object] = bool,  # noqa: ARG002  # the client's interface
    ) -> Staged:
        """Write the input file, as for an upload."""
        with spool.open("wb") as file:
            file.writelines(lines)
        return Staged(
            name=f"files/{name}", request_count=len(self.keys), byte_count=spool.stat().st_size
        )

    def create(self, staged: Staged, *, spec: EmbeddingSpec, name: str) -> RemoteJob:
        """Take a job, and be done with it."""
        job = RemoteJob(
            name=f"batches/{uuid.uuid4()}",
            state=RemoteState.SUCCEEDED,
            raw_state="BATCH_STATE_SUCCEEDED",
            display_name=name,
            model=spec.model,
            input_file=staged.name,
            result_file="files/results",
        )
        self._jobs[job.name] = job
        return job

    def job(self, job_id: str) -> RemoteJob:
        """Say that it is done."""
        return self._jobs[job_id]

    def fetch(
        self,
        job: RemoteJob,  # noqa: ARG002  # the client's interface
        to: Path,
        *,
        keep: Callable[[], object] = bool,  # noqa: ARG002
    ) -> None:
        """Move the prepared answers to where they are wanted."""
        if self.results_file is None:
            raise SystemExit("No results were prepared.")
        os.replace(self.results_file, to)  # noqa: PTH105  # as the client does

    def results(self, path: Path, spec: EmbeddingSpec) -> Iterator[ResultLine]:
        """Read them as the client does."""
        return trusted_results(path, spec)

    def jobs(self, prefix: str = "", *, inputs: Container[str] = ()) -> JobListing:  # noqa: ARG002  # the client's interface
        """Return the jobs."""
        jobs = self._jobs.values()
        return JobListing(
            jobs=tuple(job for job in jobs if (job.display_name or "").startswith(prefix))
        )

    def staged_files(self, prefix: str = "") -> list[object]:  # noqa: ARG002  # the client's interface
        """Return no files."""
        return []

    def remove(self, *, job: object = None, files: Iterable[str] = ()) -> bool:  # noqa: ARG002  # the client's interface
        """Remove nothing."""
        return True

    def close(self) -> None:
        """Close nothing."""


def manager_of(store: PeeweeVectorStore, provider: InstantProvider, *, texts: int) -> BatchManager:
    """Return a manager whose jobs hold up to so many texts."""
    return BatchManager(
        GoogleKeyring(default_key="no-key", batch_key="no-batch-key"),
        store,
        client=cast("GeminiBatchClient", provider),
        config=BatchConfig(
            max_requests=texts, max_file_bytes=2**40, max_tokens=2**40, first_job_tokens=2**40
        ),
    )
