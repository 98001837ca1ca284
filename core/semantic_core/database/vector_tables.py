"""The tables of contents and their vectors as Peewee models."""

from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BlobField,
    DoubleField,
    ForeignKeyField,
    TextField,
)

from semantic_core.database.columns import digest, one_of
from semantic_core.database.conditions import IS_CACHED, IS_GIVEN
from semantic_core.domain.statuses import VectorOrigin


def add_vector_tables(base: Any, spaces: Any) -> tuple[Any, Any]:
    """Return the models; ``base`` is the class they inherit from."""

    class ContentModel(base):  # type: ignore[misc]  # of one database
        """What is embedded, by its hash; all else names it by its number.

        Numbers come in the order of the texts. An index over hashes is written at random places, so
        there is this one alone.
        """

        id = BigAutoField()
        hash = BlobField(unique=True, constraints=[digest("hash")])

        class Meta:
            table_name = "contents"

    class EmbeddingModel(base):  # type: ignore[misc]  # of one database
        """A stored vector of a content: the truth and, unless it was given, the cache."""

        id = BigAutoField()
        content_id = BigIntegerField()
        space = ForeignKeyField(spaces, index=False)
        vector = BlobField()
        origin = TextField(constraints=[one_of("origin", VectorOrigin)])
        token_count = BigIntegerField(null=True)
        created_at = DoubleField()
        unreferenced_since = DoubleField(null=True)

        class Meta:
            table_name = "embeddings"

    embedding = EmbeddingModel
    # One vector a content, beside those that callers gave.
    embedding.add_index(
        embedding.content_id, name="embeddings_content", unique=True, where=SQL(IS_CACHED)
    )
    embedding.add_index(embedding.content_id, name="embeddings_given", where=SQL(IS_GIVEN))
    embedding.add_index(
        embedding.unreferenced_since,
        name="embeddings_unreferenced",
        where=SQL("unreferenced_since IS NOT NULL"),
    )
    return ContentModel, EmbeddingModel
