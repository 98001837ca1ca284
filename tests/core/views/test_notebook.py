"""What a notebook shows: everything that a value holds, and nothing as markup."""

from __future__ import annotations

from dataclasses import fields, replace
from enum import Enum
from typing import Any

import pytest

from semantic_core.domain.pricing import Cost
from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.domain.reports import IngestReport, Rejected, SaveReport
from semantic_core.domain.statuses import (
    EmbeddingStatus,
    FailureReason,
    HoldReason,
    JobStatus,
    JobStep,
    Match,
    Obstacle,
)
from semantic_core.domain.types import (
    BatchJob,
    Chunk,
    Coverage,
    PassedOver,
    QueueStats,
    SearchResult,
    SearchResults,
    StoredChunk,
    TargetStatus,
)
from semantic_core.store import PeeweeVectorStore
from semantic_core.views.notebook import MOST_ROWS, TEXT_WIDTH
from semantic_core.views.wording import moment
from support.html import Page, read_html

EVIL = "<script>alert('x')</script> & \"more\""
NOW = 1_800_000_000.0

JOB = BatchJob(
    id="11111111-job",
    status=JobStatus.FAILED,
    step=JobStep.FETCHED,
    model="some-model",
    display_name="semcore-name",
    google_job_id="batches/remote",
    failure_reason=FailureReason.EXPIRED,
    hold_reason=None,
    provider_state="BATCH_STATE_EXPIRED",
    error_message="it expired",
    request_count=5001,
    done_count=4002,
    failed_count=303,
    estimated_tokens=77_001,
    token_count=78_002,
    uncounted_tokens=0,
    picture_count=24,
    cost_usd=0.5151,
    created_at=NOW,
    submitted_at=NOW + 60,
    finished_at=NOW + 120,
    collections=(("notes", 70_000), ("mails", 7_001)),
    unreadable=("spec",),
)
HELD = replace(
    JOB,
    id="22222222-job",
    status=JobStatus.SUBMITTED,
    hold_reason=HoldReason.LOST,
    token_count=None,
)
OVERDUE = replace(HELD, id="33333333-job", submitted_at=NOW + 600)
EXPIRING = replace(HELD, id="44444444-job", finished_at=NOW + 1200)
CHUNK = StoredChunk(
    id="doc#7",
    collection="default",
    text="The whole text.",
    metadata={},
    document_id="doc",
    vector_source="The whole text.",
    payload=None,
    content_hash="00" * 32,
    status=EmbeddingStatus.PENDING,
    is_stale=True,
    batch_job_id=None,
    error_message=None,
    created_at=NOW,
    updated_at=NOW,
)
HIT = SearchResult(chunk=CHUNK, score=0.8765, match=Match.VECTOR)
PASSED = PassedOver(
    collections=("side", "other"),
    model="a-model",
    obstacle=Obstacle.REFUSAL,
    why="it is too early",
    since=NOW + 1800,
)
STATS = QueueStats(
    waiting=1001,
    waiting_texts=902,
    backing_off=83,
    in_flight=2004,
    ready=30_005,
    failed=46,
    stale=57,
    oldest_waiting=NOW,
    open_jobs=(JOB, HELD),
    held_jobs=(HELD,),
    overdue_jobs=(OVERDUE,),
    expiring_jobs=(EXPIRING,),
    failures=(("too long", 40), ("blank", 6)),
    next_try=NOW + 7200,
    cautions=("no price for a model",),
    passed_over=(PASSED,),
    targets=(
        TargetStatus(
            name="docs",
            kind="a store",
            collection="x",
            waiting=21,
            failed=3,
            last_error="it is down",
        ),
    ),
)
COVERAGE = Coverage(ready=6, stale=1, pending=2, failed=3)
RESULTS = SearchResults((HIT,), COVERAGE, "no key")
ESTIMATE = Estimate(
    chunks=1101,
    texts=1002,
    tokens=90_003,
    live_usd=0.4444,
    batch_usd=0.2222,
    repeated_tokens=8_004,
    priced_as_of="2026-11",
    pictures=31,
    picture_tokens=18_011,
    cautions=("no limit for a model",),
)
RECEIPT = Receipt(
    jobs=(JOB,),
    tokens=78_002,
    estimated_tokens=0,
    open_tokens=66_003,
    texts=4_002,
    batch_usd=0.3333,
    live_usd=0.7777,
    priced=Cost(tokens=78_002, live_usd=0.7777, batch_usd=0.3333),
    unpriced=(("another-model", 13),),
    reused_chunks=55,
    reused_tokens=44_004,
    reused_estimated_tokens=0,
    check_tokens=17_005,
    check_usd=0.1234,
    pictures=24,
    picture_tokens=13_944,
)
SAVED = SaveReport(inserted=3002, updated=403, unchanged=54, ready=2055, pending=1406, failed=7)
REPORT = IngestReport(
    documents=1201,
    chunks=SAVED,
    removed=68,
    rejected=(Rejected(position=4_009, name="document 'x'", reason="it is blank"),),
    rejected_count=91,
    skipped=("empty.md",),
    skipped_count=3,
    seconds=12.34,
)
VALUES = (JOB, HELD, STATS, RESULTS, ESTIMATE, RECEIPT, REPORT)


def page(value: Any) -> Page:
    return read_html(value._repr_html_())


def rows_of(job: BatchJob) -> list[str]:
    """What a table of jobs says of one."""
    counts = [job.request_count, job.done_count, job.failed_count]
    return [job.id, *(f"{count:,}" for count in counts), moment(job.created_at)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            STATS,
            [
                *("ready 30,005", "in flight 2,004", "waiting 1,001", "failed 46", "33,056 chunks"),
                *("902 distinct texts", "later: 83", "57", moment(NOW), "1 job held"),
                "no price for a model",
                f"Skipped since {moment(NOW + 1800)}: side, other (a-model): it is too early",
                *("33333333-job: at the provider since " + moment(NOW + 600), moment(NOW + 7200)),
                "44444444-job: its results are there since " + moment(NOW + 1200),
                *(*rows_of(JOB), *rows_of(HELD), "FAILED", "held: lost", "it expired", "78,002"),
                *("~77,001", "40", "too long", "6", "blank"),
            ],
        ),
        (
            JOB,
            [
                *(
                    "11111111-job",
                    "notes, mails",
                    "FAILED",
                    "fetched",
                    "some-model",
                    "semcore-name",
                    "$0.5151",
                ),
                *("batches/remote", "expired at the provider", "BATCH_STATE_EXPIRED"),
                *("it expired", "5,001 texts", "done 4,002", "failed 303", "open 696", "77,001"),
                *("78,002", moment(NOW), moment(NOW + 60), moment(NOW + 120)),
            ],
        ),
        (HELD, ["held: lost", "about 77,001 (estimated)"]),
        (
            RESULTS,
            [
                *("1 hit", "doc#7", "The whole text.", "0.8765", "vector, older text", "PENDING"),
                *("58% of 12 chunks", "6 ready", "1 stale", "2 pending", "3 failed", "no key"),
            ],
        ),
        (
            ESTIMATE,
            [
                *("1,101 chunks", "1,002 distinct texts", "90,003 tokens (estimated)", "$0.4444"),
                *("2026-11", "8,004", "$0.2222", "on the careful side", "no limit for a"),
            ],
        ),
        (
            RECEIPT,
            [
                *rows_of(JOB),
                *("78,002 tokens", "66,003", "4,002 texts", "$0.7777", "55", "44,004"),
                "by batch for 78,002 tokens; 13 tokens of another-model have no price here",
                "saved $0.4444",
            ],
        ),
        (
            REPORT,
            [
                *("1,201 documents", "3,002 new", "403 changed", "54 unchanged", "68 removed"),
                *("ready 2,055", "pending 1,406", "failed 7", "12.34 s", "91 documents refused"),
                *("4,009", "document 'x'", "it is blank"),
            ],
        ),
    ],
)
def test_all_that_a_value_holds_is_shown(value: Any, expected: list[str]) -> None:
    text = page(value).text
    assert [words for words in expected if words not in text] == []


OTHERS: dict[type, Any] = {int: 5, float: NOW + 99_999, str: "something else", tuple: ()}


def otherwise(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, Enum):
        return next(member for member in type(value) if member is not value)
    return OTHERS[type(value)]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (value, field.name)
        for value in (JOB, STATS, ESTIMATE, RECEIPT, REPORT, SAVED, COVERAGE)
        for field in fields(value)
        if isinstance(getattr(value, field.name), tuple(OTHERS))
        # Left empty in an IngestReport, to stay small.
        and field.name != "ids"
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_every_field_can_be_seen_to_change(value: Any, name: str) -> None:
    """So a field that is added later is not forgotten."""
    changed = replace(value, **{name: otherwise(getattr(value, name))})
    assert view(changed) != view(value)


def view(value: Any) -> str:
    if isinstance(value, SaveReport):
        value = replace(REPORT, chunks=value)
    if isinstance(value, Coverage):
        value = SearchResults((HIT,), value)
    shown: str = value._repr_html_()
    return shown


@pytest.mark.parametrize(
    "value",
    [
        replace(STATS, failures=((EVIL, 1),), open_jobs=(replace(JOB, error_message=EVIL),)),
        replace(STATS, open_jobs=(replace(JOB, id=EVIL),)),
        replace(STATS, passed_over=(replace(PASSED, collections=(EVIL,), model=EVIL, why=EVIL),)),
        *(
            replace(JOB, **{name: EVIL})
            for name in (
                "id",
                "model",
                "display_name",
                "google_job_id",
                "provider_state",
                "error_message",
            )
        ),
        SearchResults((replace(HIT, chunk=replace(CHUNK, id=EVIL)),)),
        SearchResults((replace(HIT, chunk=replace(CHUNK, text=EVIL)),)),
        SearchResults((), degraded=EVIL),
        replace(ESTIMATE, priced_as_of=EVIL),
        replace(RECEIPT, jobs=(replace(JOB, error_message=EVIL),)),
        replace(REPORT, rejected=(Rejected(position=1, name=EVIL, reason="r"),)),
        replace(REPORT, rejected=(Rejected(position=1, name="n", reason=EVIL),)),
    ],
)
def test_texts_ids_and_messages_are_never_markup(value: Any) -> None:
    found = page(value)
    assert EVIL in found.text
    assert found.tags <= {"div", "span", "table", "thead", "tbody", "tr", "th", "td", "code", "br"}


@pytest.mark.parametrize("value", VALUES)
def test_nothing_is_shown_as_none(value: Any) -> None:
    assert "None" not in page(value).text


def test_a_price_that_nobody_knows_is_unknown() -> None:
    for value in (ESTIMATE, RECEIPT):
        text = page(replace(value, live_usd=None, batch_usd=None)).text
        assert "unknown" in text
        assert "$0 " not in text


def test_what_did_not_happen_is_left_out() -> None:
    assert "sent once" not in page(replace(ESTIMATE, repeated_tokens=0)).text
    text = page(replace(RECEIPT, reused_chunks=0, reused_tokens=0, open_tokens=0)).text
    assert "not paid again" not in text
    assert "without a count yet" not in text


def test_what_does_not_fit_is_counted() -> None:
    jobs = tuple(replace(JOB, id=f"job-{n:02}") for n in range(MOST_ROWS + 5))
    text = page(replace(RECEIPT, jobs=jobs)).text
    assert "… and 5 earlier jobs." in text
    assert "job-24" in text
    assert "job-04" not in text
    failures = tuple((f"reason {n:02}", 1) for n in range(MOST_ROWS + 3))
    text = page(replace(STATS, failures=failures)).text
    assert "… and 3 more reasons." in text
    assert "reason 19" in text
    assert "reason 20" not in text
    assert f"… and {91 - 1} more." in page(REPORT).text


def test_open_jobs_are_shown_up_to_a_number_too() -> None:
    jobs = tuple(replace(JOB, id=f"job-{n:02}") for n in range(MOST_ROWS + 5))
    text = page(replace(STATS, open_jobs=jobs)).text
    assert "… and 5 more jobs." in text
    assert "job-24" not in text


def test_a_long_text_is_cut() -> None:
    long = replace(CHUNK, text="word " * 1000)
    shown = page(SearchResults((replace(HIT, chunk=long),)))
    cut = [text for text in shown.texts if text.startswith("word")]
    assert TEXT_WIDTH - len("word ") < len(cut[0]) <= TEXT_WIDTH
    assert cut[0].endswith("…")


def test_nothing_found_in_an_empty_collection() -> None:
    text = page(SearchResults()).text
    assert "0 hits" in text
    assert "Nothing found." in text
    assert "no chunk" in text


def test_real_values_are_shown(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="a", text="A cat on a mat.")])
    assert "waiting 1" in page(store.stats()).text
    text = page(store.search(text="cat", mode="keyword")).text
    assert "A cat on a mat." in text
    assert "0% of 1 chunk found" in text


def test_a_hit_shows_the_passage_that_matched(store: PeeweeVectorStore) -> None:
    store.save(
        [Chunk(id="a", text=f"{'Of dogs. ' * 200}A <cat> & Cats sleep. {'Of birds. ' * 200}")]
    )
    shown = store.search(text="cat", mode="keyword")._repr_html_()  # type: ignore[attr-defined]
    assert "A &lt;<b>cat</b>&gt; &amp; <b>Cats</b> sleep." in shown
    assert len(page(store.search(text="cat", mode="keyword")).text) < 2 * TEXT_WIDTH
