"""The tables as Peewee models: they create the tables, and are the way to read the data.

They are built for one database, so that two stores never share one. What only SQLite has stands in
``database/sqlite/tables.py``.
"""

from dataclasses import dataclass
from typing import Any

import peewee
from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    Check,
    CompositeKey,
    DoubleField,
    ForeignKeyField,
    TextField,
)

from semantic_core.database.columns import count, one_of, yes_or_no
from semantic_core.database.conditions import (
    IS_CARRIED,
    IS_FAILED,
    IS_OPEN,
    IS_RELEASED,
    IS_SERVED,
    USES_BUDGET,
    WAITS,
    WANTS,
)
from semantic_core.database.delivery_tables import add_delivery_tables
from semantic_core.database.media_tables import add_media_table
from semantic_core.database.vector_tables import add_vector_tables
from semantic_core.domain.statuses import (
    BudgetUse,
    EmbeddingStatus,
    ItemState,
    JobStatus,
    JobStep,
    Obstacle,
)

SCHEMA = "semcore"


@dataclass(frozen=True, slots=True)
class Tables:
    MetaModel: Any
    SpaceModel: Any
    CollectionModel: Any
    RootModel: Any
    DocumentModel: Any
    ContentModel: Any
    EmbeddingModel: Any
    BatchJobModel: Any
    CeilingModel: Any
    BatchItemModel: Any
    SpotCheckModel: Any
    LiveClaimModel: Any
    ChunkModel: Any
    ChunkCountModel: Any
    WaitingCountModel: Any
    MediaModel: Any
    TargetModel: Any
    OutboxModel: Any

    def all(self) -> tuple[Any, ...]:
        """Return the models, referenced ones first."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def names(self) -> tuple[str, ...]:
        return tuple(model._meta.table_name for model in self.all())  # noqa: SLF001  # peewee's documented place for it


def build_tables(database: peewee.Database) -> Tables:
    is_sqlite = isinstance(database, peewee.SqliteDatabase)

    class Base(peewee.Model):
        pass

    meta = Base._meta  # noqa: SLF001  # peewee's documented place for a late binding
    meta.database = database
    # On a server other programs have tables, too.
    meta.schema = None if is_sqlite else SCHEMA

    class MetaModel(Base):
        """Schema version, database uuid, install id, HMAC salt, provenance."""

        key = TextField(primary_key=True)
        value = TextField()

        class Meta:
            table_name = "meta"
            without_rowid = is_sqlite

    class SpaceModel(Base):
        """A vector space: the document side of a spec. External ones get dimensions late."""

        id = BigAutoField()
        digest = TextField(unique=True)
        model = TextField()
        dimensions = BigIntegerField(null=True)
        is_external = BooleanField(constraints=[yes_or_no("is_external")])
        passed_over = TextField(null=True)
        obstacle = TextField(null=True, constraints=[one_of("obstacle", Obstacle)])
        passed_at = DoubleField(null=True)

        class Meta:
            table_name = "spaces"
            constraints = (
                Check("is_external OR dimensions IS NOT NULL"),
                Check("(passed_over IS NULL) = (passed_at IS NULL)"),
                Check("(passed_over IS NULL) = (obstacle IS NULL)"),
            )

    class CollectionModel(Base):
        """A named set of chunks, which owns its EmbeddingSpec."""

        id = BigAutoField()
        name = TextField(unique=True)
        space = ForeignKeyField(SpaceModel, index=False)
        spec = TextField()
        languages = TextField(default="en", constraints=[SQL("DEFAULT 'en'")])
        former_languages = TextField(null=True)  # both are of a reindex under way
        reindexed_pk = BigIntegerField(null=True)
        created_at = DoubleField()

        class Meta:
            table_name = "collections"

    class RootModel(Base):
        """A folder that files were read from: its name begins their ids, wherever it lies."""

        id = BigAutoField()
        name = TextField(unique=True)
        place = TextField()

        class Meta:
            table_name = "roots"

    class DocumentModel(Base):
        """What was ingested, without its text."""

        pk = BigAutoField()
        collection = ForeignKeyField(CollectionModel, index=False)
        document_id = TextField()
        root = ForeignKeyField(RootModel, null=True, index=False)
        source = TextField(null=True)
        content_hash = BlobField()
        metadata = TextField()
        created_at = DoubleField()
        updated_at = DoubleField()

        class Meta:
            table_name = "documents"
            indexes = ((("collection", "document_id"), True),)

    doc = DocumentModel
    doc.add_index(
        doc.collection, doc.source, name="documents_source", where=SQL("source IS NOT NULL")
    )
    doc.add_index(doc.root, doc.pk, name="documents_root", where=SQL("root_id IS NOT NULL"))

    ContentModel, EmbeddingModel = add_vector_tables(Base, SpaceModel)  # noqa: N806  # classes

    class BatchJobModel(Base):
        """One submission to a batch API, recorded before anything is sent."""

        # What items refer to, so that they are small.
        pk = BigAutoField()
        id = TextField(unique=True)
        provider = TextField()
        google_job_id = TextField(null=True, unique=True)
        status = TextField(constraints=[one_of("status", JobStatus)])
        step = TextField(constraints=[one_of("step", JobStep)])
        failure_reason = TextField(null=True)
        hold_reason = TextField(null=True)
        display_name = TextField(unique=True)
        input_file = TextField(null=True)
        result_file = TextField(null=True)
        space = ForeignKeyField(SpaceModel, index=False)
        spec = TextField()
        model = TextField()
        collections = TextField(null=True)  # JSON: the estimated tokens of each, by its name
        fingerprint = TextField()
        provider_state = TextField(null=True)
        request_count = BigIntegerField()
        byte_count = BigIntegerField()
        estimated_tokens = BigIntegerField()
        token_count = BigIntegerField(null=True)
        uncounted_tokens = count()
        picture_count = count()
        cost_usd = DoubleField(null=True)
        live_price = DoubleField(null=True)
        batch_price = DoubleField(null=True)
        done_count = count()
        failed_count = count()
        error_message = TextField(null=True)
        lease_token = TextField(null=True)
        lease_until = DoubleField(null=True)
        absence = TextField(null=True)
        cancel_requested_at = DoubleField(null=True)
        is_adopted = BooleanField(
            default=False, constraints=[SQL("DEFAULT FALSE"), yes_or_no("is_adopted")]
        )
        cleanup_tries = count()
        created_at = DoubleField()
        uploaded_at = DoubleField(null=True)
        creating_at = DoubleField(null=True)
        reopened_at = DoubleField(null=True)
        submitted_at = DoubleField(null=True)
        finished_at = DoubleField(null=True)
        fetched_at = DoubleField(null=True)
        applied_at = DoubleField(null=True)
        cleaned_at = DoubleField(null=True)

        class Meta:
            table_name = "batch_jobs"
            constraints = (
                Check("(status = 'FAILED') = (failure_reason IS NOT NULL)"),
                Check(f"hold_reason IS NULL OR {IS_OPEN}"),
                Check("status IN ('CREATED', 'FAILED') OR google_job_id IS NOT NULL"),
                Check("(status = 'COMPLETED') = (step IN ('applied', 'cleaned'))"),
            )

    BatchJobModel.add_index(BatchJobModel.status, name="batch_jobs_open", where=SQL(IS_OPEN))
    BatchJobModel.add_index(
        BatchJobModel.pk, name="batch_jobs_unclean", where=SQL("cleaned_at IS NULL")
    )

    class CeilingModel(Base):
        """What the open jobs of one key and model may carry together, after what was refused."""

        fingerprint = TextField()
        model = TextField()
        requests = BigIntegerField(constraints=[Check("requests > 0")])
        tokens = BigIntegerField(constraints=[Check("tokens > 0")])
        open_jobs = BigIntegerField(constraints=[Check("open_jobs >= 0")])
        not_before = DoubleField(null=True)
        message = TextField(null=True)
        noted_at = DoubleField()

        class Meta:
            table_name = "ceilings"
            primary_key = CompositeKey("fingerprint", "model")
            without_rowid = is_sqlite

    class BatchItemModel(Base):
        """One content that a job carries or carried."""

        id = BigAutoField()
        job = ForeignKeyField(BatchJobModel, column_name="job_pk", index=False)
        content_id = BigIntegerField()
        state = TextField(constraints=[one_of("state", ItemState)])
        attempt = BigIntegerField()
        tokens = BigIntegerField()
        budget_use = TextField(
            default=BudgetUse.NOTHING,
            constraints=[SQL("DEFAULT 'nothing'"), one_of("budget_use", BudgetUse)],
        )
        error = TextField(null=True)

        class Meta:
            table_name = "batch_items"
            indexes = ((("job", "content_id"), True),)

    item = BatchItemModel
    # "Never in two jobs at once" as a constraint.
    item.add_index(item.content_id, name="batch_items_open", unique=True, where=SQL(IS_CARRIED))
    item.add_index(item.job, item.id, name="batch_items_job_open", where=SQL(IS_CARRIED))
    item.add_index(item.content_id, name="batch_items_released", where=SQL(IS_RELEASED))
    item.add_index(
        item.content_id, item.budget_use, name="batch_items_budget", where=SQL(USES_BUDGET)
    )

    class SpotCheckModel(Base):
        """Texts embedded live again, to compare; priced by estimate, recorded before it is due."""

        id = BigAutoField()
        job = ForeignKeyField(BatchJobModel, field="id", null=True, index=False)
        model = TextField()
        texts = BigIntegerField()
        tokens = BigIntegerField()
        cost_usd = DoubleField(null=True)
        worst_cosine = DoubleField(null=True)
        is_passed = BooleanField(null=True, constraints=[yes_or_no("is_passed")])
        created_at = DoubleField()

        class Meta:
            table_name = "spot_checks"

    class LiveClaimModel(Base):
        """A content that is being embedded live; freed by its lease."""

        content_id = BigIntegerField(primary_key=True)
        space = ForeignKeyField(SpaceModel, index=False)
        lease_token = TextField()
        lease_until = DoubleField()

        class Meta:
            table_name = "live_claims"
            without_rowid = is_sqlite

    class ChunkModel(Base):
        """A piece of text that gets one vector."""

        # Never given twice: an index that another process has in memory names chunks by it.
        pk = BigAutoField(constraints=[SQL("AUTOINCREMENT")] if is_sqlite else [])
        collection = ForeignKeyField(CollectionModel, index=False)
        chunk_id = TextField()
        document_id = TextField(null=True)
        text = TextField()
        metadata = TextField()
        vector_source = TextField(null=True)
        payload = TextField(null=True)
        media = TextField(null=True)
        content_id = BigIntegerField()
        tokens = BigIntegerField(
            default=0, constraints=[SQL("DEFAULT 0"), Check("tokens >= 0")]
        )  # estimated, of what is embedded
        embedding = ForeignKeyField(EmbeddingModel, null=True, index=False)
        embedding_status = TextField(constraints=[one_of("embedding_status", EmbeddingStatus)])
        batch_job = ForeignKeyField(BatchJobModel, field="id", null=True, index=False)
        not_before = DoubleField(null=True)
        error_message = TextField(null=True)
        created_at = DoubleField()
        updated_at = DoubleField()

        class Meta:
            table_name = "chunks"
            indexes = ((("collection", "chunk_id"), True),)
            constraints = (
                Check(f"{WANTS} OR {IS_SERVED}"),
                Check(f"({IS_FAILED}) = (error_message IS NOT NULL)"),
                Check("batch_job_id IS NULL OR embedding_status = 'PENDING'"),
            )

    chunk = ChunkModel
    chunk.add_index(
        chunk.collection,
        chunk.document_id,
        name="chunks_document",
        where=SQL("document_id IS NOT NULL"),
    )
    chunk.add_index(chunk.content_id, name="chunks_wanting", where=SQL(WANTS))
    waiting = (chunk.collection, chunk.not_before, chunk.updated_at, chunk.pk)
    chunk.add_index(*waiting, name="chunks_waiting", where=SQL(WAITS))
    chunk.add_index(chunk.collection, name="chunks_failed", where=SQL(IS_FAILED))
    chunk.add_index(chunk.embedding, name="chunks_served", where=SQL(IS_SERVED))

    class ChunkCountModel(Base):
        """How many chunks of a collection are in a state, with or without a serving vector.

        Counting a million rows at every search would cost more than the search.
        """

        collection = ForeignKeyField(CollectionModel, index=False)
        embedding_status = TextField(constraints=[one_of("embedding_status", EmbeddingStatus)])
        is_served = BooleanField(constraints=[yes_or_no("is_served")])
        chunks = BigIntegerField()

        class Meta:
            table_name = "chunk_counts"
            primary_key = CompositeKey("collection", "embedding_status", "is_served")
            without_rowid = is_sqlite

    class WaitingCountModel(Base):
        """What waits in a collection, and under 0 in all of a space: there a text is one text.

        The tokens and pictures are those of the distinct texts; tokens of the others are repeated.
        """

        space = ForeignKeyField(SpaceModel, index=False)
        collection_id = BigIntegerField()
        texts = BigIntegerField()
        chunks = BigIntegerField()
        tokens = BigIntegerField()
        repeated_tokens = BigIntegerField()
        pictures = BigIntegerField()

        class Meta:
            table_name = "waiting_counts"
            primary_key = CompositeKey("space", "collection_id")
            without_rowid = is_sqlite

    others = add_delivery_tables(Base, CollectionModel, is_sqlite=is_sqlite)
    # By name: a class that nobody refers to would be gone.
    made = (ContentModel, *others, add_media_table(Base), *Base.__subclasses__())
    models = {model.__name__: model for model in made}
    return Tables(*(models[name] for name in Tables.__slots__))


TABLES = build_tables(peewee.SqliteDatabase(None))  # for queries on whatever connection there is
