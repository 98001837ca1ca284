"""What is said of jobs, the queue and money: once, for the terminal and the notebook."""

from collections.abc import Iterable, Sequence

from semantic_core.domain.receipts import Estimate, Receipt
from semantic_core.domain.statuses import HoldReason, JobStatus
from semantic_core.domain.types import BatchJob, PassedOver, QueueStats, TargetStatus
from semantic_core.views.wording import counted, moment, money, span

# Older jobs say little of what the provider is like now.
MOST_COMPARED = 50

# Seconds after which something that waits looks forgotten.
LONG = 86_400.0

# Measured in tests/core/domain/test_pricing.py.
HOW_FAR_OFF = (
    "Tokens are estimated by script, on the careful side: prose mostly has a fifth to a half "
    "fewer; random letters, as in hexadecimal digests, can have a quarter more."
)


def job_state(job: BatchJob) -> str:
    return f"held: {job.hold_reason}" if job.hold_reason else str(job.status)


def job_tokens(job: BatchJob) -> str:
    """Return a job's tokens; "~" stands for a number that is an estimate, or holds one."""
    if job.token_count is None:
        return f"~{job.estimated_tokens:,}"
    return _about(job) + f"{job.token_count:,}"


def job_cost(job: BatchJob) -> str:
    """Return what a job cost, likewise; "-" where its tokens were not counted yet."""
    return "-" if job.token_count is None else _about(job) + money(job.cost_usd)


def job_message(job: BatchJob) -> str:
    """Return what went wrong with a job and what to do about it; empty if there is nothing."""
    said = [part.rstrip(".") for part in (job.error_message, job.advice) if part]
    return f"{'. '.join(said)}." if said else ""


def passed_over(passed: PassedOver) -> str:
    return f"{', '.join(passed.collections)} ({passed.model}): {passed.why}"


def passed_over_since(passed: PassedOver) -> str:
    """Return the same, with the time it goes on."""
    return f"Skipped since {moment(passed.since)}: {passed_over(passed)}"


def target_state(target: TargetStatus) -> str:
    parts = [f"{counted(target.waiting, 'chunk')} to tell"]
    if target.is_filling:
        parts = ["being filled", *parts]
    if target.oldest is not None:
        parts.append(f"the oldest since {moment(target.oldest)}")
    if target.failed:
        parts.append(f"{target.failed:,} not taken")
    said = f"Target {target.name} ({target.kind}), of {target.collection}: {', '.join(parts)}."
    return f"{said} {target.last_error}" if target.last_error else said


def overdue(job: BatchJob) -> str:
    since = moment(job.submitted_at)
    return f"at the provider since {since}, which is long; it is neither lost nor sent again."


def expiring(job: BatchJob) -> str:
    return (
        f"its results are there since {moment(job.finished_at)} and not stored here; the provider "
        "will soon remove them. Run semcore sync, or call sync_status()."
    )


def next_step(job: BatchJob, stats: QueueStats) -> str:
    if job.hold_reason is not None:
        given_up = (
            ""
            if job.hold_reason is HoldReason.OTHER_PROJECT
            else (f" To give it up: semcore release {job.id[:8]} --accept-rebilling")
        )
        return f"{_sentence(job_message(job))}{given_up}"
    if any(one.id == job.id for one in stats.expiring_jobs):
        return f"{_sentence(job_message(job))} {_sentence(expiring(job))}".strip()
    if (said := job_message(job)) or not job.is_open:
        return _sentence(said) or "Its vectors are stored."
    if any(one.id == job.id for one in stats.overdue_jobs):
        return f"{_sentence(overdue(job))} The next sync asks for it."
    is_there = job.finished_at is not None
    where = "Its results are there" if is_there else "The provider has it"
    return f"{where}: the next sync {'stores them' if is_there else 'asks for it'}."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def troubles(stats: QueueStats, *, now: float) -> list[str]:
    """Return what keeps texts from their vectors until somebody does something."""
    found = []
    if stats.held_jobs:
        found.append(f"{counted(len(stats.held_jobs), 'job')} held, until somebody decides.")
    if stats.expiring_jobs:
        jobs = counted(len(stats.expiring_jobs), "job")
        found.append(f"Results of {jobs} will soon be removed by the provider: run semcore sync.")
    if stats.failed:
        found.append(f"{counted(stats.failed, 'chunk')} failed.")
    found += [passed_over(passed) for passed in stats.passed_over if passed.needs_somebody]
    found += [target_state(target) for target in stats.targets if target.last_error]
    since = stats.oldest_waiting
    is_due = stats.waiting > stats.backing_off and not stats.passed_over
    if is_due and since is not None and now - since > LONG:
        found.append(f"Texts wait since {moment(since)}, and no flush sends them: does one run?")
    return found


def usual_time(jobs: Sequence[BatchJob]) -> str:
    """Return how long the last jobs of the models that have open ones took; empty if none is open."""
    models = {job.model for job in jobs if job.is_open}
    took = sorted(
        max(0.0, job.finished_at - job.submitted_at)
        for job in [job for job in jobs if job.model in models][-MOST_COMPARED:]
        if job.status is JobStatus.COMPLETED
        and job.finished_at is not None
        and job.submitted_at is not None
    )
    if not models:
        return ""
    if not took:
        return "No such batch job has ended here yet: how long one takes is not known."
    shortest, half, longest = span(took[0]), span(took[(len(took) - 1) // 2]), span(took[-1])
    spread = "" if shortest == longest else f" to {longest}, half of them {half} at most"
    return f"Such jobs took {shortest}{spread} ({counted(len(took), 'job')})."


def estimate_sentences(estimate: Estimate) -> list[str]:
    if not estimate.chunks:
        return ["Nothing waits: there is nothing to pay for."]
    waits = "waits" if estimate.chunks == 1 else "wait"
    chunks, texts = counted(estimate.chunks, "chunk"), counted(estimate.texts, "distinct text")
    tokens, less = counted(estimate.tokens, "token"), counted(estimate.repeated_tokens, "token")
    batch, live = money(estimate.batch_usd), money(estimate.live_usd)
    repeated = [f"Repeated texts are sent once: about {less} less."]
    return [
        f"{chunks} {waits} with {texts} of about {tokens} (estimated).",
        *_pictures(estimate),
        f"By batch that is about {batch}, live about {live} (prices of {estimate.priced_as_of}).",
        *(repeated if estimate.repeated_tokens else []),
        HOW_FAR_OFF,
        *estimate.cautions,
    ]


def _pictures(money: Estimate | Receipt) -> list[str]:
    said = (
        f"Pictures and pages among them: {money.pictures:,}, estimated as {money.picture_tokens:,} "
        "of these tokens: the text that costs as much."
    )
    return [said] if money.pictures else []


def receipt_sentences(receipt: Receipt) -> list[str]:
    return [_total(receipt), *_pictures(receipt), *_beside(receipt)]


def part_estimated(tokens: int, estimated: int) -> str:
    """Return what is to be said of tokens of which the provider did not count all; mostly nothing."""
    if not estimated:
        return ""
    if estimated == tokens:
        return "estimated, since the provider counted none"
    return f"{estimated:,} of them estimated, since the provider did not count them"


def without_price(tokens_by_model: Iterable[tuple[str, int]]) -> str:
    """Return what a sum of money leaves out, as a sentence without its end; empty if nothing."""
    parts = [f"{counted(tokens, 'token')} of {model}" for model, tokens in tokens_by_model]
    if not parts:
        return ""
    verb = "has" if len(parts) == 1 and parts[0].startswith("1 token ") else "have"
    return f"{' and '.join(parts)} {verb} no price here"


def _about(job: BatchJob) -> str:
    return "~" if job.uncounted_tokens else ""


def _total(receipt: Receipt) -> str:
    guess = part_estimated(receipt.tokens, receipt.estimated_tokens)
    tokens = counted(receipt.tokens, "token") + (f" ({guess})" if guess else "")
    gap, priced = without_price(receipt.unpriced), receipt.priced
    start = f"{counted(receipt.texts, 'text')}, {tokens}: "
    if gap and not priced.tokens:
        return f"{start}{gap}."
    known = f" for {counted(priced.tokens, 'token')}; {gap}" if gap else ""
    what = "the former" if gap else "it"
    about = "about " if guess else ""
    return (
        f"{start}{about}{money(priced.batch_usd)} by batch{known}. Live {what} would have been "
        f"{money(priced.live_usd)}: saved {money(priced.saved_usd)}."
    )


def _beside(receipt: Receipt) -> list[str]:
    said = []
    if receipt.reused_chunks:
        share = "shares" if receipt.reused_chunks == 1 else "share"
        were = "was" if receipt.reused_tokens == 1 else "were"
        guess = part_estimated(receipt.reused_tokens, receipt.reused_estimated_tokens)
        said.append(
            f"{counted(receipt.reused_chunks, 'chunk')} {share} the vector of an equal text: "
            f"{counted(receipt.reused_tokens, 'token')} {were} not paid again"
            f"{f' ({guess})' if guess else ''}."
        )
    if receipt.cancelled_tokens:
        said.append(
            f"Of about {counted(receipt.cancelled_tokens, 'token')} in cancelled jobs, what the "
            "provider had embedded by then may be billed."
        )
    if receipt.open_tokens:
        tokens = counted(receipt.open_tokens, "token")
        said.append(f"Not in it: about {tokens} of jobs without a count yet.")
    if receipt.check_tokens:
        tokens, usd = counted(receipt.check_tokens, "token"), money(receipt.check_usd)
        said.append(f"Spot checks embedded about {tokens} live again: about {usd}.")
    said.append(
        "Each job at the price recorded when it was sent; other live embeddings are not in it."
    )
    return said
