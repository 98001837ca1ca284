import psycopg
from psycopg import errors

from semantic_core.domain.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    InvalidInputError,
    InvalidTextError,
    SemanticCoreError,
    StorageError,
    StorageFullError,
)

# Another transaction was first; the whole of this one may be tried again.
RIVALRY = (errors.SerializationFailure, errors.DeadlockDetected, errors.UniqueViolation)

_BUSY = (
    DatabaseBusyError,
    "Another process kept {name} locked for too long. Nothing was changed; try again.",
)
_UNAVAILABLE = (
    DatabaseUnavailableError,
    (
        "{name} cannot be reached ({error}). Nothing of this step was kept, unless it was just being "
        "committed; every step can be repeated without harm. Check the URL, and that the server runs, lets "
        "this user in and has room for one more connection, and try again."
    ),
)
# By SQLSTATE, or by its first two characters, which name the class:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_ERRORS: dict[str, tuple[type[SemanticCoreError], str]] = {
    "55P03": _BUSY,
    "40": _BUSY,
    "57014": (
        DatabaseBusyError,
        (
            "A statement on {name} took longer than the server or semcore allows. Nothing was changed; "
            "try again when the server is less busy."
        ),
    ),
    "57P": _UNAVAILABLE,
    "08": _UNAVAILABLE,
    "53300": _UNAVAILABLE,
    "53": (
        StorageFullError,
        (
            "The server of {name} has no room left ({error}). Nothing of this step was kept; free some, "
            "call again."
        ),
    ),
    # A process that was suspended in a transaction kept others waiting.
    "25P03": _UNAVAILABLE,
    "25P04": _UNAVAILABLE,
    "25006": (
        DatabaseReadOnlyError,
        "{name} cannot be written: it is read only, or a standby. Connect to the primary server.",
    ),
    "42501": (
        DatabaseReadOnlyError,
        (
            "The user of {name} has no right to do this ({error}). Semcore needs a schema of its own: "
            "GRANT CREATE ON DATABASE lets it make one."
        ),
    ),
    "22021": (InvalidTextError, "A text holds a character that {name} cannot keep. Clean it."),
    "22P05": (InvalidTextError, "A text holds a character that {name} cannot keep. Clean it."),
    "22003": (InvalidInputError, "A number does not fit into 64 bits. Nothing was changed."),
    # No step of ours breaks a rule of the tables, and no statement of ours asks what is not there.
    "23": (
        DatabaseCorruptError,
        (
            "{name} refuses what its own rules forbid ({error}): its rows are damaged, or another "
            "program changed them. Nothing of this step was kept; `semcore doctor` says what is wrong."
        ),
    ),
    "42": (
        DatabaseCorruptError,
        (
            "The tables of {name} are not as semcore made them ({error}). Restore a backup, or drop the "
            "schema semcore and ingest again. Nothing was changed."
        ),
    ),
    "XX": (DatabaseCorruptError, "{name} is damaged ({error}). Restore a backup."),
}


def typed(error: psycopg.Error, name: str) -> SemanticCoreError:
    """Return the semcore error for one of psycopg's; no password is in its text."""
    state = error.sqlstate
    if state is None:
        if isinstance(error, psycopg.DataError):
            return InvalidTextError(f"A text cannot be kept ({error}). Nothing was changed.")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return DatabaseUnavailableError(_UNAVAILABLE[1].format(name=name, error=_said(error)))
        return StorageError(f"{name} could not do what was asked ({_said(error)}).")
    for length in (5, 3, 2):
        if found := _ERRORS.get(state[:length]):
            kind, message = found
            made = kind(message.format(name=name, error=_said(error)))
            if isinstance(made, DatabaseCorruptError) and state.startswith("23"):
                made.broken_rule = _said(error)
            return made
    return StorageError(f"{name} could not do what was asked: {_said(error)} ({state}).")


def _said(error: psycopg.Error) -> str:
    """Return the first line of what the server says: the second one may quote a user's text."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    return said.strip().splitlines()[0]
