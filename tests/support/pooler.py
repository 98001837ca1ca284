"""What stands between a client and a server, as a pooler does: it gives out numbers of its own."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

# The message in which a server tells its process number: a K, its length, number and key.
_NUMBER = re.compile(rb"(K\x00\x00\x00\x0c).{4}", re.DOTALL)
_OTHER = b"\x00\x00\x00\x01"


@contextmanager
def pooled(url: str) -> Iterator[str]:
    """Yield a URL that leads to the same database through a pooler."""
    server = urlsplit(url)
    assert server.hostname is not None
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = (server.hostname, server.port or 5432)
        threading.Thread(target=_accept, args=(listening, address), daemon=True).start()
        port = listening.getsockname()[1]
        yield f"postgresql://{server.username}@127.0.0.1:{port}{server.path}?sslmode=disable"


def _accept(listening: socket.socket, address: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            server = socket.create_connection(address)
            for one, other in (client, server), (server, client):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError), closing(one), closing(other):
        while data := one.recv(65_536):
            other.sendall(_NUMBER.sub(lambda found: found[1] + _OTHER, data))
