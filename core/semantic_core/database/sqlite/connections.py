"""The open connections of one database: one a thread, none across a fork.

SQLite keeps its file locks per process. A forked child that inherits even an idle connection
believes that it holds locks which it does not, for every connection it opens later: when the
parent closes the file, it deletes the log into which the child still writes. So all connections
are closed before a fork (https://www.sqlite.org/howtocorrupt.html, section 2.6).

Nothing here waits for another thread but a fork, and that not for long: an interrupt may come
anywhere, and the thread that it ends must not leave others waiting.
"""

import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path

from semantic_core.database.sqlite.connection import SqliteConnection
from semantic_core.domain.errors import StorageError

# Seconds that a fork waits for transactions of other threads; they hold no request to anyone.
FORK_PATIENCE = 5.0

_PAUSE = 0.001


class Opened:
    """One connection, in the keeping of its thread or greenlet, and closed with it.

    Attributes:
        generation: how often all had been closed to fork before it was opened.
        port: the same connection for everything above.
        log: device and inode of the log it writes to, or None before there was one.
        is_doubtful: whether an error ended its last transaction, which may have left a cursor.
    """

    # Closing is no method: an interrupt within one would be lost. `__del__` is that of the
    # connection, which is written in C.
    __slots__ = (
        "__del__",
        "__weakref__",
        "connection",
        "generation",
        "is_doubtful",
        "is_set_up",
        "log",
        "port",
    )

    def __init__(self, connection: sqlite3.Connection, generation: int) -> None:
        self.connection = connection
        self.port = SqliteConnection(connection)
        self.generation = generation
        self.log: tuple[int, int] | None = None
        self.is_doubtful = False
        self.is_set_up = False


class Connections:
    """Knows connections, and closes those that are ours.

    Attributes:
        generation: grows whenever they were closed to fork.
        is_unsafe: whether this process inherited one that is open. It must not even be closed:
            that would take back what the parent is writing.
    """

    def __init__(self, *, are_ours: bool) -> None:
        self.generation = 0
        self.is_unsafe = False
        self._are_ours = are_ours
        # Not held here, or nothing would close the connection of a thread that has ended. Every
        # change and copy of both is one step, which no other thread and no interrupt divides.
        self._opened: set[weakref.ref[Opened]] = set()
        self._uses: dict[object, int] = {}
        _every.add(self)

    def enter(self, use: object, path: Path) -> None:
        """Note a use, for which a fork waits until `leave`; while one waits, wait for it.

        Where the process was forked while they could not be closed, it raises a StorageError.
        """
        if self.is_unsafe:
            raise StorageError(
                f"{path} was in use when this process was forked, and SQLite cannot go on in it. "
                "Fork while no call is running, or start processes with the method 'spawn'."
            )
        thread = threading.get_ident()
        is_within = thread in self._uses.values() if _forking else False
        # Noted first and asked then: a fork asks first and looks at the uses then.
        self._uses[use] = thread
        while _forking and not is_within and thread not in _forking:
            del self._uses[use]
            time.sleep(_PAUSE)
            self._uses[use] = thread

    def leave(self, use: object) -> None:
        """End a use; one that never began is no error."""
        self._uses.pop(use, None)

    def add(self, connection: sqlite3.Connection) -> Opened:
        opened = Opened(connection, self.generation)
        self._opened.add(weakref.ref(opened, self._opened.discard))
        return opened

    def set_up(self, opened: Opened) -> None:
        """Note that a connection is ready; from now on it is closed if nobody keeps it."""
        if self._are_ours:
            opened.__del__ = opened.connection.close  # type: ignore[attr-defined]  # a slot
        opened.is_set_up = True

    def close(self) -> None:
        """Close them all, in whatever thread they were opened."""
        for opened in self._living():
            if self._are_ours:
                opened.connection.close()

    def before_fork(self) -> list[Opened]:
        """Wait until none is in use, and close all; return those that are open yet."""
        deadline = time.monotonic() + FORK_PATIENCE
        is_here = threading.get_ident() in self._uses.values()
        while self._uses and not is_here and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        if self._are_ours and not self._uses and not self.is_unsafe:
            self.close()
            self.generation += 1
        return [opened for opened in self._living() if _is_open(opened.connection)]

    def after_fork(self) -> None:
        """Find out, in the child, what it inherited."""
        self.is_unsafe = any(_is_open(opened.connection) for opened in self._living())
        # Of all threads only this one lives on.
        thread = threading.get_ident()
        self._uses = {use: user for use, user in self._uses.items() if user == thread}

    def _living(self) -> list[Opened]:
        return [opened for known in list(self._opened) if (opened := known())]


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018  # raises on a closed one
    except sqlite3.ProgrammingError:
        return False
    return True


_every: weakref.WeakSet[Connections] = weakref.WeakSet()

# The threads that fork just now, with the connections that they cannot close.
_forking: dict[int, list[Opened]] = {}

# What a child must not close, not even by letting go of it with the threads that it does not have.
_inherited: list[Opened] = []


def _before_fork() -> None:
    still_open = _forking[threading.get_ident()] = []
    for connections in list(_every):
        still_open.extend(connections.before_fork())


def _after_fork_in_child() -> None:
    for still_open in _forking.values():
        _inherited.extend(still_open)
    _forking.clear()
    for connections in list(_every):
        connections.after_fork()


os.register_at_fork(
    before=_before_fork,
    # No function of Python's, which an interrupt could end before it begins.
    after_in_parent=_forking.clear,
    after_in_child=_after_fork_in_child,
)
