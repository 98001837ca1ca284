from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch_emulator import Emulator, EmulatorConfig, Operation, ViolationKind
from support.clock import ManualClock
from support.keys import canary
from support.raw_api import RawApi, jsonl, line

HOUR = 3600.0
LINES = [line("a", "alpha"), line("b", "beta"), line("c", "gamma"), line("d", "delta")]


@pytest.fixture
def slow(tmp_path: Path, clock: ManualClock) -> Iterator[Emulator]:
    """An emulator that lets a job wait for 10 seconds and run for 20."""
    config = EmulatorConfig(pending_seconds=10, running_seconds=20)
    with Emulator(tmp_path / "slow.db", clock=clock, config=config) as emulator:
        yield emulator


@pytest.fixture
def slow_api(slow: Emulator) -> Iterator[RawApi]:
    with RawApi(slow.url) as api:
        yield api


def kinds(emulator: Emulator) -> list[ViolationKind]:
    return [one.kind for one in emulator.violations]


def test_a_job_moves_by_the_clock(slow: Emulator, slow_api: RawApi, clock: ManualClock) -> None:
    job = slow_api.create(LINES)
    waiting = slow_api.get(job)
    assert waiting["metadata"]["state"] == "BATCH_STATE_PENDING"
    assert waiting["metadata"]["batchStats"] == {"requestCount": "4", "pendingRequestCount": "4"}
    assert "done" not in waiting
    clock.advance(20)
    half = slow_api.get(job)["metadata"]
    assert half["state"] == "BATCH_STATE_RUNNING"
    assert half["batchStats"] == {
        "requestCount": "4",
        "successfulRequestCount": "2",
        "pendingRequestCount": "2",
    }
    assert slow.ledger.billed().total() == 0
    clock.advance(10)
    done = slow_api.get(job)
    assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert done["metadata"]["batchStats"] == {"requestCount": "4", "successfulRequestCount": "4"}
    assert done["done"] is True
    assert done["response"]["responsesFile"] == done["metadata"]["output"]["responsesFile"]
    assert slow.ledger.billed().total() == 4


def test_a_job_ends_on_time_though_nobody_looked(
    slow: Emulator, slow_api: RawApi, clock: ManualClock
) -> None:
    """Its result file is gone two days after the end, not after the first look."""
    job = slow_api.create(LINES)
    clock.advance(30 + 48 * HOUR)
    output = slow_api.get(job)["metadata"]["output"]["responsesFile"]
    assert slow.jobs()[0].ended_at == pytest.approx(slow.jobs()[0].created_at + 30)
    assert slow_api.download(output).status_code == 403


def test_a_job_that_takes_more_than_two_days_expires(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=72 * HOUR)
    with Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator:
        with RawApi(emulator.url) as api:
            job = api.create(LINES)
            clock.advance(49 * HOUR)
            expired = api.get(job)
        assert expired["metadata"]["state"] == "BATCH_STATE_EXPIRED"
        assert "output" not in expired["metadata"]
        assert emulator.ledger.billed().total() == 0


def test_results_are_shuffled_and_name_their_keys(api: RawApi) -> None:
    lines = [line(f"key-{number}", f"text {number}") for number in range(50)]
    keys = [one["key"] for one in api.lines(api.create(lines))]
    assert sorted(keys) == sorted(one["key"] for one in lines)
    assert keys != [one["key"] for one in lines]


def test_creating_twice_makes_two_jobs(emulator: Emulator, api: RawApi) -> None:
    file = api.upload(jsonl(LINES))
    first, second = (api.post_create(file, displayName="run").json()["name"] for _ in range(2))
    assert first != second
    assert len(first.removeprefix("batches/")) == 36
    assert emulator.ledger.creates() == {"run": 2}
    assert emulator.ledger.submitted().most_common(1)[0][1] == 2
    assert set(emulator.ledger.overbilled().values()) == {1}
    assert kinds(emulator) == [ViolationKind.SECOND_CREATE]


def test_a_cancelled_job_says_so_and_bills_nothing(slow: Emulator, slow_api: RawApi) -> None:
    job = slow_api.create(LINES)
    cancelled = slow_api.http.post(f"/v1beta/{job}:cancel")
    assert (cancelled.status_code, cancelled.json()) == (200, {})
    described = slow_api.get(job)
    assert described["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert described["error"]["code"] == 1
    assert slow.ledger.billed().total() == 0


def test_cancelling_a_finished_job_changes_nothing(api: RawApi) -> None:
    job = api.create(LINES)
    api.get(job)
    assert api.http.post(f"/v1beta/{job}:cancel").json() == {}
    assert api.state(job) == "BATCH_STATE_SUCCEEDED"


def test_a_deleted_job_is_gone_and_its_results_stay(emulator: Emulator, api: RawApi) -> None:
    job = api.create(LINES)
    output = api.get(job)["metadata"]["output"]["responsesFile"]
    api.results(job)
    assert api.http.delete(f"/v1beta/{job}").json() == {}
    assert api.http.get(f"/v1beta/{job}").status_code == 404
    assert api.get("batches") == {}
    assert api.download(output).status_code == 200
    assert emulator.violations == []


def test_deleting_too_early_is_a_violation(
    slow: Emulator, slow_api: RawApi, clock: ManualClock
) -> None:
    job = slow_api.create(LINES)
    source = slow_api.get(job)["metadata"]["inputConfig"]["fileName"]
    slow_api.http.delete(f"/v1beta/{source}")
    assert kinds(slow) == [ViolationKind.INPUT_DELETED_EARLY]
    clock.advance(30)
    failed = slow_api.get(job)
    assert failed["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert source in failed["error"]["message"]
    slow_api.http.delete(f"/v1beta/{slow_api.create(LINES)}")
    assert kinds(slow)[1:] == [ViolationKind.JOB_DELETED_EARLY]


def test_deleting_unread_results_is_a_violation(emulator: Emulator, api: RawApi) -> None:
    job = api.create(LINES)
    api.get(job)
    api.http.delete(f"/v1beta/{job}")
    assert kinds(emulator) == [ViolationKind.RESULTS_UNREAD]
    assert emulator.violations[0].subject == job


def test_a_job_of_another_project_is_not_found(emulator: Emulator, api: RawApi) -> None:
    job = api.create(LINES)
    with RawApi(emulator.url, canary("another")) as other:
        assert other.get("batches") == {}
        for response in (
            other.http.get(f"/v1beta/{job}"),
            other.http.post(f"/v1beta/{job}:cancel"),
            other.http.delete(f"/v1beta/{job}"),
        ):
            assert response.status_code == 404
    assert api.state(job) == "BATCH_STATE_SUCCEEDED"


def test_keys_of_one_project_share_their_jobs(tmp_path: Path) -> None:
    config = EmulatorConfig(
        projects={canary("old"): "paid", canary("new"): "paid"}, refuse_unknown_keys=True
    )
    with Emulator(tmp_path / "e.db", config=config) as emulator:
        with RawApi(emulator.url, canary("old")) as old, RawApi(emulator.url, canary("new")) as new:
            job = old.create(LINES)
            emulator.revoke_key(canary("old"), code=403)
            assert old.http.get(f"/v1beta/{job}").status_code == 403
            assert new.state(job) == "BATCH_STATE_SUCCEEDED"
            emulator.restore_key(canary("old"))
            assert old.state(job) == "BATCH_STATE_SUCCEEDED"
        with RawApi(emulator.url, canary("unknown")) as unknown:
            refused = unknown.http.get("/v1beta/batches")
        assert refused.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"
        assert {one.project for one in emulator.calls(Operation.GET)} == {"paid"}


def test_too_many_open_jobs_are_refused(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=10, most_open_jobs=2)
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator,
        RawApi(emulator.url) as api,
    ):
        file = api.upload(jsonl(LINES))
        assert [api.post_create(file).status_code for _ in range(3)] == [200, 200, 429]
        clock.advance(10)
        assert api.post_create(file).status_code == 200


def test_quotas_are_of_one_project_and_model(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=10, most_open_jobs=1)
    with Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator:
        with RawApi(emulator.url) as api:
            file = api.upload(jsonl(LINES))
            assert api.post_create(file).status_code == 200
            assert api.post_create(file).status_code == 429
            assert api.post_create(file, model="gemini-embedding-2").status_code == 200
        with RawApi(emulator.url, canary("another")) as other:
            assert other.post_create(other.upload(jsonl(LINES))).status_code == 200


def test_more_enqueued_tokens_than_the_quota_are_refused(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Four lines of two tokens each, and one of them alone."""
    config = EmulatorConfig(pending_seconds=10, most_enqueued_tokens=10)
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator,
        RawApi(emulator.url) as api,
    ):
        four, one = api.upload(jsonl(LINES)), api.upload(jsonl(LINES[:1]))
        codes = [api.post_create(file).status_code for file in (four, four, one, one)]
        assert codes == [200, 429, 200, 429]
        refused = api.post_create(four)
        assert "retry-after" not in refused.headers
        assert refused.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert emulator.ledger.billed().total() == 0, "what is refused is not billed"
        clock.advance(10)
        assert api.post_create(four).status_code == 200


def test_a_quota_is_not_passed_by_two_calls_at_once(tmp_path: Path, clock: ManualClock) -> None:
    config = EmulatorConfig(pending_seconds=10, most_open_jobs=2)
    with (
        Emulator(tmp_path / "e.db", clock=clock, config=config) as emulator,
        RawApi(emulator.url) as api,
        ThreadPoolExecutor(8) as threads,
    ):
        file = api.upload(jsonl(LINES))
        codes = threads.map(lambda _: api.post_create(file).status_code, range(16))
        assert sorted(codes) == [200] * 2 + [429] * 14


def test_what_others_do_to_a_job(slow: Emulator, slow_api: RawApi, clock: ManualClock) -> None:
    cancelled, deleted = slow_api.create(LINES), slow_api.create(LINES)
    slow.cancel_job(cancelled)
    running = slow_api.create(LINES)
    slow.delete_job(running)
    assert slow_api.state(cancelled) == "BATCH_STATE_CANCELLED"
    clock.advance(30)
    output = slow_api.get(deleted)["metadata"]["output"]["responsesFile"]
    slow.delete_job(deleted)
    slow.delete_file(output)
    assert slow_api.http.get(f"/v1beta/{deleted}").status_code == 404
    assert slow_api.download(output).status_code == 403
    assert slow.ledger.lost() == slow.ledger.billed()
    assert slow.ledger.billed().total() == len(LINES), "what was deleted under way did not run"
    assert ViolationKind.RESULTS_UNREAD not in kinds(slow)


def test_many_lines_cross_the_parts_of_a_file_unharmed(api: RawApi) -> None:
    lines = [line(f"key-{number}", f"text {number} " + "x" * 1000) for number in range(3000)]
    results = api.lines(api.create(lines))
    assert {one["key"] for one in results} == {one["key"] for one in lines}


def test_a_job_runs_once_however_many_ask(emulator: Emulator, api: RawApi) -> None:
    job = api.create([line(f"key-{number}", f"text {number}") for number in range(500)])

    def ask(_: int) -> str:
        with RawApi(emulator.url) as other:
            return other.state(job)

    with ThreadPoolExecutor(8) as threads:
        states = list(threads.map(ask, range(16)))
    assert set(states) == {"BATCH_STATE_SUCCEEDED"}
    assert set(emulator.ledger.billed().values()) == {1}
    assert len(api.get("files")["files"]) == 2


def test_creates_at_once_make_as_many_jobs(emulator: Emulator, api: RawApi) -> None:
    file = api.upload(jsonl(LINES))

    def create(number: int) -> int:
        with RawApi(emulator.url) as other:
            return other.post_create(file, displayName=f"run-{number}").status_code

    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(create, range(24)))
    assert codes == [200] * 24
    assert emulator.ledger.creates() == {f"run-{number}": 1 for number in range(24)}
