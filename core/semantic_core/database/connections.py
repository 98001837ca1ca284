"""The open connections of one database: one a thread, none across a fork.

SQLite keeps its file locks per process. A forked child that inherits even an idle connection
believes that it holds locks which it does not, for every connection it opens later: when the
parent closes the file, it deletes the log into which the child still writes. So all connections
are closed before a fork (https://www.sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semantic_core.errors import StorageError

# Seconds that a fork waits for transactions of other threads; they hold no request to anyone.
FORK_PATIENCE = 5.0


class Connections:
    """Keeps and closes connections.

    Args:
        are_ours: whether they may be closed here.

    Attributes:
        generation: grows whenever they were closed to fork.
        is_unsafe: whether this process inherited one that is open. It must not even be closed:
            that would take back what the parent is writing.
    """

    def __init__(self, *, are_ours: bool) -> None:
        self.generation = 0
        self._are_ours = are_ours
        self._opened: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._users: dict[int, int] = {}
        self._guard = threading.Condition()
        self.is_unsafe = False
        self._child_is_unsafe = False
        with _forking:
            _every.add(self)

    @contextmanager
    def in_use(self, path: Path) -> Iterator[None]:
        """Keep a fork waiting.

        Raises:
            StorageError: the process was forked while they could not be closed.
        """
        if self.is_unsafe:
            raise StorageError(
                f"{path} was in use when this process was forked, and SQLite cannot go on in it. "
                "Fork while no call is running, or start processes with the method 'spawn'."
            )
        thread = threading.get_ident()
        with self._guard:
            self._users[thread] = self._users.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                self._users[thread] -= 1
                if not self._users[thread]:
                    del self._users[thread]
                    self._guard.notify_all()

    def add(self, connection: sqlite3.Connection) -> None:
        """Keep this thread's connection; close those of threads that have ended."""
        current = threading.current_thread()
        with self._guard:
            kept = []
            for thread, opened in self._opened:
                if thread.is_alive() and thread is not current:
                    kept.append((thread, opened))
                elif self._are_ours and opened is not connection:
                    opened.close()
            self._opened = [*kept, (current, connection)]

    def close(self) -> None:
        """Close them all, in whatever thread they were opened."""
        with self._guard:
            if self._are_ours:
                for _, connection in self._opened:
                    connection.close()
            self._opened.clear()

    def before_fork(self) -> None:
        """Wait until none is in use, close all, and let no thread open one."""
        self._guard.acquire()
        is_idle = threading.get_ident() not in self._users and self._guard.wait_for(
            lambda: not self._users, FORK_PATIENCE
        )
        if is_idle and self._are_ours and not self.is_unsafe:
            self.close()
            self.generation += 1
        self._child_is_unsafe = any(_is_open(connection) for _, connection in self._opened)

    def after_fork(self, *, is_child: bool) -> None:
        """Let threads go on."""
        if not is_child:
            self._guard.release()
            return
        self.is_unsafe = self._child_is_unsafe
        # Of all threads only this one lives on.
        thread = threading.get_ident()
        self._users = {user: count for user, count in self._users.items() if user == thread}
        self._guard = threading.Condition()


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018  # raises on a closed one
    except sqlite3.ProgrammingError:
        return False
    return True


_every: weakref.WeakSet[Connections] = weakref.WeakSet()
_paused: list[Connections] = []
_forking = threading.RLock()


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_every):
        _paused.append(connections)
        connections.before_fork()


def _after_fork(*, is_child: bool) -> None:
    for connections in reversed(_paused):
        connections.after_fork(is_child=is_child)
    _paused.clear()
    _forking.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(is_child=False),
    after_in_child=lambda: _after_fork(is_child=True),
)
