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
    known = read_meta(connection, "provenance")
    if known is None:
        connection.execute("INSERT INTO meta (key, value) VALUES ('provenance', ?)", (provenance,))
    elif known != provenance:
        raise ProvenanceError(
            f"{path} holds vectors from {known}, and this would add some from {provenance}. Use a "
            "new database file for that, so that test vectors never mix with paid ones."
        )
