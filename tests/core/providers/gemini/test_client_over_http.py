"""The batch client against the emulator, over real HTTP and through the real SDK."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_emulator import (
    Bomb,
    CutDownload,
    CutResult,
    Damage,
    DamageLines,
    Delay,
    Drop,
    Emulator,
    EmulatorConfig,
    EndJob,
    FailLines,
    FaultRule,
    Garbage,
    HideJob,
    Lines,
    Operation,
    Redirect,
    Reply,
    StickJob,
    fake_embed,
)
from semantic_core.domain.errors import (
    AuthError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.gemini.results import find_conflicting_keys, read_results
from semantic_core.providers.types import EmbeddingRequest, RemoteJob, RemoteState, ResultLine
from semantic_core.providers.wire.vectors import normalize
from support.clock import ManualClock
from support.keys import canary
from support.wire import jobs_named

KEY = canary("4711")
SPEC = EmbeddingSpec(dimensions=128)
REQUESTS = [
    EmbeddingRequest(key=f"{number:064x}", text=f"text {number} \u2028 é 漢字 {number % 3}")
    for number in range(20)
]


@pytest.fixture
def client(emulator: Emulator, clock: ManualClock) -> Iterator[GeminiBatchClient]:
    with GeminiBatchClient(KEY, endpoint=Endpoint(base_url=emulator.url), clock=clock) as opened:
        yield opened


class Jobs:
    """Creates jobs and fetches their lines, in a folder of its own."""

    def __init__(self, client: GeminiBatchClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def create(self, display_name: str = "run-1", spec: EmbeddingSpec = SPEC) -> RemoteJob:
        return self.client.create_embedding_job(
            REQUESTS, spec=spec, display_name=display_name, spool=self.folder / "spool"
        )

    def finish(self, display_name: str = "run-1", spec: EmbeddingSpec = SPEC) -> RemoteJob:
        """Create a job; the emulator has finished it by the first look."""
        return self.client.get_job_status(self.create(display_name, spec))

    def lines(self, job: RemoteJob, spec: EmbeddingSpec = SPEC) -> list[ResultLine]:
        path = self.folder / "results"
        self.client.retrieve_results(job, path)
        return list(read_results(path, spec=spec))


@pytest.fixture
def jobs(client: GeminiBatchClient, tmp_path: Path) -> Jobs:
    folder = tmp_path / "work"
    folder.mkdir()
    return Jobs(client, folder)


@pytest.mark.parametrize(
    "spec", [SPEC, EmbeddingSpec(), EmbeddingSpec.gemini_embedding_2(dimensions=256)]
)
def test_each_text_gets_the_vector_that_is_its_own(
    emulator: Emulator, jobs: Jobs, spec: EmbeddingSpec
) -> None:
    """From the first call to the last, with the lines in another order than they were sent."""
    job = jobs.create(spec=spec)
    assert job.state is RemoteState.QUEUED
    job = jobs.client.get_job_status(job)
    assert (job.state, job.display_name, job.model) == (RemoteState.SUCCEEDED, "run-1", spec.model)
    assert (job.request_count, job.successful_count, job.failed_count) == (20, 20, 0)
    assert [found.name for found in jobs_named(jobs.client, "run-1")] == [job.name]
    found = {line.key: line for line in jobs.lines(job, spec)}
    assert list(found) != [request.key for request in REQUESTS]
    for request in REQUESTS:
        raw = fake_embed(
            request.text,
            model=spec.model,
            dimensions=spec.dimensions or 0,
            task_type=spec.document_task,
        )
        vector = found[request.key].vector
        assert vector is not None
        assert vector.tobytes() == normalize(raw).tobytes()
        assert found[request.key].token_count
    assert jobs.client.remove(job=job)
    assert jobs.client.remove(job=job)
    assert jobs_named(jobs.client, "run-1") == []
    assert emulator.violations == []
    assert not emulator.ledger.overbilled()
    assert list(jobs.folder.iterdir()) == [jobs.folder / "results"]


def test_a_job_is_seen_through_all_its_states(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=60, running_seconds=60)
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator,
        GeminiBatchClient(KEY, endpoint=Endpoint(base_url=emulator.url), clock=clock) as client,
    ):
        job = Jobs(client, tmp_path).create()
        seen = []
        for _ in range(3):
            seen.append(client.get_job_status(job).state)
            clock.advance(61)
    assert seen == [RemoteState.QUEUED, RemoteState.RUNNING, RemoteState.SUCCEEDED]


# --- create ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "kind", "is_created"),
    [
        (Drop(after=True), ProviderUnavailableError, True),
        (Drop(), ProviderUnavailableError, False),
        (Reply(code=503, after=True), ProviderUnavailableError, True),
        (Reply(code=503, as_text=True), ProviderUnavailableError, False),
        (Garbage(), ProviderProtocolError, True),
        (Garbage(body="{}", content_type="application/json"), ProviderProtocolError, True),
        (Redirect(location="https://evil.example/"), ProviderProtocolError, False),
    ],
)
def test_a_lost_answer_leaves_a_job_to_be_found(
    emulator: Emulator,
    jobs: Jobs,
    effect: Drop | Reply | Garbage | Redirect,
    kind: type[ProviderError],
    is_created: bool,  # noqa: FBT001
) -> None:
    """B5, B6, B12, B13: one request was sent, and the listing knows what became of it."""
    emulator.add_fault(FaultRule(effect=effect, operation=Operation.CREATE))
    with pytest.raises(ProviderError) as caught:
        jobs.create()
    assert type(caught.value) is kind
    assert not caught.value.is_definite
    assert len(emulator.calls(Operation.CREATE)) == 1
    assert len(jobs_named(jobs.client, "run-1")) == is_created


def test_an_answer_that_comes_too_late_is_ambiguous(
    emulator: Emulator, tmp_path: Path, clock: ManualClock
) -> None:
    emulator.add_fault(FaultRule(effect=Delay(seconds=3), operation=Operation.CREATE))
    endpoint = Endpoint(base_url=emulator.url, timeout=0.3)
    with GeminiBatchClient(KEY, endpoint=endpoint, clock=clock) as client:
        with pytest.raises(ProviderUnavailableError) as caught:
            Jobs(client, tmp_path).create()
        assert not caught.value.is_definite
        assert len(jobs_named(client, "run-1")) == 1
    assert len(emulator.calls(Operation.CREATE)) == 1


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (Reply(code=400), RequestRefusedError),
        (Reply(code=401), AuthError),
        (Reply(code=403), AuthError),
        (Reply(code=404), RemoteNotFoundError),
        (Reply(code=429, retry_delay=27), RateLimitError),
    ],
)
def test_a_refused_creation_is_definite(
    emulator: Emulator, jobs: Jobs, effect: Reply, kind: type[ProviderError]
) -> None:
    emulator.add_fault(FaultRule(effect=effect, operation=Operation.CREATE))
    with pytest.raises(ProviderError) as caught:
        jobs.create()
    assert type(caught.value) is kind
    assert caught.value.is_definite
    assert len(emulator.calls(Operation.CREATE)) == 1
    if isinstance(caught.value, RateLimitError):
        assert caught.value.retry_after == 27.0


def test_an_unknown_model_is_a_definite_refusal(jobs: Jobs) -> None:
    with pytest.raises(ProviderError, match="embedding-of-the-future") as caught:
        jobs.create(spec=EmbeddingSpec(model="embedding-of-the-future"))
    assert caught.value.is_definite


def test_a_job_listed_late_is_found_later(tmp_path: Path, clock: ManualClock) -> None:
    """B7: which is why one listing without a job proves nothing."""
    with (
        Emulator(tmp_path / "e.db", clock=clock) as emulator,
        GeminiBatchClient(KEY, endpoint=Endpoint(base_url=emulator.url), clock=clock) as client,
    ):
        emulator.add_fault(FaultRule(effect=HideJob(seconds=600)))
        Jobs(client, tmp_path).create()
        assert jobs_named(client, "run-1") == []
        clock.advance(601)
        assert len(jobs_named(client, "run-1")) == 1


def test_an_upload_survives_busy_servers(emulator: Emulator, jobs: Jobs) -> None:
    """B1."""
    for operation in (Operation.UPLOAD_START, Operation.UPLOAD):
        emulator.add_fault(FaultRule(effect=Reply(code=503), operation=operation))
    emulator.add_fault(FaultRule(effect=Drop(after=True), operation=Operation.UPLOAD, skip=1))
    assert jobs.finish().request_count == 20
    assert not emulator.ledger.overbilled()


# --- look and list ---------------------------------------------------------------------


def test_a_look_survives_busy_servers(emulator: Emulator, jobs: Jobs, clock: ManualClock) -> None:
    """C1."""
    emulator.add_fault(FaultRule(effect=Reply(code=503), operation=Operation.GET))
    emulator.add_fault(FaultRule(effect=Drop(), operation=Operation.GET, skip=1))
    emulator.add_fault(FaultRule(effect=Reply(code=429), operation=Operation.GET, skip=2))
    assert jobs.finish().state is RemoteState.SUCCEEDED
    assert clock.slept == [1.0, 2.0, 4.0]


def test_why_a_job_failed_is_known(emulator: Emulator, jobs: Jobs) -> None:
    """C3: the SDK's own view of a job would not tell."""
    effect = EndJob(state="BATCH_STATE_FAILED", code=13, message="An internal error occurred.")
    emulator.add_fault(FaultRule(effect=effect))
    job = jobs.finish()
    assert job.state is RemoteState.FAILED
    assert job.error_message == "An internal error occurred."


def test_a_state_from_the_future_is_no_end(emulator: Emulator, jobs: Jobs) -> None:
    """C2."""
    emulator.add_fault(FaultRule(effect=StickJob(state="BATCH_STATE_DREAMING")))
    job = jobs.finish()
    assert job.state is RemoteState.UNKNOWN
    assert job.raw_state == "BATCH_STATE_DREAMING"


def test_a_listing_of_many_pages_is_complete(tmp_path: Path, clock: ManualClock) -> None:
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=EmulatorConfig(largest_page=2)) as emulator,
        GeminiBatchClient(KEY, endpoint=Endpoint(base_url=emulator.url), clock=clock) as client,
    ):
        file = client.stage(
            map(request_encoder(SPEC), REQUESTS), name="in", spool=tmp_path / "spool"
        )
        names = [f"semcore-{number % 2}-{number}" for number in range(7)]
        for name in names:
            client.create(file, spec=SPEC, name=name)
        assert {job.display_name for job in client.jobs().jobs} == set(names)
        assert len(client.jobs("semcore-1-").jobs) == 3
        assert len(jobs_named(client, "semcore-0-0")) == 1
        emulator.add_fault(
            FaultRule(effect=Reply(code=503), operation=Operation.LIST, skip=1, times=None)
        )
        with pytest.raises(ProviderUnavailableError):
            jobs_named(client, "semcore-0-0")


def test_another_project_s_key_sees_nothing_and_a_revoked_one_is_refused(
    emulator: Emulator, jobs: Jobs, clock: ManualClock, tmp_path: Path
) -> None:
    """B17, B18: two errors, so that neither is taken for the other."""
    job = jobs.finish()
    with GeminiBatchClient(
        "another-project", endpoint=Endpoint(base_url=emulator.url), clock=clock
    ) as stranger:
        assert jobs_named(stranger, "run-1") == []
        with pytest.raises(RemoteNotFoundError):
            stranger.get_job_status(job)
        with pytest.raises(RemoteNotFoundError):
            stranger.retrieve_results(job, tmp_path / "stolen")
    for code in (400, 403):
        emulator.revoke_key(KEY, code=code)
        with pytest.raises(AuthError):
            jobs.client.get_job_status(job)
        with pytest.raises(AuthError):
            jobs.lines(job)
        with pytest.raises(AuthError):
            jobs_named(jobs.client, "run-1")
        emulator.restore_key(KEY)
    assert len(jobs.lines(job)) == 20


def test_cancelling_is_asked_for(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=60)
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator,
        GeminiBatchClient(KEY, endpoint=Endpoint(base_url=emulator.url), clock=clock) as client,
    ):
        job = Jobs(client, tmp_path).create()
        client.cancel(job)
        assert client.get_job_status(job).state is RemoteState.CANCELLED


# --- retrieve --------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 1000, 20_000])
@pytest.mark.parametrize("tells_length", [True, False])
def test_a_download_that_breaks_off_is_fetched_again(
    emulator: Emulator,
    jobs: Jobs,
    at: int,
    tells_length: bool,  # noqa: FBT001
) -> None:
    """C10."""
    job = jobs.finish()
    emulator.add_fault(FaultRule(effect=CutDownload(at=at, tells_length=tells_length)))
    assert len(jobs.lines(job)) == 20
    emulator.add_fault(FaultRule(effect=CutDownload(at=at, tells_length=tells_length), times=None))
    with pytest.raises(ProviderUnavailableError):
        jobs.lines(job)
    # What was fetched whole before is still there, and nothing else.
    assert [path.name for path in jobs.folder.iterdir()] == ["results"]


@pytest.mark.parametrize("effect", [Bomb(size=1 << 30), Bomb(size=1 << 24, compressed=False)])
def test_a_bomb_does_not_go_off(emulator: Emulator, jobs: Jobs, effect: Bomb) -> None:
    """C23."""
    job = jobs.finish()
    emulator.add_fault(FaultRule(effect=effect, times=None))
    with pytest.raises(ProviderError):
        jobs.lines(job)
    assert list(jobs.folder.iterdir()) == []


def test_a_login_page_is_no_result(emulator: Emulator, jobs: Jobs) -> None:
    job = jobs.finish()
    emulator.add_fault(FaultRule(effect=Garbage(), operation=Operation.DOWNLOAD))
    with pytest.raises(ProviderProtocolError):
        jobs.lines(job)
    assert list(jobs.folder.iterdir()) == []


def test_a_redirected_download_does_not_take_the_key_along(emulator: Emulator, jobs: Jobs) -> None:
    """C24: even to this machine."""
    job = jobs.finish()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        target = f"http://127.0.0.1:{server.getsockname()[1]}/"
        emulator.add_fault(
            FaultRule(effect=Redirect(location=target), operation=Operation.DOWNLOAD)
        )
        with pytest.raises(ProviderProtocolError):
            jobs.lines(job)
        with pytest.raises(TimeoutError):
            server.accept()


def test_expired_results_are_not_found(emulator: Emulator, jobs: Jobs) -> None:
    """C9."""
    job = jobs.finish()
    assert job.result_file is not None
    emulator.delete_file(job.result_file)
    with pytest.raises(RemoteNotFoundError):
        jobs.lines(job)


# --- lines -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "good", "wrong_size"),
    [
        (Damage.WRONG_DIMENSION, 19, 1),
        (Damage.NAN, 19, 0),
        (Damage.INFINITE, 19, 0),
        (Damage.ZERO, 19, 0),
        (Damage.OVERFLOW, 19, 0),
        (Damage.TEXT_NUMBERS, 19, 0),
        (Damage.BOOLEANS, 19, 0),
        (Damage.MISSING, 19, 0),
        (Damage.NO_KEY, 20, 0),
        (Damage.MALFORMED, 19, 0),
        (Damage.EMPTY, 19, 0),
        (Damage.DUPLICATE, 21, 0),
        (Damage.FOREIGN_KEY, 21, 0),
    ],
)
def test_a_damaged_line_costs_only_itself(
    emulator: Emulator, jobs: Jobs, damage: Damage, good: int, wrong_size: int
) -> None:
    """C11 to C17."""
    emulator.add_fault(FaultRule(effect=DamageLines(damage=damage, lines=Lines(numbers=(7,)))))
    lines = jobs.lines(jobs.finish())
    assert sum(line.vector is not None for line in lines) == good
    assert sum(line.is_wrong_size for line in lines) == wrong_size
    assert find_conflicting_keys(jobs.folder / "results") == frozenset()


def test_a_key_with_two_vectors_is_found(emulator: Emulator, jobs: Jobs) -> None:
    """C13."""
    effect = DamageLines(damage=Damage.CONFLICT, lines=Lines(numbers=(7,)))
    emulator.add_fault(FaultRule(effect=effect))
    jobs.lines(jobs.finish())
    assert find_conflicting_keys(jobs.folder / "results") == {REQUESTS[7].key}


@pytest.mark.parametrize(
    ("code", "is_transient", "is_quota"),
    [
        (503, True, False),
        (13, True, False),
        (429, True, True),
        (400, False, False),
        (3, False, False),
    ],
)
def test_a_failed_line_keeps_the_provider_s_words(
    emulator: Emulator,
    jobs: Jobs,
    code: int,
    is_transient: bool,  # noqa: FBT001
    is_quota: bool,  # noqa: FBT001
) -> None:
    """C18, C19."""
    effect = FailLines(code=code, message="These are the words.", lines=Lines(numbers=(7,)))
    emulator.add_fault(FaultRule(effect=effect))
    job = jobs.finish()
    assert (job.successful_count, job.failed_count) == (19, 1)
    (failed,) = [line for line in jobs.lines(job) if line.vector is None]
    assert failed.key == REQUESTS[7].key
    assert failed.error is not None
    assert failed.error.endswith("These are the words.")
    assert (failed.is_transient, failed.is_quota) == (is_transient, is_quota)


def test_a_result_stored_short_shows_against_the_job_s_counts(
    emulator: Emulator, jobs: Jobs
) -> None:
    """C10: the bytes are as many as promised, so only the counts can tell."""
    emulator.add_fault(FaultRule(effect=CutResult(at=3000)))
    job = jobs.finish()
    good = [line for line in jobs.lines(job) if line.vector is not None]
    assert len(good) < job.successful_count


# --- threads ---------------------------------------------------------------------------


def test_several_threads_may_share_a_client(jobs: Jobs) -> None:
    """A pool of connections, and an SDK that is built at the first call."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            folder = jobs.folder / str(number)
            folder.mkdir()
            mine = Jobs(jobs.client, folder)
            job = mine.finish(f"run-{number}")
            assert len(mine.lines(job)) == 20
            assert len(jobs_named(jobs.client, f"run-{number}")) == 1
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
