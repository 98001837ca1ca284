"""GeminiBatchClient: Google's Batch API for embeddings, one call a method."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx2

from semantic_core.domain.clock import Clock, SystemClock
from semantic_core.domain.errors import (
    NotBatchableError,
    ProviderError,
    ProviderProtocolError,
    RemoteNotFoundError,
    RequestRefusedError,
)
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.connection import Connection, sdk_errors
from semantic_core.providers.gemini.download import download
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.keyring import BATCH_KEY_VARIABLE, GoogleKeyring
from semantic_core.providers.gemini.listing import read_files, read_operations
from semantic_core.providers.gemini.names import check_remote_name
from semantic_core.providers.gemini.operations import (
    as_operation,
    display_name_of,
    input_file_of,
    read_operation,
)
from semantic_core.providers.gemini.remote import (
    EmbeddingRequest,
    InputFile,
    JobListing,
    RemoteFile,
    RemoteJob,
    RetrievedResults,
)
from semantic_core.providers.gemini.requests import write_requests
from semantic_core.providers.gemini.upload import upload
from semantic_core.providers.wire.retry import RetryPolicy

if TYPE_CHECKING:
    pass

_READS = RetryPolicy(attempts=4, first_wait=1.0, longest_wait=30.0)

_log = logging.getLogger(__name__)


def _ignore() -> None:
    """Watch nothing."""


class GeminiBatchClient:
    """Submits, watches, fetches and removes embedding jobs. Decides nothing, knows no database.

    Reads are tried again a few times while the provider is busy; `create_job` never is. May be
    used from several threads. Errors hold neither the key nor a whole text.

    Args:
        api_key: what jobs are billed to.
        endpoint: where Gemini is; Google, or what the environment names, by default.
        clock: waits between tries.
        transport: sends the requests; the network by default.
    """

    def __init__(
        self,
        api_key: str,
        *,
        endpoint: Endpoint | None = None,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        self._clock = clock or SystemClock()
        try:
            self._connection = Connection(
                api_key,
                endpoint=self.endpoint,
                clock=self._clock,
                transport=transport,
                key_name=f"batch key ({BATCH_KEY_VARIABLE})",
            )
        finally:
            # A traceback with variables would show it.
            del api_key

    @classmethod
    def from_keyring(
        cls,
        keyring: GoogleKeyring,
        *,
        endpoint: Endpoint | None = None,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> Self:
        """Build a client on the batch key.

        Raises:
            MissingBatchKeyError: the keyring has none.
        """
        return cls(keyring.get_batch_key(), endpoint=endpoint, clock=clock, transport=transport)

    @property
    def provenance(self) -> str:
        """Names whose vectors come back: ``google``, or ``endpoint:<host>``."""
        return self.endpoint.provenance

    def create_embedding_job(
        self,
        requests: Iterable[EmbeddingRequest],
        *,
        spec: EmbeddingSpec,
        display_name: str,
        spool: Path,
    ) -> RemoteJob:
        """Upload requests and create a job of them: `upload_requests`, then `create_job`."""
        input_file = self.upload_requests(
            requests, spec=spec, display_name=display_name, spool=spool
        )
        return self.create_job(input_file, spec=spec, display_name=display_name)

    def upload_requests(
        self,
        requests: Iterable[EmbeddingRequest],
        *,
        spec: EmbeddingSpec,
        display_name: str,
        spool: Path,
        on_progress: Callable[[], None] = _ignore,
    ) -> InputFile:
        """Write requests to an input file and upload it. Costs nothing; tried again if it fails.

        Args:
            requests: read once; may be of any length.
            spec: what the vectors are to be.
            display_name: shown at the provider.
            spool: path for the file on this disk, which must not exist; removed at the end,
                however that comes.
            on_progress: called from time to time; what it raises ends the upload.

        Raises:
            InvalidInputError: there are no requests, or one has a text that cannot be sent.
            NotBatchableError: the spec belongs to a foreign embedder.
            StorageError: the spool file cannot be written.
            ProviderError: the upload failed.
        """
        spooled = write_requests(requests, spool, spec)
        try:
            reach(FailPoint.SPOOL_WRITTEN)
            return upload(
                self._connection,
                spooled,
                display_name=display_name,
                clock=self._clock,
                on_progress=on_progress,
            )
        finally:
            spool.unlink(missing_ok=True)

    def create_job(
        self, input_file: InputFile | str, *, spec: EmbeddingSpec, display_name: str
    ) -> RemoteJob:
        """Create a job of an uploaded file. From here on it is billed.

        Sends exactly one request, never a second: creating is not idempotent. After an error,
        ``error.is_definite`` tells whether the job surely does not exist. Where it is False, or
        the call was interrupted, it may: look for it with `find_jobs` before creating another.

        Args:
            input_file: what `upload_requests` gave, or its remote name.
            spec: what its vectors are to be.
            display_name: by which the job is found again; make it unique.

        Raises:
            AuthError: definite; the key was refused.
            RequestRefusedError: definite; with the provider's reason.
            RemoteNotFoundError: definite; no such model or file.
            RateLimitError: definite; try again after ``retry_after``.
            ProviderUnavailableError: a 5xx, a timeout, a cut connection; definite only where no
                connection came about.
            ProviderProtocolError: not definite; an answer that names no job.
        """
        if spec.is_external:
            raise NotBatchableError
        name = input_file.name if isinstance(input_file, InputFile) else input_file
        check_remote_name(name, kind="files")
        batches = self._connection.sdk.batches
        with warnings.catch_warnings(), sdk_errors("the creation of a batch job"):
            # The SDK calls the method experimental, and unknown states a surprise.
            warnings.simplefilter("ignore")
            created = batches.create_embeddings(
                model=spec.model, src={"file_name": name}, config={"display_name": display_name}
            )
        return read_operation(as_operation(created))

    def get_job_status(self, job: RemoteJob | str) -> RemoteJob:
        """Ask how a job stands.

        Raises:
            RemoteNotFoundError: it is gone, or belongs to another key's project: the provider
                answers alike (404, or a 403 that does not speak of the key).
            AuthError: the key itself was refused; says nothing about the job.
            ProviderError: no usable answer.
        """
        name = check_remote_name(_name_of(job), kind="batches")
        return read_operation(self._read(name))

    def find_jobs(self, display_name: str) -> list[RemoteJob]:
        """Return all jobs of that display name: of the whole listing, or an error.

        A job just created may not be listed yet, and another project's jobs never are.

        Raises:
            ProviderError: the listing failed or was incomplete.
        """
        return [job for job in self.list_jobs(display_name) if job.display_name == display_name]

    def list_jobs(self, prefix: str = "") -> list[RemoteJob]:
        """Return all jobs whose display name starts so: of the whole listing, or an error.

        Raises:
            ProviderError: the listing failed or was incomplete.
        """
        return list(self.job_listing(prefix).jobs)

    def job_listing(self, prefix: str = "", *, inputs: Container[str] = ()) -> JobListing:
        """Return all jobs whose display name starts so, or whose input file is one of these.

        The files find a job again whose name the provider cut, dropped or changed.

        Args:
            prefix: of display names.
            inputs: remote names of input files.

        Raises:
            ProviderError: the listing failed or was incomplete.
        """
        dates: list[float | None] = []

        def read(query: dict[str, str]) -> dict[str, Any]:
            body, date = _READS.run(
                lambda: self._connection.dated_request("GET", "batches", query=query),
                clock=self._clock,
            )
            dates.append(date)
            return body

        jobs = tuple(
            read_operation(operation)
            for operation in read_operations(read)
            if display_name_of(operation).startswith(prefix) or input_file_of(operation) in inputs
        )
        # Of the first page: the newest jobs stand on it.
        return JobListing(jobs=jobs, date=dates[0])

    def list_files(self, prefix: str = "") -> list[RemoteFile]:
        """Return the uploaded files whose display name starts so.

        Raises:
            ProviderError: the listing failed.
        """
        listed = read_files(lambda query: self._read("files", query))
        return [file for file in listed if (file.display_name or "").startswith(prefix)]

    def cancel(self, job: RemoteJob | str) -> None:
        """Ask the provider to stop a job. It may still succeed: poll it. Idempotent.

        Raises:
            RemoteNotFoundError: see `get_job_status`.
            RequestRefusedError: the job has ended.
            ProviderError: no usable answer.
        """
        name = check_remote_name(_name_of(job), kind="batches")
        _READS.run(lambda: self._connection.request("POST", f"{name}:cancel"), clock=self._clock)

    def retrieve_results(
        self,
        job: RemoteJob,
        destination: Path,
        *,
        on_progress: Callable[[], None] = _ignore,
    ) -> RetrievedResults:
        """Download a finished job's results, complete or not at all; read with `read_results`.

        Nothing is removed at the provider. Idempotent; replaces what is at ``destination``.

        Args:
            job: the job.
            destination: path of the file.
            on_progress: called from time to time; what it raises ends the download.

        Raises:
            RemoteNotFoundError: the results are gone (they live for 48 hours), or belong to
                another key's project.
            AuthError: the key itself was refused; says nothing about the results.
            ProviderUnavailableError: the download broke off, every time.
            ProviderProtocolError: the job names no result file, or what came is none.
            StorageFullError: the disk is full; nothing is left behind.
            StorageError: the disk refused it.
        """
        if job.result_file is None:
            raise ProviderProtocolError(
                f"{job.name} ({job.raw_state}) names no result file. Poll it again."
            )
        name = check_remote_name(job.result_file, kind="files")
        size = self._size_of(name)
        return _READS.run(
            lambda: download(
                self._connection, name, destination, size=size, on_progress=on_progress
            ),
            clock=self._clock,
        )

    def cleanup(self, job: RemoteJob | str | None = None, *, files: Iterable[str] = ()) -> bool:
        """Remove a job and its files at the provider. Call it once the results are stored.

        Only what is named is removed. Idempotent: what is gone counts as removed.

        Args:
            job: the job; with a `RemoteJob` also the files that it names.
            files: remote names of more files.

        Returns:
            Whether nothing is left that could be removed. The provider refuses to delete result
            files (it finds their names too long); they expire after 48 hours and count as done.

        Raises:
            InvalidInputError: a name is no remote name. Nothing was removed.
        """
        names = [] if job is None else [check_remote_name(_name_of(job), kind="batches")]
        own = (job.result_file, job.input_file) if isinstance(job, RemoteJob) else ()
        names += [
            check_remote_name(file, kind="files")
            for file in dict.fromkeys([*filter(None, own), *files])
        ]
        removed = [self._remove(name) for name in names]
        return all(removed)

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, path: str, query: dict[str, str] | None = None) -> dict[str, Any]:
        return _READS.run(
            lambda: self._connection.request("GET", path, query=query), clock=self._clock
        )

    def _size_of(self, name: str) -> int | None:
        """Return the size of a remote file, where the provider tells.

        Raises:
            ProviderError: no usable answer.
        """
        try:
            size = self._read(name).get("sizeBytes")
        except (RemoteNotFoundError, RequestRefusedError):
            # Users report that result files can be downloaded even where this call fails.
            return None
        return int(size) if isinstance(size, str) and size.isascii() and size.isdigit() else None

    def _remove(self, name: str) -> bool:
        try:
            self._connection.request("DELETE", name)
        except RemoteNotFoundError:
            return True
        except RequestRefusedError as error:
            # Its own names for result files are too long for it: nothing to be done.
            return "40 characters" in str(error)
        except ProviderError as error:
            _log.info("Removing %s at the provider failed: %s", name, error)
            return False
        return True


def _name_of(job: RemoteJob | str) -> str:
    return job.name if isinstance(job, RemoteJob) else job
