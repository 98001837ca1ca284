"""Reading what is damaged."""

from collections.abc import Iterator
from contextlib import contextmanager

from semantic_core.database.port import Connection
from semantic_core.database.sqlite.connection import SqliteConnection


@contextmanager
def any_text(connection: Connection, errors: str = "surrogateescape") -> Iterator[None]:
    """Read text that is no UTF-8 as well; by default with lone surrogates for what is not.

    Otherwise one damaged byte makes every row of a statement unreadable.
    """
    if not isinstance(connection, SqliteConnection):
        yield  # others take nothing in that is no UTF-8
        return
    raw = connection.raw
    factory = raw.text_factory
    raw.text_factory = lambda data: data.decode("utf-8", errors)
    try:
        yield
    finally:
        raw.text_factory = factory
