"""Steering jobs and reading money from the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Damage, DamageLines, Emulator, EndJob, FailLines, FaultRule, StickJob
from semantic_core import PeeweeVectorStore
from semantic_core.cli.app import app
from semantic_core.domain.errors import (
    BatchNotFoundError,
    BudgetExceededError,
    SemanticCoreError,
    TransitionError,
)
from semantic_core.domain.pricing import estimate_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from support.keys import canary


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.save([Chunk(id="a", text="The cat sat on the mat.", document_id="cats.txt")])
    return str(path)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    if isinstance(result.exception, SemanticCoreError):
        raise result.exception
    return result


def as_json(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def change_jobs(db: str, assignment: str) -> None:
    connection = sqlite3.connect(db)
    with connection:
        connection.execute(f"UPDATE batch_jobs SET {assignment}")
    connection.close()


def test_estimate_before_and_receipt_after(db: str, emulator: Emulator) -> None:
    assert as_json("estimate", "--db", db)["texts"] == 1
    assert "estimated" in run("estimate", "--db", db).output
    run("flush", "--db", db)
    run("sync", "--db", db)
    receipt = as_json("receipt", "--db", db)
    assert receipt["tokens"] == emulator.ledger.tokens(live=False)
    assert receipt["saved_usd"] > 0
    assert "saved <$" in run("receipt", "--db", db).output
    assert "<$0.0001" in run("jobs", "--db", db).output
    assert "Nothing waits" in run("estimate", "--db", db).output
    assert "Sent so far: 1 text, " in run("status", "--db", db).output
    assert "Sent so far" not in run("status", "--db", db, "-c", "default").output


def test_a_receipt_adds_up_by_month_and_collection(db: str) -> None:
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="b", text="It rains.")], collection="weather")
    run("flush", "--db", db)
    run("sync", "--db", db)
    months = {part["month"] for part in as_json("receipt", "--db", db)["parts"]}
    assert months == {f"{datetime.now(UTC):%Y-%m}"}
    said = run("receipt", "--db", db, "--by-month").output
    assert re.search(r"20\S+ .* weather .* <\$0.0001", said)
    assert re.search(r"20\S+ .* default .* <\$0.0001", said)
    assert "2 texts" in said
    # Not job by job.
    assert "COMPLETED" not in said


@pytest.mark.parametrize("asked", ["--month", "--since"])
def test_a_month_that_has_not_begun_has_no_receipt(db: str, asked: str) -> None:
    result = run("receipt", "--db", db, asked, "2999-01")
    assert result.exit_code == 2
    assert "2999-01 has not begun (UTC), so nothing was sent in it" in result.stderr
    assert run("receipt", "--db", db, asked, f"{datetime.now(UTC):%Y-%m}").exit_code == 0


def test_a_receipt_says_that_a_cancelled_job_may_be_billed(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=StickJob(), times=None))
    job = as_json("flush", "--db", db)["jobs"][0]["id"]
    run("cancel", job, "--db", db)
    run("sync", "--db", db)
    tokens = as_json("receipt", "--db", db)["cancelled_tokens"]
    assert tokens > 0
    said = run("receipt", "--db", db).output
    assert "in cancelled jobs, what the provider had embedded by then may be billed" in said


def test_a_model_without_a_price_leaves_the_sum_of_the_others(db: str) -> None:
    run("flush", "--db", db)
    run("sync", "--db", db)
    change_jobs(db, "model = 'some-model', token_count = 2, live_price = NULL, batch_price = NULL")
    gap = "2 tokens of some-model have no price here."
    assert f"1 text, 2 tokens: {gap}" in run("receipt", "--db", db).output
    assert f"Sent so far: 1 text, 2 tokens: {gap}" in run("status", "--db", db).output
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="b", text="It rains.")])
    run("flush", "--db", db)
    run("sync", "--db", db)
    change_jobs(db, "token_count = 5 WHERE model <> 'some-model'")
    known = "<$0.0001 by batch for 5 tokens"
    said = run("receipt", "--db", db).output
    assert f"2 texts, 7 tokens: {known}; {gap} Live the former would have been <$0.0001" in said
    assert f"Sent so far: 2 texts, 7 tokens: {known}; {gap}" in run("status", "--db", db).output
    # A script is not given a part as the whole.
    assert as_json("receipt", "--db", db)["batch_usd"] is None


def test_what_the_provider_did_not_count_is_told_as_an_estimate(
    db: str, emulator: Emulator, tmp_path: Path
) -> None:
    uncounted = FaultRule(effect=DamageLines(damage=Damage.UNCOUNTED), times=None)
    emulator.add_fault(uncounted)
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="b", text="The cat sat on the mat.")])
    run("flush", "--db", db)
    run("sync", "--db", db)
    tokens = estimate_tokens("The cat sat on the mat.")
    guess = "estimated, since the provider counted none"
    said = run("receipt", "--db", db).output
    assert f"1 text, {tokens} tokens ({guess}): about <$0.0001 by batch" in said
    assert f"{tokens} tokens were not paid again ({guess})" in said
    assert f" ~{tokens} " in said
    assert "~<$0.0001" in said
    assert (
        f"Sent so far: 1 text, {tokens} tokens ({guess}): about <$0.0001 by batch"
        in run("status", "--db", db).output
    )
    receipt = as_json("receipt", "--db", db)
    assert (receipt["tokens"], receipt["estimated_tokens"]) == (tokens, tokens)

    folder = tmp_path / "demo"
    folder.mkdir()
    with Emulator(folder / "emulator.db") as own:
        own.add_fault(uncounted)
    cats = tmp_path / "cats.txt"
    cats.write_text("The cat sat on the mat.")
    said = run("demo", str(cats), "--folder", str(folder), "--ask", "cat").output
    assert f"{tokens} tokens in 1 batch job, over all runs on this database; {guess}." in said
    assert "Live this costs <$0.0001" in said


def test_an_estimate_says_how_far_off_it_may_be_and_what_is_not_known(db: str) -> None:
    said = run("estimate", "--db", db).output
    assert "on the careful side" in said
    assert "is known for the model" not in said
    with PeeweeVectorStore(db) as store:
        store.collection("odd", EmbeddingSpec(model="gemini-embedding-9"))
        store.save([Chunk(id="x", text="odd")], collection="odd")
    caution = "No price and no token limit is known for the model 'gemini-embedding-9'"
    assert caution in run("estimate", "--db", db).output
    assert caution in run("status", "--db", db).output


@pytest.mark.parametrize(
    ("sent", "asked", "jobs"),
    [
        (datetime(2025, 9, 30, 23, 59, 59, tzinfo=UTC), "--month=2025-10", 0),
        (datetime(2025, 10, 1, tzinfo=UTC), "--month=2025-10", 1),
        (datetime(2025, 10, 31, 23, 59, 59, tzinfo=UTC), "--month=2025-10", 1),
        (datetime(2025, 11, 1, tzinfo=UTC), "--month=2025-10", 0),
        (datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), "--month=2025-12", 1),
        (datetime(2026, 1, 1, tzinfo=UTC), "--month=2025-12", 0),
        (datetime(2025, 9, 30, 23, 59, 59, tzinfo=UTC), "--since=2025-10", 0),
        (datetime(2026, 1, 1, tzinfo=UTC), "--since=2025-10", 1),
    ],
)
def test_a_receipt_of_a_month_holds_what_was_sent_in_it(
    db: str, sent: datetime, asked: str, jobs: int
) -> None:
    run("flush", "--db", db)
    run("sync", "--db", db)
    change_jobs(db, f"created_at = {sent.timestamp()}")
    receipt = as_json("receipt", "--db", db, asked)
    assert len(receipt["jobs"]) == jobs
    assert receipt["texts"] == jobs
    assert (receipt["tokens"] > 0) == jobs
    assert (receipt["batch_usd"] > 0) == jobs


@pytest.mark.parametrize(
    "asked", [["--month=yesterday"], ["--since=2026-13"], ["--month=2025-10", "--since=2025-10"]]
)
def test_a_month_that_is_none_is_wrong_usage(db: str, asked: list[str]) -> None:
    assert run("receipt", "--db", db, *asked).exit_code == 2


def test_a_cost_limit_is_kept(db: str, emulator: Emulator) -> None:
    with pytest.raises(BudgetExceededError):
        run("flush", "--db", db, "--max-cost", "0.0000000001")
    assert emulator.jobs() == []


def test_jobs_can_be_listed_and_cancelled_by_the_id_that_is_shown(
    db: str, emulator: Emulator
) -> None:
    emulator.add_fault(FaultRule(effect=StickJob(), times=None))
    (job,) = as_json("flush", "--db", db)["jobs"]
    assert job["id"][:8] in run("jobs", "--db", db).output
    with pytest.raises(TransitionError, match="cancel"):
        run("release", job["id"], "--db", db, "--accept-rebilling")
    emulator.clear_faults()
    assert "ended" in run("cancel", job["id"][:8], "--db", db).output
    with pytest.raises(BatchNotFoundError, match="semcore jobs"):
        run("cancel", "nothing", "--db", db)


def test_a_held_job_is_released_only_with_consent(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
    (job,) = as_json("flush", "--db", db)["jobs"]
    assert "held: cancelled elsewhere" in run("sync", "--db", db).output
    with pytest.raises(TransitionError, match="second time"):
        run("release", job["id"], "--db", db)
    assert "wait again" in run("release", job["id"], "--db", db, "--accept-rebilling").output


def test_a_failed_chunk_is_found_explained_and_tried_again(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=FailLines(code=400, message="too rude")))
    run("flush", "--db", db)
    run("sync", "--db", db)
    shown = run("failed", "--db", db).output
    assert "a of cats.txt" in shown
    assert "too rude" in shown
    assert "semcore retry" in shown
    assert as_json("failed", "--db", db)["failed"][0]["error_message"]
    assert "1 chunk waits again" in run("retry", "--db", db).output
    assert "Nothing failed" in run("failed", "--db", db).output


def test_a_sync_says_how_it_goes_on(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=StickJob(), times=None))
    run("flush", "--db", db)
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="b", text="It rains.")])
    assert f"1 job still runs. Later: semcore sync --db {db}" in run("sync", "--db", db).output
    run("flush", "--db", db)
    said = run("sync", "--db", db).output
    assert "2 jobs still run. Later" in said
    assert "semcore failed" not in said
    as_json("sync", "--db", db)
    emulator.clear_faults()
    said = run("sync", "--db", db).output
    assert "COMPLETED" in said
    assert "still" not in said


def test_a_held_job_is_not_said_to_run(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
    run("flush", "--db", db)
    assert "still run" not in run("sync", "--db", db).output


def test_a_failed_text_is_followed_by_the_command_that_explains_it(
    db: str, emulator: Emulator
) -> None:
    hint = f"Next: semcore failed --db {db}"
    assert hint not in run("status", "--db", db).output
    emulator.add_fault(FaultRule(effect=FailLines(code=400, message="too rude")))
    run("flush", "--db", db)
    assert hint in run("sync", "--db", db).output
    assert run("status", "--db", db).output.endswith(f"{hint}\n")
    as_json("status", "--db", db)


def test_a_text_that_failed_for_now_is_not_called_failed(db: str, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(effect=FailLines(code=503, message="busy")))
    run("flush", "--db", db)
    said = run("sync", "--db", db).output
    assert "semcore failed" not in said
    assert "Nothing failed" in run("failed", "--db", db).output


def test_a_retry_of_nothing_says_so(db: str) -> None:
    assert run("retry", "--db", db).output == "Nothing failed, so there is nothing to retry.\n"
    assert as_json("retry", "--db", db) == {"waiting_again": 0}
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="b", text=" ", embedding_status=EmbeddingStatus.FAILED)])
    said = run("retry", "--db", db).output
    assert "never reached the provider" in said
    assert f"Next: semcore failed --db {db}" in said


def test_one_of_a_thing_is_not_told_as_several(db: str, tmp_path: Path) -> None:
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="a", text="cat"), Chunk(id="b", text="cat")])
    said = run("estimate", "--db", db).output
    assert "of about 1 token (estimated)" in said
    assert "sent once: about 1 token less" in said
    run("flush", "--db", db)
    assert "Not in it: about 1 token of jobs" in run("receipt", "--db", db).output
    run("sync", "--db", db)
    assert "1 chunk shares the vector of an equal text" in run("receipt", "--db", db).output
    cats = tmp_path / "cats.txt"
    cats.write_text("The cat sat on the mat.")
    said = run("demo", str(cats), "--folder", str(tmp_path / "demo"), "--ask", "cat").output
    assert "Saved 1 document as 1 chunk;" in said
    assert "Sent 1 batch job." in said
    assert "1 chunk has a vector, 0 failed." in said
    assert "in 1 batch job, over all runs" in said
    assert "1 distinct text, billed 1 time." in said


def test_without_a_command_it_helps() -> None:
    assert run().output == run("--help").output


def test_watch_embeds_what_waits_and_stops_on_sigterm(db: str) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "semantic_core",
            "watch",
            f"--db={db}",
            "--min-size=1",
            "--every=0.2",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    deadline = time.monotonic() + 300
    with PeeweeVectorStore(db) as store:
        while store.stats().ready < 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Sent batch job" in output
    assert re.search(r"20[-0-9]+ [:0-9]+ UTC: 1 ready", output)
    assert "1 job open, 0 held" in output
    assert "Stopped" in output
