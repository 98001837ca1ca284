"""Progress of long work: told to a callable, shown as a bar if asked for, else silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from semantic_core.batches import BatchManager
from semantic_core.documents.splitter import Splitter
from semantic_core.domain.errors import IngestError
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus
from semantic_core.domain.types import BatchJob, Document, QueueStats
from semantic_core.facade import SemanticCore
from semantic_core.store import PeeweeVectorStore
from semantic_core.views.progress import queue_progress
from semantic_core.views.sentences import usual_time
from support.world import World, open_world

Capture = pytest.CaptureFixture[str]


def documents(count: int) -> list[Document]:
    return [Document(id=f"d{n}", content=f"Text number {n}.") for n in range(count)]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every step, as on a terminal; into a file goes the last one alone."""
    monkeypatch.setenv("FORCE_COLOR", "1")


@pytest.fixture
def core(store: PeeweeVectorStore) -> Iterator[SemanticCore]:
    with SemanticCore(store, splitter=Splitter(max_chars=400)) as opened:
        yield opened


@pytest.fixture
def slow_world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path, pending_seconds=60, running_seconds=60) as opened:
        yield opened


def test_nothing_is_printed_unless_asked_for(slow_world: World, capsys: Capture) -> None:
    with SemanticCore(slow_world.store) as core:
        core.ingest(documents(3))
    manager = slow_world.manager()
    manager.flush_queue()
    manager.wait()
    assert capsys.readouterr() == ("", "")


# --- ingest ------------------------------------------------------------------------------


def test_ingest_shows_a_bar(core: SemanticCore, capsys: Capture) -> None:
    core.ingest(documents(3), progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3/3" in shown.err
    assert "pending=3" in shown.err


def test_ingest_shows_a_bar_without_knowing_how_many_come(
    core: SemanticCore, capsys: Capture
) -> None:
    core.ingest((document for document in documents(3)), progress=True)
    assert "3 documents" in capsys.readouterr().err


def test_the_bar_ends_full_where_documents_are_refused(core: SemanticCore, capsys: Capture) -> None:
    with pytest.raises(IngestError):
        core.ingest([*documents(2), Document(content=" ")], progress=True)
    assert "3/3" in capsys.readouterr().err


def test_ingest_tells_a_callable_of_every_page(core: SemanticCore) -> None:
    """Each report is about what is saved by then: a page is told of after its transaction."""
    long = [
        Document(id=f"d{n}", content=f"Paragraph of {n}. " * 20 + "\n\n" + "word " * 20_000)
        for n in range(10)
    ]
    seen: list[tuple[IngestReport, int]] = []

    def note(report: IngestReport) -> None:
        seen.append((report, len(core.store.chunks())))

    report = core.ingest(long, progress=note)
    assert len(seen) >= 3
    assert [told.chunks.inserted for told, _ in seen] == [stored for _, stored in seen]
    assert seen[-1][0] == report
    assert report.documents == 10


def test_an_error_in_the_callable_loses_nothing(core: SemanticCore) -> None:
    def fail(report: IngestReport) -> None:
        raise RuntimeError(report.documents)

    with pytest.raises(RuntimeError, match="3"):
        core.ingest(documents(3), progress=fail)
    assert len(core.store.chunks()) == 3


# --- wait --------------------------------------------------------------------------------


def _with_one_job(world: World) -> tuple[BatchManager, QueueStats, BatchJob]:
    """Send a text; return the manager, the queue then, and the job."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    stats = manager.get_queue_stats()
    [job] = stats.open_jobs
    return manager, stats, job


@pytest.mark.usefixtures("terminal")
def test_wait_shows_a_bar(slow_world: World, capsys: Capture) -> None:
    slow_world.save("one", "two")
    manager = slow_world.manager()
    manager.flush_queue()
    manager.wait(progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "0/2" in shown.err
    assert "2/2" in shown.err
    assert "jobs=0" in shown.err
    assert slow_world.chunk().status is EmbeddingStatus.READY


@pytest.mark.usefixtures("terminal")
def test_the_bar_counts_the_texts_that_the_provider_is_done_with(
    slow_world: World, capsys: Capture
) -> None:
    """Half of a running job, all of an ended one, and one more that another process sent."""
    manager, stats, job = _with_one_job(slow_world)

    def after(*jobs: BatchJob, held: tuple[BatchJob, ...] = ()) -> QueueStats:
        return replace(stats, open_jobs=jobs, held_jobs=held)

    first = replace(job, id="first", request_count=10)
    second = replace(job, id="second", request_count=30)
    expected = {}
    with queue_progress(
        True, clock=slow_world.clock, look=lambda: after(first), past=manager.jobs
    ) as show:
        expected["0/10"] = capsys.readouterr().err
        show(after(replace(first, done_count=4, failed_count=1)), 0.0)
        expected["5/10"] = capsys.readouterr().err
        show(after(second), 0.0)
        expected["10/40"] = capsys.readouterr().err
        held = replace(second, hold_reason=HoldReason.LOST)
        show(after(held, held=(held,)), 0.0)
        expected["held=1"] = capsys.readouterr().err
    assert {words: words in shown for words, shown in expected.items()} == dict.fromkeys(
        expected, True
    )


@pytest.mark.usefixtures("terminal")
def test_the_bar_ticks_and_says_when_the_next_look_is(slow_world: World, capsys: Capture) -> None:
    slow_world.save("one")
    manager = slow_world.manager()
    manager.flush_queue()
    manager.wait(progress=True)
    shown = capsys.readouterr().err
    # It looked after 1, 3, 7, 15, 31, 61, 91, ... seconds: sooner at first, then every 30.
    for words in ("0:00, next look in 1 s", "0:31, next look in 30 s", "1:30, next look in 1 s"):
        assert words in shown
    assert "next look in 32 s" not in shown
    assert "No such batch job has ended here yet" in shown
    # No line of it is wider than a terminal.
    plain = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", shown)
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= 80


@pytest.mark.usefixtures("terminal")
def test_the_bar_says_how_long_such_jobs_took(slow_world: World, capsys: Capture) -> None:
    manager = slow_world.manager()
    for text in ("one", "two", "three"):
        slow_world.save(text)
        manager.flush_queue()
        manager.wait()
    slow_world.save("the next text")
    manager.flush_queue()
    manager.wait(progress=True)
    assert "Such jobs took 2.0 min (3 jobs)." in capsys.readouterr().err
    first, second, third, runs = (replace(job, submitted_at=0.0) for job in manager.jobs())
    past = [
        replace(job, finished_at=took)
        for job, took in ((first, 60.0), (second, 7200.0), (third, 120.0))
    ]
    runs = replace(runs, status=JobStatus.SUBMITTED)
    said = "Such jobs took 1.0 min to 2.0 h, half of them 2.0 min at most (3 jobs)."
    assert usual_time([*past, runs]) == said
    # What another model takes says nothing.
    unknown = "No such batch job has ended here yet: how long one takes is not known."
    assert usual_time([*past, replace(runs, model="another")]) == unknown
    assert usual_time(past) == ""


def test_without_a_terminal_wait_says_what_is_new_now_and_then(
    slow_world: World, capsys: Capture
) -> None:
    manager, stats, job = _with_one_job(slow_world)

    def after(done: int) -> QueueStats:
        return replace(stats, open_jobs=(replace(job, request_count=10, done_count=done),))

    with queue_progress(
        True, clock=slow_world.clock, look=lambda: after(0), past=manager.jobs
    ) as show:
        for done, seconds in ((1, 30.0), (2, 600.0), (2, 3600.0), (3, 30.0), (4, 30.0)):
            show(after(done), seconds)
    assert capsys.readouterr().err.splitlines() == [
        "No such batch job has ended here yet: how long one takes is not known.",
        "embedded 0/10 texts, jobs=1, 0:00",
        "embedded 2/10 texts, jobs=1, 5:00, next look in 330 s",
        "embedded 3/10 texts, jobs=1, 70:30, next look in 30 s",
        "embedded 4/10 texts, jobs=1, 71:30",
    ]


def test_wait_without_a_terminal_and_with_nothing_to_wait_for_says_nothing(
    slow_world: World, capsys: Capture
) -> None:
    slow_world.manager().wait(progress=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("terminal")
def test_wait_with_nothing_to_wait_for_shows_an_empty_bar(
    slow_world: World, capsys: Capture
) -> None:
    slow_world.manager().wait(progress=True)
    assert "jobs=0" in capsys.readouterr().err
