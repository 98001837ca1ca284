"""How much work saving, claiming and back-filling is on PostgreSQL, beside the bare statements.

    python benchmarks/postgres.py URL [CHUNKS]

URL is of a user who may create databases, on a server of this machine: the CPU time of the server's
processes is counted, too, and read on Linux only. Time on the clock is left out, since it tells
mostly what else runs there. Each is paired with the least that any program would have to send, in
alternating rounds, into the same tables with the same indexes, 1,000 rows a transaction:

- saving: COPY of the same rows, and one INSERT of their words, split and stemmed by the server;
- a claim of 1,000 texts: one statement that takes them, writes their items and marks their chunks;
- back-filling: COPY of the vectors, INSERT, and an UPDATE each of chunks and items.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from semantic_core.domain.clock import SystemClock
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.claims import ClaimLimits, candidates, claim, fill_job
from semantic_core.store import PeeweeVectorStore
from shared import machine, made

PAGE = 1000
ROUNDS = 3
SPEC = EmbeddingSpec()

# Of chunks, with their types: without these psycopg cannot write COPY's binary form.
_COLUMNS = {
    **dict.fromkeys(("chunk_id", "document_id", "text", "metadata", "embedding_status"), "text"),
    **dict.fromkeys(("content_id", "collection_id"), "int8"),
    **dict.fromkeys(("created_at", "updated_at"), "float8"),
}

_WORDS = """INSERT INTO fulltext (chunk_pk, collection_id, words, word_count)
    SELECT pk, collection_id, words, length(words)
    FROM (SELECT pk, collection_id, to_tsvector('english', text) AS words FROM chunks
    WHERE chunk_id = ANY(%s)) AS said"""

_CLAIM = """WITH due AS (
        SELECT pk, content_id FROM chunks WHERE collection_id = 1
        AND embedding_status = 'PENDING' AND batch_job_id IS NULL AND not_before IS NULL
        ORDER BY pk LIMIT %(limit)s FOR UPDATE),
    job AS (INSERT INTO batch_jobs (id, display_name, status, step, space_id, provider, spec, model,
        fingerprint, request_count, byte_count, estimated_tokens, created_at)
        VALUES (%(id)s, %(id)s, 'CREATED', 'claimed', 1, '', '', '', '', 0, 0, 0, 0)
        RETURNING pk, id),
    items AS (INSERT INTO batch_items (job_pk, content_id, tokens, state, attempt)
        SELECT job.pk, due.content_id, 200, 'open', 1 FROM due, job)
    UPDATE chunks SET batch_job_id = job.id FROM due, job WHERE chunks.pk = due.pk"""

_ARRIVED = "CREATE TEMP TABLE arrived (content_id int8, vector bytea) ON COMMIT DROP"
_STORE = """INSERT INTO embeddings (content_id, space_id, vector, origin, created_at)
    SELECT content_id, 1, vector, 'batch', 0 FROM arrived
    ON CONFLICT (content_id) WHERE origin <> 'given' DO NOTHING"""
_SERVE = """UPDATE chunks SET embedding_status = 'READY', embedding_id = e.id,
    batch_job_id = NULL, updated_at = 1 FROM embeddings e WHERE e.content_id = chunks.content_id
    AND chunks.content_id = ANY(%s) AND embedding_status <> 'READY'"""
_FINISH = "UPDATE batch_items SET state = 'done' WHERE state = 'open' AND content_id = ANY(%s)"


class Bench:
    """Does each of the three in a database of its own, bare or by semcore, and counts CPU time.

    Args:
        server: URL of any database of a server.
        texts: what is saved.
    """

    def __init__(self, server: str, texts: list[str]) -> None:
        self._server = server
        self._texts = texts
        self._keys = made.content_hashes(texts, SPEC)
        self._vectors = made.vectors(len(texts), SPEC.dimensions or 0)
        self._chunks = [
            Chunk(
                id=f"{number}",
                document_id=f"{number // 8}",
                text=text,
                metadata=made.metadata(number),
            )
            for number, text in enumerate(texts)
        ]

    def bare(self) -> dict[str, float]:
        """Return CPU milliseconds a row of each, by the fewest statements."""
        rows = [
            (
                *(chunk.id, chunk.document_id, chunk.text, json.dumps(chunk.metadata), "PENDING"),
                *(number, 1, 0.0, 0.0),
            )
            for number, chunk in enumerate(self._chunks)
        ]
        vectors = [(number, vector.tobytes()) for number, vector in enumerate(self._vectors)]
        with self._database() as url:
            with PeeweeVectorStore(url) as store:
                store.collection("default", SPEC)
            with psycopg.connect(url, autocommit=True) as raw:
                raw.execute("SET search_path = semcore, public")
                return self._spent(
                    url,
                    save=lambda page: _copy_rows(raw, rows[page], self._keys[page]),
                    claim=lambda _: raw.execute(_CLAIM, {"id": str(uuid.uuid4()), "limit": PAGE}),
                    fill=lambda page: _copy_vectors(raw, vectors[page]),
                )

    def ours(self) -> dict[str, float]:
        """Return the same by semcore."""
        items = list(zip(self._keys, self._vectors, strict=True))
        with self._database() as url, PeeweeVectorStore(url) as store:
            store.collection("default", SPEC)
            return self._spent(
                url,
                save=lambda page: store.save(self._chunks[page], collection="default"),
                claim=lambda _: _claim(store),
                fill=lambda page: store.bulk_update_vectors(items[page], spec=SPEC),
            )

    def _spent(self, url: str, **steps: Callable[[slice], object]) -> dict[str, float]:
        spent = {}
        count = len(self._texts)
        with psycopg.connect(url, autocommit=True) as watcher:
            for name, step in steps.items():
                before = _cpu(watcher)
                for start in range(0, count, PAGE):
                    step(slice(start, start + PAGE))
                spent[name] = (_cpu(watcher) - before) / count * 1e3
            done = watcher.execute(
                "SELECT count(*) FROM semcore.chunks WHERE embedding_status = 'READY'"
            ).fetchone()
            if done != (count,):
                raise SystemExit(f"Only {done} of {count} chunks became READY.")
        return spent

    @contextmanager
    def _database(self) -> Iterator[str]:
        name = f"semcore_benchmark_{uuid.uuid4().hex[:8]}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
            yield self._server.rpartition("/")[0] + f"/{name}"
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def main() -> None:
    """Print one line a step and keep the figures."""
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    about = machine.describe()
    bench = Bench(sys.argv[1], made.texts(0, count))
    rounds = [(bench.bare(), bench.ours()) for _ in range(ROUNDS)]
    rows = []
    for name in rounds[0][0]:
        bare, ours = ([spent[place][name] for spent in rounds] for place in (0, 1))
        ratios = [mine / base for base, mine in zip(bare, ours, strict=True)]
        rows.append(
            {
                "step": name,
                "bare_cpu_ms": round(min(bare), 3),
                "cpu_ms": round(min(ours), 3),
                "ratio": round(statistics.median(ratios), 2),
            }
        )
        print(
            "{step:<6} {cpu_ms:.3f} ms of CPU a row, {ratio:.2f} times the {bare_cpu_ms:.3f} of the "
            "bare statements".format(**rows[-1])
        )
    machine.keep("postgres", {"machine": about, "chunks": count, "rows": rows})


def _cpu(watcher: psycopg.Connection[Any]) -> float:
    """Return the seconds of CPU that this process and its sessions on the server have taken."""
    pids = watcher.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    ).fetchall()
    server = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids)
    return time.process_time() + server / 1e9


def _copy_rows(raw: psycopg.Connection[Any], rows: list[tuple[Any, ...]], keys: list[str]) -> None:
    with raw.transaction():
        with raw.cursor().copy("COPY contents (id, hash) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea"])
            for row, key in zip(rows, keys, strict=True):
                copy.write_row((row[5], bytes.fromhex(key)))
        statement = f"COPY chunks ({', '.join(_COLUMNS)}) FROM STDIN (FORMAT BINARY)"
        with raw.cursor().copy(statement) as copy:
            copy.set_types(list(_COLUMNS.values()))
            for row in rows:
                copy.write_row(row)
        raw.execute(_WORDS, ([row[0] for row in rows],))


def _copy_vectors(raw: psycopg.Connection[Any], rows: list[tuple[int, bytes]]) -> None:
    keys = [key for key, _ in rows]
    with raw.transaction():
        raw.execute(_ARRIVED)
        with raw.cursor().copy("COPY arrived FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "bytea"])
            for row in rows:
                copy.write_row(row)
        raw.execute(_STORE)
        raw.execute(_SERVE, (keys,))
        raw.execute(_FINISH, (keys,))


def _claim(store: PeeweeVectorStore) -> None:
    now = SystemClock().now()
    with store.database.transaction() as connection:
        (candidate,) = candidates(connection, collection=None, now=now)
        waiting = fill_job(
            connection,
            candidate,
            limits=ClaimLimits(requests=PAGE, source_bytes=2**40, tokens=2**40),
            budget=RetryBudget(),
            now=now,
        )
        assert waiting is not None
        job = str(uuid.uuid4())
        claim(
            connection,
            waiting,
            job,
            display_name=job,
            provider="gemini",
            fingerprint="",
            lease_token="",
            lease_until=now,
            created_at=now,
        )


if __name__ == "__main__":
    main()
