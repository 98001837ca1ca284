"""What a notebook shows of each value. The values know nothing of it: see `hook_in`."""

from collections.abc import Callable, Mapping, Sequence

from semantic_core.domain.media import StoredMedia
from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.types import BatchJob, QueueStats, SearchResult, SearchResults
from semantic_core.views import html
from semantic_core.views.html import Html, Share, Tone
from semantic_core.views.sentences import (
    estimate_sentences,
    expiring,
    job_cost,
    job_message,
    job_state,
    job_tokens,
    overdue,
    part_estimated,
    passed_over_since,
    receipt_sentences,
    target_state,
)
from semantic_core.views.thumbnails import thumbnail
from semantic_core.views.wording import (
    Passages,
    counted,
    excerpt,
    media_name,
    moment,
    money,
    shorten,
)

# A page stays readable, and a notebook small; what is left out is said.
MOST_ROWS = 20
TEXT_WIDTH = 300
MESSAGE_WIDTH = 600

_JOB_TONES = {
    "CREATED": Tone.WAITING,
    "SUBMITTED": Tone.BUSY,
    "PROCESSING": Tone.BUSY,
    "COMPLETED": Tone.GOOD,
    "FAILED": Tone.BAD,
}
_CHUNK_TONES = {"READY": Tone.GOOD, "PENDING": Tone.WAITING, "FAILED": Tone.BAD}


def show_queue(stats: QueueStats) -> str:
    parts = queue_parts(stats)
    if stats.open_jobs:
        parts.append(_jobs(stats.open_jobs[:MOST_ROWS]))
        parts += left_out(len(stats.open_jobs), MOST_ROWS, "more jobs")
    if stats.held_jobs:
        held = counted(len(stats.held_jobs), "job")
        parts.append(html.warning(f"{held} held, until somebody decides.", Tone.BAD))
    parts += [_warning(f"{job.id}: {overdue(job)}") for job in stats.overdue_jobs[:MOST_ROWS]]
    parts += [
        _warning(f"{job.id}: {expiring(job)}", Tone.BAD) for job in stats.expiring_jobs[:MOST_ROWS]
    ]
    if stats.failures:
        rows = [(count, message(why)) for why, count in stats.failures[:MOST_ROWS]]
        parts.append(html.table(("failed", "because"), rows, numbers="failed"))
        parts += left_out(len(stats.failures), MOST_ROWS, "more reasons")
    total = stats.ready + stats.in_flight + stats.waiting + stats.failed
    return html.block(f"Queue of {counted(total, 'chunk')}", *parts)


def queue_parts(stats: QueueStats) -> list[Html]:
    parts = [
        html.bar(
            [
                Share("ready", stats.ready, Tone.GOOD),
                Share("in flight", stats.in_flight, Tone.BUSY),
                Share("waiting", stats.waiting, Tone.WAITING),
                Share("failed", stats.failed, Tone.BAD),
            ]
        )
    ]
    if stats.waiting:
        texts, since = counted(stats.waiting_texts, "distinct text"), moment(stats.oldest_waiting)
        parts.append(html.line(f"Waiting: {texts}, the oldest since {since}."))
    if stats.backing_off:
        first = moment(stats.next_try)
        parts.append(html.line(f"Of these later: {stats.backing_off:,}, the first from {first}."))
    parts += [_warning(passed_over_since(passed)) for passed in stats.passed_over[:MOST_ROWS]]
    parts += [
        (_warning if target.last_error else html.line)(target_state(target))
        for target in stats.targets
    ]
    if stats.stale:
        parts.append(html.line(f"Served by the vector of an older text: {stats.stale:,}."))
    return [*parts, *(html.warning(caution) for caution in stats.cautions)]


def show_job(job: BatchJob) -> str:
    tokens = f"about {job.estimated_tokens:,} (estimated)"
    if job.token_count is not None:
        guess = part_estimated(job.token_count, job.uncounted_tokens)
        tokens = f"{job.token_count:,} ({guess or f'estimated: {job.estimated_tokens:,}'})"
    rest = max(0, job.request_count - job.done_count - job.failed_count)
    progress = html.bar(
        [
            Share("done", job.done_count, Tone.GOOD),
            Share("failed", job.failed_count, Tone.BAD),
            Share("open", rest, Tone.FAINT),
        ]
    )
    return html.block(
        f"Batch job of {counted(job.request_count, 'text')}",
        progress,
        html.facts(
            [
                ("status", job_status(job)),
                ("id", html.code(job.id)),
                ("collections", ", ".join(name for name, _ in job.collections) or None),
                ("model", job.model),
                ("tokens", tokens),
                ("pictures and pages", job.picture_count or None),
                ("cost", None if job.token_count is None else job_cost(job)),
                ("created", moment(job.created_at)),
                ("submitted", job.submitted_at and moment(job.submitted_at)),
                ("ended at the provider", job.finished_at and moment(job.finished_at)),
                ("step", job.step),
                ("provider's id", job.google_job_id and html.code(job.google_job_id)),
                ("provider's state", job.provider_state),
                ("display name", html.code(job.display_name)),
                ("failed because", job.failure_reason),
                ("message", job.error_message and message(job.error_message)),
                ("what next", job.advice and message(job.advice)),
            ]
        ),
    )


def show_results(results: SearchResults) -> str:
    coverage = results.coverage
    parts = []
    if results.degraded is not None:
        parts.append(html.warning(results.degraded))
    if results.hits:
        pictures = _thumbnails(results)
        passages = results.explanation.passages
        rows = [
            _hit(position, hit, passages, pictures)
            for position, hit in enumerate(results.hits, start=1)
        ]
        columns = ("#", "score", "found by", "chunk", "text")
        parts.append(html.table(columns, rows, numbers="# score"))
    else:
        parts.append(html.line("Nothing found."))
    if coverage.total:
        parts.append(
            html.line(
                f"{coverage.by_vector:.0%} of {counted(coverage.total, 'chunk')} found by vector: "
                f"{coverage.ready:,} ready, {coverage.stale:,} stale, {coverage.pending:,} "
                f"pending, {coverage.failed:,} failed."
            )
        )
    else:
        parts.append(html.line("The collection holds no chunk."))
    return html.block(counted(len(results.hits), "hit"), *parts)


def show_ingest(report: IngestReport) -> str:
    chunks = report.chunks
    parts = [
        html.bar(
            [
                Share("ready", chunks.ready, Tone.GOOD),
                Share("pending", chunks.pending, Tone.WAITING),
                Share("failed", chunks.failed, Tone.BAD),
            ]
        ),
        html.line(
            f"Chunks: {chunks.inserted:,} new, {chunks.updated:,} changed, "
            f"{chunks.unchanged:,} unchanged, {report.removed:,} removed; it took "
            f"{report.seconds:.2f} s."
        ),
    ]
    if report.rejected_count:
        rows = [
            (rejected.position, html.code(rejected.name), message(rejected.reason))
            for rejected in report.rejected[:MOST_ROWS]
        ]
        refused = counted(report.rejected_count, "document")
        parts.append(html.warning(f"{refused} refused; the others are saved.", Tone.BAD))
        parts.append(html.table(("number", "document", "because"), rows, numbers="number"))
        parts += left_out(report.rejected_count, len(rows), "more")
    if report.skipped_count:
        empty = [html.line(name) for name in report.skipped[:MOST_ROWS]]
        parts.append(html.line(f"{counted(report.skipped_count, 'file')} skipped, empty:"))
        parts += [*empty, *left_out(report.skipped_count, len(empty), "more")]
    if report.gone:
        parts.append(html.warning(f"{report.gone:,} gone, and still searched.", Tone.WAITING))
    if report.pruned:
        parts.append(html.line(f"{report.pruned:,} that were gone removed."))
    return html.block(f"{counted(report.documents, 'document')} saved", *parts)


def show_receipt(receipt: Receipt) -> str:
    rows = [("by batch", money(receipt.batch_usd)), ("live", money(receipt.live_usd))]
    parts = [html.facts(rows), *map(html.line, receipt_sentences(receipt))]
    if receipt.jobs:
        parts.append(_jobs(receipt.jobs[-MOST_ROWS:]))
        parts += left_out(len(receipt.jobs), MOST_ROWS, "earlier jobs")
    return html.block(f"Receipt of {counted(len(receipt.jobs), 'batch job')}", *parts)


_SHOWN: dict[type, Callable[..., str]] = {
    BatchJob: show_job,
    Estimate: lambda found: html.block(
        "Estimate of what waits", *map(html.line, estimate_sentences(found))
    ),
    IngestReport: show_ingest,
    QueueStats: show_queue,
    Receipt: show_receipt,
    SearchResults: show_results,
}


def hook_in() -> None:
    """Let notebooks show these values: they ask a value for ``_repr_html_``. Idempotent."""
    for value, show in _SHOWN.items():
        value._repr_html_ = show  # type: ignore[attr-defined]  # IPython's name


def _jobs(jobs: Sequence[BatchJob]) -> Html:
    columns = ("job", "status", "texts", "done", "failed", "tokens", "cost", "created")
    rows = [
        (
            html.code(job.id),
            job_status(job),
            job.request_count,
            job.done_count,
            job.failed_count,
            job_tokens(job),
            job_cost(job),
            moment(job.created_at),
        )
        for job in jobs
    ]
    messages = [_warning(f"{job.id}: {said}") for job in jobs if (said := job_message(job))]
    return Html(
        html.table(columns, rows, numbers="texts done failed tokens cost") + "".join(messages)
    )


def job_status(job: BatchJob) -> Html:
    return html.dot(job_state(job), Tone.BAD if job.hold_reason else _JOB_TONES[job.status])


def _thumbnails(results: SearchResults) -> dict[StoredMedia, Html]:
    parts = dict.fromkeys(part for hit in results.hits for part in hit.chunk.media)
    read = results.media
    return {} if read is None else {part: thumbnail(part, read) for part in [*parts][:MOST_ROWS]}


def _hit(
    position: int, hit: SearchResult, passages: Passages, thumbnails: Mapping[StoredMedia, Html]
) -> tuple[object, ...]:
    chunk = hit.chunk
    media = (thumbnails.get(part) or html.line(media_name(part)) for part in chunk.media)
    found_by = f"{hit.match}, older text" if hit.stale else str(hit.match)
    name = Html(f"{html.code(chunk.id)}<br>{html.dot(chunk.status, _CHUNK_TONES[chunk.status])}")
    return (
        position,
        f"{hit.score:.4f}",
        found_by,
        name,
        Html("".join([html.marked(excerpt(chunk.text, passages, TEXT_WIDTH)), *media])),
    )


def message(text: str) -> Html:
    return html.prose(shorten(text, MESSAGE_WIDTH))


def _warning(text: str, tone: Tone = Tone.WAITING) -> Html:
    return html.warning(shorten(text, MESSAGE_WIDTH), tone)


def left_out(count: int, shown: int, what: str) -> list[Html]:
    """Return the line that says how many are not shown, if any."""
    rest = count - shown
    return [html.line(f"… and {rest:,} {what}.")] if rest > 0 else []
