"""Marks of a database that was moved to another one, or that is not whole yet.

Whoever writes reads them in the same transaction, so that never two databases send one text.
"""

from semantic_core.database.port import Connection
from semantic_core.domain.errors import StoreMovedError

# In the source, from before its first row is copied, and for good.
MOVED_TO = "moved_to"
# In the target, until it has all rows.
ARRIVING_FROM = "arriving_from"
# Beside it: the row that was copied last.
ARRIVED_UP_TO = "arrived_up_to"

_MESSAGES = {
    MOVED_TO: (
        "{name} was moved to {other}: what it holds is there, and is sent from there. Nothing was "
        "changed or sent here. Open the other one; this one can still be searched."
    ),
    ARRIVING_FROM: (
        "{name} is to take the place of {other}, and does not have all of it yet. Nothing was "
        "changed or sent. Run `semcore copy` with these two again: it goes on where it stopped."
    ),
}


def read_marks(connection: Connection) -> dict[str, str]:
    """Return the marks that a database has. The first two begin with the other database's uuid."""
    return dict(
        connection.execute(
            "SELECT key, value FROM meta WHERE key IN (?, ?, ?)",
            (MOVED_TO, ARRIVING_FROM, ARRIVED_UP_TO),
        ).fetchall()
    )


def check_marks(connection: Connection, name: str) -> None:
    """Check that a database may be written, and send, or raise `StoreMovedError`."""
    if error := refusal(connection, name):
        raise error


def refusal(connection: Connection, name: str) -> StoreMovedError | None:
    """Return why a database may not be written, or None."""
    marks = read_marks(connection)
    for key, message in _MESSAGES.items():
        if key in marks:
            return StoreMovedError(message.format(name=name, other=marks[key].partition(" ")[2]))
    return None
