"""The tables of schema 001, statement by statement."""

from __future__ import annotations


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _one_of(column: str, *values: str) -> str:
    return f"{column} IN ({', '.join(quoted(value) for value in values)})"


# Literals, not the enums: a migration must stay what it was when the enums grow.
SCHEMA_001 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE spaces (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        model TEXT NOT NULL,
        dimensions INTEGER,
        is_external INTEGER NOT NULL CHECK (is_external IN (0, 1)),
        passed_over TEXT,
        passed_at REAL,
        CHECK (is_external OR dimensions IS NOT NULL),
        CHECK ((passed_over IS NULL) = (passed_at IS NULL))
    )""",
    """CREATE TABLE collections (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        spec TEXT NOT NULL,
        created_at REAL NOT NULL
    )""",
    """CREATE TABLE documents (
        pk INTEGER PRIMARY KEY,
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        document_id TEXT NOT NULL,
        source TEXT,
        content_hash BLOB NOT NULL,
        metadata TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        UNIQUE (collection_id, document_id)
    )""",
    "CREATE INDEX documents_source ON documents (collection_id, source) WHERE source IS NOT NULL",
    # A rowid table: with the hash as clustered key, inserts are five times slower.
    f"""CREATE TABLE embeddings (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE CHECK (length(key) = 32),
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        vector BLOB NOT NULL,
        origin TEXT NOT NULL CHECK ({_one_of("origin", "batch", "live", "given")}),
        token_count INTEGER,
        created_at REAL NOT NULL,
        unreferenced_since REAL
    )""",
    """CREATE INDEX embeddings_unreferenced ON embeddings (unreferenced_since)
        WHERE unreferenced_since IS NOT NULL""",
    f"""CREATE TABLE batch_jobs (
        id TEXT PRIMARY KEY,
        google_job_id TEXT UNIQUE,
        status TEXT NOT NULL
            CHECK ({
        _one_of("status", "CREATED", "SUBMITTED", "PROCESSING", "COMPLETED", "FAILED")
    }),
        step TEXT NOT NULL
            CHECK ({
        _one_of(
            "step", "claimed", "uploaded", "creating", "submitted", "fetched", "applied", "cleaned"
        )
    }),
        failure_reason TEXT
            CHECK ({
        _one_of(
            "failure_reason",
            "abandoned before create",
            "never reached the provider",
            "refused by the provider",
            "failed at the provider",
            "expired at the provider",
            "cancelled",
            "released",
        )
    }),
        hold_reason TEXT
            CHECK ({
        _one_of(
            "hold_reason",
            "cancelled elsewhere",
            "lost",
            "result expired",
            "other project",
            "bad results",
            "unreadable",
            "spot check failed",
        )
    }),
        display_name TEXT NOT NULL UNIQUE,
        input_file TEXT,
        result_file TEXT,
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        spec TEXT NOT NULL,
        model TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        provider_state TEXT,
        request_count INTEGER NOT NULL,
        byte_count INTEGER NOT NULL,
        estimated_tokens INTEGER NOT NULL,
        token_count INTEGER,
        uncounted_tokens INTEGER NOT NULL DEFAULT 0,
        cost_usd REAL,
        live_price REAL,
        batch_price REAL,
        done_count INTEGER NOT NULL DEFAULT 0,
        failed_count INTEGER NOT NULL DEFAULT 0,
        error_message TEXT,
        lease_token TEXT,
        lease_until REAL,
        absence TEXT,
        cancel_requested_at REAL,
        is_adopted INTEGER NOT NULL DEFAULT 0 CHECK (is_adopted IN (0, 1)),
        cleanup_tries INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        uploaded_at REAL,
        creating_at REAL,
        reopened_at REAL,
        submitted_at REAL,
        finished_at REAL,
        fetched_at REAL,
        applied_at REAL,
        cleaned_at REAL,
        CHECK ((status = 'FAILED') = (failure_reason IS NOT NULL)),
        CHECK (hold_reason IS NULL OR status NOT IN ('COMPLETED', 'FAILED')),
        CHECK (status NOT IN ('SUBMITTED', 'PROCESSING', 'COMPLETED') OR google_job_id IS NOT NULL),
        CHECK ((status = 'COMPLETED') = (step IN ('applied', 'cleaned')))
    )""",
    "CREATE INDEX batch_jobs_open ON batch_jobs (status) WHERE status NOT IN ('COMPLETED', 'FAILED')",
    "CREATE INDEX batch_jobs_unclean ON batch_jobs (id) WHERE cleaned_at IS NULL",
    """CREATE TABLE ceilings (
        fingerprint TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL CHECK (requests > 0),
        tokens INTEGER NOT NULL CHECK (tokens > 0),
        open_jobs INTEGER NOT NULL CHECK (open_jobs >= 0),
        not_before REAL,
        message TEXT,
        noted_at REAL NOT NULL,
        PRIMARY KEY (fingerprint, model)
    ) WITHOUT ROWID""",
    f"""CREATE TABLE batch_items (
        id INTEGER PRIMARY KEY,
        job_id TEXT NOT NULL REFERENCES batch_jobs (id),
        content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
        state TEXT NOT NULL
            CHECK ({_one_of("state", "open", "done", "failed", "missing", "released", "unsent")}),
        attempt INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        budget_use TEXT NOT NULL DEFAULT 'nothing'
            CHECK ({
        _one_of(
            "budget_use",
            "nothing",
            "attempt",
            "job failure",
            "expiry",
            "everything",
            "forgiven",
        )
    }),
        error TEXT,
        UNIQUE (job_id, content_hash)
    )""",
    # "Never in two jobs at once" as a constraint.
    "CREATE UNIQUE INDEX batch_items_open ON batch_items (content_hash) WHERE state = 'open'",
    "CREATE INDEX batch_items_job_open ON batch_items (job_id, id) WHERE state = 'open'",
    """CREATE INDEX batch_items_released ON batch_items (content_hash)
        WHERE state = 'released'""",
    """CREATE INDEX batch_items_budget ON batch_items (content_hash, budget_use)
        WHERE budget_use NOT IN ('nothing', 'forgiven')""",
    # Paid for live to see whether vectors can be trusted.
    """CREATE TABLE spot_checks (
        id INTEGER PRIMARY KEY, job_id TEXT REFERENCES batch_jobs (id),
        model TEXT NOT NULL, texts INTEGER NOT NULL, tokens INTEGER NOT NULL, cost_usd REAL,
        worst_cosine REAL, is_passed INTEGER CHECK (is_passed IN (0, 1)), created_at REAL NOT NULL
    )""",
    """CREATE TABLE live_claims (
        content_hash BLOB PRIMARY KEY CHECK (length(content_hash) = 32),
        space_id INTEGER NOT NULL REFERENCES spaces (id),
        lease_token TEXT NOT NULL, lease_until REAL NOT NULL
    ) WITHOUT ROWID""",
    f"""CREATE TABLE chunks (
        pk INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        chunk_id TEXT NOT NULL,
        document_id TEXT,
        text TEXT NOT NULL,
        metadata TEXT NOT NULL,
        vector_source TEXT,
        payload TEXT,
        content_hash BLOB NOT NULL CHECK (length(content_hash) = 32),
        vector_key BLOB REFERENCES embeddings (key),
        embedding_status TEXT NOT NULL
            CHECK ({_one_of("embedding_status", "READY", "PENDING", "FAILED")}),
        batch_job_id TEXT REFERENCES batch_jobs (id),
        not_before REAL,
        error_message TEXT,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        UNIQUE (collection_id, chunk_id),
        CHECK (embedding_status <> 'READY' OR vector_key IS NOT NULL),
        CHECK ((embedding_status = 'FAILED') = (error_message IS NOT NULL)),
        CHECK (batch_job_id IS NULL OR embedding_status = 'PENDING')
    )""",
    """CREATE INDEX chunks_document ON chunks (collection_id, document_id)
        WHERE document_id IS NOT NULL""",
    # SQLite uses a partial index only where a query repeats its condition word for word.
    "CREATE INDEX chunks_wanting ON chunks (content_hash) WHERE embedding_status <> 'READY'",
    """CREATE INDEX chunks_waiting ON chunks (collection_id, not_before)
        WHERE embedding_status = 'PENDING' AND batch_job_id IS NULL""",
    "CREATE INDEX chunks_failed ON chunks (collection_id) WHERE embedding_status = 'FAILED'",
    "CREATE INDEX chunks_served ON chunks (vector_key) WHERE vector_key IS NOT NULL",
    # Counting a million rows at every search would cost more than the search.
    f"""CREATE TABLE chunk_counts (
        collection_id INTEGER NOT NULL REFERENCES collections (id),
        embedding_status TEXT NOT NULL
            CHECK ({_one_of("embedding_status", "READY", "PENDING", "FAILED")}),
        is_served INTEGER NOT NULL CHECK (is_served IN (0, 1)),
        chunks INTEGER NOT NULL,
        PRIMARY KEY (collection_id, embedding_status, is_served)
    ) WITHOUT ROWID""",
    # The mark tells a change from that of the same number in the lost future of a restored backup.
    """CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        collection_id INTEGER NOT NULL,
        chunk_pk INTEGER NOT NULL,
        mark INTEGER NOT NULL DEFAULT (random())
    )""",
    # BLOB has no affinity: text stays text, and whole numbers compare with floats.
    """CREATE TABLE tags (
        collection_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        chunk_pk INTEGER NOT NULL,
        PRIMARY KEY (collection_id, key, value, chunk_pk)
    ) WITHOUT ROWID""",
)
