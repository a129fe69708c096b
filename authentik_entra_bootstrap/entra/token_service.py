"""The token service over HTTP: one requests session for each credential, and what came of each of its requests.

azure-identity's exceptions keep only a text, and MSAL's not even that, so outcomes are noted where they arrive. Heavy
(azure-core, requests): imported when somebody signs in.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from authentik_entra_bootstrap.domain import Cloud, Network
from authentik_entra_bootstrap.domain.times import http_date
from authentik_entra_bootstrap.entra.answers import json_of
from authentik_entra_bootstrap.entra.network import Broken, broken, unpacked
from authentik_entra_bootstrap.errors import RequestTrace
from authentik_entra_bootstrap.support.addresses import proxy_for
from authentik_entra_bootstrap.support.trust import causes, client_context
from authentik_entra_bootstrap.support.waiting import TOKEN_LIMIT, retry_after

LINK_LOCAL = "169.254.169.254"
"""The instance metadata service; never behind a proxy."""


@dataclass(frozen=True)
class Exchange:
    """One request that azure-identity made, and its outcome. Holds neither bodies nor credentials."""

    method: str
    host: str
    path: str
    status: int | None = None
    readable: bool = False
    """Whether the answer was a JSON object."""
    error: str = ""
    """OAuth's error code."""
    numbers: tuple[int, ...] = ()
    """The numbers behind AADSTS."""
    text: str = ""
    """First line of the error description."""
    request_id: str | None = None
    correlation_id: str | None = None
    retry_after: float | None = None
    content_type: str = ""
    date: datetime | None = None
    """The service's own time, from the answer's ``Date``."""
    usable: bool = True
    """False for a success that is no JSON object, or no token where one was asked for."""
    broken: Broken | None = None

    @property
    def failed(self) -> bool:
        """Whether it gave no token and no metadata."""
        return self.broken is not None or (self.status or 0) >= 300

    @property
    def trace(self) -> RequestTrace:
        """For the error."""
        number = f"AADSTS{self.numbers[0]}" if self.numbers else (self.error or None)
        return RequestTrace(
            "entra", self.method, self.path, self.status, number, self.request_id, self.correlation_id
        )


def noted(
    method: str, host: str, path: str, status: int, headers: Mapping[str, str], content: bytes
) -> Exchange:
    """An answered request.

    :param headers: in any case.
    :param content: the body; of a success nothing is kept.
    """
    names = {name.lower(): value for name, value in headers.items()}
    found = json_of(content)
    answer = found if isinstance(found, dict) else None
    body = answer if status >= 400 else {}
    token = answer.get("access_token") if answer else None
    usable = answer is not None and (isinstance(token, str) or not path.endswith("/oauth2/v2.0/token"))
    text = body.get("error_description") if body else ""
    numbers = body.get("error_codes") if body else ()
    return Exchange(
        method,
        host,
        path,
        status,
        readable=body is not None,
        error=str(body.get("error") or "") if body else "",
        numbers=tuple(item for item in numbers if isinstance(item, int)) if isinstance(numbers, list) else (),
        text=str(text or "").partition("\n")[0].strip(),
        request_id=(body or {}).get("trace_id") or names.get("x-ms-request-id"),
        correlation_id=(body or {}).get("correlation_id") or names.get("client-request-id"),
        retry_after=retry_after(names.get("retry-after")),
        content_type=names.get("content-type", ""),
        date=http_date(names.get("date")),
        usable=usable,
    )


class TokenService:
    """One cloud's token service as this machine reaches it.

    :param deadline: seconds from connecting to the last byte of an answer.
    """

    def __init__(self, cloud: Cloud, network: Network, deadline: float) -> None:
        self.cloud = cloud
        self.host = urlsplit(cloud.authority).netloc
        self.network = network
        self.deadline = deadline
        self.reached = False
        """Whether it has answered anything yet."""


class Attempt(HTTPAdapter):
    """The connections of one credential, and the outcome of each of its requests, oldest first.

    requests' own adapter, with the TLS context that all connections share, and with an end: an answer that is not whole
    in time is given up, whatever it does meanwhile.
    """

    def __init__(self, service: TokenService) -> None:
        self.exchanges: list[Exchange] = []
        self.service = service
        self._sockets: list[socket.socket] = []
        super().__init__()

    def session(self) -> requests.Session:
        """A session on these connections; it reads nothing from the environment."""
        session = requests.Session()
        session.trust_env = False
        session.headers["Accept-Encoding"] = "identity"
        for scheme in ("https://", "http://"):
            session.mount(scheme, self)
        return session

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Pools that share the TLS context and can be interrupted."""
        super().init_poolmanager(*arguments, **options, ssl_context=self._trust)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """The same through a proxy."""
        manager = super().proxy_manager_for(
            proxy, **options, ssl_context=self._trust, proxy_ssl_context=self._trust
        )
        self._watch(manager)
        return manager

    @property
    def _trust(self) -> ssl.SSLContext:
        return client_context(self.service.network.ca_file)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave trust to the context: requests would read a bundle into it for each connection."""

    def _watch(self, manager: Any) -> None:
        """Keep a second hold on each connection: the first one belongs to a thread that may wait for ever."""
        sockets = self._sockets

        class Watched:
            def _new_conn(self) -> socket.socket:
                made: socket.socket = super()._new_conn()  # type: ignore[misc]  # of urllib3's connection
                sockets.append(made.dup())
                return made

        for scheme, pool in list(manager.pool_classes_by_scheme.items()):
            connection = type("Connection", (Watched, pool.ConnectionCls), {})
            manager.pool_classes_by_scheme = {
                **manager.pool_classes_by_scheme,
                scheme: type("Pool", (pool,), {"ConnectionCls": connection}),
            }

    def hang_up(self) -> None:
        """Interrupt what is going on: its thread meets the end of its connection."""
        while self._sockets:
            with self._sockets.pop() as held, contextlib.suppress(OSError):  # it has ended already
                held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every connection, also one on which something is going on."""
        self.hang_up()
        super().close()

    def send(self, request: Any, *_: Any, timeout: Any = None, **__: Any) -> requests.Response:
        """Send once and read the whole answer; redirects are not followed.

        :param timeout: seconds, which go before the settings' where they are less.
        :raises requests.ConnectionError: there is no answer. Nothing of the request is attached, which may hold a secret.
        """
        network, parts = self.service.network, urlsplit(request.url)
        proxy = proxy_for(request.url, network.proxy, os.environ) if parts.hostname != LINK_LOCAL else None
        limits = (network.connect_timeout, network.read_timeout)
        if isinstance(timeout, int | float):
            limits = (min(timeout, limits[0]), min(timeout, limits[1]))
        late = threading.Event()

        def end() -> None:
            late.set()
            self.hang_up()

        alarm = threading.Timer(self.service.deadline, end)
        alarm.daemon = True
        alarm.start()
        why: Broken | None = None
        try:
            answer = self._answer(request, limits, {parts.scheme: proxy.full_url.reveal()} if proxy else {})
        except (requests.RequestException, HTTPError, OSError) as error:
            sent = any(isinstance(item, ProtocolError | ReadTimeoutError) for item in causes(error))
            why = broken(error, sent=sent, url=request.url, network=network)
        except ValueError as error:
            why = Broken("unusable", str(error))
        finally:
            alarm.cancel()
        if late.is_set():
            why = Broken("lost", f"no whole answer within {self.service.deadline:.0f} s")
        if why is not None:
            self.hang_up()
            self.exchanges.append(Exchange(request.method, parts.netloc, parts.path, broken=why))
            raise requests.ConnectionError(why.reason)
        if parts.netloc == self.service.host:
            self.service.reached = True
        self.exchanges.append(
            noted(
                request.method, parts.netloc, parts.path, answer.status_code, answer.headers, answer.content
            )
        )
        return answer

    def _answer(
        self, request: Any, limits: tuple[float, float], proxies: dict[str, str]
    ) -> requests.Response:
        raw = super().send(request, stream=True, timeout=limits, proxies=proxies).raw
        content = raw.read(TOKEN_LIMIT + 1, decode_content=False)
        raw.close() if len(content) > TOKEN_LIMIT else raw.release_conn()
        headers = raw.headers.copy()
        content = unpacked(content, headers.pop("content-encoding", ""), TOKEN_LIMIT)
        whole = HTTPResponse(
            io.BytesIO(content), headers, raw.status, reason=raw.reason, preload_content=False
        )
        return self.build_response(request, whole)
