from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from batch_emulator import (
    Bomb,
    CutDownload,
    CutResult,
    CutUpload,
    Damage,
    DamageLines,
    Delay,
    Drop,
    Emulator,
    EndJob,
    FailLines,
    FaultRule,
    Garbage,
    HideJob,
    Lines,
    Misdate,
    Operation,
    Redirect,
    Relabel,
    ReplaceLines,
    Reply,
    SkipLines,
    StickJob,
    fake_embed,
    text_sha256,
)
from batch_emulator.effects import CallEffect
from batch_emulator.errors import InvalidRuleError
from support.clock import ManualClock
from support.raw_api import MODEL, RawApi, jsonl, line

LINES = [line("a", "alpha"), line("b", "beta"), line("c", "gamma")]


def result_file(api: RawApi, job: str) -> str:
    name: str = api.get(job)["metadata"]["output"]["responsesFile"]
    return name


# --- one call ----------------------------------------------------------------------------


def test_an_error_says_what_google_says(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(
        FaultRule(operation=Operation.CREATE, effect=Reply(code=429, retry_delay=27))
    )
    refused = api.post_create(api.upload(jsonl(LINES)))
    error = refused.json()["error"]
    assert (refused.status_code, error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert error["details"][-1] == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "27s",
    }
    assert emulator.ledger.creates() == {}


def test_an_error_without_a_retry_hint_or_without_json(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(operation=Operation.LIST, effect=Reply(code=429)))
    emulator.add_fault(FaultRule(operation=Operation.LIST, effect=Reply(code=503, as_text=True)))
    first, second = (api.http.get("/v1beta/batches") for _ in range(2))
    assert "RetryInfo" not in first.text
    # Both rules matched the first call; the first one won and the other is used up too.
    assert second.status_code == 200
    emulator.add_fault(FaultRule(operation=Operation.LIST, effect=Reply(code=503, as_text=True)))
    third = api.http.get("/v1beta/batches")
    assert third.status_code == 503
    with pytest.raises(json.JSONDecodeError):
        third.json()


@pytest.mark.parametrize(
    ("effect", "is_done"),
    [
        (Drop(), False),
        (Drop(after=True), True),
        (Reply(code=503), False),
        (Reply(code=503, after=True), True),
        (Garbage(), True),
        (Garbage(body='{"name":', content_type="application/json"), True),
        (Garbage(after=False), False),
        (Redirect(location="http://127.0.0.1:9/"), False),
    ],
)
def test_a_create_that_goes_wrong_was_or_was_not_accepted(
    emulator: Emulator, api: RawApi, effect: CallEffect, *, is_done: bool
) -> None:
    rule = emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=effect))
    file = api.upload(jsonl(LINES))
    if isinstance(effect, Drop):
        with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
            api.post_create(file)
    else:
        api.post_create(file)
    assert emulator.fault_hits(rule) == 1
    assert sum(emulator.ledger.creates().values()) == is_done
    assert len(emulator.jobs()) == is_done
    assert api.post_create(file).status_code == 200, "the rule strikes once"


def test_a_dropped_call_is_logged_as_such(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(operation=Operation.LIST, effect=Drop()))
    with pytest.raises(httpx2.RemoteProtocolError):
        api.get("batches")
    api.get("batches")
    assert [one.outcome for one in emulator.calls(Operation.LIST)] == ["dropped", "200"]


@pytest.mark.parametrize("after", [True, False])
def test_a_late_reply_outlasts_a_timeout(emulator: Emulator, api: RawApi, *, after: bool) -> None:
    effect = Delay(seconds=1.0, after=after)
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=effect))
    file = api.upload(jsonl(LINES))
    api.http.timeout = httpx2.Timeout(0.3)
    with pytest.raises(httpx2.ReadTimeout):
        api.post_create(file)
    if not after:
        assert emulator.jobs() == []
    deadline = time.monotonic() + 120
    while not emulator.jobs() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(emulator.jobs()) == 1, "a client that gave up does not undo a create"


def test_stopping_does_not_wait_for_a_delay(tmp_path: Path) -> None:
    with Emulator(tmp_path / "e.db") as emulator, RawApi(emulator.url) as api:
        emulator.add_fault(FaultRule(effect=Delay(seconds=3600)))
        api.http.timeout = httpx2.Timeout(0.05)
        with pytest.raises(httpx2.ReadTimeout):
            api.get("files")
        begin = time.monotonic()
        emulator.stop()
    assert time.monotonic() - begin < 2


def test_the_nth_call_and_so_many_of_them(emulator: Emulator, api: RawApi) -> None:
    rule = emulator.add_fault(
        FaultRule(operation=Operation.LIST, effect=Reply(code=500), skip=1, times=2)
    )
    codes = [api.http.get("/v1beta/batches").status_code for _ in range(5)]
    assert codes == [200, 500, 500, 200, 200]
    assert emulator.fault_hits(rule) == 2
    always = emulator.add_fault(FaultRule(effect=Reply(code=500), times=None))
    assert [api.http.get("/v1beta/batches").status_code for _ in range(3)] == [500] * 3
    emulator.remove_fault(always)
    assert api.http.get("/v1beta/batches").status_code == 200


@pytest.mark.parametrize("pattern", ["run-2", "run-*2", "batches/*"])
def test_a_target_is_a_pattern_over_names(emulator: Emulator, api: RawApi, pattern: str) -> None:
    first = api.create(LINES, display_name="run-1")
    second = api.create(LINES, display_name="run-2")
    emulator.add_fault(
        FaultRule(operation=Operation.GET, effect=Reply(code=503), target=pattern, times=None)
    )
    is_first_hit = api.http.get(f"/v1beta/{first}").status_code == 503
    assert api.http.get(f"/v1beta/{second}").status_code == 503
    assert is_first_hit == (pattern == "batches/*")


def test_a_target_reaches_every_call_about_a_job(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(effect=Reply(code=503), target="doomed", times=None))
    assert api.start_upload(1, display_name="doomed").status_code == 503
    file = api.upload(jsonl(LINES), display_name="fine")
    assert api.post_create(file, displayName="doomed").status_code == 503
    emulator.clear_faults()
    job = api.post_create(file, displayName="doomed").json()["name"]
    output = result_file(api, job)
    emulator.add_fault(FaultRule(effect=Reply(code=503), target="doomed", times=None))
    for response in (
        api.http.get(f"/v1beta/{job}"),
        api.http.post(f"/v1beta/{job}:cancel"),
        api.http.delete(f"/v1beta/{job}"),
        api.download(output),
    ):
        assert response.status_code == 503
    assert api.post_embed("x", outputDimensionality=8).status_code == 200


def test_a_redirect_leads_elsewhere(emulator: Emulator, api: RawApi, tmp_path: Path) -> None:
    job = api.create(LINES)
    output = result_file(api, job)
    with Emulator(tmp_path / "elsewhere.db") as elsewhere:
        location = f"{elsewhere.url}/v1beta/{output}:download?alt=media"
        emulator.add_fault(
            FaultRule(operation=Operation.DOWNLOAD, effect=Redirect(location=location))
        )
        answer = api.download(output)
        assert (answer.status_code, answer.headers["location"]) == (302, location)
        api.http.get(location)
        assert elsewhere.requests[0].project is not None, "a key that was sent there shows"


# --- uploads, lists, downloads ---------------------------------------------------------------


def test_an_upload_dropped_before_or_after_it_was_stored(emulator: Emulator, api: RawApi) -> None:
    url = api.start_upload(5).headers["x-goog-upload-url"]
    for after in (False, True):
        emulator.add_fault(FaultRule(operation=Operation.UPLOAD, effect=Drop(after=after)))
        with pytest.raises(httpx2.RemoteProtocolError):
            api.send_chunk(url, b"12345")
    assert len(api.get("files")["files"]) == 1
    assert api.send_chunk(url, b"12345").json()["file"]["sizeBytes"] == "5"


@pytest.mark.parametrize("at", [1, 3_000_000])
def test_an_upload_is_cut_within_a_chunk(emulator: Emulator, api: RawApi, at: int) -> None:
    data = bytes(6_000_000)
    url = api.start_upload(len(data), display_name="cut me").headers["x-goog-upload-url"]
    emulator.add_fault(FaultRule(effect=CutUpload(at=at), target="cut me"))
    with pytest.raises(httpx2.TransportError):
        api.send_chunk(url, data)
    assert api.get("files") == {}
    assert emulator.calls(Operation.UPLOAD)[0].outcome == "dropped"
    assert api.send_chunk(url, data).status_code == 200


def test_a_job_appears_late_in_lists(emulator: Emulator, api: RawApi, clock: ManualClock) -> None:
    emulator.add_fault(FaultRule(effect=HideJob(seconds=600)))
    job = api.create(LINES)
    assert api.get("batches") == {}
    assert api.state(job) == "BATCH_STATE_SUCCEEDED", "only lists are late"
    clock.advance(599)
    assert api.get("batches") == {}
    clock.advance(1)
    assert [one["name"] for one in api.get("batches")["operations"]] == [job]


@pytest.mark.parametrize(
    ("label", "name", "model"),
    [
        (Relabel(name_length=3), "a j", "gemini-embedding-001"),
        (Relabel(name_length=0), None, "gemini-embedding-001"),
        (Relabel(display_name="another"), "another", "gemini-embedding-001"),
        (Relabel(model="embedding-1"), "a job", "embedding-1"),
    ],
    ids=["cut", "dropped", "changed", "model"],
)
def test_a_job_is_described_in_other_words(
    emulator: Emulator, api: RawApi, label: Relabel, name: str | None, model: str
) -> None:
    emulator.add_fault(FaultRule(effect=label))
    job = api.create(LINES, display_name="a job")
    for shown in (api.get(job)["metadata"], api.get("batches")["operations"][0]["metadata"]):
        assert (shown.get("displayName"), shown["model"]) == (name, f"models/{model}")
    assert emulator.jobs()[0].display_name == "a job"


def test_answers_bear_the_emulators_date_or_another(
    emulator: Emulator, api: RawApi, clock: ManualClock
) -> None:
    def date() -> float | None:
        header = api.http.get("/v1beta/batches").headers.get("date")
        return None if header is None else parsedate_to_datetime(header).timestamp()

    assert date() == clock.now()
    clock.advance(3600)
    emulator.add_fault(FaultRule(effect=Misdate(seconds=-60)))
    emulator.add_fault(FaultRule(effect=Misdate(seconds=None), skip=1))
    assert [date() for _ in range(3)] == [clock.now() - 60, None, clock.now()]


@pytest.mark.parametrize("at", [0, 1, 100])
def test_a_cut_download_shows_only_by_its_length(emulator: Emulator, api: RawApi, at: int) -> None:
    output = result_file(api, api.create(LINES))
    whole = api.download(output).content
    emulator.add_fault(FaultRule(effect=CutDownload(at=at)))
    with pytest.raises(httpx2.RemoteProtocolError, match=r"incomplete|peer closed"):
        api.download(output)
    emulator.add_fault(FaultRule(effect=CutDownload(at=at, tells_length=False)))
    assert api.download(output).content == whole[:at]
    assert api.download(output).content == whole


def test_only_a_whole_download_counts_as_read(emulator: Emulator, api: RawApi) -> None:
    output = result_file(api, api.create(LINES))
    emulator.add_fault(FaultRule(effect=CutDownload(at=10, tells_length=False)))
    api.download(output)
    assert not emulator.jobs()[0].is_downloaded
    api.download(output)
    assert emulator.jobs()[0].is_downloaded


def test_a_cut_behind_the_last_byte_is_none(emulator: Emulator, api: RawApi) -> None:
    output = result_file(api, api.create(LINES))
    emulator.add_fault(FaultRule(effect=CutDownload(at=10**6, tells_length=False)))
    api.download(output)
    assert emulator.jobs()[0].is_downloaded


def test_an_empty_result_file_can_be_read_too(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(effect=DamageLines(damage=Damage.MISSING)))
    output = result_file(api, api.create(LINES))
    assert api.download(output).content == b""
    assert emulator.jobs()[0].is_downloaded


def test_a_bomb_is_small_on_the_wire(emulator: Emulator, api: RawApi) -> None:
    output = result_file(api, api.create(LINES))
    emulator.add_fault(FaultRule(effect=Bomb(size=3_000_001)))
    with api.http.stream("GET", f"/v1beta/{output}:download", params={"alt": "media"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < 10_000
    emulator.add_fault(FaultRule(effect=Bomb(size=3_000_001)))
    assert api.download(output).content == bytes(3_000_001)


def test_an_endless_body_ends_when_the_client_leaves(tmp_path: Path) -> None:
    with Emulator(tmp_path / "e.db") as emulator, RawApi(emulator.url) as api:
        output = result_file(api, api.create(LINES))
        emulator.add_fault(FaultRule(effect=Bomb(size=1 << 60, compressed=False)))
        path = f"/v1beta/{output}:download"
        with api.http.stream("GET", path, params={"alt": "media"}) as answer:
            assert next(answer.iter_raw())
        assert api.get("files")["files"]
        begin = time.monotonic()
        emulator.stop()
    assert time.monotonic() - begin < 3


# --- jobs ------------------------------------------------------------------------------------


def test_a_job_ends_as_the_rule_says(emulator: Emulator, api: RawApi) -> None:
    rule = emulator.add_fault(
        FaultRule(effect=EndJob(state="BATCH_STATE_FAILED", code=13, message="It broke."))
    )
    failed = api.get(api.create(LINES, display_name="one"))
    assert failed["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert failed["error"] == {"code": 13, "message": "It broke."}
    assert failed["done"] is True
    assert "output" not in failed["metadata"]
    assert emulator.ledger.billed().total() == 0
    assert emulator.fault_hits(rule) == 1
    assert api.state(api.create(LINES, display_name="two")) == "BATCH_STATE_SUCCEEDED"


@pytest.mark.parametrize(
    ("state", "has_output"),
    [
        ("BATCH_STATE_EXPIRED", False),
        ("BATCH_STATE_CANCELLED", False),
        ("BATCH_STATE_PARTIALLY_SUCCEEDED", True),
    ],
)
def test_other_ends(emulator: Emulator, api: RawApi, state: str, *, has_output: bool) -> None:
    emulator.add_fault(FaultRule(effect=EndJob(state=state)))
    ended = api.get(api.create(LINES))["metadata"]
    assert ended["state"] == state
    assert ("output" in ended) == has_output
    assert emulator.ledger.billed().total() == (3 if has_output else 0)


def test_success_without_output(emulator: Emulator, api: RawApi) -> None:
    effect = EndJob(state="BATCH_STATE_SUCCEEDED", has_results=False, is_billed=True)
    emulator.add_fault(FaultRule(effect=effect))
    done = api.get(api.create(LINES))
    assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert "output" not in done["metadata"]
    assert "response" not in done
    assert emulator.ledger.lost() == emulator.ledger.billed()
    assert emulator.ledger.billed().total() == 3


def test_a_stuck_job_stays_until_it_is_let_go(
    emulator: Emulator, api: RawApi, clock: ManualClock
) -> None:
    rule = emulator.add_fault(FaultRule(effect=StickJob(state="BATCH_STATE_FROM_THE_FUTURE")))
    job = api.create(LINES)
    clock.advance(72 * 3600)
    assert api.state(job) == "BATCH_STATE_FROM_THE_FUTURE"
    assert "done" not in api.get(job)
    emulator.remove_fault(rule)
    assert [one["key"] for one in api.lines(job)], "its results are fresh, not two days old"


def test_a_rule_may_come_after_the_job(emulator: Emulator, api: RawApi) -> None:
    job = api.create(LINES)
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    assert api.state(job) == "BATCH_STATE_FAILED"


# --- lines -----------------------------------------------------------------------------------


def test_lines_fail_as_the_rule_says(emulator: Emulator, api: RawApi) -> None:
    effect = FailLines(code=503, message="Try later.", lines=Lines(keys=("b",)))
    emulator.add_fault(FaultRule(effect=effect))
    records = {one["key"]: one for one in api.lines(api.create(LINES))}
    assert records["b"] == {"error": {"code": 503, "message": "Try later."}, "key": "b"}
    assert "response" in records["a"]
    assert emulator.ledger.times_billed("beta") == 0
    stats = emulator.jobs()[0]
    assert (stats.succeeded, stats.failed) == (2, 1)
    again = api.lines(api.create(LINES))
    assert all("response" in one for one in again), "the rule strikes one job"


@pytest.mark.parametrize(
    "lines", [Lines(keys=("b",)), Lines(numbers=(1,)), Lines(containing="bet")]
)
def test_lines_are_chosen_by_key_place_or_text(
    emulator: Emulator, api: RawApi, lines: Lines
) -> None:
    emulator.add_fault(FaultRule(effect=FailLines(code=400, lines=lines)))
    failed = [one["key"] for one in api.lines(api.create(LINES)) if "error" in one]
    assert failed == ["b"]


def damaged(emulator: Emulator, api: RawApi, damage: Damage) -> list[bytes]:
    """Return the lines of a result whose second line is damaged."""
    effect = DamageLines(damage=damage, lines=Lines(keys=("b",)))
    emulator.add_fault(FaultRule(effect=effect))
    return api.results(api.create(LINES)).split(b"\n")[:-1]


def vectors(lines: list[bytes], key: str = "b") -> list[list[float]]:
    records = [json.loads(one) for one in lines]
    return [one["response"]["embedding"]["values"] for one in records if one.get("key") == key]


@pytest.mark.parametrize(
    ("damage", "is_so"),
    [
        (Damage.WRONG_DIMENSION, lambda values: len(values) == 7),
        (Damage.NAN, lambda values: values[0] != values[0]),
        (Damage.INFINITE, lambda values: values[-1] == float("inf")),
        (Damage.ZERO, lambda values: set(values) == {0}),
        (Damage.OVERFLOW, lambda values: values[0] == 1e39),
        (Damage.TEXT_NUMBERS, lambda values: all(isinstance(one, str) for one in values)),
        (Damage.BOOLEANS, lambda values: all(isinstance(one, bool) for one in values)),
        (Damage.SWAPPED, lambda values: values == pytest.approx(fake_embed("gamma", dimensions=8))),
    ],
)
def test_a_spoiled_vector_is_billed_and_lost(
    emulator: Emulator, api: RawApi, damage: Damage, is_so: Callable[[list[Any]], bool]
) -> None:
    lines = damaged(emulator, api, damage)
    assert len(lines) == 3
    assert is_so(vectors(lines)[0])
    assert vectors(lines, "a")[0] == pytest.approx(fake_embed("alpha", dimensions=8))
    assert [one.text_sha256 for one in emulator.ledger.lost()] == [text_sha256("beta")]
    assert emulator.ledger.billed().total() == 3


def test_missing_doubled_and_foreign_lines(emulator: Emulator, api: RawApi) -> None:
    assert vectors(damaged(emulator, api, Damage.MISSING)) == []
    first, second = vectors(damaged(emulator, api, Damage.DUPLICATE))
    assert first == second
    first, second = vectors(damaged(emulator, api, Damage.CONFLICT))
    assert first == [-one for one in second]
    keys = [json.loads(one)["key"] for one in damaged(emulator, api, Damage.FOREIGN_KEY)]
    assert sorted(keys) == ["a", "b", "c", "f" * 64]
    assert len(vectors(damaged(emulator, api, Damage.NO_KEY))) == 0
    assert {"key": "b"} in [json.loads(one) for one in damaged(emulator, api, Damage.EMPTY)]
    broken = 0
    for one in damaged(emulator, api, Damage.MALFORMED):
        try:
            orjson.loads(one)
        except orjson.JSONDecodeError:
            broken += 1
    assert broken == 1


def test_a_line_is_replaced(emulator: Emulator, api: RawApi) -> None:
    effect = ReplaceLines(text="[" * 5000, lines=Lines(numbers=(0,)))
    emulator.add_fault(FaultRule(effect=effect))
    assert b"[" * 5000 in api.results(api.create(LINES)).split(b"\n")


def test_a_skipped_line_has_no_result_no_count_and_no_bill(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(effect=SkipLines(lines=Lines(numbers=(0,)))))
    job = api.create(LINES)
    assert len(api.results(job).splitlines()) == 2
    assert api.get(job)["metadata"]["batchStats"] == {
        "requestCount": "3",
        "successfulRequestCount": "2",
    }
    assert emulator.ledger.billed().total() == 2


def test_a_token_count_may_be_left_out(emulator: Emulator, api: RawApi) -> None:
    lines = [json.loads(one) for one in damaged(emulator, api, Damage.UNCOUNTED)]
    counts = {one["key"]: one["response"].get("tokenCount") for one in lines}
    assert counts == {"a": "2", "b": None, "c": "2"}
    assert emulator.ledger.lost().total() == 0


def test_a_job_may_keep_its_counts_to_itself(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_SUCCEEDED", is_counted=False)))
    assert api.get(api.create(LINES))["metadata"]["batchStats"] == {"requestCount": "3"}


def test_a_result_file_that_breaks_off_is_whole_for_http(emulator: Emulator, api: RawApi) -> None:
    whole = api.results(api.create(LINES))
    emulator.add_fault(FaultRule(effect=CutResult(at=len(whole) // 2)))
    job = api.create(LINES)
    data = api.results(job)
    assert len(data) == len(whole) // 2
    assert api.get(result_file(api, job))["sizeBytes"] == str(len(data))
    lost = [one for one in emulator.ledger.entries(job=job) if one.is_lost]
    assert len(lost) == 2


# --- rules -----------------------------------------------------------------------------------


EVERY_RULE = [
    FaultRule(
        operation=Operation.CREATE,
        effect=Reply(code=429, retry_delay=1.5, retry_after=0),
        times=None,
    ),
    FaultRule(effect=Drop(after=True), target="files/*", skip=2),
    FaultRule(effect=Delay(seconds=0.1)),
    FaultRule(effect=Garbage()),
    FaultRule(effect=Redirect(location="http://127.0.0.1:1/")),
    FaultRule(effect=HideJob(seconds=1)),
    FaultRule(effect=Relabel(name_length=3, model="another")),
    FaultRule(operation=Operation.LIST, effect=Misdate(seconds=None)),
    FaultRule(effect=CutDownload(at=1, tells_length=False)),
    FaultRule(effect=CutUpload(at=1)),
    FaultRule(effect=Bomb(size=1)),
    FaultRule(effect=EndJob(state="BATCH_STATE_FAILED", code=3)),
    FaultRule(effect=StickJob()),
    FaultRule(effect=FailLines(code=400, lines=Lines(keys=("a", "b"), containing="x"))),
    FaultRule(effect=DamageLines(damage=Damage.NAN, lines=Lines(numbers=(1, 2)))),
    FaultRule(effect=ReplaceLines(text="x")),
    FaultRule(effect=SkipLines(lines=Lines(containing="x"))),
    FaultRule(effect=CutResult(at=1)),
]


@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: type(rule.effect).__name__)
def test_a_rule_survives_json(rule: FaultRule) -> None:
    assert FaultRule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize("text", ["{}", "[]", "x", '{"effect": {"kind": "Nonsense"}}'])
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidRuleError, match="not a fault rule"):
        FaultRule.from_json(text)


def test_an_effect_that_cannot_happen_in_a_call_is_refused() -> None:
    with pytest.raises(InvalidRuleError, match="EndJob cannot happen in the call create"):
        FaultRule(operation=Operation.CREATE, effect=EndJob(state="BATCH_STATE_FAILED"))
    with pytest.raises(InvalidRuleError, match="HideJob"):
        FaultRule(operation=Operation.LIST, effect=HideJob(seconds=1))


def test_a_restart_keeps_counts(tmp_path: Path) -> None:
    rule = FaultRule(operation=Operation.LIST, effect=Reply(code=500), skip=1)
    with Emulator(tmp_path / "e.db") as first, RawApi(first.url) as api:
        number = first.add_fault(rule)
        assert api.http.get("/v1beta/batches").status_code == 200
    with Emulator(tmp_path / "e.db") as second, RawApi(second.url) as api:
        assert second.faults == {number: rule}
        codes = [api.http.get("/v1beta/batches").status_code for _ in range(2)]
    assert codes == [500, 200]


def test_live_calls_may_hit_a_quota(emulator: Emulator, api: RawApi) -> None:
    emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=429, retry_delay=1), target=MODEL)
    )
    assert api.post_embed("x").status_code == 429
    assert emulator.ledger.billed().total() == 0
