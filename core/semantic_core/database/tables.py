"""The tables as Peewee models, built for one database (no global binding).

The migrations in ``schema.py`` create them; a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import peewee
from peewee import (
    BlobField,
    BooleanField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    SqliteDatabase,
    TextField,
)


@dataclass(frozen=True, slots=True)
class Tables:
    """The models of one database."""

    MetaModel: Any
    SpaceModel: Any
    CollectionModel: Any
    DocumentModel: Any
    EmbeddingModel: Any
    BatchJobModel: Any
    CeilingModel: Any
    BatchItemModel: Any
    SpotCheckModel: Any
    LiveClaimModel: Any
    ChunkModel: Any
    ChunkCountModel: Any
    ChangeModel: Any
    TagModel: Any

    def all(self) -> tuple[Any, ...]:
        """Return the models, referenced ones first."""
        return tuple(getattr(self, name) for name in self.__slots__)


def build_tables(database: SqliteDatabase) -> Tables:
    """Return models bound to this database."""

    class Base(peewee.Model):
        class Meta:
            # The field names of the tables are the documentation of the schema.
            legacy_table_names = False

    Base._meta.database = database  # noqa: SLF001  # peewee's documented place for a late binding

    class MetaModel(Base):
        """Schema version, database uuid, install id, HMAC salt, provenance."""

        key = TextField(primary_key=True)
        value = TextField()

        class Meta:
            table_name = "meta"

    class SpaceModel(Base):
        """A vector space: the document side of a spec. External ones get dimensions late."""

        id = IntegerField(primary_key=True)
        digest = TextField(unique=True)
        model = TextField()
        dimensions = IntegerField(null=True)
        is_external = BooleanField()
        passed_over = TextField(null=True)
        passed_at = FloatField(null=True)

        class Meta:
            table_name = "spaces"

    class CollectionModel(Base):
        """A named set of chunks, which owns its EmbeddingSpec."""

        id = IntegerField(primary_key=True)
        name = TextField(unique=True)
        space = ForeignKeyField(SpaceModel)
        spec = TextField()
        created_at = FloatField()

        class Meta:
            table_name = "collections"

    class DocumentModel(Base):
        """What was ingested, without its text."""

        pk = IntegerField(primary_key=True)
        collection = ForeignKeyField(CollectionModel)
        document_id = TextField()
        source = TextField(null=True)
        content_hash = BlobField()
        metadata = TextField()
        created_at = FloatField()
        updated_at = FloatField()

        class Meta:
            table_name = "documents"

    class EmbeddingModel(Base):
        """A stored vector, under the key that names it: the truth and the cache."""

        id = IntegerField(primary_key=True)
        key = BlobField(unique=True)
        space = ForeignKeyField(SpaceModel)
        vector = BlobField()
        origin = TextField()
        token_count = IntegerField(null=True)
        created_at = FloatField()
        unreferenced_since = FloatField(null=True)

        class Meta:
            table_name = "embeddings"

    class BatchJobModel(Base):
        """One submission to the Batch API, recorded before anything is sent."""

        id = TextField(primary_key=True)
        google_job_id = TextField(null=True, unique=True)
        status = TextField()
        step = TextField()
        failure_reason = TextField(null=True)
        hold_reason = TextField(null=True)
        display_name = TextField(unique=True)
        input_file = TextField(null=True)
        result_file = TextField(null=True)
        space = ForeignKeyField(SpaceModel)
        spec = TextField()
        model = TextField()
        fingerprint = TextField()
        provider_state = TextField(null=True)
        request_count = IntegerField()
        byte_count = IntegerField()
        estimated_tokens = IntegerField()
        token_count = IntegerField(null=True)
        uncounted_tokens = IntegerField(default=0)
        cost_usd = FloatField(null=True)
        live_price = FloatField(null=True)
        batch_price = FloatField(null=True)
        done_count = IntegerField()
        failed_count = IntegerField()
        error_message = TextField(null=True)
        lease_token = TextField(null=True)
        lease_until = FloatField(null=True)
        absence = TextField(null=True)
        cancel_requested_at = FloatField(null=True)
        is_adopted = BooleanField()
        cleanup_tries = IntegerField()
        created_at = FloatField()
        uploaded_at = FloatField(null=True)
        creating_at = FloatField(null=True)
        reopened_at = FloatField(null=True)
        submitted_at = FloatField(null=True)
        finished_at = FloatField(null=True)
        fetched_at = FloatField(null=True)
        applied_at = FloatField(null=True)
        cleaned_at = FloatField(null=True)

        class Meta:
            table_name = "batch_jobs"

    class CeilingModel(Base):
        """What the open jobs of one key and model may carry together, after what was refused."""

        fingerprint = TextField()
        model = TextField()
        requests = IntegerField()
        tokens = IntegerField()
        open_jobs = IntegerField()
        not_before = FloatField(null=True)
        message = TextField(null=True)
        noted_at = FloatField()

        class Meta:
            table_name = "ceilings"
            primary_key = CompositeKey("fingerprint", "model")

    class BatchItemModel(Base):
        """One content hash that a job carries or carried."""

        id = IntegerField(primary_key=True)
        job = ForeignKeyField(BatchJobModel)
        content_hash = BlobField()
        state = TextField()
        attempt = IntegerField()
        tokens = IntegerField()
        budget_use = TextField()
        error = TextField(null=True)

        class Meta:
            table_name = "batch_items"

    class SpotCheckModel(Base):
        """Texts embedded live again, to compare; priced by estimate, recorded before it is due."""

        id = IntegerField(primary_key=True)
        job = ForeignKeyField(BatchJobModel, null=True)
        model = TextField()
        texts = IntegerField()
        tokens = IntegerField()
        cost_usd = FloatField(null=True)
        worst_cosine = FloatField(null=True)
        is_passed = BooleanField(null=True)
        created_at = FloatField()

        class Meta:
            table_name = "spot_checks"

    class LiveClaimModel(Base):
        """A content hash that is being embedded live; freed by its lease."""

        content_hash = BlobField(primary_key=True)
        space = ForeignKeyField(SpaceModel)
        lease_token = TextField()
        lease_until = FloatField()

        class Meta:
            table_name = "live_claims"

    class ChunkModel(Base):
        """A piece of text that gets one vector."""

        pk = IntegerField(primary_key=True)
        collection = ForeignKeyField(CollectionModel)
        chunk_id = TextField()
        document_id = TextField(null=True)
        text = TextField()
        metadata = TextField()
        vector_source = TextField(null=True)
        payload = TextField(null=True)
        content_hash = BlobField()
        vector_key = BlobField(null=True)
        embedding_status = TextField()
        batch_job = ForeignKeyField(BatchJobModel, null=True)
        not_before = FloatField(null=True)
        error_message = TextField(null=True)
        created_at = FloatField()
        updated_at = FloatField()

        class Meta:
            table_name = "chunks"

    class ChunkCountModel(Base):
        """How many chunks of a collection are in a state, with or without a serving vector."""

        collection = ForeignKeyField(CollectionModel)
        embedding_status = TextField()
        is_served = BooleanField()
        chunks = IntegerField()

        class Meta:
            table_name = "chunk_counts"
            primary_key = CompositeKey("collection", "embedding_status", "is_served")

    class ChangeModel(Base):
        """A chunk whose serving vector came, went or was replaced."""

        seq = IntegerField(primary_key=True)
        collection_id = IntegerField()
        chunk_pk = IntegerField()
        mark = IntegerField()

        class Meta:
            table_name = "changes"

    class TagModel(Base):
        """A top-level metadata value that a filter can look up; true and false are one byte."""

        collection_id = IntegerField()
        key = TextField()
        value = BlobField()
        chunk_pk = IntegerField()

        class Meta:
            table_name = "tags"
            primary_key = CompositeKey("collection_id", "key", "value", "chunk_pk")

    return Tables(
        MetaModel,
        SpaceModel,
        CollectionModel,
        DocumentModel,
        EmbeddingModel,
        BatchJobModel,
        CeilingModel,
        BatchItemModel,
        SpotCheckModel,
        LiveClaimModel,
        ChunkModel,
        ChunkCountModel,
        ChangeModel,
        TagModel,
    )
