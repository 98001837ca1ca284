import logging
import warnings
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

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
from semantic_core.providers.gemini.embedder import GeminiEmbedder
from semantic_core.providers.gemini.endpoint import Endpoint
from semantic_core.providers.gemini.fields import check_remote_name, is_remote_name, number_in
from semantic_core.providers.gemini.keyring import BATCH_KEY_VARIABLE, check_key
from semantic_core.providers.gemini.listing import read_files, read_operations
from semantic_core.providers.gemini.models import LIMITS, model_facts
from semantic_core.providers.gemini.operations import (
    as_operation,
    display_name_of,
    input_file_of,
    read_operation,
)
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.gemini.results import trusted_results
from semantic_core.providers.gemini.upload import upload
from semantic_core.providers.port import BatchProvider, Keyring, keep_nothing
from semantic_core.providers.terms import ModelFacts
from semantic_core.providers.types import (
    EmbeddingRequest,
    JobListing,
    RemoteFile,
    RemoteJob,
    ResultLine,
    Staged,
)
from semantic_core.providers.wire.download import download
from semantic_core.providers.wire.private_file import write_lines
from semantic_core.providers.wire.retry import RetryPolicy

_READS = RetryPolicy(attempts=4, first_wait=1.0, longest_wait=30.0)

_log = logging.getLogger(__name__)


class GeminiBatchClient(BatchProvider):
    """The Batch API of Gemini, one call a method.

    May be used from several threads. Errors hold neither the key nor a whole text.

    Args:
        api_key: what jobs are billed to.
        endpoint: where Gemini is; Google, or what the environment names, by default.
        clock: waits between tries.
        transport: sends the requests; the network by default.
    """

    name = "gemini"
    limits = LIMITS

    def __init__(
        self,
        api_key: str,
        *,
        endpoint: Endpoint | None = None,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.endpoint = endpoint or Endpoint()
        self.provenance = self.endpoint.provenance
        try:
            key = check_key(api_key, what="The API key")
        finally:
            # A traceback with variables would show it.
            del api_key
        self._access = self.endpoint.access(
            key,
            key_name=f"batch key ({BATCH_KEY_VARIABLE})",
            clock=clock or SystemClock(),
            transport=transport,
        )
        self._connection = Connection(self._access)

    @classmethod
    def from_keyring(
        cls,
        keyring: Keyring,
        *,
        endpoint: Endpoint | None = None,
        clock: Clock | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> Self:
        """Build a client on the batch key, or raise `MissingBatchKeyError`."""
        return cls(keyring.get_batch_key(), endpoint=endpoint, clock=clock, transport=transport)

    def model(self, name: str, /) -> ModelFacts:
        return model_facts(name)

    def account(self, salt: str, /) -> str:
        return self._access.key.fingerprint(salt)

    def line(self, spec: EmbeddingSpec, /) -> Callable[[EmbeddingRequest], bytes]:
        self._check_served(spec)
        return request_encoder(spec)

    def live(self, keyring: Keyring, /) -> GeminiEmbedder:
        return GeminiEmbedder(keyring, endpoint=self.endpoint, clock=self._access.clock)

    def create_embedding_job(
        self,
        requests: Iterable[EmbeddingRequest],
        *,
        spec: EmbeddingSpec,
        display_name: str,
        spool: Path,
    ) -> RemoteJob:
        """Upload requests and create a job of them: `stage`, then `create`."""
        lines = map(self.line(spec), requests)
        staged = self.stage(lines, name=display_name, spool=spool)
        return self.create(staged, spec=spec, name=display_name)

    def stage(
        self,
        lines: Iterable[bytes],
        *,
        name: str,
        spool: Path,
        keep: Callable[[], None] = keep_nothing,
    ) -> Staged:
        spooled = write_lines(lines, spool)
        try:
            reach(FailPoint.SPOOL_WRITTEN)
            return upload(self._connection, spooled, display_name=name, keep=keep)
        finally:
            spool.unlink(missing_ok=True)

    def create(self, staged: Staged | str, /, *, spec: EmbeddingSpec, name: str) -> RemoteJob:
        self._check_served(spec)
        file = staged.name if isinstance(staged, Staged) else staged
        check_remote_name(file, kind="files")
        batches = self._connection.sdk.batches
        with warnings.catch_warnings(), sdk_errors("the creation of a batch job"):
            # The SDK calls the method experimental, and unknown states a surprise.
            warnings.simplefilter("ignore")
            created = batches.create_embeddings(
                model=spec.model, src={"file_name": file}, config={"display_name": name}
            )
        return read_operation(as_operation(created))

    def job(self, job_id: str, /) -> RemoteJob:
        return read_operation(self._ask("GET", check_remote_name(job_id, kind="batches"))[0])

    def get_job_status(self, job: RemoteJob | str) -> RemoteJob:
        """As `job`, also with what an earlier call gave."""
        return self.job(_name_of(job))

    def jobs(self, prefix: str = "", /, *, inputs: Container[str] = ()) -> JobListing:
        dates: list[float | None] = []

        def read(query: dict[str, str]) -> dict[str, Any]:
            body, date = self._ask("GET", "batches", query)
            dates.append(date)
            return body

        jobs = tuple(
            read_operation(operation)
            for operation in read_operations(read)
            if display_name_of(operation).startswith(prefix) or input_file_of(operation) in inputs
        )
        # From the first page, which lists the newest jobs.
        return JobListing(jobs=jobs, date=dates[0])

    def staged_files(self, prefix: str = "", /) -> list[RemoteFile]:
        listed = read_files(lambda query: self._ask("GET", "files", query)[0])
        return [file for file in listed if (file.display_name or "").startswith(prefix)]

    def cancel(self, job: RemoteJob | str, /) -> None:
        self._ask("POST", f"{check_remote_name(_name_of(job), kind='batches')}:cancel")

    def fetch(
        self, job: RemoteJob, to: Path, /, *, keep: Callable[[], None] = keep_nothing
    ) -> None:
        if job.result_file is None:
            raise ProviderProtocolError(
                f"{job.name} ({job.raw_state}) names no result file. Poll it again."
            )
        name = check_remote_name(job.result_file, kind="files")
        size = self._size_of(name)
        url = self._connection.url_of(f"{name}:download?alt=media")
        _READS.run(
            lambda: download(self._connection.http, url, to, what=name, size=size, keep=keep),
            clock=self._access.clock,
        )

    retrieve_results = fetch

    def results(self, path: Path, /, spec: EmbeddingSpec) -> Iterator[ResultLine]:
        return trusted_results(path, spec)

    def remove(self, *, job: RemoteJob | str | None = None, files: Iterable[str] = ()) -> bool:
        """As `BatchProvider.remove`; with a `RemoteJob` also the files that it names.

        Google refuses to delete result files (it finds their names too long); they expire after 48
        hours and count as removed.
        """
        names = [] if job is None else [check_remote_name(_name_of(job), kind="batches")]
        own = (job.result_file, job.input_file) if isinstance(job, RemoteJob) else ()
        names += [
            check_remote_name(file, kind="files")
            for file in dict.fromkeys([*filter(None, own), *files])
        ]
        removed = [self._remove(name) for name in names]
        return all(removed)

    def is_job_id(self, value: object, /) -> bool:
        return is_remote_name(value, kind="batches")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_served(self, spec: EmbeddingSpec) -> None:
        if spec.is_external:
            raise NotBatchableError
        self.model(spec.model).check_served(self._access.clock.now())

    def _ask(
        self, method: str, path: str, query: dict[str, str] | None = None
    ) -> tuple[dict[str, Any], float | None]:
        """Return an answer and its date; tried again while the provider is busy."""
        return _READS.run(
            lambda: self._connection.dated_request(method, path, query=query),
            clock=self._access.clock,
        )

    def _size_of(self, name: str) -> int | None:
        """Return the size of a remote file, where the provider tells."""
        try:
            return number_in(self._ask("GET", name)[0], "sizeBytes")
        except (RemoteNotFoundError, RequestRefusedError):
            # Users report that result files can be downloaded even where this call fails.
            return None

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
