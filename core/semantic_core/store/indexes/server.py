"""Letting the database search the vectors of a collection, and mending what it searches."""

from collections.abc import Callable

from semantic_core.database.strategies import Collection, Database
from semantic_core.domain.errors import UnsupportedDatabaseError
from semantic_core.queue.changes import note_changed
from semantic_core.store.collections import get_collection


def index(database: Database, name: str, progress: Callable[[int], object] | None) -> int:
    if database.vectors is None:
        raise UnsupportedDatabaseError(
            f"{database.name} is a file, which has no index of its own to search vectors by: the "
            "index file beside it is searched, and is fast up to about two million vectors. For "
            "more, keep the store on a PostgreSQL server with pgvector. Nothing was changed."
        )
    with database.snapshot() as connection:
        collection = get_collection(connection, name)
    return database.vectors.make(collection, progress)


def drop_index(database: Database, name: str) -> None:
    with database.snapshot() as connection:
        collection = get_collection(connection, name)
    if database.vectors is not None:
        database.vectors.drop(collection)


def mend(database: Database, collection: Collection) -> None:
    """Put into a collection's index in the database, if it has one, what the rows have."""
    if database.vectors is None:
        return
    with database.transaction() as connection:
        if database.vectors.nearest(connection, collection) is not None:
            differing = database.vectors.differing(connection, collection)
            # As if they had just changed: the index follows.
            note_changed(connection, [(collection.id, pk) for pk in differing])
