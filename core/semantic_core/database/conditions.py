"""Conditions that tables, indexes and queries share.

SQLite uses a partial index only where a query repeats the condition of the index, so each stands
here once. Column names are bare: a query that joins tables with columns of the same name adds none.
"""

# --- chunks

# Sent with the next job, unless it rests until a time.
WAITS = "embedding_status = 'PENDING' AND batch_job_id IS NULL"
# The order in which the index of a collection's waiting chunks has them.
WAITING_ORDER = "not_before, updated_at, pk"
# Wants a vector that it does not have.
WANTS = "embedding_status <> 'READY'"
IS_FAILED = "embedding_status = 'FAILED'"
IS_SERVED = "embedding_id IS NOT NULL"

# The words of a chunk that all targets have may have left the index, and come back in a reindex.
MAY_LACK_WORDS = (
    "(c.embedding_status = 'READY' AND (k.former_languages IS NOT NULL OR EXISTS "
    "(SELECT 1 FROM targets t WHERE t.collection_id = k.id AND NOT t.keeps_text)))"
)

# --- embeddings

# A given one serves the chunk that it came with, any other every chunk of its content.
IS_GIVEN = "origin = 'given'"
IS_CACHED = "origin <> 'given'"
IS_PAID = "origin IN ('batch', 'live')"
IS_HERE = "origin <> 'delivered'"
IS_UNUSED = "NOT EXISTS (SELECT 1 FROM chunks WHERE embedding_id = embeddings.id)"

# --- batch_jobs

IS_OPEN = "status NOT IN ('COMPLETED', 'FAILED')"
IS_ENDED = "status IN ('COMPLETED', 'FAILED')"
# Open, and any process may move it on; a held job needs a person.
IS_RUNNING = f"{IS_OPEN} AND hold_reason IS NULL"

# --- batch_items

IS_CARRIED = "state = 'open'"
IS_RELEASED = "state = 'released'"
OF_JOB = "job_pk = (SELECT pk FROM batch_jobs WHERE id = :job)"
USES_BUDGET = "budget_use NOT IN ('nothing', 'forgiven')"
