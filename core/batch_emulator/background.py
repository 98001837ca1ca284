"""uvicorn in a thread that starts and stops at once and leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from batch_emulator.app import Application
from batch_emulator.service import Service

# For requests under way when the server stops; a delay that a fault asked for ends at once.
_PATIENCE = 5.0

_Transports = dict[tuple[str, int], asyncio.Transport]


class BackgroundServer:
    """Serves in a thread of its own; `port` says where.

    Args:
        service: what is served.
        listener: a bound socket; closed when the server stops.
    """

    def __init__(self, service: Service, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        transports: _Transports = {}
        self._stopping = asyncio.Event()
        config = uvicorn.Config(
            Application(service, transports=transports, stopping=self._stopping),
            http=_protocol_class(transports),
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # The application dates its answers by the emulator's own clock.
            date_header=False,
            timeout_keep_alive=60,
        )
        self._server = _Server(config, stopping=self._stopping)
        self._listener = listener
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="semcore-emulator", daemon=True)
        self._thread.start()
        self._server.is_ready.wait()
        if self._error is not None:
            self.stop()
            raise self._error

    def stop(self) -> None:
        """Stop serving; returns once the thread has ended."""
        if self._thread.is_alive() and self._server.loop is not None:
            self._server.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            self._error = error
        finally:
            self._server.is_ready.set()


class _Server(uvicorn.Server):
    """uvicorn's server without its ticks, which cost every start and stop tenths of a second."""

    def __init__(self, config: uvicorn.Config, *, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.loop = asyncio.get_running_loop()
        self.is_ready.set()

    async def main_loop(self) -> None:
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_PATIENCE)
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            transport.abort()
        for task in self.server_state.tasks:
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks)
        await asyncio.sleep(0)  # closed connections say so in the loop's next round


def _protocol_class(transports: _Transports) -> type[H11Protocol]:
    class Protocol(H11Protocol):
        """Registers its connection, so that a fault can break it."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if self.client is not None:
                transports[self.client] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                transports.pop(self.client, None)
            super().connection_lost(exc)

    return Protocol
