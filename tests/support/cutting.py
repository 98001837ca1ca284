"""Stands between a program and a PostgreSQL server, and cuts the connection at one message."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

# What a client sends before anything else has a length and no type. An answer to a request for
# encryption is one byte.
_STARTUP_CODE = 196608
# Ends what a client sends before it waits: a query, a series of messages, the rows of a COPY.
_ASKING = b"QSc"
# Parse, Bind, Describe, Execute, Close: what of a series of messages comes before its end.
_ASKED_BEFORE = b"PBDEC"
# Ends an answer: ready for the next query, or for the rows of a COPY.
_ANSWERED = b"ZG"


class Side(StrEnum):
    """On which side of the server's work the connection is cut."""

    BEFORE = "before"  #: the server never sees the message
    AFTER = "after"  #: it does what it is told, and the answer is lost


class Cutter:
    """A proxy. Use it as a context manager.

    Args:
        url: of the server's database.

    Attributes:
        url: of the same database, through the proxy.
        passed: how many messages have been seen at which it can be cut.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._there = (parts.hostname, parts.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = url.replace(f":{parts.port}/", f":{port}/")
        self.passed = 0
        self._cut: tuple[int, Side] | None = None
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def cut_at(self, number: int, side: Side) -> None:
        """Cut the connection that sends the message of this number, once."""
        self._cut = number, side

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone does not wake up who waits for a connection.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _run(self, work: Callable[..., None], *values: object) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(self._there)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_cut = threading.Event()
            self._run(
                _closing, client, server, lambda c=client, s=server, e=is_cut: self._ask(c, s, e)
            )
            self._run(
                _closing, client, server, lambda c=client, s=server, e=is_cut: _answer(c, s, e)
            )

    def _ask(self, client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
        code = 0
        while code != _STARTUP_CODE:
            size = _read(client, 4)
            rest = _read(client, int.from_bytes(size) - 4)
            code = int.from_bytes(rest[:4])
            server.sendall(size + rest)
        held = b""
        while True:
            kind, message = _message(client)
            held += message
            if kind in _ASKED_BEFORE:
                continue  # the server would run it as soon as it comes
            side = self._passed() if kind in _ASKING else None
            if side is Side.BEFORE:
                return
            if side is Side.AFTER:
                is_cut.set()
            server.sendall(held)
            held = b""

    def _passed(self) -> Side | None:
        """Count a message; return where it is cut, if it is."""
        with self._lock:
            self.passed += 1
            if self._cut is None or self._cut[0] != self.passed:
                return None
            _, side = self._cut
            self._cut = None
            return side


def _answer(client: socket.socket, server: socket.socket, is_cut: threading.Event) -> None:
    first = _read(server, 1)
    while first == b"N":  # no encryption; or a notice, which no client of ours gets this early
        client.sendall(first)
        first = _read(server, 1)
    kind, message = _message(server, first)
    while True:
        if not is_cut.is_set():
            client.sendall(message)
        elif kind in _ANSWERED:
            return
        kind, message = _message(server)


def _closing(client: socket.socket, server: socket.socket, relay: Callable[[], None]) -> None:
    try:
        with contextlib.suppress(OSError, EOFError):
            relay()
    finally:
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _message(end: socket.socket, kind: bytes = b"") -> tuple[bytes, bytes]:
    kind = kind or _read(end, 1)
    size = _read(end, 4)
    return kind, kind + size + _read(end, int.from_bytes(size) - 4)


def _read(end: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        piece = end.recv(size - len(read))
        if not piece:
            raise EOFError
        read += piece
    return read
