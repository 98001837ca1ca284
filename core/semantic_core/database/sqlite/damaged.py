"""Reading what is damaged."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from semantic_core.database.port import Connection


@contextmanager
def any_text(connection: Connection, errors: str = "surrogateescape") -> Iterator[None]:
    """Read text that is no UTF-8 as well; by default with lone surrogates for what is not.

    Otherwise one damaged byte makes every row of a statement unreadable.
    """
    if not isinstance(connection, sqlite3.Connection):
        yield  # others take nothing in that is no UTF-8
        return
    factory = connection.text_factory
    connection.text_factory = lambda data: data.decode("utf-8", errors)
    try:
        yield
    finally:
        connection.text_factory = factory
