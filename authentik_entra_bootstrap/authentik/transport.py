"""Carries requests to authentik through ``authentik-client``: one connection pool, calls in threads.

The generated client breaks on fields it does not know and on ones it misses, so answers are taken as bytes and
read by our own tolerant records; its retries and its redirects are off; its exceptions (which print headers and
bodies) end here.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import urllib3
from authentik_client.api_client import ApiClient
from authentik_client.configuration import Configuration

from authentik_entra_bootstrap.addresses import proxy_for
from authentik_entra_bootstrap.authentik.connection_failures import broken, worth_repeating
from authentik_entra_bootstrap.authentik.connections import POOL_SIZE, Connections
from authentik_entra_bootstrap.authentik.failures import not_an_api, refusal, unexpected
from authentik_entra_bootstrap.authentik.redaction import Redactor
from authentik_entra_bootstrap.authentik.wire import Call, Malformed, Query, Reply
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.errors import BootstrapError, ConfigError, NotFound
from authentik_entra_bootstrap.waiting import Waiter, is_transient_before_sending

T = TypeVar("T")

PAGE_SIZE = 100
MAX_PAGES = 200


class Api:
    """Sends requests and reads answers.

    :param base: base of the API, from :func:`~authentik_entra_bootstrap.authentik.address.api_base`.
    :param token: API token.
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: clock, sleep and randomness of the retries.
    :param connections: to this base and by this network, for several runs; their owner closes them.
    :raises ConfigError: ``authentik-token-malformed``: the token could not be written into a header.
    """

    def __init__(
        self,
        base: str,
        token: SecretText,
        network: Network,
        waiter: Waiter,
        connections: Connections | None = None,
    ) -> None:
        text = token.reveal()
        if (
            not text
            or not text.isascii()
            or any(character.isspace() or ord(character) < 33 for character in text)
        ):
            raise ConfigError(
                "authentik-token-malformed",
                "The authentik API token is empty or holds white space or characters that no token has.",
                "Copy the token again from authentik (Directory, Tokens and App passwords).",
            )
        self.base = base
        self.waiter = waiter
        self.network = network
        self.redactor = Redactor()
        self.redactor.add(token)
        self._token = token
        self._client: Any = None
        self._owned = connections is None
        self._connections = connections or Connections()
        self._lock = threading.Lock()

    async def exchange(self, call: Call) -> Reply:
        """Send once and return the answer, whatever its status.

        :raises BootstrapError: there was no answer.
        """
        for secret in call.secrets.values():
            self.redactor.add(secret)
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._connections.threads, self._perform, call)
        if isinstance(outcome, BootstrapError):
            raise outcome
        return outcome

    async def send(self, call: Call) -> Reply:
        """Send once; an answer outside 2xx is raised as the error it stands for."""
        reply = await self.exchange(call)
        if not 200 <= reply.status < 300:
            raise refusal(reply, call.permission, self.redactor)
        return reply

    async def repeat(self, call: Call) -> Reply:
        """Send a request that may be repeated (GET, OPTIONS, a PATCH of fixed values) until it is answered."""
        return await self.waiter.retry(
            lambda: self.send(call), what="authentik to answer", when=worth_repeating
        )

    async def once(self, call: Call) -> Reply:
        """Send a request that must not be doubled: repeated only where it was surely not carried out."""
        return await self.waiter.retry(
            lambda: self.send(call), what="authentik to accept the request", when=_surely_not_sent
        )

    async def get(self, path: str, *, permission: str = "", query: Query = (), **params: str | int) -> Reply:
        """GET, repeated while authentik is not able to answer."""
        return await self.repeat(Call("GET", path, params, query, permission=permission))

    async def find(
        self, path: str, parse: Callable[[object], T], *, permission: str, **params: str | int
    ) -> T | None:
        """One object; ``None`` where there is none."""
        try:
            reply = await self.repeat(Call("GET", path, params, permission=permission))
        except NotFound:
            return None
        return self.read(reply, parse)

    async def first(
        self,
        path: str,
        parse: Callable[[object], T],
        when: Callable[[T], bool],
        *,
        permission: str,
        query: Query,
    ) -> T | None:
        """The first entry of a list that passes: authentik ignores filters that it does not know.

        :param query: narrows the list.
        """
        found = await self.pages(path, parse, permission=permission, query=query, done=when)
        return next((entry for entry in found if when(entry)), None)

    async def delete(self, path: str, *, permission: str, **params: str | int) -> bool:
        """Delete; ``False`` when there was none. A second deletion is success: the first reply may be lost."""
        try:
            await self.repeat(Call("DELETE", path, params, permission=permission))
        except NotFound:
            return False
        return True

    def read(self, reply: Reply, parse: Callable[[object], T]) -> T:
        """Read an answer by a tolerant parser.

        :raises ConfigError: a web page answered.
        :raises UnexpectedAnswer: the answer is of another kind; it is not shown.
        """
        try:
            return parse(reply.json())
        except Malformed as error:
            why = str(error)
        if not reply.is_json and "html" in reply.headers.get("content-type", "").lower():
            raise not_an_api(reply)
        raise unexpected(reply, why)

    async def pages(
        self,
        path: str,
        parse: Callable[[object], T],
        *,
        permission: str,
        query: Query = (),
        page_size: int = PAGE_SIZE,
        max_pages: int = MAX_PAGES,
        done: Callable[[T], bool] = lambda _: False,
    ) -> list[T]:
        """Every entry of a list, page by page.

        :param parse: reads one entry.
        :param done: told each entry; ``True`` ends the reading after that page.
        """
        entries: list[T] = []
        page = 1
        for _ in range(max_pages):
            paged = (*query, ("page", str(page)), ("page_size", str(page_size)))
            try:
                reply = await self.get(path, permission=permission, query=paged)
            except NotFound:
                if page == 1:
                    raise
                break  # "Invalid page.": the list became shorter while it was read
            read, following = self.read(reply, partial(_page, parse))
            entries += read
            if following <= page or any(done(entry) for entry in read):
                break
            page = following
        return entries

    async def close(self) -> None:
        """Close every connection that is not shared."""
        with self._lock:
            self._client = None
        if self._owned:
            self._connections.close()

    def _perform(self, call: Call) -> Reply | BootstrapError:
        """Runs in a thread. Errors are returned: a raised one would carry this frame, which knows the secret."""
        try:
            client = self._connected()
            secrets = {name: secret.reveal() for name, secret in call.secrets.items()}
            body = None if call.body is None else {**call.body, **secrets}
            method, url, headers, wire, form = client.param_serialize(
                call.method,
                call.path,
                path_params=dict(call.params),
                query_params=list(call.query),
                header_params={"Accept": "application/json"} | _content_type(call),
                body=body,
                **_form(call),
                auth_settings=["authentik"],
            )
            timeout = (self.network.connect_timeout, call.read_timeout or self.network.read_timeout)
            raw = client.call_api(method, url, headers, wire, form, _request_timeout=timeout)
            data: bytes = raw.read() or b""
            self._connections.used()
            names = {str(name).lower(): str(value) for name, value in raw.headers.items()}
            return Reply(call.method, call.shown_path, int(raw.status), names, data)
        except BootstrapError as error:
            return error
        except _Broken as error:
            return broken(error.cause, replace(call, secrets={}, upload=None), self.base, self.network)
        except Exception as error:  # noqa: BLE001 - whatever the library raises may hold the token or a secret
            return broken(error, replace(call, secrets={}, upload=None), self.base, self.network)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> Any:
        configuration = Configuration(
            host=self.base,
            access_token=self._token.reveal(),
            ssl_ca_cert=self.network.ca_file,
            retries=urllib3.Retry(0),
        )
        configuration.connection_pool_maxsize = POOL_SIZE
        # Newer libraries have read the environment by now, older ones do not know it: the same reading for all.
        proxy = proxy_for(self.base, self.network.proxy, os.environ)
        configuration.proxy, configuration.no_proxy = proxy and proxy.url, ""
        configuration.proxy_headers = proxy and proxy.headers
        client = ApiClient(configuration)
        client.user_agent = self.network.user_agent
        # authentik translates its messages; two of them have to be told apart.
        client.set_default_header("Accept-Language", "en")
        pool = self._connections.take(client.rest_client.pool_manager, self.network.ca_file)
        client.rest_client.pool_manager = _Pool(pool)
        return client


class Part:
    """Base of the adapter's parts, one for each kind of object: they all send by one client."""

    def __init__(self, api: Api) -> None:
        self._api = api


class _Broken(Exception):
    """Carries a connection's failure through the library, which would print it."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


class _Pool:
    """The library's connection pool without redirects (the token stays with its host) and without retries."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def request(self, method: str, url: str, **options: Any) -> Any:
        """One attempt."""
        try:
            return self._inner.request(method, url, **{**options, "redirect": False, "retries": False})
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Broken(error) from None


def _content_type(call: Call) -> dict[str, str]:
    if call.upload is not None:
        return {"Content-Type": "multipart/form-data"}
    return {} if call.body is None else {"Content-Type": "application/json"}


def _form(call: Call) -> dict[str, Any]:
    """The parts of an upload as the library takes them."""
    if call.upload is None:
        return {}
    parts = {name: part.reveal() for name, part in call.upload.items()}
    file = parts.pop("file").encode()
    return {"files": {"file": ("blueprint.yaml", file)}, "post_params": list(parts.items())}


def _surely_not_sent(error: BaseException) -> bool:
    return is_transient_before_sending(error) and worth_repeating(error)


def _page(parse: Callable[[object], T], body: object) -> tuple[list[T], int]:
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise Malformed("it is no list")
    pagination = body.get("pagination")
    following = pagination.get("next") if isinstance(pagination, dict) else 0
    return [parse(entry) for entry in body["results"]], following if isinstance(following, int) else 0


def entries_of(body: object) -> list[Mapping[str, object]]:
    """The entries of one page.

    :raises Malformed: it is no list.
    """
    return [entry for entry in _page(lambda item: item, body)[0] if isinstance(entry, dict)]


def count_of(body: object) -> int:
    """The total number of entries that a list answer tells of.

    :raises Malformed: it tells none.
    """
    pagination = body.get("pagination") if isinstance(body, dict) else None
    count = pagination.get("count") if isinstance(pagination, dict) else None
    if not isinstance(count, int):
        raise Malformed("it has no pagination.count")
    return count
