"""Which version the schema of a database has, and the names in its meta table."""

import secrets
import uuid
from collections.abc import Mapping

from semantic_core.database.port import Connection
from semantic_core.domain.errors import DatabaseCorruptError, SchemaTooNewError


def write_meta(connection: Connection, facts: Mapping[str, str]) -> None:
    """Note facts in the meta table, in place of what is known under their names."""
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?) "
        "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        list(facts.items()),
    )


def check_version(recorded: str | None, *, newest: int, name: str) -> int:
    """Return the version that a database of semcore's has noted for its schema.

    None is damage, and one of a newer semcore a SchemaTooNewError.
    """
    if recorded is None:
        raise DatabaseCorruptError(
            f"{name} is marked as semcore's but has no schema version. Keep it, restore a backup, "
            "do not write to it."
        )
    try:
        version = int(recorded)
    except ValueError as error:
        raise DatabaseCorruptError.unreadable("The schema version", error) from error
    if version > newest:
        raise SchemaTooNewError(
            f"{name} has schema {recorded}, this semcore knows {newest}. "
            "Upgrade: pip install -U semcore. Nothing was changed in it."
        )
    return version


def name_database(connection: Connection) -> None:
    """Give a new database the names that no other has."""
    names = {"database_uuid": str(uuid.uuid4()), "install_id": secrets.token_hex(4)}
    write_meta(connection, names | {"hmac_salt": secrets.token_hex(32)})


def read_meta(connection: Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def database_uuid(connection: Connection) -> uuid.UUID:
    """Return the name of this database that no other has, but its copies."""
    try:
        return uuid.UUID(read_meta(connection, "database_uuid"))
    except (TypeError, ValueError) as error:
        raise DatabaseCorruptError.unreadable("The name of the database", error) from error
