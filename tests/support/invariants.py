"""What holds after every step, whatever happened before: in the database and at the provider.

`check_invariants` looks into the database alone. `check_provider` adds what only the provider
knows (money), `check_vectors` and `check_index` what only the texts tell, `History` what only
shows over time, and `check_quiet` what holds once everything has been recovered.
"""

from __future__ import annotations

import hashlib
import sqlite3
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from batch_emulator import Emulator, Operation, TextKey, fake_embed, text_sha256
from batch_emulator.media import read_inline_data
from semantic_core.batches import BatchConfig
from semantic_core.database import Database as SqliteDatabase
from semantic_core.domain.media import Media, load_media, stored_media
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, ItemState, JobStatus, JobStep, SearchMode
from semantic_core.providers.facts import content_tokens
from semantic_core.providers.wire.vectors import to_vector
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from support.nearest import nearest


def check_invariants(store: PeeweeVectorStore) -> None:
    """Assert that rows, full-text index, tags, counts, claims and vectors agree with each other."""
    with store.database.snapshot() as connection:
        assert store.database.damage() == []
        assert _counted(connection) == _kept(connection)
        _check_waiting(connection)
        for name, query in _MUST_BE_EMPTY.items():
            assert connection.execute(query).fetchall() == [], name
        _check_hashes(connection)
        assert store.database.metadata.check(connection) == 0
    check_full_text(store)
    check_media(store)


def check_full_text(store: PeeweeVectorStore) -> None:
    """Assert that the full-text index holds exactly the texts of the chunks."""
    with store.database.transaction() as connection:
        store.database.keywords.check(connection)


def check_provider(
    emulator: Emulator,
    store: PeeweeVectorStore,
    *,
    accepted: Mapping[str, int] | None = None,
    given_up: Collection[str] = (),
    grace: float | None = None,
) -> None:
    """Assert that no text was paid for twice, and that the provider's jobs are all known here.

    Args:
        emulator: the provider.
        store: whose jobs it has, all of them.
        accepted: texts that a person let be sent again, and how often.
        given_up: display names of jobs that a person gave up; what they leave is removed.
        grace: where jobs may be hidden: how long three complete listings must have lacked one
            before its texts may be sent, and billed, again.
    """
    allowed = Counter({text_sha256(text): count for text, count in (accepted or {}).items()})
    if grace is not None:
        allowed += excused(emulator, grace)
    overbilled: Counter[TextKey] = emulator.ledger.overbilled()
    for key, count in overbilled.items():
        assert count <= allowed[key.text_sha256], f"billed {count} times too often: {key}"
    left = {job.name for job in emulator.jobs() if job.display_name in given_up}
    violations = [one for one in emulator.violations if one.subject not in left]
    assert not violations, violations
    creates = emulator.ledger.creates()
    assert all(count == 1 for count in creates.values()), creates
    with store.database.snapshot() as connection:
        for name, query in _MUST_BE_EMPTY_OF_JOBS.items():
            assert connection.execute(query).fetchall() == [], name
        names = {row[0] for row in connection.execute("SELECT display_name FROM batch_jobs")}
    assert set(creates) <= names


def excused(emulator: Emulator, grace: float) -> Counter[str]:
    """Return how often texts were sent again for the one reason that excuses it.

    That is a job which at least three complete listings over the grace did not show. A send after
    a listing that did show it is never excused.
    """
    found: Counter[str] = Counter()
    jobs = sorted(emulator.jobs(), key=lambda job: job.created_at)
    texts = {
        job.name: {entry.key for entry in emulator.ledger.entries(job=job.name)} for job in jobs
    }
    for number, hidden in enumerate(jobs):
        if hidden.hidden_until <= hidden.created_at:
            continue
        for again in jobs[number + 1 :]:
            # So few jobs stand on one page.
            listings = [
                call.at
                for call in emulator.calls(Operation.LIST)
                if call.outcome == "200"
                and call.project == hidden.project
                # The answer is given a little later than the call is logged.
                and hidden.created_at <= call.at <= again.created_at
            ]
            is_shown = any(at >= hidden.hidden_until for at in listings)
            is_missed = len(listings) >= 3 and listings[-1] - listings[0] >= grace - 1
            if is_missed and not is_shown:
                found.update(key.text_sha256 for key in texts[hidden.name] & texts[again.name])
    return found


def check_vectors(
    store: PeeweeVectorStore,
    texts: Iterable[str],
    spec: EmbeddingSpec,
    pictures: Mapping[str, Sequence[bytes]] = MappingProxyType({}),
) -> None:
    """Assert that each vector of a job is, bit for bit, the provider's for the content it is kept under.

    Args:
        store: where the vectors are.
        texts: every text that was ever saved.
        spec: the spec of all of them.
        pictures: what was ever saved with a text, one at a time.
    """
    hasher = spec.hasher()
    expected: dict[bytes, tuple[str, *tuple[bytes, ...]]] = {
        hasher(text): (text,) for text in texts if text not in pictures
    }
    for text, drawings in pictures.items():
        for drawing in drawings:
            part, _ = stored_media(Media(drawing), what=text)
            expected[hasher(text, [part])] = (text, drawing)
    with store.database.snapshot() as connection:
        stored = connection.execute(
            "SELECT k.hash, e.vector FROM embeddings e JOIN contents k ON k.id = e.content_id "
            "WHERE e.origin = 'batch'"
        ).fetchall()
    for key, vector in stored:
        assert key in expected, "a vector of a text that nobody saved"
        assert vector == provider_vector(spec, *expected[key]), expected[key][0]


def check_media(store: PeeweeVectorStore) -> None:
    """Assert that the bytes of pictures are there exactly as often as chunks have them."""
    with store.database.snapshot() as connection:
        uses = Counter(
            part.sha256
            for (media,) in connection.execute("SELECT media FROM chunks WHERE media IS NOT NULL")
            for part in load_media(media)
            if part.path is None
        )
        rows = connection.execute("SELECT sha256, uses, data FROM media").fetchall()
    assert {sha256: count for sha256, count, _ in rows} == uses
    for sha256, _, data in rows:
        assert hashlib.sha256(data).hexdigest() == sha256


def provider_vector(spec: EmbeddingSpec, text: str, *pictures: bytes) -> bytes:
    """Return the bytes under which the emulator's vector of a content is stored."""
    assert spec.dimensions is not None
    values = fake_embed(
        spec.document_text(text),
        model=spec.model,
        dimensions=spec.dimensions,
        task_type=spec.document_task,
        media=[
            read_inline_data({"mimeType": "image/png", "data": b64encode(data).decode()}, "part")
            for data in pictures
        ],
    )
    return to_vector(values, spec=spec, what=text).tobytes()


def check_index(
    store: PeeweeVectorStore, spec: EmbeddingSpec, collection: str = DEFAULT_COLLECTION
) -> None:
    """Assert that vector search finds exactly the committed serving vectors, and counts agree."""
    if collection not in [found.name for found in store.collections()]:
        return
    with store.database.snapshot() as connection:
        served = {
            chunk_id: np.frombuffer(vector, dtype="<f4")
            for chunk_id, vector in connection.execute(
                "SELECT c.chunk_id, e.vector FROM chunks c JOIN collections k "
                "ON k.id = c.collection_id AND k.name = ? JOIN embeddings e ON e.id = c.embedding_id",
                (collection,),
            )
        }
        statuses = Counter(
            row[0]
            for row in connection.execute(
                "SELECT embedding_status FROM chunks c JOIN collections k "
                "ON k.id = c.collection_id AND k.name = ?",
                (collection,),
            )
        )
    assert spec.dimensions is not None
    query = np.linspace(-1.0, 1.0, spec.dimensions, dtype=np.float32)
    found = store.search(
        vector=query,
        mode=SearchMode.VECTOR,
        pending="skip",
        limit=len(served) + 1,
        collection=collection,
    )
    names = dict(enumerate(sorted(served)))
    oracle = nearest({number: served[name] for number, name in names.items()}, query, len(served))
    assert {hit.chunk.id for hit in found} == set(served)
    assert np.allclose([hit.score for hit in found], [score for _, score in oracle], atol=1e-5)
    stats = store.stats(collection)
    assert stats.ready == statuses["READY"]
    assert stats.failed == statuses["FAILED"]
    assert stats.waiting + stats.in_flight == statuses["PENDING"]


def check_quiet(store: PeeweeVectorStore) -> None:
    """Assert that nothing waits but for a person, and that nothing is left lying about."""
    assert not _is_in_transaction(store)
    with store.database.snapshot() as connection:
        for name, query in _EMPTY_WHEN_QUIET.items():
            assert connection.execute(query).fetchall() == [], name
    database = store.database.path
    left = {path.name for path in database.parent.glob(f"{database.name}*")}
    allowed = {database.name + ending for ending in ("", "-wal", "-shm")}
    assert {name for name in left - allowed if ".vectors" not in name} == set()


def _is_in_transaction(store: PeeweeVectorStore) -> bool:
    """Return whether this process left a transaction open; on a server, whether anybody did."""
    if isinstance(store.database, SqliteDatabase):
        return store.database.connection().in_transaction
    with store.database.snapshot() as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND xact_start IS NOT NULL "
            "AND pid <> pg_backend_pid()"
        ).fetchone()
    return bool(count)


class History:
    """What may only ever go one way: states of jobs, items and chunks, and used tries."""

    def __init__(self, config: BatchConfig) -> None:
        self._budget = config.budget
        self._jobs: dict[str, tuple[str, str, str | None]] = {}
        self._items: dict[int, tuple[str, int]] = {}
        self._uses: dict[int, int] = {}
        self._ready: set[tuple[int, int]] = set()

    def forgive(self) -> None:
        """Note that a person gave every text new tries."""
        self._uses.clear()

    def check(self, store: PeeweeVectorStore) -> None:
        """Assert that everything went the right way since the last time."""
        with store.database.snapshot() as connection:
            jobs = {
                row[0]: (row[1], row[2], row[3])
                for row in connection.execute(
                    "SELECT id, status, step, google_job_id FROM batch_jobs"
                )
            }
            items = {
                row[0]: (row[1], row[2])
                for row in connection.execute("SELECT id, state, job_pk FROM batch_items")
            }
            cleaned = {
                row[0]
                for row in connection.execute(
                    "SELECT pk FROM batch_jobs WHERE cleaned_at IS NOT NULL"
                )
            }
            uses = connection.execute(
                "SELECT content_id, budget_use, count(*) FROM batch_items "
                "WHERE budget_use NOT IN ('nothing', 'forgiven') GROUP BY 1, 2"
            ).fetchall()
            chunks = dict(connection.execute("SELECT pk, content_id FROM chunks").fetchall())
            ready = set(
                connection.execute(
                    "SELECT pk, content_id FROM chunks WHERE embedding_status = 'READY'"
                ).fetchall()
            )
        self._check_jobs(jobs)
        for item, (state, job) in self._items.items():
            # A number that is free again may be that of another job's item.
            if item not in items or items[item][1] != job:
                assert job in cleaned, "an item of a job that is not done with was forgotten"
                continue
            # A released one opens again where its job is listed late, or another gives it back.
            assert items[item][0] in (state, *(ItemState if state in ("open", "released") else ()))
        self._check_uses(uses)
        for pk, content in self._ready - ready:
            assert chunks.get(pk) != content, "a READY chunk is not, without an edit"
        self._jobs, self._items, self._ready = jobs, items, ready

    def _check_jobs(self, jobs: dict[str, tuple[str, str, str | None]]) -> None:
        order = list(JobStep)
        for job_id, (status, step, remote) in self._jobs.items():
            new_status, new_step, new_remote = jobs[job_id]
            assert order.index(JobStep(step)) <= order.index(JobStep(new_step))
            assert remote in (None, new_remote)
            # One that was believed never created is, once it has a job at the provider.
            is_late = status == JobStatus.FAILED and remote is None and new_remote is not None
            if status in (JobStatus.COMPLETED, JobStatus.FAILED) and not is_late:
                assert new_status == status, "an ended job was opened again"

    def _check_uses(self, uses: list[tuple[int, str, int]]) -> None:
        by_content: dict[int, Counter[str]] = {}
        for content, use, count in uses:
            by_content.setdefault(content, Counter())[use] = count
        totals = {content: counts.total() for content, counts in by_content.items()}
        for content, before in self._uses.items():
            assert totals.get(content, 0) >= before, "a used try was given back"
        for counts in by_content.values():
            tries = counts[BudgetUse.ATTEMPT] + counts[BudgetUse.JOB_FAILURE]
            assert tries <= self._budget.attempts
            assert counts[BudgetUse.JOB_FAILURE] <= self._budget.job_failures
            assert counts[BudgetUse.EXPIRY] <= self._budget.expiries
        self._uses = totals


def _counted(connection: sqlite3.Connection) -> set[tuple[int, str, int, int]]:
    return set(
        connection.execute(
            "SELECT collection_id, embedding_status, embedding_id IS NOT NULL, count(*) "
            "FROM chunks GROUP BY 1, 2, 3"
        )
    )


def _kept(connection: sqlite3.Connection) -> set[tuple[int, str, int, int]]:
    return set(connection.execute("SELECT * FROM chunk_counts WHERE chunks <> 0"))


def _check_waiting(connection: sqlite3.Connection) -> None:
    """Assert that the sums of what waits are those of the chunks that wait."""
    texts: dict[tuple[int, int], dict[int, list[tuple[int, int]]]] = {}
    for space_id, collection_id, content, tokens, media in connection.execute(
        "SELECT c.space_id, c.id, k.content_id, k.tokens, k.media FROM chunks k "
        "JOIN collections c ON c.id = k.collection_id "
        "WHERE embedding_status = 'PENDING' AND batch_job_id IS NULL"
    ):
        for scope in (0, collection_id):
            by_content = texts.setdefault((space_id, scope), {})
            by_content.setdefault(content, []).append((tokens, len(load_media(media))))
    expected = {
        (
            *key,
            len(by_content),
            sum(map(len, by_content.values())),
            sum(found[0][0] for found in by_content.values()),
            sum(tokens for found in by_content.values() for tokens, _ in found[1:]),
            sum(found[0][1] for found in by_content.values()),
        )
        for key, by_content in texts.items()
    }
    kept = connection.execute("SELECT * FROM waiting_counts").fetchall()
    assert {row for row in kept if any(row[2:])} == expected


def _check_hashes(connection: sqlite3.Connection) -> None:
    specs = {
        row[0]: EmbeddingSpec.from_json(row[1])
        for row in connection.execute("SELECT id, spec FROM collections")
    }
    hashers = {collection_id: spec.hasher() for collection_id, spec in specs.items()}
    for collection_id, source, media, tokens, content_hash in connection.execute(
        "SELECT collection_id, coalesce(vector_source, text), media, tokens, k.hash FROM chunks "
        "LEFT JOIN contents k ON k.id = content_id"
    ):
        found = hashers[collection_id](source, load_media(media))
        assert found == content_hash, "a hash of another content"
        assert [tokens] == content_tokens([(source, media)], specs[collection_id])


_MUST_BE_EMPTY = {
    "a READY chunk is served by a vector of its content": (
        "SELECT c.pk FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
        "WHERE c.embedding_status = 'READY' AND e.content_id <> c.content_id "
        "AND e.origin <> 'delivered'"
    ),
    "a READY chunk without a vector here is at every target, and there is one": (
        "SELECT c.pk FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
        "AND e.origin = 'delivered' LEFT JOIN targets t ON t.collection_id = c.collection_id "
        "WHERE c.embedding_status = 'READY' AND (t.id IS NULL OR EXISTS (SELECT 1 FROM outbox o "
        "WHERE o.target_id = t.id AND o.chunk_id = c.chunk_id))"
    ),
    "a chunk is served by a vector of its own space": (
        "SELECT c.pk FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "JOIN embeddings e ON e.id = c.embedding_id WHERE e.space_id <> k.space_id"
    ),
    "a PENDING chunk is claimed by the job whose open item carries its text": (
        "SELECT c.pk, c.batch_job_id, j.id FROM chunks c LEFT JOIN batch_items i "
        "ON i.content_id = c.content_id AND i.state = 'open' "
        "LEFT JOIN batch_jobs j ON j.pk = i.job_pk "
        "WHERE c.embedding_status = 'PENDING' AND c.batch_job_id IS NOT j.id"
    ),
    "no PENDING chunk waits for a vector that is stored": (
        "SELECT c.pk FROM chunks c JOIN embeddings e ON e.content_id = c.content_id "
        "WHERE c.embedding_status = 'PENDING' AND e.origin <> 'given'"
    ),
    "an ended job carries nothing": (
        "SELECT j.id FROM batch_jobs j JOIN batch_items i ON i.job_pk = j.pk "
        "WHERE i.state = 'open' AND j.status IN ('COMPLETED', 'FAILED')"
    ),
    "what was not paid for goes with its last chunk": (
        "SELECT e.id FROM embeddings e WHERE e.origin NOT IN ('batch', 'live') "
        "AND NOT EXISTS (SELECT 1 FROM chunks WHERE embedding_id = e.id)"
    ),
    "a vector counts as unused exactly while no chunk uses it": (
        "SELECT e.id, e.unreferenced_since FROM embeddings e WHERE (e.unreferenced_since IS NULL) "
        "<> EXISTS (SELECT 1 FROM chunks WHERE embedding_id = e.id)"
    ),
    "what is named is known": (
        "SELECT content_id FROM (SELECT content_id FROM chunks UNION SELECT content_id "
        "FROM embeddings UNION SELECT content_id FROM batch_items UNION SELECT content_id "
        "FROM live_claims) AS named WHERE content_id NOT IN (SELECT id FROM contents)"
    ),
    "a vector that the caller gave is of one chunk": (
        "SELECT e.id FROM embeddings e JOIN chunks c ON c.embedding_id = e.id "
        "WHERE e.origin = 'given' GROUP BY e.id HAVING count(*) > 1"
    ),
    "a vector has the size of its space": (
        "SELECT e.id FROM embeddings e JOIN spaces s ON s.id = e.space_id "
        "WHERE length(e.vector) IS NOT "
        "CASE WHEN e.origin = 'delivered' THEN 0 ELSE 4 * s.dimensions END"
    ),
}

_MUST_BE_EMPTY_OF_JOBS = {
    "a held job has a reason in words": (
        "SELECT id FROM batch_jobs WHERE hold_reason IS NOT NULL AND error_message IS NULL"
    ),
    "a job that may have been created has an input file": (
        "SELECT id FROM batch_jobs WHERE step NOT IN ('claimed') AND input_file IS NULL "
        "AND NOT is_adopted"
    ),
    "one remote job belongs to one job here": (
        "SELECT google_job_id FROM batch_jobs WHERE google_job_id IS NOT NULL "
        "GROUP BY google_job_id HAVING count(*) > 1"
    ),
}

_EMPTY_WHEN_QUIET = {
    "a PENDING chunk waits for a held job": (
        "SELECT c.pk, c.text, c.batch_job_id, c.not_before FROM chunks c LEFT JOIN batch_jobs j "
        "ON j.id = c.batch_job_id WHERE c.embedding_status = 'PENDING' AND j.hold_reason IS NULL"
    ),
    "an open job is held": (
        "SELECT id, step, error_message FROM batch_jobs "
        "WHERE status NOT IN ('COMPLETED', 'FAILED') AND hold_reason IS NULL"
    ),
    "nobody holds a target": "SELECT id FROM targets WHERE lease_token IS NOT NULL",
    "nobody holds a lease": (
        "SELECT id FROM batch_jobs WHERE lease_token IS NOT NULL "
        "AND status NOT IN ('COMPLETED', 'FAILED')"
    ),
}
