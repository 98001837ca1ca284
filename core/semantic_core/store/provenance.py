"""Which provider endpoint a database's vectors come from."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from semantic_core.errors import ProvenanceError
from semantic_core.schema import read_meta


def fix_provenance(connection: sqlite3.Connection, provenance: str, path: Path) -> None:
    """Bind the database to an endpoint at its first embedding; later only check.

    Raises:
        ProvenanceError: it is bound to another one.
    """
    if check_provenance(connection, provenance, path) is None:
        connection.execute("INSERT INTO meta (key, value) VALUES ('provenance', ?)", (provenance,))


def check_provenance(connection: sqlite3.Connection, provenance: str, path: Path) -> str | None:
    """Return the endpoint that the database is bound to, or None.

    Raises:
        ProvenanceError: it is bound to another one.
    """
    known = read_meta(connection, "provenance")
    if known not in (None, provenance):
        raise ProvenanceError(
            f"{path} holds vectors from {known}, and this would use {provenance}. Use a new "
            "database file for that, so that test vectors never mix with paid ones."
        )
    return known
