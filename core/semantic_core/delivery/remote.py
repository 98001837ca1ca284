"""What chunks, and the stores that they are delivered to, are called."""

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

# Where a target's metadata have the id of the chunk: not every store gives ids back.
CHUNK_ID_KEY = "_semcore_id"

# What vector stores call the place that they write to.
_PLACES = ("collection_name", "_collection_name", "table_name", "index_name")

# As every store writes it.
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class RemoteIds:
    """The ids that a collection's chunks have in other stores: UUIDs, which every store takes.

    An id that is a UUID stays as it is. Any other becomes one that no other database, and no other
    collection, makes of it. A copy of a database makes the same.

    Args:
        install_id: of the database: ``store.meta("install_id")``.
        collection: whose chunks they are.
    """

    def __init__(self, install_id: str | None, collection: str) -> None:
        self._place = f"semcore:{install_id}/{collection}"

    def all_of(self, chunk_ids: Sequence[str]) -> list[str]:
        """Return the ids of chunks, in order."""
        return [
            chunk_id
            if _UUID.fullmatch(chunk_id)
            else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self._place}/{chunk_id}"))
            for chunk_id in chunk_ids
        ]


def text_ids(ids: Any) -> Any:
    """Return ids as they are, but integers and UUIDs, which other stores have, as strings."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        return ids
    return [str(one) if isinstance(one, int | uuid.UUID) else one for one in ids]


def is_of(store: object, package: str, name: str) -> bool:
    """Whether a store is of a class, or of one derived from it, that nobody needs to import."""
    return any(
        kind.__name__ == name and f"{kind.__module__}.".startswith(f"{package}.")
        for kind in type(store).__mro__
    )


def store_kind(store: object) -> str:
    """Return what store it is, and where in it things are put."""
    place = next((found for name in _PLACES if (found := getattr(store, name, None))), None)
    name = type(store).__name__
    return name if place is None else f"{name}, {place!r}"
