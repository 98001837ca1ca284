"""The tables of delivery as Peewee models: other vector stores, and what each is still to be told."""

from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Check,
    DoubleField,
    ForeignKeyField,
    TextField,
)

from semantic_core.database.columns import yes_or_no


def add_delivery_tables(base: Any, collections: Any, *, is_sqlite: bool) -> tuple[Any, Any]:
    """Return the models; ``base`` is the class they inherit from, which knows all of its models."""

    class TargetModel(base):  # type: ignore[misc]  # of one database
        """A vector store elsewhere that gets the vectors of a collection."""

        id = BigAutoField()
        collection = ForeignKeyField(collections, index=False)
        name = TextField(unique=True)
        kind = TextField()
        # Whether words and vectors of what it was told stay here.
        keeps_text = BooleanField(constraints=[yes_or_no("keeps_text")])
        keeps_vectors = BooleanField(constraints=[yes_or_no("keeps_vectors")])
        # How far what was READY before is noted in the outbox; NULL once all of it is.
        filled_pk = BigIntegerField(null=True, default=0, constraints=[SQL("DEFAULT 0")])
        lease_token = TextField(null=True)
        lease_until = DoubleField(null=True)
        delivered_at = DoubleField(null=True)
        error = TextField(null=True)

        class Meta:
            table_name = "targets"
            constraints = (Check("(lease_token IS NULL) = (lease_until IS NULL)"),)

    class OutboxModel(base):  # type: ignore[misc]  # of one database
        """A chunk that a target is to be told of, as it is when it is told; each change is a new seq.

        ``may_be_there`` is FALSE only while the target surely does not hold the chunk.
        """

        # Never given twice, so that a wish which is done with is not taken for a later one.
        seq = BigAutoField(constraints=[SQL("AUTOINCREMENT")] if is_sqlite else [])
        target = ForeignKeyField(TargetModel, index=False)
        chunk_id = TextField()
        may_be_there = BooleanField(constraints=[yes_or_no("may_be_there")])
        noted_at = DoubleField()
        tries = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])
        not_before = DoubleField(null=True)
        error = TextField(null=True)

        class Meta:
            table_name = "outbox"
            indexes = ((("target", "chunk_id"), True), (("target", "seq"), False))

    return TargetModel, OutboxModel
