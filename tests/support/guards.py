"""The guards that keep text and money, each with a way to break it: what `mutations.py` applies.

A guard is named by what it keeps. `old` stands in its file exactly once; `new` is the same code
without the guard.
"""

from __future__ import annotations

from dataclasses import dataclass

CORE = "core/semantic_core/"


@dataclass(frozen=True, kw_only=True)
class Guard:
    """One guard, and the code without it.

    Attributes:
        keeps: what it is for, in a few words; unique.
        path: the file, under ``core/semantic_core``.
        old: the code as it is, with as much around it as makes it unique.
        new: the code without the guard.
        tests: where to look first for a test that notices; the rest of its package follows.
    """

    keeps: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


def _guard(path: str, keeps: str, old: str, new: str, *tests: str) -> Guard:
    return Guard(keeps=keeps, path=path, old=old, new=new, tests=tests)


# --- queue: claims -----------------------------------------------------------------------

_CLAIMS = (
    _guard(
        "queue/claims.py",
        "a chunk that a job carries is not claimed again",
        "_WAITS = \"embedding_status = 'PENDING' AND batch_job_id IS NULL\"",
        "_WAITS = \"embedding_status = 'PENDING'\"",
    ),
    _guard(
        "queue/claims.py",
        "only a PENDING chunk is claimed",
        "_WAITS = \"embedding_status = 'PENDING' AND batch_job_id IS NULL\"",
        '_WAITS = "batch_job_id IS NULL"',
    ),
    _guard(
        "queue/claims.py",
        "a text is not sent before its time, under whatever id",
        'f"AND o.not_before > :now AND',
        'f"AND o.not_before > :now + 1e12 AND',
    ),
    _guard(
        "queue/claims.py",
        "a text without tries left is not sent",
        "        if has_uses and budget.is_spent(used_budget(connection, content_hash)):",
        "        if False:",
    ),
    _guard(
        "queue/claims.py",
        "a text without tries left becomes FAILED",
        "    for content_hash in spent:\n        fail_chunks(",
        "    for content_hash in ():\n        fail_chunks(",
    ),
    _guard(
        "queue/claims.py",
        "a text stands once in a job",
        "        if content_hash in hashes or content_hash in spent:\n            continue\n",
        "",
    ),
    _guard(
        "queue/claims.py",
        "a job holds no more texts than its limit",
        "            len(hashes) >= limits.requests\n            or ",
        "            ",
    ),
    _guard(
        "queue/claims.py",
        "a job holds no more bytes than its limit",
        "            or source_bytes + size > limits.source_bytes\n",
        "",
    ),
    _guard(
        "queue/claims.py",
        "a job holds no more tokens than its limit",
        "            or tokens + text_tokens > limits.tokens\n",
        "",
    ),
    _guard(
        "queue/claims.py",
        "a text over a limit goes alone instead of blocking the queue",
        "        is_full = bool(hashes) and (\n            len",
        "        is_full = (\n            len",
    ),
    _guard(
        "queue/claims.py",
        "texts of a foreign embedder are never sent",
        '"JOIN spaces s ON s.id = c.space_id AND NOT s.is_external "',
        '"JOIN spaces s ON s.id = c.space_id "',
    ),
    _guard(
        "queue/claims.py",
        "every chunk of a claimed text waits for the job",
        '"UPDATE chunks SET batch_job_id = ?, not_before = NULL "',
        '"UPDATE chunks SET batch_job_id = batch_job_id + 0 * length(?), not_before = NULL "',
    ),
    _guard(
        "queue/claims.py",
        "attempts are counted over all jobs of a text",
        'f"(SELECT count(*) + 1 FROM batch_items WHERE content_hash = ? AND {USES_BUDGET}))"',
        'f"(SELECT count(*) + 1 FROM batch_items WHERE content_hash = ? AND 0 AND {USES_BUDGET}))"',
    ),
    _guard(
        "queue/claims.py",
        "only open items are sent",
        "\"FROM batch_items i WHERE i.job_id = ? AND i.state = 'open' AND i.id > ? \"",
        '"FROM batch_items i WHERE i.job_id = ? AND i.id > ? "',
    ),
    _guard(
        "queue/claims.py",
        "a job sends its own items only",
        "\"FROM batch_items i WHERE i.job_id = ? AND i.state = 'open' AND i.id > ? \"",
        "\"FROM batch_items i WHERE ? <> '' AND i.state = 'open' AND i.id > ? \"",
    ),
    _guard(
        "database/tables.py",
        "a text is never in two open jobs, by constraint",
        'name="batch_items_open", unique=True, where',
        'name="batch_items_open", where',
        "tests/core/queue/test_claims.py",
    ),
    _guard(
        "database/tables.py",
        "two jobs never share a remote one, by constraint",
        "        google_job_id = TextField(null=True, unique=True)",
        "        google_job_id = TextField(null=True)",
        "tests/core/queue/test_jobs.py",
    ),
)

# --- queue: items ------------------------------------------------------------------------

_ITEMS = (
    _guard(
        "queue/items.py",
        "an item that is settled stays settled",
        "            \"WHERE job_id = ? AND content_hash = ? AND state = 'open'\",\n"
        "            (outcome.state",
        '            "WHERE job_id = ? AND content_hash = ?",\n            (outcome.state',
    ),
    _guard(
        "queue/items.py",
        "a job settles its own items only",
        "            \"WHERE job_id = ? AND content_hash = ? AND state = 'open'\",\n"
        "            (outcome.state",
        "            \"WHERE ? <> '' AND content_hash = ? AND state = 'open'\",\n"
        "            (outcome.state",
    ),
    _guard(
        "queue/items.py",
        "nothing follows from an item that was not open",
        "        if not changed:\n            continue\n",
        "",
    ),
    _guard(
        "queue/items.py",
        "the last try makes the chunk FAILED",
        "        if budget.is_spent(uses):\n",
        "        if False:\n",
    ),
    _guard(
        "queue/items.py",
        "a text that failed waits before its next try",
        "            not_before = now + budget.delay(uses)\n",
        "            not_before = None\n",
    ),
    _guard(
        "queue/items.py",
        "a released text gives its chunks back to the queue",
        '"UPDATE chunks SET batch_job_id = NULL, not_before = ? WHERE content_hash = ? "',
        '"UPDATE chunks SET not_before = ? WHERE content_hash = ? "',
    ),
    _guard(
        "queue/items.py",
        "a job lets go of its own chunks only",
        "\"AND embedding_status <> 'READY' AND batch_job_id = ?\",\n            (not_before",
        "\"AND embedding_status <> 'READY' AND ? <> ''\",\n            (not_before",
    ),
    _guard(
        "queue/items.py",
        "an item is done only once",
        "\"UPDATE batch_items SET state = 'done' WHERE content_hash = ? AND state = 'open'\"",
        "\"UPDATE batch_items SET state = 'done' WHERE content_hash = ?\"",
    ),
    _guard(
        "queue/items.py",
        "a stored vector settles its text in every job",
        "\"UPDATE batch_items SET state = 'done' WHERE content_hash = ? AND state = 'open'\"",
        "\"UPDATE batch_items SET state = 'done' WHERE content_hash = ? AND state = 'open' AND 0\"",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "queue/items.py",
        "a text of a job that ended waits for the one that has it, too",
        "        if _pass_on(connection, job_id, outcome.content_hash):\n            continue\n",
        "",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "queue/items.py",
        "only a PENDING chunk becomes FAILED",
        "\"AND embedding_status <> 'READY' AND embedding_status = 'PENDING' \"\n"
        '        "RETURNING',
        '"AND embedding_status <> \'READY\' "\n        "RETURNING',
    ),
    _guard(
        "queue/items.py",
        "results count only for texts that this job sent",
        "WHERE job_id = ? AND content_hash IN ({marks})",
        "WHERE ? <> '' AND content_hash IN ({marks})",
    ),
    _guard(
        "queue/items.py",
        "a job ends only with its own items settled",
        "WHERE job_id = ? AND state = 'open' AND id > ? ",
        "WHERE job_id = ? AND state = 'open' AND id > ? AND 0 ",
    ),
)

# --- queue: jobs -------------------------------------------------------------------------

_JOBS = (
    _guard(
        "queue/jobs.py",
        "a living lease keeps others out",
        '"WHERE id = ? AND (lease_token IS NULL OR lease_until <= ? "',
        '"WHERE id = ? AND (1 OR lease_until <= ? "',
    ),
    _guard(
        "queue/jobs.py",
        "a dead lease can be taken",
        '"WHERE id = ? AND (lease_token IS NULL OR lease_until <= ? "',
        '"WHERE id = ? AND (lease_token IS NULL OR lease_until + 1e12 <= ? "',
    ),
    _guard(
        "queue/jobs.py",
        "whoever lost the lease changes nothing",
        '"UPDATE batch_jobs SET lease_until = ? WHERE id = ? AND lease_token = ?"',
        "\"UPDATE batch_jobs SET lease_until = ? WHERE id = ? AND ? <> ''\"",
    ),
    _guard(
        "queue/jobs.py",
        "losing the lease is noticed",
        '    if not changed:\n        raise TransitionError(\n            f"Batch job {job_id} was taken',
        '    if False:\n        raise TransitionError(\n            f"Batch job {job_id} was taken',
    ),
    _guard(
        "queue/jobs.py",
        "working on a job extends its lease",
        '"UPDATE batch_jobs SET lease_until = ? WHERE id = ? AND lease_token = ?"',
        '"UPDATE batch_jobs SET lease_until = max(0 * ?, lease_until) '
        'WHERE id = ? AND lease_token = ?"',
    ),
    _guard(
        "queue/jobs.py",
        "a lease is given back by its holder only",
        '        "WHERE id = ? AND lease_token = ?",\n        (job_id, token),',
        "        \"WHERE id = ? AND ? <> ''\",\n        (job_id, token),",
    ),
    _guard(
        "queue/jobs.py",
        "a step is made under the lease only",
        'f"UPDATE batch_jobs SET {assignments} WHERE id = ? AND lease_token = ? "',
        "f\"UPDATE batch_jobs SET {assignments} WHERE id = ? AND ? <> '' \"",
    ),
    _guard(
        "queue/jobs.py",
        "a step is made from an expected step only",
        '    guard = "" if steps is None else',
        '    guard = "" if True else',
    ),
    _guard(
        "queue/jobs.py",
        "an ended job is never reopened",
        'f"{guard} AND {_IS_OPEN}"',
        'f"{guard}"',
    ),
    _guard(
        "queue/jobs.py",
        "a step that was not made is noticed",
        "    if changed != 1:\n",
        "    if False:\n",
    ),
    _guard(
        "queue/jobs.py",
        "a job that still carries texts cannot fail",
        "\"SELECT 1 FROM batch_items WHERE job_id = ? AND state = 'open' LIMIT 1\"",
        "\"SELECT 1 FROM batch_items WHERE job_id = ? AND 0 AND state = 'open' LIMIT 1\"",
    ),
    _guard(
        "queue/jobs.py",
        "nothing remote is removed before its job has ended",
        'f"AND NOT ({_IS_OPEN}) AND NOT coalesce({_MAY_COME_LATE}, 0) AND cleanup_tries < ?",\n            (most',
        'f"AND NOT coalesce({_MAY_COME_LATE}, 0) AND cleanup_tries < ?",\n            (most',
        "tests/core/queue/test_jobs.py",
    ),
    _guard(
        "queue/jobs.py",
        "removing is given up after some tries",
        'AND NOT coalesce({_MAY_COME_LATE}, 0) AND cleanup_tries < ?",\n            (most',
        'AND NOT coalesce({_MAY_COME_LATE}, 0) AND cleanup_tries < ? + 1000",\n            (most',
    ),
    _guard(
        "queue/jobs.py",
        "the input of a job that may come late stays",
        'f"AND NOT ({_IS_OPEN}) AND NOT coalesce({_MAY_COME_LATE}, 0) AND cleanup',
        'f"AND NOT ({_IS_OPEN}) AND cleanup',
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "queue/jobs.py",
        "only an ended job is called clean",
        "f\"THEN 'cleaned' ELSE step END WHERE id = ? AND cleaned_at IS NULL AND NOT ({_IS_OPEN})\"",
        "\"THEN 'cleaned' ELSE step END WHERE id = ? AND cleaned_at IS NULL\"",
    ),
    _guard(
        "queue/jobs.py",
        "a job is called clean once",
        " END WHERE id = ? AND cleaned_at IS NULL AND",
        " END WHERE id = ? AND",
    ),
    _guard(
        "queue/jobs.py",
        "tries to clean are counted for ended jobs only",
        """            f"WHERE id = ? AND cleaned_at IS NULL AND NOT ({_IS_OPEN})",\n            (job_id,)""",
        """            "WHERE id = ? AND cleaned_at IS NULL",\n            (job_id,)""",
    ),
    _guard(
        "queue/jobs.py",
        "held and ended jobs take no place at the provider",
        'f"SELECT count(*) FROM batch_jobs WHERE {_IS_OPEN} AND hold_reason IS NULL"',
        'f"SELECT count(*) FROM batch_jobs WHERE {_IS_OPEN}"',
    ),
)

# --- queue: ceilings ---------------------------------------------------------------------

_CEILINGS = (
    _guard(
        "queue/ceilings.py",
        "held jobs take nothing of a quota",
        "status NOT IN ('COMPLETED', 'FAILED') AND hold_reason IS NULL AND finished_at IS NULL",
        "status NOT IN ('COMPLETED', 'FAILED') AND finished_at IS NULL",
    ),
    _guard(
        "queue/ceilings.py",
        "ended jobs take nothing of a quota",
        "status NOT IN ('COMPLETED', 'FAILED') AND hold_reason IS NULL AND finished_at IS NULL",
        "hold_reason IS NULL AND finished_at IS NULL",
    ),
    _guard(
        "queue/ceilings.py",
        "a job that only waits to be fetched takes nothing of a quota",
        "status NOT IN ('COMPLETED', 'FAILED') AND hold_reason IS NULL AND finished_at IS NULL",
        "status NOT IN ('COMPLETED', 'FAILED') AND hold_reason IS NULL",
    ),
    _guard(
        "queue/ceilings.py",
        "a 429 counts for its own key and model",
        '"WHERE fingerprint = ? AND model = ? AND noted_at <= ?',
        "\"WHERE ? <> '' AND ? <> '' AND noted_at <= ?",
    ),
    _guard(
        "queue/ceilings.py",
        "what a wrong clock noted counts as forgotten",
        '"WHERE fingerprint = ? AND model = ? AND noted_at <= ? AND noted_at > ? "',
        '"WHERE fingerprint = ? AND model = ? AND noted_at <= ? + 1e12 AND noted_at > ? "',
    ),
    _guard(
        "queue/ceilings.py",
        "a ceiling is forgotten after a day",
        "now, now - FORGOTTEN_AFTER)",
        "now, now - 1e12)",
    ),
    _guard(
        "queue/ceilings.py",
        "a 429 is over at its time, not before",
        "self.not_before is not None and self.not_before > now",
        "False",
    ),
    _guard(
        "queue/ceilings.py",
        "a 429 beside open jobs waits for one of them to end",
        "return is_early or 0 < self.open_jobs <= enqueued.jobs",
        "return is_early",
    ),
    _guard(
        "queue/ceilings.py",
        "a refused job makes the next one smaller",
        "            requests = _half(self.requests, refused.requests, LEAST_REQUESTS)\n"
        "            tokens = _half(self.tokens, refused.tokens, LEAST_TOKENS)\n",
        "            requests, tokens = self.requests, self.tokens\n",
    ),
    _guard(
        "queue/ceilings.py",
        "a job is not halved below what any project has",
        "tokens=min(self.tokens, max(LEAST_TOKENS, tokens)),",
        "tokens=min(self.tokens, max(1, tokens)),",
    ),
    _guard(
        "queue/ceilings.py",
        "a job that is taken lets more be open",
        "self.tokens, min(2 * self.tokens, 2 * enqueued.tokens, most.tokens)",
        "self.tokens, min(self.tokens, 2 * enqueued.tokens, most.tokens)",
    ),
    _guard(
        "queue/ceilings.py",
        "a small job shows nothing about a large one",
        "self.tokens, min(2 * self.tokens, 2 * enqueued.tokens, most.tokens)",
        "self.tokens, min(2 * self.tokens, most.tokens)",
    ),
    _guard(
        "queue/ceilings.py",
        "no pause is longer than a day",
        "    return now + min(seconds, LONGEST_PAUSE)",
        "    return now + seconds",
    ),
    _guard(
        "queue/ceilings.py",
        "a job that was not sent yet is not waited for",
        "AND step NOT IN ('claimed', 'uploaded')))\"",
        '))"',
    ),
    _guard(
        "queue/claims.py",
        "a back-off that a wrong clock noted is over",
        '    (f"not_before > :now + {LONGEST_PAUSE}", "not_before, pk"),\n',
        "",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "queue/retries.py",
        "a retry ends the pause of a model",
        '        "UPDATE ceilings SET not_before = NULL, open_jobs = 0, message = NULL, "\n',
        '        "UPDATE ceilings SET message = NULL, "\n',
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "queue/retries.py",
        "a retry ends the pause of a text",
        'f"UPDATE chunks SET not_before = NULL WHERE {_RESTS}"',
        'f"UPDATE chunks SET not_before = not_before WHERE {_RESTS}"',
        "tests/core/batches/test_quotas.py",
    ),
)

# --- queue: vectors, retries, budget, adoption --------------------------------------------

_VECTORS = (
    _guard(
        "queue/vectors.py",
        "a stored vector is never overwritten",
        '"unreferenced_since) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"',
        '"unreferenced_since) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) "\n'
        '        "DO UPDATE SET vector = excluded.vector"',
        "tests/core/store/writing/test_vectors.py",
    ),
    _guard(
        "queue/vectors.py",
        "a READY chunk keeps its vector",
        "                \"AND embedding_status <> 'READY'\",\n                page,",
        '                "",\n                page,',
        "tests/core/queue/test_vectors.py",
    ),
    _guard(
        "queue/vectors.py",
        "a chunk that became READY is counted so",
        "    count_changes(connection, changes)\n    stale",
        "    stale",
    ),
    _guard(
        "queue/vectors.py",
        "other indexes hear of new vectors",
        "    note_changed(connection, [(chunk.collection_id, chunk.pk) for chunk in wanting])\n",
        "",
    ),
    _guard(
        "queue/vectors.py",
        "a paid vector outlives its last chunk",
        "\"DELETE FROM embeddings WHERE key = ? AND origin = 'given'\"",
        '"DELETE FROM embeddings WHERE key = ?"',
        "tests/core/store/writing/test_delete.py",
    ),
    _guard(
        "queue/vectors.py",
        "a vector that another chunk uses is not let go",
        "        is None\n    ]",
        "        is not False\n    ]",
    ),
    _guard(
        "queue/retries.py",
        "only FAILED chunks are tried anew",
        "\"AND embedding_status <> 'READY' AND embedding_status = 'FAILED' \"\n"
        '            "AND (:collection',
        '"AND embedding_status <> \'READY\' "\n            "AND (:collection',
        "tests/core/queue/test_stats.py",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "queue/retries.py",
        "a chunk that was saved as FAILED is not sent",
        '    f"WHERE i.content_hash = c.content_hash AND {USES_BUDGET})"\n',
        '    f"WHERE i.content_hash = c.content_hash AND {USES_BUDGET}) OR 1"\n',
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "queue/retries.py",
        "new tries begin a new budget",
        "        forgive(connection, content_hash)\n",
        "",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "queue/retries.py",
        "a chunk tried anew waits for the job that carries its text",
        "\"WHERE content_hash = :hash AND state = 'open') WHERE content_hash = :hash \"",
        "\"WHERE content_hash = :hash AND state = 'open' AND 0) WHERE content_hash = :hash \"",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "queue/budget.py",
        "a text is tried only so often",
        "            or uses.get(BudgetUse.ATTEMPT, 0) + failures >= self.attempts\n",
        "",
    ),
    _guard(
        "queue/budget.py",
        "a failed job is sent again only once",
        "            or failures >= self.job_failures\n",
        "",
    ),
    _guard(
        "queue/budget.py",
        "a text expires only so often",
        "            or uses.get(BudgetUse.EXPIRY, 0) >= self.expiries\n",
        "",
    ),
    _guard(
        "queue/budget.py",
        "a text refused for good is not sent again",
        "            uses.get(BudgetUse.EVERYTHING, 0) > 0\n            or ",
        "            ",
    ),
    _guard(
        "queue/adoption.py",
        "a known job is not adopted a second time",
        "WHERE value NOT IN (SELECT display_name FROM batch_jobs)",
        "WHERE 1",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "queue/adoption.py",
        "an adopted job brings only what a chunk still wants",
        "f\"WHERE k.embedding_status <> 'READY' AND k.content_hash IN ({marks})\"",
        'f"WHERE k.content_hash IN ({marks})"',
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "queue/adoption.py",
        "only jobs whose texts nobody knows stop others from sending",
        'WHERE is_adopted AND (hold_reason IS NULL "',
        'WHERE (hold_reason IS NULL "',
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "queue/adoption.py",
        "a job that ended or is held stops nobody from sending",
        'WHERE is_adopted AND (hold_reason IS NULL "',
        'WHERE is_adopted AND (1 "',
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "queue/adoption.py",
        "a found job whose results look wrong stops others from sending",
        "\"OR hold_reason = 'bad results') AND status",
        '"OR 0) AND status',
        "tests/core/batches/test_endings.py",
    ),
)

# --- batches: submitting -----------------------------------------------------------------

_SUBMITTING = (
    _guard(
        "batches/submit.py",
        "the intent to create is committed before the call",
        "            _record_intent(job, input_file)\n            try:\n"
        "                _create(job, input_file)\n",
        "            try:\n                _create(job, input_file)\n"
        "                _record_intent(job, input_file)\n",
    ),
    _guard(
        "batches/submit.py",
        "the step creating is committed, not only the upload",
        "    job.move(JobStep.UPLOADED, step=JobStep.CREATING, creating_at=now)\n",
        "",
    ),
    _guard(
        "batches/submit.py",
        "the lease is proven once more right before the call",
        "    job.move(JobStep.CREATING, creating_at=job.context.clock.now())\n",
        "",
    ),
    _guard(
        "batches/submit.py",
        "the create call is sent once",
        "        remote = job.context.client.create_job(\n",
        "        job.context.client.create_job(\n"
        "            input_file, spec=EmbeddingSpec.from_json(record.spec), "
        "display_name=record.display_name\n        )\n"
        "        remote = job.context.client.create_job(\n",
    ),
    _guard(
        "batches/submit.py",
        "the lease is kept while an input file is uploaded",
        "                on_progress=job.keep,\n",
        "",
        "tests/core/batches/job/test_context.py",
    ),
    _guard(
        "queue/vectors.py",
        "a vector that came before its chunk is not pruned under it",
        "    if stored < len(arrived):\n        use_vectors(connection, wanted)\n",
        "",
    ),
    _guard(
        "queue/vectors.py",
        "a text that comes twice is counted once",
        "    hashes = list(dict.fromkeys(content_hashes))\n",
        "    hashes = list(content_hashes)\n",
    ),
    _guard(
        "batches/job/workspace.py",
        "a job that was taken over is no fault of the disk",
        "        except (FileNotFoundError, StorageError) as error:\n",
        "        except FileNotFoundError as error:\n",
    ),
    _guard(
        "batches/submit.py",
        "an ambiguous answer keeps the claim",
        "        if not error.is_definite:\n",
        "        if False:\n",
    ),
    _guard(
        "batches/submit.py",
        "a definite refusal releases the claim",
        "        _refuse(job, error)\n        raise\n",
        "        raise\n",
    ),
    _guard(
        "batches/submit.py",
        "a failed upload releases the claim",
        '        _abandon_if_possible(job, f"the upload did not finish: {_words(error)}")\n',
        "",
    ),
    _guard(
        "batches/job/requests.py",
        "texts that nobody wants any more are let go of",
        "                if source is None\n            ],",
        "                if False\n            ],",
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "batches/job/requests.py",
        "a text that was changed is not sent under its old hash",
        "            if hash_of(source) != content_hash:\n",
        "            if False:\n",
        "tests/crash/test_damage.py",
    ),
    _guard(
        "batches/job/requests.py",
        "an input file never passes the provider's size",
        "            elif size > room:\n",
        "            elif False:\n",
    ),
    _guard(
        "batches/job/requests.py",
        "what an input file has no room for goes with a later job",
        "                    after=after,\n                    state=ItemState.UNSENT",
        "                    after=1 << 60,\n                    state=ItemState.UNSENT",
    ),
    _guard(
        "batches/job/requests.py",
        "what is in the input file stays with its job",
        "                    after=after,\n                    state=ItemState.UNSENT",
        "                    after=0,\n                    state=ItemState.UNSENT",
    ),
    _guard(
        "batches/job/requests.py",
        "a text that no input file holds fails alone",
        "            if size > most:\n",
        "            if False:\n",
    ),
    _guard(
        "batches/select.py",
        "the provider's limit of open jobs is waited for",
        "    if count_at_provider(connection) >= config.max_open_jobs:\n",
        "    if False:\n",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "too few texts wait for more",
        "    if _is_too_small(connection, candidate, waiting, options, now):\n",
        "    if False:\n",
    ),
    _guard(
        "batches/select.py",
        "what is passed over keeps no others from being sent",
        "            note_passed(connection, candidate.space_id, found, now=now)\n",
        "            note_passed(connection, candidate.space_id, found, now=now)\n"
        "            return None\n",
    ),
    _guard(
        "batches/select.py",
        "what no budget allows keeps no others from being sent",
        "            run.too_dear.append(error)\n",
        "            raise\n",
    ),
    _guard(
        "batches/select.py",
        "texts that are not sent are noted with the reason",
        "            note_passed(connection, candidate.space_id, found, now=now)\n",
        "            pass\n",
    ),
    _guard(
        "batches/select.py",
        "texts that are sent are no longer passed over",
        "            note_passed(connection, candidate.space_id, None, now=now)\n",
        "            pass\n",
    ),
    _guard(
        "batches/submit.py",
        "a refusal of one model keeps no other from being sent",
        "_OF_ONE_MODEL = (RateLimitError, RemoteNotFoundError, RequestRefusedError)",
        "_OF_ONE_MODEL = ()",
        "tests/core/batches/test_select.py",
    ),
    _guard(
        "batches/submit.py",
        "a 429 is remembered",
        "        write_ceiling(connection, key, replace(lowered, message=message), now=now)\n",
        "",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/submit.py",
        "an accepted job is remembered",
        "            write_ceiling(connection, key, raised, now=now)\n",
        "",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "nothing is sent while the provider wants a pause",
        "    if ceiling.message is not None and ceiling.is_closed(enqueued, now=now):\n",
        "    if False:\n",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "the next job and all open ones stay below the ceiling",
        "    requests, tokens = ceiling.requests - enqueued.requests, "
        "ceiling.tokens - enqueued.tokens\n",
        "    requests, tokens = ceiling.requests, ceiling.tokens\n",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "a text over what is left waits while jobs are open",
        "    if room.tokens is not None and waiting.tokens > room.tokens:\n",
        "    if False:\n",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "the results of open jobs fit into the provider's storage",
        "    if storable <= 0 < count_at_provider(connection):\n",
        "    if False:\n",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "a job's own results fit into the provider's storage",
        "min(config.max_requests, requests, storable)",
        "min(config.max_requests, requests)",
        "tests/core/batches/test_quotas.py",
    ),
    _guard(
        "batches/select.py",
        "a budget cuts the job",
        "    limits = replace(limits, tokens=tokens)\n",
        "",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/select.py",
        "a text that the budget does not allow is not sent",
        "    if waiting is None or waiting.tokens > tokens:\n",
        "    if waiting is None:\n",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/job/afford.py",
        "what this month cost counts",
        "        left.append(config.monthly_budget_usd - spent - checks)\n",
        "        left.append(config.monthly_budget_usd)\n",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/job/afford.py",
        "a budget without a price sends nothing",
        "    if price is None:\n        raise",
        "    if price is None:\n        return None\n        raise",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "queue/costs.py",
        "a budget goes by the price recorded with a job",
        "        price = self.price or prices.prices.get(self.model)\n",
        "        price = prices.prices.get(self.model)\n",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/job/context.py",
        "every write proves the lease first",
        "            jobs.keep_lease(connection, self.id, token=self.token, until=until)\n",
        "            pass\n",
    ),
    _guard(
        "batches/job/context.py",
        "a job that another works on is not even asked about",
        "            yield leased[0] if leased else None\n",
        "            yield leased[0] if leased else cls(context, job_id, new_token())\n",
    ),
    _guard(
        "batches/job/workspace.py",
        "what a killed process left is removed",
        "        self.forget(job_id)\n",
        "",
    ),
    _guard(
        "batches/job/workspace.py",
        "no temporary file is left",
        "        finally:\n            self._remove(folder)\n",
        "        finally:\n            pass\n",
    ),
)

# --- batches: recovering, polling, holding -------------------------------------------------

_RECOVERING = (
    _guard(
        "batches/recover.py",
        "a job that is listed is adopted, not sent again",
        "    if not found:\n        return False\n",
        "    if True:\n        return False\n",
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "batches/recover.py",
        "two empty listings decide nothing, however far apart",
        "    if absence.looks >= LISTINGS_NEEDED and absence.seconds >= grace:\n",
        "    if absence.seconds >= grace:\n",
    ),
    _guard(
        "batches/recover.py",
        "empty listings lie listing_grace apart",
        "    if absence.looks >= LISTINGS_NEEDED and absence.seconds >= grace:\n",
        "    if absence.looks >= LISTINGS_NEEDED:\n",
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "batches/recover.py",
        "without a listing nothing is decided",
        "                note_fault(job, error)\n            raise\n",
        "                note_fault(job, error)\n            listing = Listing(jobs=(), taken=None)  # type: ignore[arg-type]\n",
    ),
    _guard(
        "batches/recover.py",
        "a job that is listed late is taken up again",
        "    reopen_late_jobs(context, listing)\n",
        "",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "batches/job/absence.py",
        "of the clocks the one that says least is believed",
        "        least = min(*spans, self.wall - earlier.wall)\n",
        "        least = max(*spans, self.wall - earlier.wall)\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/job/absence.py",
        "the wall clock alone is not believed",
        "        if not spans:\n            return None\n",
        "        if not spans:\n            return self.wall - earlier.wall\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/job/absence.py",
        "clocks of two boots are not compared",
        "        if self.boot == earlier.boot:\n",
        "        if True:\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/job/absence.py",
        "a clock that was set back does not stop the recovery",
        "        return None if least < 0 else least\n",
        "        return least\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/job/listing.py",
        "a job is known by our input file where its name is not ours",
        "        if not found and input_file is not None:\n",
        "        if False:\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/job/listing.py",
        "of two jobs under one name a usable one is taken",
        "key=lambda job: (job.is_barren, ",
        "key=lambda job: (not job.is_barren, ",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/reopen.py",
        "a late job without results is left alone",
        "        if found and not found[0].is_barren:\n",
        "        if found:\n",
    ),
    _guard(
        "batches/reopen.py",
        "results that are gone and not needed hold nobody",
        "        if is_spent and not lacks_vectors(connection, job_id):\n            return\n",
        "",
    ),
    _guard(
        "batches/reopen.py",
        "of two jobs that run the older brings the texts",
        "                hand_over(connection, other_id, job_id)\n",
        "                pass\n",
    ),
    _guard(
        "batches/reopen.py",
        "a late job takes no text from an older one",
        "    return (late.created_at or 0.0) <= (other.created_at or 0.0)\n",
        "    return True\n",
    ),
    _guard(
        "queue/adoption.py",
        "a late job gets its waiting texts back",
        "    if changed:\n        _take_back(connection, job.id)\n",
        "",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "queue/adoption.py",
        "a text whose vector is stored is not waited for",
        '"AND state = \'released\' AND NOT EXISTS (SELECT 1 FROM embeddings e "\n        "WHERE e.key = i.content_hash) AND',
        "\"AND state = 'released' AND",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "batches/recover.py",
        "another project's empty listing says nothing",
        "    if record.fingerprint != job.context.fingerprint:\n",
        "    if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/recover.py",
        "a rotated key decides about what the old one left",
        "                jobs.know_key(connection, names, context.fingerprint)\n",
        "                pass\n",
    ),
    _guard(
        "batches/recover.py",
        "of two jobs under one name the second is cancelled",
        "            job.context.client.cancel(other)\n",
        "            pass\n",
    ),
    _guard(
        "batches/sync.py",
        "a fault of one job does not stop the others",
        "                if isinstance(error, (ProviderError, StorageError)):\n",
        "                if True:\n                    raise\n"
        "                if isinstance(error, (ProviderError, StorageError)):\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/sync.py",
        "a job that ended meanwhile is not asked about",
        "    if record.status in (JobStatus.COMPLETED, JobStatus.FAILED):\n        return\n",
        "",
    ),
    _guard(
        "batches/recover.py",
        "a job whose create may have been sent is not released by time",
        "UNSENT = (JobStep.CLAIMED, JobStep.UPLOADED)",
        "UNSENT = (JobStep.CLAIMED, JobStep.UPLOADED, JobStep.CREATING)",
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a job cancelled by somebody else is held",
        "    elif ending.reason is FailureReason.CANCELLED and record.cancel_requested_at is None:\n",
        "    elif False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/job/poll.py",
        "results that looked wrong are not fetched at once again",
        "    if _rests(job, record):\n        return\n",
        "",
    ),
    _guard(
        "batches/job/poll.py",
        "a refused key is not taken for a missing job",
        "        found = client.find_jobs(record.display_name)\n",
        "        found: list[RemoteJob] = []\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a job that is seen again is no longer held for absence",
        '        "hold_reason": None if was_absent else record.hold_reason,\n',
        "",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a job that brings nothing any more is cancelled",
        "        _stop_if_needless(job, record)\n",
        "        pass\n",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a job that still brings a text is not cancelled",
        "        if record.is_adopted or count_open(connection, job.id):\n",
        "        if record.is_adopted:\n",
        "tests/core/batches/test_reopen.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a found job, whose texts nobody knows, is not cancelled",
        "        if record.is_adopted or count_open(connection, job.id):\n",
        "        if count_open(connection, job.id):\n",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a failed job uses up a try",
        "(FailureReason.PROVIDER_FAILED, BudgetUse.JOB_FAILURE, ",
        "(FailureReason.PROVIDER_FAILED, BudgetUse.NOTHING, ",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a result file is read whatever the state says",
        "    if remote.result_file is not None:\n        apply",
        "    if ending and not ending.reason and remote.result_file:\n        apply",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a failed job that counts texts and names no results is held",
        "    elif ending.reason is FailureReason.PROVIDER_FAILED and remote.successful_count:\n",
        "    elif False:\n",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/job/hold.py",
        "a job that another key does not see is held, not lost",
        "    if record.fingerprint != job.context.fingerprint:\n",
        "    if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/job/hold.py",
        "a job is lost only after a second look",
        "    if absence.seconds >= job.context.config.listing_grace:\n",
        "    if True:\n",
        "tests/core/batches/test_sync.py",
    ),
)

# --- batches: applying, cleaning, adopting, steering ----------------------------------------

_APPLYING = (
    _guard(
        "batches/job/poll.py",
        "a finished job without results is held",
        "    elif ending.reason is None:\n        hold_bad(",
        '    elif ending.reason is None:\n        end_job(job, steps=HOLDABLE, reason=FailureReason.EXPIRED, error="")\n        return\n        hold_bad(',
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "of two vectors for one text neither is used",
        "            if line.key in conflicting:\n",
        "            if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "a vector that nobody asked for is not stored",
        "    return {asked[key]: (key, tokens) for key, tokens in carried.items()}\n",
        "    return {asked[key]: (key, 1) for key in asked}\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "results of a wrong dimension are not paid for again",
        "    if wrong and (\n",
        "    if False and (\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "results of nobody are not paid for again",
        "    if not answered and (tally.lines or ending.reason is None):\n",
        "    if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "results cut short are not paid for again",
        "    if min(counted - answered, remote.successful_count - embedded) > 0:\n",
        "    if False:\n",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/apply.py",
        "an error makes up for no vector that a file lacks",
        "    if min(counted - answered, remote.successful_count - embedded) > 0:\n",
        "    if remote.successful_count > answered:\n",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/apply.py",
        "a short file that nobody counts is not paid for again",
        "    if ending.reason is None and not counted and answered < sent:\n",
        "    if False:\n",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/apply.py",
        "results in doubt hold the job",
        "    if doubt is not None:\n        hold_bad(job, doubt)\n        return True\n    if ending is None:\n        with",
        "    if ending is None:\n        with",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "a text without a result goes back to the queue",
        "    settle_open(job, state=ending.item_state, use=ending.use, error=ending.error)\n",
        "",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "nothing is sent again of a job whose end nobody understands",
        "            if count_open(connection, job.id):\n                return False\n",
        "            if count_open(connection, job.id):\n                settle_open(job, state=ItemState.RELEASED, use=BudgetUse.NOTHING, error=None)\n",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/apply.py",
        "a quota error does not use up a try",
        "        use, not_before = BudgetUse.NOTHING, now + quota_delay\n",
        "        use, not_before = BudgetUse.EVERYTHING, now + quota_delay\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "a passing error is tried again",
        "    elif line.is_transient:\n        use = BudgetUse.ATTEMPT\n",
        "",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "expired results hold the job",
        "            _miss_results(job)\n            return True\n",
        "            settle_open(job, state=ItemState.RELEASED, use=BudgetUse.NOTHING, error=None)\n            return True\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/apply.py",
        "a text is done only with its vector stored",
        "        write_page(\n            connection,\n            arrived,\n"
        "            spec=job.spec(),",
        "        write_page(\n            connection,\n            arrived[1:],\n"
        "            spec=job.spec(),",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/clean.py",
        "a finished job stays for a restored backup",
        "            job=None if has_results else record.google_job_id,\n",
        "            job=record.google_job_id,\n",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/clean.py",
        "only a job whose results are gone is removed",
        "        and remote.ended_at < gone\n",
        "",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "queue/jobs.py",
        "only a job that ended here is removed there",
        """            f"(SELECT value FROM json_each(?)) AND NOT ({_IS_OPEN})",\n""",
        """            "(SELECT value FROM json_each(?))",\n""",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/clean.py",
        "another project's key removes nothing",
        "        if record.fingerprint != context.fingerprint:\n",
        "        if False:\n",
    ),
    _guard(
        "batches/clean.py",
        "what could not be removed is tried again",
        "now=context.clock.now(), is_clean=is_clean)",
        "now=context.clock.now(), is_clean=True)",
    ),
    _guard(
        "batches/adopt.py",
        "a vector of an adopted job is checked for a second one",
        " and line.key not in conflicting\n",
        "\n",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/adopt.py",
        "a failed job is not adopted",
        " and not remote.is_barren and is_ours",
        " and is_ours",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/adopt.py",
        "an adopted job stores only wanted vectors",
        "                arrived = [usable[key] for key in sorted(wanted)]\n",
        "                arrived = [usable[key] for key in sorted(usable)]\n",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/adopt.py",
        "a found job cut short is not taken for whole",
        "    if doubt is not None:\n        hold_bad(job, doubt)\n        return True\n",
        "",
        "tests/core/batches/test_endings.py",
    ),
    _guard(
        "batches/job/bill.py",
        "a text that nobody counted is billed by estimate",
        "            self.estimated[key] = estimate\n",
        "            self.estimated[key] = 0\n",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/job/bill.py",
        "a text that was refused is not billed",
        "        if line.is_refused or key in self.counted:\n",
        "        if key in self.counted:\n",
        "tests/core/batches/job/test_afford.py",
    ),
    _guard(
        "batches/manager.py",
        "nothing is sent while an unknown job of ours runs",
        "        if sync_adopted(context):\n            return None\n",
        "",
        "tests/core/batches/test_adopt.py",
    ),
    _guard(
        "batches/manager.py",
        "test vectors never mix with paid ones",
        "        self.store.fix_provenance(context.client.provenance)\n",
        "",
    ),
    _guard(
        "batches/manager.py",
        "nothing is sent before the provider's jobs were listed",
        "        recover(context)\n        # Jobs",
        "        # Jobs",
        "tests/core/batches/test_submit.py",
    ),
    _guard(
        "batches/manager.py",
        "paying twice needs a written-out yes",
        "        if accept_rebilling is not True:\n",
        "        if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/steer.py",
        "cancelling a held job does not free its texts",
        "        if record.hold_reason is not None or damaged:\n",
        "        if damaged:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/steer.py",
        "only a held or uncertain job is given up",
        "        if not is_stuck and not is_undecided(record) and not _is_key_refused(job, record):\n",
        "        if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/steer.py",
        "a job that cannot be read can be given up",
        "        is_stuck = record.hold_reason is not None or job.trouble(record) is not None\n",
        "        is_stuck = record.hold_reason is not None\n",
        "tests/core/batches/test_damaged_rows.py",
    ),
    _guard(
        "batches/sync.py",
        "a job that cannot be read waits for a person",
        "    if damaged := job.trouble(record):\n",
        "    if damaged := None:\n",
        "tests/core/batches/test_damaged_rows.py",
    ),
    _guard(
        "queue/job_rows.py",
        "results are not read under the spec of another space",
        "            if spec.space_digest == digest:\n",
        "            if True:\n",
        "tests/core/batches/test_damaged_rows.py",
    ),
    _guard(
        "batches/steer.py",
        "nothing is cancelled as unsent before it was looked for",
        "            if not take_over(job, record, listing):\n",
        "            if True:\n",
        "tests/core/batches/test_recover.py",
    ),
    _guard(
        "batches/steer.py",
        "the wish to cancel is committed before the call",
        "        job.move(JobStep.SUBMITTED, JobStep.FETCHED, cancel_requested_at=context.clock.now())\n",
        "",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/steer.py",
        "an ended job is not cancelled or given up",
        "    if record.status in (JobStatus.COMPLETED, JobStatus.FAILED):\n",
        "    if False:\n",
        "tests/core/batches/test_sync.py",
    ),
    _guard(
        "batches/steer.py",
        "a job that another works on is not given up under its hands",
        "        if job is None:\n            raise TransitionError(",
        "        if job is None:\n            job = LeasedJob(context, batch_id, '')\n"
        "        if False:\n            raise TransitionError(",
    ),
    _guard(
        "batches/job/end.py",
        "what counts as a try is settled as failed",
        "    state = ItemState.RELEASED if use is BudgetUse.NOTHING else ItemState.FAILED\n",
        "    state, use = ItemState.RELEASED, BudgetUse.NOTHING\n",
        "tests/core/batches/test_sync.py",
    ),
)

# --- the spot check -----------------------------------------------------------------------

_CHECKING = (
    _guard(
        "batches/apply.py",
        "results are checked before any is used, where asked for",
        "        if not passes_check(job, path, [job.spec()]):\n",
        "        if False:\n",
        "tests/core/batches/test_check.py",
    ),
    _guard(
        "batches/adopt.py",
        "results of a found job are checked, too",
        "        if not passes_check(job, path, [spec for _, spec in spaces]):\n",
        "        if False:\n",
        "tests/core/batches/test_check.py",
    ),
    _guard(
        "batches/job/poll.py",
        "a check that failed is not paid for again, and its results not taken",
        "    return record.hold_reason is HoldReason.SPOT_CHECK or (",
        "    return False or (",
        "tests/core/batches/test_check.py",
    ),
    _guard(
        "batches/check.py",
        "a job that passed is not checked again",
        "        if has_passed(connection, job.id):\n",
        "        if False:\n",
    ),
    _guard(
        "batches/check.py",
        "a vector nearer to another text is wrong",
        "        return self.cosine >= LEAST_COSINE and lead <= MOST_LEAD\n",
        "        return self.cosine >= LEAST_COSINE\n",
    ),
    _guard(
        "batches/check.py",
        "a check that was refused costs nothing",
        "        if error.is_definite and not found:\n",
        "        if False:\n",
    ),
    _guard(
        "batches/job/afford.py",
        "the price of checks is set aside when a job is claimed",
        "        checks = check * (1 + count_at_provider(connection))\n",
        "        checks = 0.0\n",
        "tests/core/batches/test_check.py",
    ),
)

# --- live calls and texts that are too long --------------------------------------------------

_LIVE = (
    _guard(
        "queue/claims.py",
        "what is embedded live at this moment is not claimed",
        "AND NOT {IS_EMBEDDED_LIVE} AND NOT EXISTS",
        "AND NOT EXISTS",
        "tests/core/queue/test_live_claims.py",
    ),
    _guard(
        "queue/claims.py",
        "a text whose vector is stored is served, not sent",
        "        if is_stored:\n",
        "        if False:\n",
        "tests/core/documents/test_live.py",
    ),
    _guard(
        "queue/live_claims.py",
        "a text that a job carries is not embedded live",
        "\"AND NOT EXISTS (SELECT 1 FROM batch_items WHERE state = 'open' AND content_hash = :hash) \"",
        '""',
    ),
    _guard(
        "queue/live_claims.py",
        "a text whose vector is stored is not embedded live",
        '"WHERE NOT EXISTS (SELECT 1 FROM embeddings WHERE key = :hash) "',
        '"WHERE 1 "',
    ),
    _guard(
        "queue/live_claims.py",
        "a text is in one live call at a time",
        '"ON CONFLICT (content_hash) DO NOTHING"',
        '"ON CONFLICT (content_hash) DO UPDATE SET lease_token = excluded.lease_token"',
    ),
    _guard(
        "queue/live_claims.py",
        "a claim of a dead live call ends",
        '"DELETE FROM live_claims WHERE lease_until <= ?"',
        '"DELETE FROM live_claims WHERE lease_until <= ? - 1e12"',
    ),
    _guard(
        "queue/live_claims.py",
        "a live call that slept past its lease sends nothing",
        "    if kept != count:\n",
        "    if False:\n",
    ),
    _guard(
        "documents/live.py",
        "what failed live is not sent by a flush",
        "                    fail_chunks(connection, key, reason, now=store.clock.now())\n",
        "                    pass\n",
    ),
    _guard(
        "documents/live.py",
        "what was too long once is not sent live again",
        "    refused = _refused_before(store, texts)\n",
        "    refused: dict[bytes, str] = {}\n",
    ),
    _guard(
        "store/writing/save.py",
        "what was too long once is not sent under another id",
        "        elif row.content_hash in too_long:\n",
        "        elif False:\n",
        "tests/core/documents/test_live.py",
    ),
    _guard(
        "providers/gemini/results.py",
        "a vector of only the beginning is not stored",
        "    if _is_truncated(record) or is_full(tokens, spec):\n",
        "    if False:\n",
    ),
    _guard(
        "providers/gemini/embedder.py",
        "a live vector of only the beginning is not stored",
        "    return too_long(spec, CUT) if is_full(tokens, spec) else None\n",
        "    return None\n",
        "tests/core/documents/test_live.py",
    ),
    _guard(
        "providers/gemini/embedder.py",
        "a text that may be too long goes alone, so that its tokens are its own",
        "        if limit is not None and estimate(text.encode()) >= limit:\n",
        "        if False:\n",
        "tests/core/documents/test_live.py",
    ),
)

# --- the file itself ---------------------------------------------------------------------

_DATABASE = (
    _guard(
        "database/sqlite/database.py",
        "what went into a file that is gone is not called saved",
        "                        self._place.check(opened)\n",
        "                        pass\n",
    ),
    _guard(
        "database/sqlite/place.py",
        "another file under the same name takes no writes",
        "        if _identity(status) != self._file:\n",
        "        if False:\n",
    ),
    _guard(
        "database/sqlite/place.py",
        "a log without its database is not thrown away",
        "        if log is None or not log.st_size:\n",
        "        if True:\n",
    ),
    _guard(
        "domain/certain_exit.py",
        "an interrupt at the end of a transaction leaves nobody waiting",
        "            block.throw(raised)\n            raise\n",
        "            raise\n",
        "tests/core/domain/test_certain_exit.py",
    ),
)

# --- documents ---------------------------------------------------------------------------

_READING = (
    _guard(
        "documents/ingest.py",
        "an id that stands twice in a call overwrites nothing",
        "        if taken_at != position:\n",
        "        if False:\n",
    ),
    _guard(
        "documents/ingest.py",
        "a source with a refused document keeps what it had",
        "self._naming.add_source(source, is_whole=False)",
        "self._naming.add_source(source, is_whole=True)",
    ),
    _guard(
        "documents/names.py",
        "equal documents of one call do not overwrite each other",
        "(first if times == 1 else",
        "(first if times else",
        "tests/core/documents/test_ingest.py",
    ),
    _guard(
        "store/writing/documents.py",
        "what another process saved meanwhile stays under its source",
        '"SELECT document_id FROM documents WHERE collection_id = ? AND created_at <= ? "',
        '"SELECT document_id FROM documents WHERE collection_id = ? AND ? > 0 "',
        "tests/core/documents/test_ingest.py",
    ),
    _guard(
        "documents/readers.py",
        "a link that leads out of a folder is not followed",
        "            if path.is_symlink() and not os.path.realpath(path).startswith(inside):\n",
        "            if False:\n",
    ),
    _guard(
        "documents/decode.py",
        "a text that is UTF-8 but for a few bytes is not read as another encoding",
        "    elif not _is_broken_utf_8(data):\n",
        "    else:\n",
    ),
    _guard(
        "documents/splitter.py",
        "a part without a letter or digit is not paid for",
        "if has_words(text[at:end]):",
        "if text[at:end].strip():",
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
    *_READING,
)
