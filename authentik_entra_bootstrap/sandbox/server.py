"""An ASGI application served over TLS on loopback by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import trustme
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HOST = "127.0.0.1"
NAMES = ("localhost", "127.0.0.1", "::1")
START_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 60
"""How long an idle connection stays open: longer than clients keep theirs (httpx: five seconds), so that none sends a
request on a connection that is just being closed."""

Hook = Callable[[], Awaitable[None]]


class Authority:
    """A private certificate authority, made anew for every sandbox; its key never leaves memory.

    :param names: further host names in the servers' certificate.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._ca = trustme.CA(organization_name="authentik-entra sandbox")
        self.pem: bytes = self._ca.cert_pem.bytes()
        self._leaf = self._ca.issue_cert(*NAMES, *names)

    def server_context(self) -> ssl.SSLContext:
        """A context for a server that calls itself ``localhost``, ``127.0.0.1`` or ``::1``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._leaf.configure_cert(context)
        return context


class _Protocol(H11Protocol):
    """Tells the application its connection, so that a fault can cut it: ``scope["state"]["transport"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as narrow as uvicorn's own
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class TlsServer:
    """Serves an application on ``https://127.0.0.1:<port>`` from :meth:`start` to :meth:`stop`.

    The port is taken at once, so ``url`` is known before the application is built.

    :param port: 0 takes a free one.
    :param refuses: asked at every :meth:`apply_refusal`; while true, connections are refused.
    :raises OSError: when the port is in use.
    """

    def __init__(
        self, authority: Authority, *, name: str, port: int = 0, refuses: Callable[[], bool] = lambda: False
    ) -> None:
        self._app: Any = None
        self._tls = authority.server_context()
        self._name = name
        self._refuses = refuses
        self._on_start: Hook | None = None
        self._on_stop: Hook | None = None
        self._socket = _bind(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"https://{HOST}:{self.port}"
        self._state = ServerState()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._changed: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def start(self, app: Any, *, on_start: Hook | None = None, on_stop: Hook | None = None) -> None:
        """Serve ``app``; returns when connections are taken.

        :param on_start: coroutine function run in the server's own loop before it serves; ``on_stop`` after.
        :raises RuntimeError: when the application does not start.
        """
        self._app, self._on_start, self._on_stop = app, on_start, on_stop
        self._thread = threading.Thread(target=self._run, name=f"sandbox-{self._name}", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or self._failure is not None:
            self.stop()
            raise RuntimeError(f"the sandbox's {self._name} server did not start") from self._failure

    def stop(self) -> None:
        """Cut every connection, run ``on_stop`` and end the thread. Harmless when stopped already."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._signal(self._stopping)
            thread.join()
        self._socket.close()

    def apply_refusal(self) -> None:
        """Ask ``refuses`` again, and start or stop listening.

        Waits until that is done, unless the server's own thread asks: then a moment later, so that the
        request that brought the change can still be answered.
        """
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if threading.current_thread() is self._thread:
            self._signal(self._changed)
            return
        with contextlib.suppress(RuntimeError):  # the server is stopping
            asyncio.run_coroutine_threadsafe(self._open_or_close(), loop).result(START_SECONDS)

    def _signal(self, event: asyncio.Event | None) -> None:
        if event is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # handed to the thread that waits in start()
            self._failure = error
            if self._ready.is_set():
                logging.getLogger(__name__).exception("the sandbox's %s server failed", self._name)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping, self._changed = asyncio.Event(), asyncio.Event()
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        config.load()
        self._config = config
        self._listener: asyncio.Server | None = None
        if self._on_start is not None:
            await self._on_start()
        try:
            await self._open_or_close()
            self._ready.set()
            watcher = asyncio.create_task(self._watch())
            await self._stopping.wait()
            watcher.cancel()
            await self._stop_listening()
            await self._finish_requests()
        finally:
            if self._on_stop is not None:
                await self._on_stop()

    async def _watch(self) -> None:
        changed = cast("asyncio.Event", self._changed)
        while True:
            await changed.wait()
            changed.clear()
            await asyncio.sleep(0.05)
            await self._open_or_close()

    async def _open_or_close(self) -> None:
        refuses = self._refuses()
        if refuses and self._listener is not None:
            await self._stop_listening()
        elif not refuses and self._listener is None:
            loop = asyncio.get_running_loop()
            if self._socket.fileno() < 0:
                self._socket = _bind(self.port)
            self._listener = await loop.create_server(
                lambda: _Protocol(config=self._config, server_state=self._state, app_state={}),
                sock=self._socket,
                ssl=self._tls,
            )

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        while self._state.connections:  # noqa: ASYNC110  # the protocols report nothing
            await asyncio.sleep(0)

    async def _finish_requests(self) -> None:
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bind(port: int) -> socket.socket:
    # asyncio switches Nagle's delay off only for sockets that name their protocol: 40 ms a request otherwise.
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except OSError:
        found.close()
        raise
    return found
