import logging
import math
from dataclasses import replace
from typing import Self

from semantic_core.batches.config import BatchConfig
from semantic_core.batches.job.context import BatchContext
from semantic_core.batches.job.select import FlushRun, check_batchable
from semantic_core.batches.job.workspace import Workspace
from semantic_core.batches.receipts import estimate_waiting, read_cautions, write_receipt
from semantic_core.batches.recover import recover
from semantic_core.batches.steer import cancel_job, release_job
from semantic_core.batches.submit import submit_one
from semantic_core.batches.sync import sync_adopted, sync_database
from semantic_core.database.marks import check_marks
from semantic_core.database.port import Connection
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import (
    BudgetExceededError,
    ProviderError,
    RateLimitError,
    TransitionError,
    WaitTimeoutError,
)
from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.domain.statuses import JobStatus
from semantic_core.domain.types import BatchJob, QueueStats, StoredChunk, TargetStatus
from semantic_core.providers.gemini import GeminiBatchClient
from semantic_core.providers.port import BatchProvider, Keyring
from semantic_core.queue import jobs
from semantic_core.queue.retries import end_pauses, retry_failed_chunks
from semantic_core.store import BaseVectorStore
from semantic_core.store.collections import collection_id
from semantic_core.store.reading.read import read_failed
from semantic_core.views.progress import QueueProgress, queue_progress
from semantic_core.views.wording import counted

_log = logging.getLogger(__name__)


class BatchManager:
    """Runs the batch queue of one database. Needs a batch key; may be used from cron.

    Any number of managers, in any number of processes, may work on one database: each job is
    worked on by one at a time, and no text is in two jobs. It keeps no state of its own, so a
    process may stop anywhere and another one goes on.

    Args:
        keyring: where the batch key comes from.
        vector_store: whose queue to run.
        collection: send only this collection's texts; None for the whole database. Jobs are
            synced whatever they carry.
        client: how the provider is asked; None for Gemini, where the environment says.
        config: limits and delays.
        clock: where time comes from; None for the store's.
    """

    def __init__(
        self,
        keyring: Keyring,
        vector_store: BaseVectorStore,
        *,
        collection: str | None = None,
        client: BatchProvider | None = None,
        config: BatchConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.keyring = keyring
        self.store = vector_store
        self.collection = collection
        self.config = config or BatchConfig()
        self.clock = clock or vector_store.clock
        self._client = client
        self._owns_client = client is None
        self._told: set[str] = set()
        self._workspace = Workspace(vector_store.database.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"BatchManager({self.store!r}, collection={self.collection!r})"

    def close(self) -> None:
        """Close the connection to the provider, if it was opened here. Idempotent."""
        if self._owns_client and self._client is not None:
            self._client.close()
            self._client = None

    def flush_queue(
        self,
        min_size: int = 1,
        force: bool = False,  # noqa: FBT001, FBT002  # the documented signature
        *,
        max_age: float | None = None,
        max_cost: float | None = None,
    ) -> str | None:
        """Send one job of the texts that wait.

        Its texts have one spec. Specs are tried in order, that of the oldest waiting text first,
        until one passes ``min_size``, budget and quota, and the provider takes it. What is passed
        over is named by `get_queue_stats`, with the reason.

        The claim, the intent to create and the provider's answer are committed one after the
        other, so that a crash anywhere neither loses a text nor pays for it twice. Where anything
        waits, the provider's jobs are listed first: what they carry is not sent again.

        Args:
            min_size: no job below this many distinct texts that are due (a full job is always
                enough).
            force: ignore ``min_size``; never limits, back-off or any budget.
            max_age: ignore ``min_size`` where the oldest of the texts has waited this many seconds.
            max_cost: most that this job may cost, in dollars by estimate; it takes what fits.

        Returns:
            The id of the new job; None if there is too little to send, the provider said enough
            a short while ago, or as many jobs are open as it takes.

        Raises:
            MissingBatchKeyError: nothing was claimed.
            NotBatchableError: the collection belongs to a foreign embedder.
            ProvenanceError: the database holds vectors of another endpoint.
            BudgetExceededError: nothing was sent, and there are texts of which not one fits
                ``max_cost`` or the monthly budget.
            ProviderError: a definite refusal, and nothing else could be sent; the texts wait
                again (after a RateLimitError: for what its message says).
            SubmissionUncertainError: nobody knows whether the job was created; its texts stay
                claimed until sync_status() finds out.
            TransitionError: this process slept so long that another one took the job over; it
                sent nothing, and the texts go with the other's jobs.
        """
        run = FlushRun(self.collection, min_size, max_age=max_age, force=force, max_cost=max_cost)
        return self._send(run)

    def drain_queue(self, min_size: int = 1, *, max_cost: float | None = None) -> list[str]:
        """Send jobs until nothing is left to send or the provider says enough.

        Args:
            min_size: as in `flush_queue`, for each job.
            max_cost: likewise: most that each job may cost.

        Returns:
            The ids of the new jobs. A rate limit stops its own model, and a budget what it does
            not allow, without an error: what is left waits, and the log says why.

        Raises:
            SemanticCoreError: as `flush_queue`, but for those two; jobs sent before stay. A
                refusal that is about one model is raised after all others were sent.
        """
        run = FlushRun(self.collection, min_size, max_cost=max_cost)
        sent: list[str] = []
        try:
            while (batch_id := self._send(run)) is not None:
                sent.append(batch_id)
        except (RateLimitError, BudgetExceededError) as error:
            _log.warning("Stopped after %s: %s", counted(len(sent), "job"), error)
        for refusal in run.refused.values():
            if not isinstance(refusal, RateLimitError):
                raise refusal
        return sent

    def _send(self, run: FlushRun) -> str | None:
        context = self.context()
        check_batchable(self.store, self.collection)
        # Once, before any money: what is not known of the models that texts wait for.
        for caution in self._cautions():
            if caution not in self._told:
                self._told.add(caution)
                _log.warning("%s", caution)
        self.store.fix_provenance(context.provider.provenance)
        recover(context)
        # Jobs of ours whose texts nobody knows before they end: sending now could pay twice.
        if sync_adopted(context):
            return None
        return submit_one(context, run)

    def sync_status(self) -> dict[str, JobStatus]:
        """Bring the database up to date with the provider. Safe from cron, twice, or never.

        Takes up what stopped processes left, polls each open job, stores finished results by
        content hash, puts texts that may be tried again back into the queue, and removes
        remote files of jobs whose results are stored. Doing it again changes nothing.

        A fault of one job is recorded on it (``error_message``) and does not stop the others.
        At the end, targets that are attached to the store are told what they lack.

        Returns:
            The status of each job that was open at the start.

        Raises:
            MissingBatchKeyError: nothing was done.
            ProviderError: no job could be polled, all for the same cause.
            StorageError: likewise: the disk is full, say. The rest waits at the provider.
        """
        try:
            statuses = sync_database(self.context())
        except ProviderError:
            # What is stored already waits for no provider.
            self.deliver()
            raise
        self.deliver()
        return statuses

    def deliver(self) -> tuple[TargetStatus, ...]:
        """Tell attached vector stores what they lack; return what each lacks then. Needs no key."""
        return self.store.delivery.deliver()

    def wait(self, timeout: float | None = None, *, progress: QueueProgress = None) -> QueueStats:
        """Sync until every job has ended or is held: soon again at first, then less often.

        Interrupting it harms nothing. While the provider cannot be reached it goes on trying.

        Args:
            timeout: seconds, or None to wait for as long as it takes.
            progress: True shows a bar of the texts in open jobs (without a terminal a line now and
                then) with the ``cli`` extra; a callable is given the queue after each poll.

        Returns:
            The state of the queue at the end.

        Raises:
            WaitTimeoutError: jobs are still running; they go on without being waited for.
        """
        clock, pause, longest = self.clock, 1.0, self.config.poll_interval
        deadline = math.inf if timeout is None else clock.monotonic() + timeout
        look = self.get_queue_stats
        with queue_progress(progress, clock=clock, look=look, past=self.jobs) as show:
            while True:
                cause: ProviderError | None = None
                try:
                    self.sync_status()
                except ProviderError as error:
                    if error.is_definite and not isinstance(error, RateLimitError):
                        raise
                    _log.warning("Waiting on: %s", error)
                    cause = error
                stats = look()
                running = len(stats.open_jobs) - len(stats.held_jobs)
                left = deadline - clock.monotonic()
                show(stats, max(0.0, min(pause, longest, left)) if running else 0.0)
                if not running:
                    return stats
                if left <= 0:
                    raise WaitTimeoutError(
                        f"{running} batch jobs were still running after {timeout:.0f} s. They go "
                        "on; call wait() or sync_status() later."
                    ) from cause
                pause = min(2 * pause, longest)

    def get_queue_stats(self) -> QueueStats:
        """Return what waits, what runs and what failed. Needs no key."""
        stats = self.store.stats(self.collection)
        return replace(stats, cautions=self._cautions())

    def estimate(self) -> Estimate:
        """Return what sending everything that waits would cost, by estimate. Needs no key."""
        with self.store.database.snapshot() as connection:
            return estimate_waiting(
                connection,
                collection_id=self._collection_id(connection),
                prices=self.config.prices,
                now=self.clock.now(),
            )

    def receipt(self, since: float = 0.0, *, until: float | None = None) -> Receipt:
        """Return what the jobs created in that time cost. Needs no key.

        By the provider's count, and by estimate for texts that it left out, each job at the
        price recorded when it was sent.

        Args:
            since: epoch seconds; 0 for all jobs of the database.
            until: epoch seconds, themselves not included; None for no end.
        """
        prices = self.config.prices
        with self.store.database.snapshot() as connection:
            return write_receipt(connection, since=since, until=until, prices=prices)

    def jobs(self) -> list[BatchJob]:
        """Return every batch job of the database, oldest first. Needs no key."""
        with self.store.database.snapshot() as connection:
            return jobs.list_jobs(connection)

    def failed_chunks(self, limit: int = 100) -> list[StoredChunk]:
        """Return FAILED chunks, oldest first, each with its ``error_message``. Needs no key."""
        with self.store.database.snapshot() as connection:
            return read_failed(
                connection, collection_id=self._collection_id(connection), limit=limit
            )

    def cancel(self, batch_id: str) -> JobStatus:
        """Cancel a job; its texts wait again once the provider confirms.

        What the provider already embedded may be billed. A job that finishes first is applied
        as usual.

        Returns:
            The job's status now; FAILED with reason "cancelled" may take another sync.

        Raises:
            BatchNotFoundError: no such job.
            TransitionError: it has ended, or another process works on it right now.
            ProviderError: the provider could not be asked; call again.
        """
        return cancel_job(self.context(), batch_id)

    def retry_failed(self) -> int:
        """Give every text that failed at the provider new tries, and end every pause.

        A pause is the time that a text or, after a 429, a model waits before it is sent again.
        Chunks that were saved as FAILED (blank ones, say) stay. Needs no key; idempotent.

        Returns:
            How many chunks may go with the next flush that could not before.
        """
        now = self.clock.now()
        with self.store.database.transaction() as connection:
            collection_id = self._collection_id(connection)
            paused = end_pauses(connection, collection_id=collection_id, now=now)
            failed = retry_failed_chunks(connection, collection_id=collection_id, now=now)
            return paused + failed

    def release(self, batch_id: str, accept_rebilling: bool) -> None:  # noqa: FBT001  # must be written out
        """Give up a job that is held, uncertain, or refused to this key; its texts wait again.

        They may have been billed already, and will be billed when they are sent again.

        Args:
            batch_id: which job.
            accept_rebilling: must be True.

        Raises:
            BatchNotFoundError: no such job.
            TransitionError: ``accept_rebilling`` is not True, the job is none of these
                (cancel() it instead), or another process works on it right now.
            ProviderError: nobody knows whether the key is refused; nothing was changed.
        """
        if accept_rebilling is not True:
            raise TransitionError(
                f"Releasing batch job {batch_id} may bill its texts a second time. Pass "
                "accept_rebilling=True if that is what you want.",
                batch_id=batch_id,
            )
        release_job(self.context(), batch_id)

    def context(self) -> BatchContext:
        """Return what the work needs.

        Raises:
            StoreMovedError: it is done in another database.
            MissingBatchKeyError: batching works only with a batch key.
            MissingDefaultKeyError: a spot check is asked for, and there is no key for it.
        """
        with self.store.database.snapshot() as connection:
            check_marks(connection, self.store.database.name)
        self.keyring.get_batch_key()
        if self.config.spot_check:
            self.keyring.get_default_key()
        if self._client is None:
            self._client = GeminiBatchClient.from_keyring(self.keyring, clock=self.clock)
        return BatchContext(
            store=self.store,
            provider=self._client,
            keyring=self.keyring,
            config=self.config,
            clock=self.clock,
            fingerprint=self._client.account(self.store.meta("hmac_salt") or ""),
            prefix=f"semcore-{self.store.meta('install_id')}-",
            workspace=self._workspace,
        )

    def _cautions(self) -> tuple[str, ...]:
        with self.store.database.snapshot() as connection:
            return read_cautions(
                connection,
                collection_id=self._collection_id(connection),
                prices=self.config.prices,
                now=self.clock.now(),
            )

    def _collection_id(self, connection: Connection) -> int | None:
        if self.collection is None:
            return None
        return collection_id(connection, self.collection)
