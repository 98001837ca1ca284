"""Indexing a collection's words anew in other languages, page by page.

Where it is stands in the database, so that whoever asks again goes on from there. Until the end
words are asked in both ways, see `Query`.
"""

from collections.abc import Callable
from dataclasses import replace

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database, Sql
from semantic_core.domain.pages import PAGE
from semantic_core.store.collections import get_collection
from semantic_core.store.kept import index_words


def reindex(
    database: Database,
    name: str,
    languages: tuple[str, ...],
    progress: Callable[[int], object] | None,
) -> int:
    """Give a collection other languages; one that is under way is brought to its end first.

    Each page is a transaction of its own, after which ``progress`` is given how many chunks are
    done. Returns how many were.
    """
    done, has_begun = 0, False
    while True:
        with database.transaction() as connection:
            collection = get_collection(connection, name)
            if collection.former_languages is None:
                # Another caller may want other languages: each begins once, so both end.
                if has_begun or collection.languages == languages:
                    return done
                collection, has_begun = begin(connection, collection, languages), True
            done += _index_page(database, connection, collection)
        if progress is not None:
            progress(done)


def finish(database: Database, name: str) -> None:
    """Bring to its end what was begun of a collection; begin nothing."""
    is_begun = True
    while is_begun:
        with database.transaction() as connection:
            collection = get_collection(connection, name)
            if is_begun := collection.former_languages is not None:
                _index_page(database, connection, collection)


def begin(connection: Connection, collection: Collection, languages: tuple[str, ...]) -> Collection:
    """Begin to index a collection anew, in these languages."""
    connection.execute(
        "UPDATE collections SET languages = ?, "
        "former_languages = coalesce(former_languages, languages), reindexed_pk = 0 WHERE id = ?",
        (" ".join(languages), collection.id),
    )
    return replace(
        collection,
        languages=languages,
        former_languages=collection.former_languages or collection.languages,
    )


def _index_page(database: Database, connection: Connection, collection: Collection) -> int:
    after = "c.pk > (SELECT reindexed_pk FROM collections WHERE id = ?)"
    pks = index_words(database, connection, collection, Sql(after, (collection.id,)))
    if len(pks) == PAGE:
        connection.execute(
            "UPDATE collections SET reindexed_pk = ? WHERE id = ?", (pks[-1], collection.id)
        )
    else:
        connection.execute(
            "UPDATE collections SET former_languages = NULL, reindexed_pk = NULL WHERE id = ?",
            (collection.id,),
        )
    return len(pks)
