"""A provider that takes no time: what is left is what semcore itself takes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import cast

from semantic_core.batches import BatchConfig, BatchManager
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import (
    EmbeddingRequest,
    GeminiBatchClient,
    InputFile,
    JobListing,
    RemoteJob,
    RemoteState,
    RemoteStatus,
    RetrievedResults,
    request_encoder,
)
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore


class InstantProvider:
    """Stands where the Gemini client stands; every job is done at once.

    Attributes:
        results: the file that holds the answers to the next job; it is moved, not copied.
        keys: the content hashes of the last upload, in order.
    """

    provenance = "endpoint:benchmark"

    def __init__(self) -> None:
        self.results: Path | None = None
        self.keys: list[str] = []
        self._jobs: dict[str, RemoteJob] = {}

    def upload_requests(
        self,
        requests: Iterable[EmbeddingRequest],
        *,
        spec: EmbeddingSpec,
        display_name: str,
        spool: Path,
        on_progress: Callable[[], object] = bool,  # noqa: ARG002  # the client's interface
    ) -> InputFile:
        """Write the input file, as for an upload."""
        encode = request_encoder(spec)
        self.keys = []
        with spool.open("wb") as file:
            for request in requests:
                file.write(encode(request))
                self.keys.append(request.key)
        return InputFile(
            name=f"files/{display_name}",
            request_count=len(self.keys),
            byte_count=spool.stat().st_size,
        )

    def create_job(
        self, input_file: InputFile, *, spec: EmbeddingSpec, display_name: str
    ) -> RemoteJob:
        """Take a job, and be done with it."""
        job = RemoteJob(
            name=f"batches/{uuid.uuid4()}",
            status=RemoteStatus.SUCCEEDED,
            state=RemoteState.SUCCEEDED,
            raw_state="BATCH_STATE_SUCCEEDED",
            display_name=display_name,
            model=spec.model,
            input_file=input_file.name,
            result_file="files/results",
        )
        self._jobs[job.name] = job
        return job

    def get_job_status(self, job: RemoteJob | str) -> RemoteJob:
        """Say that it is done."""
        return self._jobs[job if isinstance(job, str) else job.name]

    def retrieve_results(
        self,
        job: RemoteJob,  # noqa: ARG002  # the client's interface
        destination: Path,
        *,
        on_progress: Callable[[], object] = bool,  # noqa: ARG002
    ) -> RetrievedResults:
        """Move the prepared answers to where they are wanted."""
        if self.results is None:
            raise SystemExit("No results were prepared.")
        os.replace(self.results, destination)  # noqa: PTH105  # as the client does
        return RetrievedResults(
            path=destination, byte_count=destination.stat().st_size, line_count=len(self.keys)
        )

    def job_listing(self, prefix: str = "", *, inputs: Container[str] = ()) -> JobListing:  # noqa: ARG002  # the client's interface
        """Return the jobs."""
        jobs = self._jobs.values()
        return JobListing(
            jobs=tuple(job for job in jobs if (job.display_name or "").startswith(prefix))
        )

    def list_files(self, prefix: str = "") -> list[object]:  # noqa: ARG002  # the client's interface
        """Return no files."""
        return []

    def cleanup(self, job: object = None, *, files: Iterable[str] = ()) -> bool:  # noqa: ARG002  # the client's interface
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
