"""The guards that keep text and money, each with a way to break it: what `mutations.py` applies.

A guard names a function and a piece of its code, or of the SQL in it, that is there exactly once.
Layout does not count: a line may move within the function, and the function within its package.
"""

from __future__ import annotations

from dataclasses import dataclass

CORE = "core/semantic_core"


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One guard, and the code without it.

    Attributes:
        keeps: what it is for, in a few words; unique.
        function: a function, method or constant with the package it is in: ``queue.move``. Where
            that is not unique, its class or module stands between: ``queue.Ceiling.raised``.
        statement: statements or an expression of the function. ``...`` stands for any expression,
            for the rest of a call's arguments, or for a whole body.
        sql: instead of a statement, a piece of one string; what an f-string fills in is written
            in braces.
        without: what stands there without the guard; ``...`` is what it was, in the same order.
        tests: where to look first for a test that notices; the rest of its package follows.
    """

    keeps: str
    function: str
    statement: str = ""
    sql: str = ""
    without: str
    tests: tuple[str, ...] = ()


# --- queue: claims -----------------------------------------------------------------------

_CLAIMS = (
    Guard(
        keeps="a chunk that a job carries is not claimed again",
        function="database.conditions.WAITS",
        sql=" AND batch_job_id IS NULL",
        without="",
    ),
    Guard(
        keeps="only a PENDING chunk is claimed",
        function="database.conditions.WAITS",
        sql="embedding_status = 'PENDING' AND batch_job_id IS NULL",
        without="batch_job_id IS NULL",
    ),
    Guard(
        keeps="a text is not sent before its time, under whatever id",
        function="queue._due_texts",
        sql="o.not_before > :now AND",
        without="o.not_before > :now + 1e12 AND",
    ),
    Guard(
        keeps="a text without tries left is not sent",
        function="queue.fill_job",
        statement="has_uses and budget.is_spent(used_budgets(connection, [content])[content])",
        without="False",
    ),
    Guard(
        keeps="a text without tries left becomes FAILED",
        function="queue.fill_job",
        statement="fail_chunks(connection, _last_errors(connection, spent), now=now)",
        without="",
    ),
    Guard(
        keeps="a text stands once in a job",
        function="queue.fill_job",
        statement="if content in contents or content in spent: continue",
        without="",
    ),
    Guard(
        keeps="a job holds no more texts than its limit",
        function="queue.fill_job",
        statement="len(contents) >= limits.requests",
        without="False",
    ),
    Guard(
        keeps="a job holds no more bytes than its limit",
        function="queue.fill_job",
        statement="source_bytes + size > limits.source_bytes",
        without="False",
    ),
    Guard(
        keeps="a job holds no more tokens than its limit",
        function="queue.fill_job",
        statement="tokens + text_tokens > limits.tokens",
        without="False",
    ),
    Guard(
        keeps="a text over a limit goes alone instead of blocking the queue",
        function="queue.fill_job",
        statement="bool(contents)",
        without="True",
    ),
    Guard(
        keeps="texts of a foreign embedder are never sent",
        function="queue.candidates",
        sql="AND NOT s.is_external",
        without="",
    ),
    Guard(
        keeps="every chunk of a claimed text waits for the job",
        function="queue.claim",
        sql="SET batch_job_id = :job,",
        without="SET batch_job_id = batch_job_id + 0 * length(:job),",
    ),
    Guard(
        keeps="a claim takes what it claims out of what waits",
        function="queue.claim",
        statement="count_waiting(connection, read_waiting(connection, waiting.contents, sign=-1))",
        without="",
        tests=("tests/core/queue/test_claims.py",),
    ),
    Guard(
        keeps="attempts are counted over all jobs of a text",
        function="queue.claim",
        statement="1 + sum(used.get(content, {}).values())",
        without="1",
    ),
    Guard(
        keeps="only open items are sent",
        function="queue.claimed_texts",
        sql="AND {IS_CARRIED}",
        without="",
    ),
    Guard(
        keeps="a job sends its own items only",
        function="queue.claimed_texts",
        sql="{OF_JOB}",
        without=":job <> ''",
    ),
    Guard(
        keeps="a text is never in two open jobs, by constraint",
        function="database.build_tables",
        statement="item.add_index(item.content_id, name='batch_items_open', unique=True, where=...)",
        without="item.add_index(item.content_id, name='batch_items_open', where=...)",
        tests=("tests/core/queue/test_claims.py",),
    ),
    Guard(
        keeps="two jobs never share a remote one, by constraint",
        function="database.build_tables",
        statement="google_job_id = TextField(null=True, unique=True)",
        without="google_job_id = TextField(null=True)",
        tests=("tests/core/queue/test_jobs.py",),
    ),
)

# --- queue: items ------------------------------------------------------------------------

_ITEMS = (
    Guard(
        keeps="an item that is settled stays settled",
        function="queue.settle_items",
        sql="AND {IS_CARRIED} RETURNING",
        without="RETURNING",
    ),
    Guard(
        keeps="a job settles its own items only",
        function="queue.settle_items",
        sql="+{OF_JOB} AND",
        without=":job <> '' AND",
    ),
    Guard(
        keeps="nothing follows from an item that was not open",
        function="queue.settle_items",
        statement="set(settled) - _pass_on(connection, job_id, settled)",
        without="set(by_hash) - _pass_on(connection, job_id, settled)",
    ),
    Guard(
        keeps="the last try makes the chunk FAILED",
        function="queue.settle_items",
        statement="budget.is_spent(used)",
        without="False",
    ),
    Guard(
        keeps="a text that failed waits before its next try",
        function="queue.settle_items",
        statement="now + budget.delay(used)",
        without="None",
    ),
    Guard(
        keeps="a released text gives its chunks back to the queue",
        function="queue.settle_items",
        sql="batch_job_id = NULL, not_before = w.until",
        without="not_before = w.until",
    ),
    Guard(
        keeps="a job lets go of its own chunks only",
        function="queue.settle_items",
        sql="AND batch_job_id = :job",
        without="",
    ),
    Guard(
        keeps="an item is done only once",
        function="queue.finish_items",
        sql="WHERE {IS_CARRIED} AND",
        without="WHERE",
    ),
    Guard(
        keeps="a stored vector settles its text in every job",
        function="queue.finish_items",
        sql="{IS_CARRIED}",
        without="{IS_CARRIED} AND 0",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="a text of a job that ended waits for the one that has it, too",
        function="queue.settle_items",
        statement="set(settled) - _pass_on(connection, job_id, settled)",
        without="set(settled)",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="only a PENDING chunk becomes FAILED",
        function="queue.fail_chunks",
        sql="AND embedding_status = 'PENDING'",
        without="",
    ),
    Guard(
        keeps="results count only for texts that this job sent",
        function="queue.carried_texts",
        sql="{OF_JOB}",
        without=":job <> ''",
    ),
    Guard(
        keeps="a job ends only with its own items settled",
        function="queue.open_contents",
        sql="{IS_CARRIED}",
        without="{IS_CARRIED} AND 0",
    ),
)

# --- queue: jobs -------------------------------------------------------------------------

_JOBS = (
    Guard(
        keeps="a living lease keeps others out",
        function="queue.take_lease",
        sql="lease_token IS NULL",
        without="1",
    ),
    Guard(
        keeps="a dead lease can be taken",
        function="queue.take_lease",
        sql="lease_until <=",
        without="lease_until + 1e12 <=",
    ),
    Guard(
        keeps="whoever lost the lease changes nothing",
        function="queue.keep_lease",
        statement="_Job.lease_token == token",
        without="_Job.lease_token != ''",
    ),
    Guard(
        keeps="losing the lease is noticed",
        function="queue.keep_lease",
        statement="not _update(connection, job_id, ...)",
        without="_update(connection, job_id, ...) is None",
    ),
    Guard(
        keeps="working on a job extends its lease",
        function="queue.keep_lease",
        statement="_update(connection, job_id, _Job.lease_token == token, lease_until=until)",
        without="_update(connection, job_id, _Job.lease_token == token, lease_until=_Job.lease_until)",
    ),
    Guard(
        keeps="a lease is given back by its holder only",
        function="queue.drop_lease",
        statement="_Job.lease_token == token",
        without="_Job.lease_token != ''",
    ),
    Guard(
        keeps="a step is made under the lease only",
        function="queue.move",
        statement="_Job.lease_token == token",
        without="_Job.lease_token != ''",
    ),
    Guard(
        keeps="a step is made from an expected step only",
        function="queue.move",
        statement="steps is not None",
        without="False",
    ),
    Guard(
        keeps="an ended job is never reopened",
        function="queue.move",
        statement="[_Job.lease_token == token, SQL(IS_OPEN)]",
        without="[_Job.lease_token == token]",
    ),
    Guard(
        keeps="a step that was not made is noticed",
        function="queue.move",
        statement="not _update(connection, job_id, ...)",
        without="_update(connection, job_id, ...) is None",
    ),
    Guard(
        keeps="a job that still carries texts cannot fail",
        function="queue.fail_job",
        statement="count_open(connection, job_id)",
        without="0",
    ),
    Guard(
        keeps="nothing remote is removed before its job has ended",
        function="queue.jobs_to_clean",
        sql="AND {IS_ENDED}",
        without="",
        tests=("tests/core/queue/test_jobs.py",),
    ),
    Guard(
        keeps="removing is given up after some tries",
        function="queue.jobs_to_clean",
        sql="cleanup_tries < ?",
        without="cleanup_tries < ? + 1000",
    ),
    Guard(
        keeps="the input of a job that may come late stays",
        function="queue.jobs_to_clean",
        sql="AND NOT coalesce({_MAY_COME_LATE}, FALSE)",
        without="",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="a try counts for as long as its text may be sent",
        function="queue._prune_items",
        sql="AND NOT ({USES_BUDGET})",
        without="",
    ),
    Guard(
        keeps="a job that may be listed late knows its texts",
        function="queue._prune_items",
        sql="AND google_job_id IS NOT NULL",
        without="",
    ),
    Guard(
        keeps="only an ended job is called clean",
        function="queue.mark_cleaned",
        statement="_update(connection, job_id, *to_clean, cleaned_at=now, step=step)",
        without="_update(connection, job_id, to_clean[0], cleaned_at=now, step=step)",
    ),
    Guard(
        keeps="a job is called clean once",
        function="queue.mark_cleaned",
        statement="_update(connection, job_id, *to_clean, cleaned_at=now, step=step)",
        without="_update(connection, job_id, to_clean[1], cleaned_at=now, step=step)",
    ),
    Guard(
        keeps="tries to clean are counted for ended jobs only",
        function="queue.mark_cleaned",
        statement="_update(connection, job_id, *to_clean, cleanup_tries=_Job.cleanup_tries + 1)",
        without="_update(connection, job_id, to_clean[0], cleanup_tries=_Job.cleanup_tries + 1)",
    ),
    Guard(
        keeps="held and ended jobs take no place at the provider",
        function="queue.count_at_provider",
        sql="{IS_RUNNING}",
        without="{IS_OPEN}",
    ),
)

# --- queue: ceilings ---------------------------------------------------------------------

_CEILINGS = (
    Guard(
        keeps="held jobs take nothing of a quota",
        function="queue._IS_ENQUEUED",
        sql="{IS_RUNNING} AND",
        without="status NOT IN ('COMPLETED', 'FAILED') AND",
    ),
    Guard(
        keeps="ended jobs take nothing of a quota",
        function="queue._IS_ENQUEUED",
        sql="{IS_RUNNING} AND",
        without="hold_reason IS NULL AND",
    ),
    Guard(
        keeps="a job that only waits to be fetched takes nothing of a quota",
        function="queue._IS_ENQUEUED",
        sql="AND finished_at IS NULL",
        without="",
    ),
    Guard(
        keeps="a 429 counts for its own key and model",
        function="queue.read_ceiling",
        sql="WHERE fingerprint = ? AND model = ? AND",
        without="WHERE ? <> '' AND ? <> '' AND",
    ),
    Guard(
        keeps="what a wrong clock noted counts as forgotten",
        function="queue.read_ceiling",
        sql="noted_at <= ?",
        without="noted_at <= ? + 1e12",
    ),
    Guard(
        keeps="a ceiling is forgotten after a day",
        function="queue.read_ceiling",
        statement="now - FORGOTTEN_AFTER",
        without="now - 1e12",
    ),
    Guard(
        keeps="a 429 is over at its time, not before",
        function="queue.Ceiling.is_closed",
        statement="self.not_before is not None and self.not_before > now",
        without="False",
    ),
    Guard(
        keeps="a 429 beside open jobs waits for one of them to end",
        function="queue.Ceiling.is_closed",
        statement="0 < self.open_jobs <= enqueued.jobs",
        without="False",
    ),
    Guard(
        keeps="a refused job makes the next one smaller",
        function="queue.Ceiling.lowered",
        statement=(
            "requests = _half(self.requests, refused.requests, LEAST_REQUESTS)\n"
            "tokens = _half(self.tokens, refused.tokens, LEAST_TOKENS)"
        ),
        without="requests, tokens = (self.requests, self.tokens)",
    ),
    Guard(
        keeps="a job is not halved below what any project has",
        function="queue.Ceiling.lowered",
        statement="max(LEAST_TOKENS, ...)",
        without="max(1, ...)",
    ),
    Guard(
        keeps="a job that is taken lets more be open",
        function="queue.Ceiling.raised",
        statement="2 * self.tokens",
        without="self.tokens",
    ),
    Guard(
        keeps="a small job shows nothing about a large one",
        function="queue.Ceiling.raised",
        statement="min(2 * self.tokens, 2 * enqueued.tokens, most.tokens)",
        without="min(2 * self.tokens, most.tokens)",
    ),
    Guard(
        keeps="no pause is longer than a day",
        function="queue.pause_until",
        statement="min(seconds, LONGEST_PAUSE)",
        without="seconds",
    ),
    Guard(
        keeps="a job that was not sent yet is not waited for",
        function="queue.read_enqueued",
        sql="AND step NOT IN ('claimed', 'uploaded')",
        without="",
    ),
    Guard(
        keeps="a back-off that a wrong clock noted is over",
        function="queue._DUE",
        sql="not_before > :now + {LONGEST_PAUSE}",
        without="0",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="a retry ends the pause of a model",
        function="queue.end_pauses",
        sql="not_before = NULL, open_jobs = 0, message = NULL",
        without="message = NULL",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="a retry ends the pause of a text",
        function="queue.end_pauses",
        sql="SET not_before = NULL WHERE {_RESTS}",
        without="SET not_before = not_before WHERE {_RESTS}",
        tests=("tests/core/batches/test_quotas.py",),
    ),
)

# --- queue: vectors, retries, budget, adoption --------------------------------------------

_VECTORS = (
    Guard(
        keeps="a stored vector is never overwritten",
        function="queue.store_vectors",
        sql="WHERE {IS_CACHED} DO NOTHING",
        without="WHERE {IS_CACHED} DO UPDATE SET vector = excluded.vector",
        tests=("tests/core/store/writing/test_vectors.py",),
    ),
    Guard(
        keeps="a READY chunk keeps its vector",
        function="queue._wanting",
        sql="AND {WANTS}",
        without="",
        tests=("tests/core/queue/test_vectors.py",),
    ),
    Guard(
        keeps="a chunk that became READY is counted so",
        function="queue._serve",
        statement="count_changes(connection, changes)",
        without="",
    ),
    Guard(
        keeps="what a vector serves that no job carries waits no more",
        function="queue._serve",
        statement="count_waiting(connection, read_waiting(connection, waiting, sign=-1))",
        without="",
        tests=("tests/core/queue/test_vectors.py",),
    ),
    Guard(
        keeps="other indexes hear of new vectors",
        function="queue._serve",
        statement=(
            "note_changed(connection, [(chunk.collection_id, chunk.pk) for chunk in wanting])"
        ),
        without="",
    ),
    Guard(
        keeps="a paid vector outlives its last chunk",
        function="queue.release_vectors",
        sql="AND NOT {IS_PAID}",
        without="",
        tests=("tests/core/store/writing/test_delete.py",),
    ),
    Guard(
        keeps="a vector that another chunk uses is not let go",
        function="queue.release_vectors",
        sql="AND {IS_UNUSED}",
        without="",
    ),
    Guard(
        keeps="a given vector belongs to the text that it came with",
        function="store._given_before",
        statement="(content, vector) == (again[key].content_id, again[key].given)",
        without="vector == again[key].given",
        tests=("tests/core/store/writing/test_save.py",),
    ),
    Guard(
        keeps="a content that a job carries is not forgotten",
        function="queue._UNUSED",
        sql="i.content_id IS NULL AND",
        without="",
        tests=("tests/core/queue/test_contents.py",),
    ),
    Guard(
        keeps="a content whose vector only a target has is not forgotten",
        function="queue._UNUSED",
        sql="AND d.content_id IS NULL",
        without="",
        tests=("tests/core/delivery/test_kept.py",),
    ),
    Guard(
        keeps="only FAILED chunks are tried anew",
        function="queue._FAILED_THERE",
        sql="{IS_FAILED} AND",
        without="embedding_status <> 'READY' AND",
        tests=("tests/core/queue/test_stats.py", "tests/core/batches/test_sync.py"),
    ),
    Guard(
        keeps="a chunk that was saved as FAILED is not sent",
        function="queue._FAILED_THERE",
        sql="AND {USES_BUDGET})",
        without="AND {USES_BUDGET}) OR 1",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="new tries begin a new budget",
        function="queue.retry_failed_chunks",
        statement="forgive(connection, contents)",
        without="",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a chunk tried anew waits for the job that carries its text",
        function="queue.retry_failed_chunks",
        statement="carrying_job('c.content_id')",
        without="'NULL'",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a text is tried only so often",
        function="queue.RetryBudget.is_spent",
        statement="uses.get(BudgetUse.ATTEMPT, 0) + failures >= self.attempts",
        without="False",
    ),
    Guard(
        keeps="a failed job is sent again only once",
        function="queue.RetryBudget.is_spent",
        statement="failures >= self.job_failures",
        without="False",
    ),
    Guard(
        keeps="a text expires only so often",
        function="queue.RetryBudget.is_spent",
        statement="uses.get(BudgetUse.EXPIRY, 0) >= self.expiries",
        without="False",
    ),
    Guard(
        keeps="a text refused for good is not sent again",
        function="queue.RetryBudget.is_spent",
        statement="uses.get(BudgetUse.EVERYTHING, 0) > 0",
        without="False",
    ),
    Guard(
        keeps="a known job is not adopted a second time",
        function="queue.unknown_names",
        sql="value NOT IN (SELECT display_name FROM batch_jobs)",
        without="1",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="an adopted job brings only what a chunk still wants",
        function="queue.wanted_contents",
        sql="{WANTS}",
        without="1",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="only jobs whose texts nobody knows stop others from sending",
        function="queue.open_adopted",
        sql="is_adopted AND (hold_reason",
        without="(hold_reason",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="a job that ended or is held stops nobody from sending",
        function="queue.open_adopted",
        sql="(hold_reason IS NULL",
        without="(1",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="a found job whose results look wrong stops others from sending",
        function="queue.open_adopted",
        sql="hold_reason = 'bad results')",
        without="0)",
        tests=("tests/core/batches/test_endings.py",),
    ),
)

# --- batches: submitting -----------------------------------------------------------------

_SUBMITTING = (
    Guard(
        keeps="the intent to create is committed before the call",
        function="batches.submit_one",
        statement=(
            "_record_intent(job, staged)\n"
            "try:\n"
            "    _create(job, staged)\n"
            "except _OF_ONE_MODEL as error: ...\n"
            "else: ..."
        ),
        without=(
            "try:\n"
            "    _create(job, staged)\n"
            "    _record_intent(job, staged)\n"
            "except _OF_ONE_MODEL as error: ...\n"
            "else: ..."
        ),
    ),
    Guard(
        keeps="the step creating is committed, not only the upload",
        function="batches._record_intent",
        statement="job.move(JobStep.UPLOADED, step=JobStep.CREATING, creating_at=now)",
        without="",
    ),
    Guard(
        keeps="the lease is proven once more right before the call",
        function="batches._create",
        statement="job.move(JobStep.CREATING, creating_at=job.context.clock.now())",
        without="",
    ),
    Guard(
        keeps="the create call is sent once",
        function="batches._create",
        statement="remote = job.context.provider.create(...)",
        without=(
            "remote = [job.context.provider.create(a, spec=spec, name=b) for a, b in "
            "2 * [(staged, record.display_name)]][-1]"
        ),
    ),
    Guard(
        keeps="the lease is kept while an input file is uploaded",
        function="batches._upload",
        statement="job.keep",
        without="lambda: None",
        tests=("tests/core/batches/job/test_context.py",),
    ),
    Guard(
        keeps="a vector that came before its chunk is not pruned under it",
        function="queue.store_vectors",
        statement="if len(stored) < len(arrived): use_vectors(connection, wanted)",
        without="",
    ),
    Guard(
        keeps="a job that was taken over is no fault of the disk",
        function="batches.Workspace.file",
        statement="(FileNotFoundError, StorageError)",
        without="FileNotFoundError",
    ),
    Guard(
        keeps="an ambiguous answer keeps the claim",
        function="batches._create",
        statement="not error.is_definite",
        without="False",
    ),
    Guard(
        keeps="a definite refusal releases the claim",
        function="batches._create",
        statement="_refuse(job, error)",
        without="",
    ),
    Guard(
        keeps="a failed upload releases the claim",
        function="batches._upload",
        statement="_abandon_if_possible(job, error)",
        without="",
    ),
    Guard(
        keeps="texts that nobody wants any more are let go of",
        function="batches.lines_of",
        statement="[content for _, content, _, source, _ in page if source is None]",
        without="[]",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="a file that was changed is not sent under its old hash",
        function="store._sent",
        statement="looked.sha256 != part.sha256",
        without="False",
        tests=("tests/core/batches/test_media.py",),
    ),
    Guard(
        keeps="a file that changed into what a job carries waits for that job",
        function="queue.renew_media",
        statement="carrying_job(':wanted')",
        without="'NULL'",
        tests=("tests/core/batches/test_media.py",),
    ),
    Guard(
        keeps="the bytes of a picture stay while a chunk has them",
        function="store.drop_media",
        sql="AND uses <= ?",
        without="AND 0 < ?",
        tests=("tests/core/batches/test_media.py",),
    ),
    Guard(
        keeps="a text that was changed is not sent under its old hash",
        function="batches.lines_of",
        statement="hash_of(source, parts) != content_hash",
        without="False",
        tests=("tests/crash/test_damage.py",),
    ),
    Guard(
        keeps="an input file never passes the provider's size",
        function="batches.lines_of",
        statement="size > room",
        without="False",
    ),
    Guard(
        keeps="what an input file has no room for goes with a later job",
        function="batches.lines_of",
        statement="settle_open(job, after=after, state=..., use=..., error=...)",
        without="settle_open(job, after=1 << 60, state=..., use=..., error=...)",
    ),
    Guard(
        keeps="what is in the input file stays with its job",
        function="batches.lines_of",
        statement="settle_open(job, after=after, state=..., use=..., error=...)",
        without="settle_open(job, after=0, state=..., use=..., error=...)",
    ),
    Guard(
        keeps="a text that no input file holds fails alone",
        function="batches.lines_of",
        statement="size > most",
        without="False",
    ),
    Guard(
        keeps="a model that was shut down is refused before anything is staged",
        function="batches._first_that_passes",
        statement="context.provider.model(candidate.spec.model).check_served(now)",
        without="",
        tests=("tests/core/providers/test_facts.py",),
    ),
    Guard(
        keeps="the provider's limit of open jobs is waited for",
        function="batches._room",
        statement="count_at_provider(connection) >= config.max_open_jobs",
        without="False",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="too few texts wait for more",
        function="batches._look",
        statement="_is_too_small(connection, candidate, waiting, run, now)",
        without="False",
    ),
    Guard(
        keeps="what is skipped keeps no others from being sent",
        function="batches._first_that_passes",
        statement="note_passed(connection, candidate.space_id, obstacle, found, now=now)",
        without=(
            "note_passed(connection, candidate.space_id, obstacle, found, now=now)\nreturn None"
        ),
    ),
    Guard(
        keeps="what no budget allows keeps no others from being sent",
        function="batches._first_that_passes",
        statement="run.over_budget.append(error)",
        without="raise",
    ),
    Guard(
        keeps="texts that are not sent are noted with the reason",
        function="batches._first_that_passes",
        statement="note_passed(connection, candidate.space_id, obstacle, found, now=now)",
        without="",
    ),
    Guard(
        keeps="texts that are sent are no longer noted as skipped",
        function="batches._first_that_passes",
        statement="forget_passed(connection, candidate.spec.model, space_id=candidate.space_id)",
        without="",
    ),
    Guard(
        keeps="a refusal of one model keeps no other from being sent",
        function="batches._OF_ONE_MODEL",
        statement="(RateLimitError, RemoteNotFoundError, RequestRefusedError)",
        without="()",
        tests=("tests/core/batches/job/test_select.py",),
    ),
    Guard(
        keeps="a 429 is remembered",
        function="batches._refuse_for_now",
        statement="write_ceiling(connection, key, replace(lowered, message=message), now=now)",
        without="",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="an accepted job is remembered",
        function="batches._record_created",
        statement="write_ceiling(connection, key, raised, now=now)",
        without="",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="nothing is sent while the provider wants a pause",
        function="batches._room",
        statement="ceiling.message is not None and ceiling.is_closed(enqueued, now=now)",
        without="False",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="the next job and all open ones stay below the ceiling",
        function="batches._room",
        statement="(ceiling.requests - enqueued.requests, ceiling.tokens - enqueued.tokens)",
        without="(ceiling.requests, ceiling.tokens)",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="a text over what is left waits while jobs are open",
        function="batches._look",
        statement="room.tokens is not None and waiting.tokens > room.tokens",
        without="False",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="the results of open jobs fit into the provider's storage",
        function="batches._room",
        statement="storable <= 0 < count_at_provider(connection)",
        without="False",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="a job's own results fit into the provider's storage",
        function="batches._room",
        statement="min(config.max_requests, requests, storable)",
        without="min(config.max_requests, requests)",
        tests=("tests/core/batches/test_quotas.py",),
    ),
    Guard(
        keeps="a budget cuts the job",
        function="batches._look",
        statement="limits = replace(limits, tokens=tokens)",
        without="",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="a text that the budget does not allow is not sent",
        function="batches._look",
        statement="waiting.tokens > tokens",
        without="False",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="what this month cost counts",
        function="batches.affordable_tokens",
        statement="config.monthly_budget_usd - spent - checks",
        without="config.monthly_budget_usd",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="a budget without a price sends nothing",
        function="batches.affordable_tokens",
        statement="if price is None: raise BudgetExceededError(...)",
        without="if price is None: return None",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="a budget goes by the price recorded with a job",
        function="queue.SpentTokens.cost",
        statement="self.price or ...",
        without="...",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="every write proves the lease first",
        function="batches.LeasedJob.transaction",
        statement="jobs.keep_lease(connection, self.id, token=self.token, until=until)",
        without="",
    ),
    Guard(
        keeps="a job that another works on is not even asked about",
        function="batches.LeasedJob.take",
        statement="leased[0] if leased else None",
        without="leased[0] if leased else cls(context, job_id, '')",
    ),
    Guard(
        keeps="what a killed process left is removed",
        function="batches.Workspace.file",
        statement="self.forget(job_id)",
        without="",
    ),
    Guard(
        keeps="no temporary file is left",
        function="batches.Workspace.file",
        statement="self._remove(folder)",
        without="",
    ),
)

# --- batches: recovering, polling, holding -------------------------------------------------

_RECOVERING = (
    Guard(
        keeps="a job that is listed is adopted, not sent again",
        function="batches.take_over",
        statement="not found",
        without="True",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="two empty listings decide nothing, however far apart",
        function="batches.settle_absent",
        statement="absence.looks >= LISTINGS_NEEDED",
        without="True",
    ),
    Guard(
        keeps="empty listings lie listing_grace apart",
        function="batches.settle_absent",
        statement="absence.seconds >= grace",
        without="True",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="without a listing nothing is decided",
        function="batches.recover",
        statement=("for job in leased: note_fault(job, error)\nraise"),
        without="listing = Listing(jobs=(), taken=None)",
    ),
    Guard(
        keeps="a job whose end was not heard of is not taken for another process's",
        function="batches.note_fault",
        statement="_log.info('%s', failure)",
        without="raise",
        tests=("tests/crash/test_cut_connections.py::test_the_end_of_a_job_whose_answer_is_lost",),
    ),
    Guard(
        keeps="a job that is listed late is taken up again",
        function="batches.recover",
        statement="reopen_late_jobs(context, listing)",
        without="",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="of the clocks the one that says least is believed",
        function="batches.Reading.since",
        statement="min(*spans, self.wall - earlier.wall)",
        without="max(*spans, self.wall - earlier.wall)",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="the wall clock alone is not believed",
        function="batches.Reading.since",
        statement="if not spans: return None",
        without="if not spans: return self.wall - earlier.wall",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="clocks of two boots are not compared",
        function="batches.Reading.since",
        statement="self.boot == earlier.boot",
        without="True",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="a clock that was set back does not stop the recovery",
        function="batches.Reading.since",
        statement="None if least < 0 else least",
        without="least",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="a job is known by our input file where its name is not ours",
        function="batches.Listing.find",
        statement="not found and input_file is not None",
        without="False",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="of two jobs under one name a usable one is taken",
        function="batches.Listing.find",
        statement="job.is_barren",
        without="not job.is_barren",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="a late job without results is left alone",
        function="batches.reopen_late_jobs",
        statement="not found[0].is_barren",
        without="True",
    ),
    Guard(
        keeps="results that are gone and not needed hold nobody",
        function="batches._reopen",
        statement="if is_spent and (not lacks_vectors(connection, job_id)): return",
        without="",
    ),
    Guard(
        keeps="of two jobs that run the older brings the texts",
        function="batches._reopen",
        statement="hand_over(connection, other_id, job_id)",
        without="",
    ),
    Guard(
        keeps="a late job takes no text from an older one",
        function="batches._is_first",
        statement="(late.created_at or 0.0) <= (other.created_at or 0.0)",
        without="True",
    ),
    Guard(
        keeps="a late job gets its waiting texts back",
        function="queue.reopen",
        statement="_take_back(connection, job_id)",
        without="",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="a text whose vector is stored is not waited for",
        function="queue._take_back",
        sql="NOT EXISTS (SELECT 1 FROM embeddings e WHERE e.content_id = i.content_id AND {IS_CACHED})",
        without="1",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="another project's empty listing says nothing",
        function="batches.settle_absent",
        statement="record.fingerprint != job.context.fingerprint",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a rotated key decides about what the old one left",
        function="batches.recover",
        statement="jobs.know_key(connection, names, context.fingerprint)",
        without="",
    ),
    Guard(
        keeps="of two jobs under one name the second is cancelled",
        function="batches.take_over",
        statement="job.context.provider.cancel(other.name)",
        without="",
    ),
    Guard(
        keeps="a fault of one job does not stop the others",
        function="batches._sync_one",
        statement="if isinstance(error, _Fault): return error",
        without="raise",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job that ended meanwhile is not asked about",
        function="batches._advance",
        statement="if not record.is_open: return",
        without="",
    ),
    Guard(
        keeps="a job of another provider is not asked about",
        function="batches._advance",
        statement="if job.is_elsewhere(record): return",
        without="",
        tests=("tests/core/batches/test_elsewhere.py",),
    ),
    Guard(
        keeps="of a job of another provider nothing is decided by this one's listing",
        function="batches._decide",
        statement="is_undecided(record) and not job.is_elsewhere(record)",
        without="is_undecided(record)",
        tests=("tests/core/batches/test_elsewhere.py",),
    ),
    Guard(
        keeps="a job whose create may have been sent is not released by time",
        function="batches.UNSENT",
        statement="(JobStep.CLAIMED, JobStep.UPLOADED)",
        without="(JobStep.CLAIMED, JobStep.UPLOADED, JobStep.CREATING)",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="a job cancelled by somebody else is held",
        function="batches._finish",
        statement=(
            "ending.reason is FailureReason.CANCELLED and record.cancel_requested_at is None"
        ),
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="results that looked wrong are not fetched at once again",
        function="batches.poll",
        statement="if _rests(job, record): return",
        without="",
    ),
    Guard(
        keeps="a refused key is not taken for a missing job",
        function="batches._look_up",
        statement="provider.jobs(record.display_name).jobs",
        without="()",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job that is seen again is no longer held for absence",
        function="batches._note_seen",
        statement="None if was_absent else record.hold_reason",
        without="record.hold_reason",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job that brings nothing any more is cancelled",
        function="batches.poll",
        statement="_stop_if_needless(job, record)",
        without="",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="a job that still brings a text is not cancelled",
        function="batches._stop_if_needless",
        statement="count_open(connection, job.id)",
        without="False",
        tests=("tests/core/batches/test_reopen.py",),
    ),
    Guard(
        keeps="a found job, whose texts nobody knows, is not cancelled",
        function="batches._stop_if_needless",
        statement="record.is_adopted",
        without="False",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="a failed job uses up a try",
        function="batches._ENDS",
        statement="BudgetUse.JOB_FAILURE",
        without="BudgetUse.NOTHING",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a result file is read whatever the state says",
        function="batches._finish",
        statement="remote.result_file is not None",
        without="ending and (not ending.reason) and remote.result_file",
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="a failed job that counts texts and names no results is held",
        function="batches._finish",
        statement="ending.reason is FailureReason.PROVIDER_FAILED and remote.successful_count",
        without="False",
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="a job that another key does not see is held, not lost",
        function="batches.hold_if_still_absent",
        statement="record.fingerprint != job.context.fingerprint",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job is lost only after a second look",
        function="batches.hold_if_still_absent",
        statement="absence.seconds >= job.context.config.listing_grace",
        without="True",
        tests=("tests/core/batches/test_sync.py",),
    ),
)

# --- batches: applying, cleaning, adopting, steering ----------------------------------------

_APPLYING = (
    Guard(
        keeps="a finished job without results is held",
        function="batches._finish",
        statement="hold_bad(job, 'the provider calls it finished but names no result file.')",
        without='end_job(job, FailureReason.EXPIRED, "", steps=HOLDABLE)',
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="of two vectors for one text neither is used",
        function="providers.trusted_results",
        statement="line.key in conflicting",
        without="False",
        tests=("tests/core/batches/test_sync.py", "tests/core/batches/test_adopt.py"),
    ),
    Guard(
        keeps="a vector that nobody asked for is not stored",
        function="batches._known_texts",
        statement="carried_texts(connection, job.id, list(lines))",
        without="dict.fromkeys(lines, 1)",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="results of a wrong dimension are not paid for again",
        function="batches.Tally.doubt",
        statement="if wrong and ...: ...",
        without="if False and ...: ...",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="results of nobody are not paid for again",
        function="batches.Tally.doubt",
        statement="not answered and (self.lines or ending.reason is None)",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="results cut short are not paid for again",
        function="batches.Tally.doubt",
        statement="min(counted - answered, remote.successful_count - embedded) > 0",
        without="False",
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="an error makes up for no vector that a file lacks",
        function="batches.Tally.doubt",
        statement="min(counted - answered, remote.successful_count - embedded) > 0",
        without="remote.successful_count > answered",
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="a short file that nobody counts is not paid for again",
        function="batches.Tally.doubt",
        statement="ending.reason is None and (not counted) and (answered < sent)",
        without="False",
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="results in doubt hold the job",
        function="batches.apply_results",
        statement="if doubt is not None: hold_bad(job, doubt); return True",
        without="",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a text without a result goes back to the queue",
        function="batches._settle_rest",
        statement=("settle_open(job, state=ending.item_state, use=ending.use, error=ending.error)"),
        without="",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="nothing is sent again of a job whose end nobody understands",
        function="batches.apply_results",
        statement="if record.is_adopted or count_open(connection, job.id): return False",
        without=(
            "if record.is_adopted or count_open(connection, job.id): settle_open(job, "
            "state=ItemState.RELEASED, use=BudgetUse.NOTHING, error='')"
        ),
        tests=("tests/core/batches/test_endings.py",),
    ),
    Guard(
        keeps="a quota error does not use up a try",
        function="batches._outcome",
        statement="BudgetUse.NOTHING",
        without="BudgetUse.EVERYTHING",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a passing error is tried again",
        function="batches._outcome",
        statement="line.is_transient",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="expired results hold the job",
        function="batches.apply_results",
        statement="_miss_results(job, record)",
        without='settle_open(job, state=ItemState.RELEASED, use=BudgetUse.NOTHING, error="")',
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a text is done only with its vector stored",
        function="batches._write",
        statement="write_page(connection, arrived, ...)",
        without="write_page(connection, arrived[1:], ...)",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a finished job stays for a restored backup",
        function="batches.clean_up",
        statement="None if has_results else record.google_job_id",
        without="record.google_job_id",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="only a job whose results are gone is removed",
        function="batches.remove_spent",
        statement="remote.ended_at < gone",
        without="True",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="only a job that ended here is removed there",
        function="queue.ended_names",
        sql="AND {IS_ENDED}",
        without="",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="another project's key removes nothing",
        function="batches.clean_up",
        statement="record.fingerprint != context.fingerprint",
        without="False",
    ),
    Guard(
        keeps="another provider removes nothing",
        function="batches.clean_up",
        statement="is_elsewhere or record.fingerprint != context.fingerprint",
        without="record.fingerprint != context.fingerprint",
        tests=("tests/core/batches/test_elsewhere.py",),
    ),
    Guard(
        keeps="what could not be removed is tried again",
        function="batches.clean_up",
        statement="mark_cleaned(connection, record.id, now=context.clock.now(), is_clean=is_clean)",
        without="mark_cleaned(connection, record.id, now=context.clock.now(), is_clean=True)",
    ),
    Guard(
        keeps="a failed job is not adopted",
        function="batches.adopt_unknown_jobs",
        statement="not remote.is_barren",
        without="True",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="an adopted job stores only wanted vectors",
        function="batches._write",
        statement="wanted_contents(connection, adopted_space, ...)",
        without="content_ids(connection, ...)",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="a text that nobody counted is billed by estimate",
        function="batches.Tally.add",
        statement="self.estimated[key] = estimate",
        without="self.estimated[key] = 0",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="a text that was refused is not billed",
        function="batches.Tally.add",
        statement="line.is_refused",
        without="False",
        tests=("tests/core/batches/job/test_afford.py",),
    ),
    Guard(
        keeps="nothing is sent while an unknown job of ours runs",
        function="batches.BatchManager._send",
        statement="if sync_adopted(context): return None",
        without="",
        tests=("tests/core/batches/test_adopt.py",),
    ),
    Guard(
        keeps="test vectors never mix with paid ones",
        function="batches.BatchManager._send",
        statement="self.store.fix_provenance(context.provider.provenance)",
        without="",
    ),
    Guard(
        keeps="nothing is sent before the provider's jobs were listed",
        function="batches.BatchManager._send",
        statement="recover(context)",
        without="",
        tests=("tests/core/batches/test_submit.py",),
    ),
    Guard(
        keeps="paying twice needs a written-out yes",
        function="batches.BatchManager.release",
        statement="accept_rebilling is not True",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="cancelling a held job does not free its texts",
        function="batches.cancel_job",
        statement="record.hold_reason is not None",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="only a held or uncertain job is given up",
        function="batches.release_job",
        statement=(
            "not is_stuck and (not is_undecided(record)) and (not _is_key_refused(job, record))"
        ),
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job that cannot be read can be given up",
        function="batches.release_job",
        statement="job.trouble(record) is not None",
        without="False",
        tests=("tests/core/batches/test_damaged_rows.py",),
    ),
    Guard(
        keeps="a job that cannot be read waits for a person",
        function="batches._advance",
        statement="job.trouble(record)",
        without="None",
        tests=("tests/core/batches/test_damaged_rows.py",),
    ),
    Guard(
        keeps="results are not read under the spec of another space",
        function="queue.job_spec",
        statement="spec.space_digest == digest",
        without="True",
        tests=("tests/core/batches/test_damaged_rows.py",),
    ),
    Guard(
        keeps="nothing is cancelled as unsent before it was looked for",
        function="batches.cancel_job",
        statement="not take_over(job, record, listing)",
        without="True",
        tests=("tests/core/batches/test_recover.py",),
    ),
    Guard(
        keeps="the wish to cancel is committed before the call",
        function="batches.cancel_job",
        statement=(
            "job.move(JobStep.SUBMITTED, JobStep.FETCHED, cancel_requested_at=context.clock.now())"
        ),
        without="",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="an ended job is not cancelled or given up",
        function="batches._leased",
        statement="not record.is_open",
        without="False",
        tests=("tests/core/batches/test_sync.py",),
    ),
    Guard(
        keeps="a job that another works on is not given up under its hands",
        function="batches._leased",
        statement="if job is None: raise TransitionError(...)",
        without="if job is None: job = LeasedJob(context, batch_id, '')",
    ),
    Guard(
        keeps="what counts as a try is settled as failed",
        function="batches.end_job",
        statement=(
            "settle_open(job, state=_state_for(use), use=use, error=error, not_before=not_before)"
        ),
        without=(
            "settle_open(job, state=ItemState.RELEASED, use=BudgetUse.NOTHING, error=error, "
            "not_before=not_before)"
        ),
        tests=("tests/core/batches/test_sync.py",),
    ),
)

# --- the spot check -----------------------------------------------------------------------

_CHECKING = (
    Guard(
        keeps="results are checked before any is used, where asked for",
        function="batches.apply_results",
        statement="not passes_check(job, path, [spec for _, spec in spaces])",
        without="False",
        tests=("tests/core/batches/job/test_check.py",),
    ),
    Guard(
        keeps="a check that failed is not paid for again, and its results not taken",
        function="batches._rests",
        statement="record.hold_reason is HoldReason.SPOT_CHECK",
        without="False",
        tests=("tests/core/batches/job/test_check.py",),
    ),
    Guard(
        keeps="a job that passed is not checked again",
        function="batches.passes_check",
        statement="has_passed(connection, job.id)",
        without="False",
    ),
    Guard(
        keeps="a vector nearer to another text is wrong",
        function="batches.CheckedText.is_good",
        statement="lead <= MOST_LEAD",
        without="True",
    ),
    Guard(
        keeps="a check that was refused costs nothing",
        function="batches.embed_again",
        statement="error.is_definite and (not found)",
        without="False",
    ),
    Guard(
        keeps="the price of checks is set aside when a job is claimed",
        function="batches.affordable_tokens",
        statement="check * (1 + count_at_provider(connection))",
        without="0.0",
        tests=("tests/core/batches/job/test_check.py",),
    ),
)

# --- live calls and texts that are too long --------------------------------------------------

_LIVE = (
    Guard(
        keeps="what is embedded live at this moment is not claimed",
        function="queue._due_texts",
        sql="AND NOT {IS_EMBEDDED_LIVE}",
        without="",
        tests=("tests/core/queue/test_live_claims.py",),
    ),
    Guard(
        keeps="a text whose vector is stored is served, not sent",
        function="queue.fill_job",
        statement="if is_stored: ...",
        without="if False: ...",
        tests=("tests/core/documents/test_live.py",),
    ),
    Guard(
        keeps="a text that a job carries is not embedded live",
        function="queue.claim_live",
        sql="AND NOT EXISTS (SELECT 1 FROM batch_items WHERE {IS_CARRIED} AND content_id = given.id)",
        without="",
    ),
    Guard(
        keeps="a text whose vector is stored is not embedded live",
        function="queue.claim_live",
        sql="NOT EXISTS (SELECT 1 FROM embeddings WHERE content_id = given.id AND {IS_CACHED})",
        without="1",
    ),
    Guard(
        keeps="a text is in one live call at a time",
        function="queue.claim_live",
        sql="(content_id) DO NOTHING",
        without="(content_id) DO UPDATE SET lease_token = excluded.lease_token",
    ),
    Guard(
        keeps="a claim of a dead live call ends",
        function="queue.claim_live",
        statement="_Claim.lease_until <= now",
        without="_Claim.lease_until <= now - 1e12",
    ),
    Guard(
        keeps="a live call that slept past its lease sends nothing",
        function="queue.keep_live",
        statement="run(connection, kept).rowcount != count",
        without="run(connection, kept).rowcount is None",
    ),
    Guard(
        keeps="what failed live is not sent by a flush",
        function="documents.live._embed",
        statement="fail_chunks(connection, reasons, now=store.clock.now())",
        without="",
    ),
    Guard(
        keeps="what was too long once is not sent live again",
        function="documents.embed_missing",
        statement="_refused_before(store, wanted)",
        without="{}",
    ),
    Guard(
        keeps="what was too long once is not sent under another id",
        function="store._decide",
        statement="too_long is not None",
        without="False",
        tests=("tests/core/documents/test_live.py",),
    ),
    Guard(
        keeps="a vector of only the beginning is not stored",
        function="providers._read_line",
        statement="_is_truncated(record) or is_full(tokens, spec)",
        without="False",
    ),
    Guard(
        keeps="a line that says more than usual is read with care",
        function="providers._read_usual",
        statement="more == (1, 1) and len(embedding) == 1 and not is_full(tokens, spec)",
        without="len(embedding) > 0",
    ),
    Guard(
        keeps="a live vector of only the beginning is not stored",
        function="providers._cut_short",
        statement="too_long(spec, CUT) if is_full(tokens, spec) else None",
        without="None",
        tests=("tests/core/documents/test_live.py",),
    ),
    Guard(
        keeps="a text that may be too long goes alone, so that its tokens are its own",
        function="providers._parts",
        statement="limit is not None and tokens >= limit",
        without="False",
        tests=("tests/core/documents/test_live.py",),
    ),
)

# --- the file itself ---------------------------------------------------------------------

_DATABASE = (
    Guard(
        keeps="what went into a file that is gone is not called saved",
        function="database.Database._transaction",
        statement="self._place.check(opened)",
        without="",
    ),
    Guard(
        keeps="a filter finds nothing that was taken back",
        function="database.Database._transaction",
        statement="opened.port.forget()",
        without="",
        tests=("tests/core/database/sqlite/test_kept.py",),
    ),
    Guard(
        keeps="another file under the same name takes no writes",
        function="database.Place.check",
        statement="_identity(status) != self._file",
        without="False",
    ),
    Guard(
        keeps="a log without its database is not thrown away",
        function="database.Place.check_not_cut",
        statement="log is None or not log.st_size",
        without="True",
    ),
    Guard(
        keeps="an interrupt at the end of a transaction leaves nobody waiting",
        function="domain._steps",
        statement="block.throw(raised)",
        without="",
        tests=("tests/core/domain/test_certain_exit.py",),
    ),
    Guard(
        keeps="a vector of another content is no longer searched by the server",
        function="database._make_table",
        sql="DELETE FROM {table} v USING noted WHERE v.pk = noted.chunk_pk; ",
        without="",
        tests=("tests/core/database/postgres/test_vectors.py",),
    ),
    Guard(
        keeps="no vector is searched for in an index that is not whole",
        function="database.PgVectors.nearest",
        sql=" AND i.indisvalid",
        without="",
        tests=("tests/core/database/postgres/test_vectors.py",),
    ),
    Guard(
        keeps="a scan on the server that ended early is no answer",
        function="database.TableSearch._in_graph",
        statement="len(hits.ids) == limit",
        without="True",
        tests=("tests/core/database/postgres/test_vectors.py",),
    ),
    Guard(
        keeps="what the server rounds away is compared again",
        function="database.TableSearch._in_all",
        statement="2 * _ROUNDING + rank_error(len(vector))",
        without="0.0",
        tests=("tests/core/database/postgres/test_vectors.py",),
    ),
)

# --- two databases ------------------------------------------------------------------------

_MOVED = "tests/core/store/test_copy.py::test_"

_COPY = (
    Guard(
        keeps="a file that was moved, or is not whole, is not written",
        function="database.Database._transaction",
        statement="check_marks(opened.port, self.name)",
        without="",
        tests=(
            f"{_MOVED}the_source_takes_and_sends_nothing_more_and_is_searched_on[sqlite-postgres]",
        ),
    ),
    Guard(
        keeps="a database on a server that was moved, or is not whole, is not written",
        function="database.PostgresDatabase._transaction",
        statement="check_marks(current, self.name)",
        without="",
        tests=(
            f"{_MOVED}the_source_takes_and_sends_nothing_more_and_is_searched_on[postgres-sqlite]",
        ),
    ),
    Guard(
        keeps="of two databases with the same texts one sends",
        function="store.copy_store",
        statement="_mark_source(source, target.database)",
        without="",
        tests=(
            f"{_MOVED}stopped_after_every_step_it_goes_on_and_never_may_both_send[sqlite-postgres]",
        ),
    ),
    Guard(
        keeps="nobody is asked by a database that was moved",
        function="batches.BatchManager.context",
        statement="check_marks(connection, self.store.database.name)",
        without="",
        tests=(
            f"{_MOVED}the_source_takes_and_sends_nothing_more_and_is_searched_on[sqlite-postgres]",
        ),
    ),
    Guard(
        keeps="a database is moved to one place",
        function="store._leads_to",
        statement="check_marks(here, name)",
        without="",
        tests=(f"{_MOVED}it_moves_on_to_a_third_place",),
    ),
    Guard(
        keeps="what a live call has paid for is not left behind",
        function="store._mark_source",
        statement="until is not None and until > source.clock.now()",
        without="False",
        tests=(f"{_MOVED}what_is_being_embedded_live_is_waited_for[sqlite-postgres]",),
    ),
)

# --- documents ---------------------------------------------------------------------------

_READING = (
    Guard(
        keeps="an id that appears twice in a call overwrites nothing",
        function="documents.Ingestion._split",
        statement="taken_at != position",
        without="False",
    ),
    Guard(
        keeps="a source with a refused document keeps what it had",
        function="documents.Ingestion._reject",
        statement="self._naming.add_source(source, is_whole=False)",
        without="self._naming.add_source(source, is_whole=True)",
    ),
    Guard(
        keeps="equal documents of one call do not overwrite each other",
        function="documents.Naming.make_id",
        statement="times == 1",
        without="times",
        tests=("tests/core/documents/test_ingest.py",),
    ),
    Guard(
        keeps="what another process saved meanwhile stays under its source",
        function="store.delete_sources",
        sql="created_at <= ?",
        without="? > 0",
        tests=("tests/core/documents/test_ingest.py",),
    ),
    Guard(
        keeps="a link that leads out of a folder is not followed",
        function="documents.FoundFiles._why_not",
        statement="path.is_symlink()",
        without="False",
    ),
    Guard(
        keeps="a folder whose disk is missing is not pruned",
        function="documents.Ingestion._remove_gone",
        statement="gone if self._prune and found.found else []",
        without="gone if self._prune else []",
    ),
    Guard(
        keeps="a file that nobody may look at is not gone",
        function="documents._is_gone",
        statement="(FileNotFoundError, NotADirectoryError)",
        without="OSError",
    ),
    Guard(
        keeps="a text that is UTF-8 but for a few bytes is not read as another encoding",
        function="documents._candidates",
        statement="not _is_broken_utf_8(data)",
        without="True",
    ),
    Guard(
        keeps="a part without a letter or digit is not paid for",
        function="documents.Splitter._pieces",
        statement="has_words(text[at:end])",
        without="text[at:end].strip()",
    ),
)

# --- delivery ----------------------------------------------------------------------------

_DELIVERY = (
    Guard(
        keeps="a target is told of a vector that came",
        function="queue._serve",
        statement="note_wishes(connection, first, may_be_there=False, now=now)",
        without="",
        tests=(
            "tests/core/delivery/test_delivery.py::test_a_target_gets_what_has_its_vector_and_loses_what_is_deleted",
        ),
    ),
    Guard(
        keeps="a target is told of a vector that was replaced",
        function="queue._serve",
        statement="note_wishes(connection, again, may_be_there=True, now=now)",
        without="",
        tests=(
            "tests/core/delivery/test_delivery.py::test_a_stale_chunk_stays_as_it_was_until_its_vector_lands",
        ),
    ),
    Guard(
        keeps="a target is told of what was saved with its vector",
        function="store._insert",
        statement="note_wishes(connection, served, may_be_there=False, now=now)",
        without="",
        tests=("tests/core/delivery/test_delivery.py::test_what_is_saved_with_its_vector_is_told",),
    ),
    Guard(
        keeps="a target is told of changed text and metadata",
        function="store._update",
        statement="note_wishes(connection, ready, may_be_there=True, now=now)",
        without="",
        tests=(
            "tests/core/delivery/test_delivery.py::test_every_change_of_a_served_chunk_is_told_once",
        ),
    ),
    Guard(
        keeps="a target is told of what was deleted",
        function="store._delete_page",
        statement="note_wishes(connection, served_pks, may_be_there=True, now=now)",
        without="",
        tests=(
            "tests/core/delivery/test_delivery.py::test_every_change_of_a_served_chunk_is_told_once",
        ),
    ),
    Guard(
        keeps="a target is told of a change during a delivery",
        function="queue.note_wishes",
        sql="SET seq = excluded.seq, tries = 0",
        without="SET tries = 0",
        tests=(
            "tests/core/delivery/test_delivery.py::test_an_edit_during_a_delivery_is_told_afterwards",
        ),
    ),
    Guard(
        keeps="a target forgets no wish but those that were read",
        function="delivery.forget_wishes",
        statement='among("seq", [wish.seq for wish in wishes])',
        without='among("chunk_id", [wish.chunk_id for wish in wishes])',
        tests=(
            "tests/core/delivery/test_delivery.py::test_an_edit_during_a_delivery_is_told_afterwards",
        ),
    ),
    Guard(
        keeps="a target gets no new text with an older vector",
        function="delivery.read_wishes",
        sql=" OR c.embedding_status = 'READY')",
        without=" OR TRUE)",
        tests=(
            "tests/core/delivery/test_delivery.py::test_a_chunk_that_became_stale_before_it_was_told_waits",
        ),
    ),
    Guard(
        keeps="a target holds no chunk twice",
        function="delivery.DeliveryRun._tell_at_once",
        statement="self._target.delete(gone)",
        without="pass",
        tests=(
            "tests/core/delivery/test_delivery.py::test_every_change_of_a_served_chunk_is_told_once",
        ),
    ),
    Guard(
        keeps="what a target may hold is noted before it gets it",
        function="delivery._note",
        statement="note_handing_over(connection, target_id, wishes)",
        without="",
        tests=(
            "tests/core/delivery/test_delivery.py::test_an_error_of_delete_counts_once_a_page_was_taken",
        ),
    ),
    Guard(
        keeps="an error of a target's delete counts once a page was taken",
        function="delivery.DeliveryRun._tell_at_once",
        statement="not is_first",
        without="False",
        tests=(
            "tests/core/delivery/test_delivery.py::test_an_error_of_delete_counts_once_a_page_was_taken",
        ),
    ),
    Guard(
        keeps="one process works on a target",
        function="delivery.DeliveryRun.run",
        sql="lease_token IS NULL OR",
        without="TRUE OR",
        tests=(
            "tests/core/delivery/test_delivery.py::test_a_target_that_another_process_works_on_is_left_to_it",
        ),
    ),
    Guard(
        keeps="whoever lost a target forgets no wish",
        function="delivery.DeliveryRun._write",
        statement="not is_ours",
        without="False",
        tests=(
            "tests/core/delivery/test_delivery.py::test_whoever_slept_too_long_lets_its_page_be_told_again",
        ),
    ),
    Guard(
        keeps="what a sleeper put into a target is told again",
        function="delivery.DeliveryRun._tell_at_once",
        statement="wish_again(connection, target_id, ids, now=now)",
        without="pass",
        tests=(
            "tests/core/delivery/test_delivery.py::test_whoever_slept_too_long_lets_its_page_be_told_again",
        ),
    ),
    Guard(
        keeps="a target that is filled lacks nothing",
        function="delivery.fill_page",
        sql="AND pk > ?",
        without="AND pk > ? + 1",
        tests=(
            "tests/core/delivery/test_delivery.py::test_a_new_target_is_filled_and_an_interrupted_filling_goes_on",
        ),
    ),
    Guard(
        keeps="what a target finds is filtered once more",
        function="store._here",
        statement="replace(query.where, ids=(*found, *untold))",
        without="replace(query.where, filters=None, ids=(*found, *untold))",
        tests=(
            "tests/core/delivery/test_search.py::test_what_a_wide_filter_of_a_target_lets_through_is_left_out",
        ),
    ),
    Guard(
        keeps="what a target was not told is found by its words",
        function="store._without_vector",
        sql="WHERE target_id = ?",
        without="WHERE target_id < ?",
        tests=(
            "tests/core/delivery/test_search.py::test_more_than_is_compared_here_is_found_by_its_words",
        ),
    ),
    Guard(
        keeps="a chunk keeps its words and its vector until every target has it",
        function="store.kept._IS_SETTLED",
        sql="(t.filled_pk IS NOT NULL OR EXISTS (SELECT 1 FROM outbox o "
        "WHERE o.target_id = t.id AND o.chunk_id = c.chunk_id))",
        without="t.filled_pk IS NOT NULL",
        tests=("tests/core/delivery/test_kept.py::test_words_stay_until_every_target_has_them",),
    ),
    Guard(
        keeps="a vector that the user gave is never deleted for a target that has it",
        function="store.let_go",
        statement="[(pk, embedding_id) for pk, embedding_id, is_paid in rows if is_paid]",
        without="[(pk, embedding_id) for pk, embedding_id, is_paid in rows]",
        tests=("tests/core/delivery/test_kept.py::test_vectors_that_nobody_can_make_again_stay",),
    ),
    Guard(
        keeps="a changed chunk is not READY with a vector that only targets have",
        function="store._keep_what_stands",
        statement="not is_asked_for",
        without="True",
        tests=(
            "tests/core/delivery/test_kept.py::test_what_needs_the_vector_again_waits_for_a_new_one",
        ),
    ),
    Guard(
        keeps="what is to be told once more has its vector, or waits for one",
        function="delivery.DeliveryRun._tell_at_once",
        statement="self._take_back(connection, ids)",
        without="pass",
        tests=(
            "tests/core/delivery/test_kept.py::test_a_page_that_is_told_once_more_without_its_vectors_waits_for_new_ones",
        ),
    ),
    Guard(
        keeps="a target is not let go of while it alone has vectors",
        function="store.Delivery.forget",
        statement="check_all_here(connection, collection, ...)",
        without="pass",
        tests=(
            "tests/core/delivery/test_kept.py::test_what_only_a_target_has_is_asked_for_again_before_it_is_needed_elsewhere",
        ),
    ),
    Guard(
        keeps="a new target is not begun with while another alone has vectors",
        function="store.Delivery.attach",
        statement="check_all_here(connection, owner, ...)",
        without="pass",
        tests=(
            "tests/core/delivery/test_kept.py::test_what_only_a_target_has_is_asked_for_again_before_it_is_needed_elsewhere",
        ),
    ),
    Guard(
        keeps="what is saved again as it is, its vector with a target, is not embedded live",
        function="documents.embed_missing",
        statement="row.chunk_id not in kept",
        without="True",
        tests=(
            "tests/core/documents/test_live.py::test_what_only_a_target_has_costs_nothing_as_it_is",
        ),
    ),
)

# --- database: PostgreSQL ----------------------------------------------------------------

_LOCKS = "tests/core/database/postgres/test_locks.py"
_POSTGRES = "tests/core/database/postgres/test_database.py"

_SERVER = (
    Guard(
        keeps="who moves states waits for savers",
        function="database.PostgresDatabase.transaction",
        statement="_Kind.MOVE",
        without="_Kind.SAVE",
        tests=(_POSTGRES,),
    ),
    Guard(
        keeps="a saver waits for who moves states",
        function="database._Kind",
        statement="MOVE.replace('advisory_xact_lock', 'advisory_xact_lock_shared')",
        without="MOVE.replace('pg_advisory_xact_lock', 'concat')",
        tests=(_POSTGRES,),
    ),
    Guard(
        keeps="a claim is on the server's disk before anything is sent",
        function="database._Kind",
        sql="SET LOCAL synchronous_commit = on;",
        without="",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="a search on PostgreSQL reads one state",
        function="database._Kind",
        sql="BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;",
        without="BEGIN READ ONLY;",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="a saver that meets another in the same rows begins again",
        function="database.PostgresDatabase.save",
        statement="not isinstance(error.__cause__, RIVALRY)",
        without="True",
        tests=(_POSTGRES,),
    ),
    Guard(
        keeps="a vector is let go of by nobody while others save",
        function="store.save_rows",
        statement="if not is_alone and any(...): raise MustBeAloneError",
        without="",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="a chunk is deleted by nobody while others save",
        function="store.delete_chunks",
        statement="if pks and not is_alone: raise MustBeAloneError",
        without="",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="who saves a chunk again sees what another makes of it",
        function="store.read_known",
        sql=" {LOCKED}",
        without="",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="no change of vectors gets an earlier number than one that was read",
        function="database.CHANGES",
        sql="PERFORM pg_advisory_xact_lock({LOCK}, 2);",
        without="",
        tests=(_POSTGRES,),
    ),
    Guard(
        keeps="a claim takes as long as its job, however old the server's statistics are",
        function="queue._due_texts",
        sql=" LIMIT -1 OFFSET 0",
        without="",
        tests=("tests/core/database/postgres/test_plans.py",),
    ),
    Guard(
        keeps="a claim takes as long as its job, however empty the table of items was",
        function="queue.claim",
        sql="t.attempt",
        without="(SELECT count(*) + 1 FROM batch_items i WHERE i.content_id = t.content)",
        tests=("tests/core/database/postgres/test_plans.py",),
    ),
    Guard(
        keeps="what is done of a few texts reads those, however old the server's statistics are",
        function="database.postgres.connection._WORDS",
        sql="\\1 (\\2 || '') ",
        without="\\1 \\2 ",
        tests=("tests/core/database/postgres/test_plans.py",),
    ),
    Guard(
        keeps="so does what is done of a few texts that a job carries",
        function="database.postgres.connection._WORDS",
        sql="\\1 coalesce(\\2, FALSE)",
        without="\\1 \\2",
        tests=("tests/core/database/postgres/test_plans.py",),
    ),
    Guard(
        keeps="two who save a text at once count it once",
        function="store.save_rows",
        statement="connection.execute(locked, ...)",
        without="",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="who waited for a lock sees what was done meanwhile, whatever a role's default",
        function="database.postgres.database._Kind",
        sql="BEGIN ISOLATION LEVEL READ COMMITTED",
        without="BEGIN",
        tests=("tests/core/database/postgres/test_settings.py",),
    ),
    Guard(
        keeps="an interrupt while a transaction begins costs no later one",
        function="database.PostgresDatabase._begun",
        statement="raw.execute(statements, prepare=False)",
        without="raw.execute(statements)",
        tests=(_LOCKS,),
    ),
    Guard(
        keeps="a search compares the vectors of its snapshot",
        function="store.MappedVectors.at_once",
        statement="cached is None or cached.moment != now",
        without="cached is None",
        tests=("tests/core/store/indexes/test_cache.py",),
    ),
    Guard(
        keeps="nobody brings an index beyond a snapshot that is to be searched in it",
        function="store.Searcher._state",
        statement="with self._vectors.lock(name): ...",
        without="if True: ...",
        tests=(
            "tests/core/store/indexes/test_cache.py::test_no_search_is_answered_from_a_later_state_than_its_own",
        ),
    ),
    Guard(
        keeps="searches wait for a server side by side, not for each other",
        function="store.MappedVectors.turn",
        statement="self._sessions.one()",
        without="self._turns.one()",
        tests=("tests/core/store/indexes/test_far_servers.py",),
    ),
    Guard(
        keeps="of several that make the schema one makes it",
        function="database.postgres.schema.ensure_schema",
        statement="_version(connection, database.name) == 0",
        without="True",
        tests=(_POSTGRES,),
    ),
)

GUARDS: tuple[Guard, ...] = (
    *_CLAIMS,
    *_ITEMS,
    *_JOBS,
    *_CEILINGS,
    *_VECTORS,
    *_SUBMITTING,
    *_RECOVERING,
    *_APPLYING,
    *_CHECKING,
    *_LIVE,
    *_DATABASE,
    *_COPY,
    *_SERVER,
    *_READING,
    *_DELIVERY,
)
