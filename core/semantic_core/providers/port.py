"""What batching and live embedding ask of a provider.

A provider is a folder beside this file that implements `BatchProvider` and `Embedder`. Nothing
above knows which one it speaks to.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from semantic_core.domain.media import MediaBytes
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Vector, VectorLike
from semantic_core.providers.terms import Limits, ModelFacts
from semantic_core.providers.types import (
    EmbeddingRequest,
    JobListing,
    RemoteFile,
    RemoteJob,
    ResultLine,
    Staged,
)


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


class ForeignEmbedder(Protocol):
    """Whatever else makes vectors, for a collection of an external space.

    LangChain's Embeddings are such, and so is any class with these two methods.
    """

    def embed_query(self, text: str, /) -> VectorLike:
        """Return the vector of a query."""

    def embed_documents(self, texts: list[str], /) -> Sequence[VectorLike]:
        """Return the vectors of texts, in their order."""


@runtime_checkable
class Embedder(Protocol):
    """Embeds texts at once, at the full price. Used as a context manager, it closes itself.

    Attributes:
        group_size: texts in one request, at most.
        longest_call: seconds from one request to the next, at most.
        provenance: names whose vectors these are, such as ``google``, or ``endpoint:<host>``.
    """

    group_size: int
    longest_call: float
    provenance: str

    def embed_query(
        self, text: str, *, spec: EmbeddingSpec, media: Sequence[MediaBytes] = ()
    ) -> Vector:
        """Embed one query, which may be pictures, or pictures with a text, with the query task or template of the spec.

        Tried twice within seconds: somebody is waiting.

        Returns:
            float32 of shape (dimensions,).

        Raises:
            MissingDefaultKeyError: there is no default key.
            InvalidInputError: the text is blank, without media, or cannot be sent.
            NotBatchableError: the spec belongs to a foreign embedder.
            ProviderError: the provider refused it, or did not answer in time.
        """

    def embed_documents(
        self, texts: Sequence[str], *, spec: EmbeddingSpec
    ) -> npt.NDArray[np.float32]:
        """Embed texts with the document task or template of the spec.

        Sent in groups of at most ``group_size``, each tried a few times. Vectors of earlier groups
        are lost if a later one fails: hand in one group a call to store each as it comes.

        Returns:
            float32 of shape (len(texts), dimensions), in the order of the texts.

        Raises:
            MissingDefaultKeyError: there is no default key.
            InvalidInputError: a text is blank or cannot be sent. None was sent.
            TextTooLongError: the model does not take a text, or took only its beginning.
            NotBatchableError: the spec belongs to a foreign embedder.
            ProviderError: the provider refused a group, or did not answer.
        """

    def embed_in_parts(
        self,
        texts: Sequence[str],
        *,
        spec: EmbeddingSpec,
        media: Sequence[Sequence[MediaBytes]] = (),
        before_each: Callable[[], None] | None = None,
    ) -> Iterator[dict[int, Vector | str]]:
        """Embed texts, one request at a time, and tell of each what became of it.

        ``media`` are the pictures and pages of each text, which may be blank beside them; none are
        left out. What the model takes in one request bounds those of a call.

        A text that is too long costs no other one its vector. Where the provider refuses a group
        for it, which costs nothing, the group is halved until that text is alone; one that may be
        too long goes alone, since an answer counts the tokens of all its texts together. What
        ``before_each`` request raises passes through.

        Yields:
            For each answered request: by position in ``texts``, the vector, float32 of shape
            (dimensions,), or why the text is too long.

        Raises:
            InvalidInputError: a picture or page was refused; its group is halved like that of a
                text that is too long.
            SemanticCoreError: as `embed_documents`; what was yielded before was paid for.
        """

    def close(self) -> None:
        """Close the connection. A later call opens a new one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BatchProvider(Protocol):
    """Submits, watches, fetches and removes embedding jobs. Decides nothing, knows no database.

    Whatever costs nothing is tried again a few times while the provider is busy; `create` never
    is. Errors are those of `semantic_core.domain.errors`, a `ProviderError` from every call that
    gets no usable answer; ``error.is_definite`` tells whether the call surely had no effect.

    Attributes:
        name: stands in the rows of its jobs: no other provider touches them.
        provenance: names whose vectors come back, such as ``google``, or ``endpoint:<host>``.
        limits: what the provider allows.
    """

    name: str
    provenance: str
    limits: Limits

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

        The lines are read once, and may be of any length. The spool file on this disk must not
        exist, and is removed at the end, however that comes. ``keep`` is called from time to time;
        what it raises ends it.

        Raises:
            InvalidInputError: there are no lines.
            StorageError: the spool file cannot be written.
        """

    def create(self, staged: Staged, /, *, spec: EmbeddingSpec, name: str) -> RemoteJob:
        """Create a job of a staged file, under a name that no other job has. Now it is billed.

        Sends exactly one request, never a second: creating is not idempotent. After an error,
        ``error.is_definite`` tells whether the job surely does not exist. Where it is False, or
        the call was interrupted, it may: look for it with `jobs` before creating another.

        Raises:
            AuthError: definite; the key was refused.
            RequestRefusedError: definite; with the provider's reason.
            RemoteNotFoundError: definite; no such model or file, or the model was shut down.
            RateLimitError: definite; try again after ``retry_after``.
            ProviderUnavailableError: a 5xx, a timeout, a cut connection; definite only where no
                connection came about.
            ProviderProtocolError: not definite; an answer that names no job.
        """

    def job(self, job_id: str, /) -> RemoteJob:
        """Ask for the state of a job.

        Raises:
            RemoteNotFoundError: it is gone, or belongs to another key's project: a provider may
                answer alike.
            AuthError: the key itself was refused; says nothing about the job.
        """

    def jobs(self, prefix: str, /, *, inputs: Container[str] = ()) -> JobListing:
        """Return all jobs whose display name starts so, or whose input file is one of these.

        Of the complete listing, or an error. The files find a job again whose name the provider
        cut, dropped or changed. A job just created may not be listed yet, and another project's
        jobs never are.
        """

    def cancel(self, job_id: str, /) -> None:
        """Ask the provider to stop a job. It may still succeed: poll it. Idempotent.

        Raises:
            RemoteNotFoundError: see `job`.
            RequestRefusedError: the job has ended.
        """

    def fetch(
        self, job: RemoteJob, to: Path, /, *, keep: Callable[[], None] = keep_nothing
    ) -> None:
        """Download a job's results: complete, synced to disk, under that name; or not at all.

        Nothing is removed at the provider. Idempotent; replaces what is there.

        Raises:
            RemoteNotFoundError: the results are gone, or belong to another key's project.
            AuthError: the key itself was refused; says nothing about the results.
            ProviderUnavailableError: the download broke off, every time.
            ProviderProtocolError: the job names no result file, or what came is none.
            StorageError: the disk is full (`StorageFullError`) or refused it; nothing is left.
        """

    def results(self, path: Path, /, spec: EmbeddingSpec) -> Iterator[ResultLine]:
        """Read a fetched file line by line; of two vectors for one key neither is given.

        Raises:
            OSError: the file cannot be read.
        """

    def staged_files(self, prefix: str, /) -> list[RemoteFile]:
        """Return the input files whose display name starts so."""

    def remove(self, *, job: str | None = None, files: Iterable[str] = ()) -> bool:
        """Remove a job and files there; return whether nothing is left that could be removed.

        Call it once the results are stored. Only what is named is removed. Idempotent: what is
        gone counts as removed, and so does what the provider refuses to delete but lets expire.

        Raises:
            InvalidInputError: a name is not a remote name. Nothing was removed.
        """

    def is_job_id(self, value: object, /) -> bool:
        """Return whether this may be the id of a job there."""

    def live(self, keyring: Keyring, /) -> Embedder:
        """Return an embedder at the same endpoint, on the default key."""

    def close(self) -> None:
        """Close the connection. Closing twice does nothing."""
