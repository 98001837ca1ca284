"""The frozen values that the packages exchange."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, overload

import numpy as np
import numpy.typing as npt

from semantic_core.domain.explanation import Explanation
from semantic_core.domain.media import Media, StoredMedia
from semantic_core.domain.statuses import (
    ENDED_ADVICE,
    UNCERTAIN_ADVICE,
    UNSENT_ADVICE,
    EmbeddingStatus,
    FailureReason,
    HoldReason,
    JobStatus,
    JobStep,
    Match,
    Obstacle,
)

Vector = npt.NDArray[np.float32]
"""One embedding: a one-dimensional float32 array of shape (dimensions,)."""

NO_QUERY_VECTOR = "no query vector: answered by keyword alone"

VectorLike = Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a user ingests. Anything else with ``content`` and ``metadata`` works as well.

    Attributes:
        content: the text.
        metadata: plain JSON values; copied to each chunk. The front matter of a markdown
            document is added to it; what is given here comes first.
        id: names the document, so that ingesting it again replaces it; made from source and
            content if absent, so that an edited one is another document.
        source: where it came from, such as a path or URL; several documents may share one.
        format: ``text`` or ``markdown``: how it is split.
        media: pictures that are embedded together with the content, which is not split then; and
            PDFs, each page of which is a chunk.
    """

    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    source: str | None = None
    format: str = "text"
    media: Media | Sequence[Media] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a document that gets one vector, as it is handed to ``store.save``.

    Attributes:
        text: what is found and shown; may be empty beside media.
        metadata: plain JSON values. ``_vector_source`` is taken out of it, and
            ``embedding_status`` where its value is an EmbeddingStatus; a plain string stays.
        id: unique within the collection; made if absent.
        document_id: the document it belongs to, if any.
        vector_source: the exact text to embed; the text itself if absent.
        vector: a vector made elsewhere, used as it is.
        payload: an adapter's own data; returned to it, never filtered on.
        embedding_status: FAILED stores the chunk without ever sending it.
        error_message: why it is FAILED.
        media: pictures and PDF pages that make one vector together with the text.
    """

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    document_id: str | None = None
    vector_source: str | None = None
    vector: VectorLike | None = None
    payload: str | None = None
    embedding_status: EmbeddingStatus | None = None
    error_message: str | None = None
    media: Media | Sequence[Media] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDocument:
    """A document with all of its chunks; each chunk has an id and this document's id.

    Attributes:
        chunks: its pieces, in order.
        root_id: the root that its file lies in, if it is of one.
    """

    id: str
    document: Document
    chunks: tuple[Chunk, ...]
    root_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk as it is stored."""

    id: str
    collection: str
    text: str
    metadata: dict[str, Any]
    document_id: str | None
    vector_source: str
    payload: str | None
    content_hash: str
    status: EmbeddingStatus
    is_stale: bool
    batch_job_id: str | None
    error_message: str | None
    created_at: float
    updated_at: float
    media: tuple[StoredMedia, ...] = ()

    @property
    def caption(self) -> str:
        """Its text, or the name of a bare picture's file."""
        return self.text or next((part.name for part in self.media if part.name), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What a search is based on: how many chunks of the collection are in which state.

    Stale chunks (PENDING or FAILED, served by the vector of their older text) are counted
    apart from pending and failed.
    """

    ready: int = 0
    stale: int = 0
    pending: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All chunks."""
        return self.ready + self.stale + self.pending + self.failed

    @property
    def by_vector(self) -> float:
        """Share of chunks that vector search can find, from 0 to 1; 1 for an empty collection."""
        return (self.ready + self.stale) / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """One hit.

    Attributes:
        chunk: the chunk.
        score: never rises down the list. By vector it is the cosine in [-1, 1], in hybrid mode
            the sum of weighted reciprocal ranks. A keyword hit has no cosine: it gets the
            score of the hit above it, or 1 where there is none, so that no threshold drops it.
        match: what it was found by.
    """

    chunk: StoredChunk
    score: float
    match: Match

    @property
    def status(self) -> EmbeddingStatus:
        """The chunk's embedding status."""
        return self.chunk.status

    @property
    def stale(self) -> bool:
        """Whether it was found by the vector of an older text of this chunk."""
        return self.chunk.is_stale


@dataclass(frozen=True, slots=True)
class SearchResults(Sequence[SearchResult]):
    """Hits, best first, with what they are based on.

    Attributes:
        hits: the results.
        coverage: states of all chunks in the collection.
        degraded: why the search used less than was asked for, or None.
        explanation: which words it went by, and where a hit's text holds them:
            ``results.explanation.passages(hit.chunk.text)``.
        media: returns the bytes of a picture of a hit: ``results.media(hit.chunk.media[0])``.
    """

    hits: tuple[SearchResult, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    degraded: str | None = None
    explanation: Explanation = field(default_factory=Explanation, repr=False)
    media: Callable[[StoredMedia], bytes] | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        # A copy in another process has no database; that of a server may hold a password.
        return type(self), (self.hits, self.coverage, self.degraded, self.explanation)

    def explain(self) -> str:
        """Return in words what the search went by: which words counted, which did not, and why."""
        return str(self.explanation)

    def because(self, reason: str | None) -> Self:
        """Return the same results with the reason for a missing query vector, if there is one."""
        if reason is None:
            return self
        degraded = (self.degraded or NO_QUERY_VECTOR).replace(NO_QUERY_VECTOR, reason)
        return replace(self, degraded=degraded)

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[SearchResult, ...]: ...

    def __getitem__(self, index: int | slice) -> SearchResult | tuple[SearchResult, ...]:
        return self.hits[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchJob:
    """One submission to the Batch API, as recorded here. Times are epoch seconds.

    ``token_count`` is what its texts have, known once its results are stored: the provider's
    count, and where that leaves texts out, an estimate; ``uncounted_tokens`` is the latter part.
    ``picture_count`` is how many pictures and pages they have, which are always estimated.

    Attributes:
        collections: the names of those whose texts it was given, each with their estimated tokens;
            a text of several is the first one's. Empty for a job found at the provider.
        unreadable: names of the fields that are damaged in the database; they hold another value.
    """

    id: str
    status: JobStatus
    step: JobStep
    model: str
    display_name: str
    google_job_id: str | None
    failure_reason: FailureReason | None
    hold_reason: HoldReason | None
    provider_state: str | None
    error_message: str | None
    request_count: int
    done_count: int
    failed_count: int
    estimated_tokens: int
    token_count: int | None
    uncounted_tokens: int
    picture_count: int
    cost_usd: float | None
    created_at: float
    submitted_at: float | None
    finished_at: float | None
    collections: tuple[tuple[str, int], ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it still holds claims (a held job does)."""
        return self.status not in (JobStatus.COMPLETED, JobStatus.FAILED)

    @property
    def advice(self) -> str | None:
        """What its state means for its texts and the bill, and what to do; None if it runs well.

        A held job has its advice in ``error_message``.
        """
        if self.unreadable:
            return (
                f"Its row in the database is damaged ({', '.join(self.unreadable)}), so what is shown "
                "of it is not all true. Other jobs are not touched by it."
            )
        if self.failure_reason is not None:
            return ENDED_ADVICE[self.failure_reason]
        if self.status is JobStatus.CREATED:
            return UNCERTAIN_ADVICE if self.step is JobStep.CREATING else UNSENT_ADVICE
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """Texts of one vector space that the last flush skipped.

    Attributes:
        collections: the collections they wait in.
        model: model id.
        obstacle: what keeps them.
        why: the reason in words and, where known, what is tried next, when, and which setting
            controls that.
        since: epoch seconds when this reason was first noted.
    """

    collections: tuple[str, ...]
    model: str
    obstacle: Obstacle
    why: str
    since: float

    @property
    def needs_somebody(self) -> bool:
        """Whether it goes on until somebody does something."""
        return self.obstacle is not Obstacle.LATER


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """A vector store that a collection's vectors are delivered to, and what it lacks.

    Attributes:
        name: what it is called here.
        kind: what store it is.
        collection: whose vectors it gets.
        waiting: chunks that it is still to be told of.
        oldest: epoch seconds since when the first of them waits, or None.
        failed: those of them that it did not take alone; they are tried again.
        last_error: what went wrong last, or None.
        is_filling: whether what was there before is still being noted.
    """

    name: str
    kind: str
    collection: str
    waiting: int = 0
    oldest: float | None = None
    failed: int = 0
    last_error: str | None = None
    is_filling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """What waits, what runs and what failed.

    Attributes:
        waiting: PENDING chunks that no job carries.
        waiting_texts: distinct texts among them: what the next jobs would send.
        backing_off: PENDING chunks that wait for their not-before time, within ``waiting``.
        in_flight: PENDING chunks that a job carries.
        ready: chunks with the vector of their text.
        failed: chunks that will not get a vector without help.
        stale: PENDING or FAILED chunks served by the vector of an older text.
        oldest_waiting: epoch seconds when the oldest waiting chunk was saved, or None.
        open_jobs: jobs that still hold claims, held ones included.
        held_jobs: jobs that wait for a person.
        overdue_jobs: jobs that the provider has had for longer than it aims at. They are neither
            lost nor sent again.
        expiring_jobs: jobs whose results are at the provider, not stored here, and will be
            removed there within a day.
        failures: FAILED chunks by error message, most frequent first.
        next_try: epoch seconds when the first of those that back off is due, or None.
        cautions: what is not known of a model that texts wait for, its price or its token limit;
            and that nothing is sent from here, since the database was moved.
        passed_over: what the last flush to look at them did not send, and why.
        targets: the vector stores that vectors are delivered to, and what each lacks.
    """

    waiting: int
    waiting_texts: int
    backing_off: int
    in_flight: int
    ready: int
    failed: int
    stale: int
    oldest_waiting: float | None
    open_jobs: tuple[BatchJob, ...]
    held_jobs: tuple[BatchJob, ...]
    overdue_jobs: tuple[BatchJob, ...] = ()
    expiring_jobs: tuple[BatchJob, ...] = ()
    failures: tuple[tuple[str, int], ...]
    next_try: float | None = None
    cautions: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    targets: tuple[TargetStatus, ...] = ()
