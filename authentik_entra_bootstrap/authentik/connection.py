"""The connection: sends one request through ``authentik-client``'s ``ApiClient``, within a deadline.

The library's models reject answers with unknown or missing fields, so this module reads the answers as bytes. It turns
the library's retries off, and converts its exceptions, which print headers and bodies. The library is synchronous: each
request runs in a thread of its own, and no caller waits for it longer than the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import urllib3
from authentik_client.api_client import ApiClient
from authentik_client.configuration import Configuration

from authentik_entra_bootstrap.authentik.api_errors import broken, too_slow, unexpected
from authentik_entra_bootstrap.authentik.requests import Call, Redactor, Reply
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError
from authentik_entra_bootstrap.support.addresses import (
    AddressError,
    authentik_address,
    is_loopback,
    proxy_for,
)
from authentik_entra_bootstrap.support.network import ANSWER_LIMIT, REQUEST_DEADLINE, bundle, client_context
from authentik_entra_bootstrap.support.waiting import Waiter

CONNECTIONS = 16
"""Connections that are kept open; reads go side by side."""
KEEP_ALIVE = 30.0
"""Seconds after which an idle connection is not used again: a proxy in between may have dropped it silently."""
_CHUNK = 1 << 14
API_PATH = "/api/v3"


class Connection:
    """Connections to one authentik, with one token.

    :param base: base of the API, from :func:`api_base`.
    :param token: API token.
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: its scale is that of the deadline.
    """

    def __init__(self, base: str, token: SecretText, network: Network, waiter: Waiter) -> None:
        self.base = base
        self.waiter = waiter
        self.network = network
        self.redactor = Redactor()
        self.redactor.add(token)
        self.reached = False
        """Whether authentik, or something in front of it, has answered."""
        self._token = token
        self._library: Any = None
        self._used = 0.0
        self._lock = threading.Lock()

    async def exchange(self, call: Call) -> Reply:
        """Send once and return the answer, of any status.

        :raises BootstrapError: there was no answer.
        """
        for secret in call.secrets.values():
            self.redactor.add(secret)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Reply | BootstrapError] = loop.create_future()
        flight = _Flight()

        def answer(outcome: Reply | BootstrapError) -> None:
            if not done.done():
                done.set_result(outcome)

        def work() -> None:
            outcome = self._perform(call, flight)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(answer, outcome)

        threading.Thread(target=work, name="authentik", daemon=True).start()
        shown = replace(call, secrets={}, upload=None)
        limit = max(REQUEST_DEADLINE, call.read_timeout or 0.0) * self.waiter.scale
        deadline = loop.time() + limit
        try:
            if call.method in {"GET", "OPTIONS"}:
                # Resolving a name can take minutes and cannot be interrupted. A read is simply given up.
                first = min(self.network.connect_timeout, limit)
                await asyncio.wait({done}, timeout=first)
                if not done.done() and not flight.connected:
                    raise too_slow(shown, self.base, first, connected=False)
            async with asyncio.timeout_at(deadline):
                outcome = await done
        except TimeoutError:
            raise too_slow(shown, self.base, limit, connected=True) from None
        finally:
            if not done.done() or done.cancelled():
                flight.abort()
        if isinstance(outcome, BootstrapError):
            raise outcome
        self.reached = True
        return outcome

    async def close(self) -> None:
        """Close every connection. The client may be used again; it opens new ones."""
        with self._lock:
            library, self._library = self._library, None
        if library is not None:
            library.rest_client.pool_manager.clear()

    def _perform(self, call: Call, flight: _Flight) -> Reply | BootstrapError:
        """Runs in a thread. Errors are returned: a raised one would carry this frame, which knows the secret."""
        _here.flight = flight
        try:
            library = self._connected()
            secrets = {name: secret.reveal() for name, secret in call.secrets.items()}
            upload = {name: part.reveal() for name, part in (call.upload or {}).items()}
            kind = "multipart/form-data" if upload else None if call.body is None else "application/json"
            file = upload.pop("file", None)
            method, url, headers, wire, form = library.param_serialize(
                call.method,
                call.path,
                path_params={"key": call.key},
                query_params=list(call.query),
                header_params={"Accept": "application/json"} | ({"Content-Type": kind} if kind else {}),
                body=None if call.body is None else {**call.body, **secrets},
                post_params=list(upload.items()),
                files={} if file is None else {"file": ("blueprint.yaml", file.encode())},
                auth_settings=["authentik"],
            )
            timeout = (self.network.connect_timeout, call.read_timeout or self.network.read_timeout)
            raw = library.call_api(method, url, headers, wire, form, _request_timeout=timeout).response
            names = {str(name).lower(): str(value) for name, value in raw.headers.items()}
            data = _whole(raw)
            self._used = time.monotonic()
            reply = Reply(call.method, call.shown_path, int(raw.status), names, data or b"")
            return reply if data is not None else unexpected(reply, "its body is larger than 32 MB")
        except BootstrapError as error:
            return error
        except Exception as error:  # any exception of the library may hold the token or a secret
            return broken(error, replace(call, secrets={}, upload=None), self.base, self.network)
        finally:
            _here.flight = None

    def _connected(self) -> Any:
        with self._lock:
            if self._library is None:
                self._library = self._make_library()
            elif time.monotonic() - self._used > KEEP_ALIVE:
                self._library.rest_client.pool_manager.clear()
            self._used = time.monotonic()
            return self._library

    def _make_library(self) -> Any:
        configuration = Configuration(
            host=self.base,
            access_token=self._token.reveal(),
            # A redirect is answered like any other refusal, and the token goes nowhere else.
            retries=urllib3.Retry(0, raise_on_redirect=False),
        )
        configuration.connection_pool_maxsize = CONNECTIONS
        # Newer libraries have read the environment by now, older ones do not know it: the same reading for all.
        proxy = proxy_for(self.base, self.network.proxy, os.environ)
        configuration.proxy, configuration.no_proxy = proxy and proxy.url, ""
        configuration.proxy_headers = proxy and proxy.headers
        library = ApiClient(configuration)
        library.user_agent = self.network.user_agent
        # authentik translates its messages; two of them have to be told apart.
        library.set_default_header("Accept-Language", "en")
        manager = library.rest_client.pool_manager
        manager.pool_classes_by_scheme = {"http": _Watched, "https": _HttpsPool}
        trust = manager.connection_pool_kw
        trust["ssl_context"] = client_context(self.network.ca_file)
        # With both, urllib3 would read the file into the context for each connection. That to a proxy behind TLS has
        # no context of ours and reads the file itself.
        behind_tls = proxy is not None and proxy.url.startswith("https:")
        trust["ca_certs"] = bundle(self.network.ca_file) if behind_tls else None
        return library


class _Flight:
    """One request under way, so that it can be broken off from outside its thread."""

    def __init__(self) -> None:
        self.connection: Any = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection to authentik or to the proxy."""
        return getattr(self.connection, "sock", None) is not None

    def abort(self) -> None:
        """Break the connection off; the thread that reads from it ends."""
        sock = getattr(self.connection, "sock", None)
        inner = getattr(sock, "socket", sock)  # TLS within TLS
        if isinstance(inner, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(inner, socket.SHUT_RDWR)


_here = threading.local()


class _Watched(urllib3.HTTPConnectionPool):
    """Tells each request which connection it got."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        flight = getattr(_here, "flight", None)
        if flight is not None:
            flight.connection = connection
        return connection


class _HttpsPool(_Watched, urllib3.HTTPSConnectionPool):
    """Tells each request which connection it got."""


def _whole(raw: Any) -> bytes | None:
    """The body, decompressed; ``None`` where it is longer than the limit."""
    body = bytearray()
    for chunk in raw.stream(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > ANSWER_LIMIT:
            raw.close()
            return None
    return bytes(body)


def api_base(url: str, *, allow_plain_http: bool = False) -> str:
    """The base of authentik's API, without trailing slash, e.g. ``https://id.example.com/sso/api/v3``.

    Takes the address with or without ``/api/v3``, with a trailing slash, below a sub-path, or copied from the
    browser (``…/if/admin/#/core/providers``).

    :param allow_plain_http: accept ``http://`` to another machine.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``.
    """
    try:
        parts = urlsplit(authentik_address(url, assume=""))
    except AddressError as error:
        raise ConfigError(
            "authentik-url-invalid",
            f"The authentik address cannot be used: {error}.",
            "Give the address that people open in the browser, e.g. https://authentik.example.com.",
        ) from None
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_loopback(host) and not allow_plain_http:
        raise ConfigError(
            "authentik-url-insecure",
            f"The authentik address uses http:// to {host}: the API token and the client secret would travel readable.",
            "Use the https:// address of authentik. Where a private network guards the way, e.g. between containers of one "
            "machine, set allow_plain_http = true.",
        )
    path = parts.path.removesuffix(API_PATH).removesuffix("/api").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path + API_PATH, "", ""))
