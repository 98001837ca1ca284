from typing import Any

from peewee import BigIntegerField, BlobField, Check, TextField


def add_media_table(base: Any) -> Any:
    """Return the model; ``base`` is the class it inherits from, which knows all of its models."""

    class MediaModel(base):  # type: ignore[misc]  # of one database
        """A picture that was handed in as bytes, as long as a chunk has it."""

        sha256 = TextField(primary_key=True)
        data = BlobField()
        uses = BigIntegerField(constraints=[Check("uses > 0")])

        class Meta:
            table_name = "media"

    return MediaModel
