"""The client: repeats requests where that is safe, reads answers by tolerant parsers, follows lists to their end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from authentik_entra_bootstrap.authentik.api_errors import (
    may_have_happened,
    not_an_api,
    refusal,
    unexpected,
)
from authentik_entra_bootstrap.authentik.connection import Connection
from authentik_entra_bootstrap.authentik.requests import (
    Call,
    Malformed,
    Query,
    Reply,
    Resource,
    child,
    items,
    mapping,
    number,
)
from authentik_entra_bootstrap.domain import Written
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    NotFound,
    Temporary,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.network import PAGES_LIMIT
from authentik_entra_bootstrap.support.waiting import is_transient, is_transient_before_sending

T = TypeVar("T")

PAGE_SIZE = 100
FIRST_CONTACT = 2.0
"""Seconds of trying to connect, all requests together, while nothing has answered yet: a wrong address or port is likelier than a restart."""
LIST_DEADLINE = 600.0
"""Seconds to read all pages of a list, scaled like every budget."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list: its entries, the number of all if it tells one, and the next page's number (0: none)."""

    entries: list[T]
    count: int | None
    following: int


def _page(parse: Callable[[object], T | None], body: object) -> Page[T]:
    fields = mapping(body)
    if not isinstance(fields.get("results"), list):
        raise Malformed("it is no list")
    parsed = (parse(entry) for entry in items(fields, "results"))
    told = child(fields, "pagination")
    return Page(
        [entry for entry in parsed if entry is not None],
        number(told, "count"),
        number(told, "next") or 0,
    )


class Client(Connection):
    """Reads and writes authentik's objects."""

    _tried_since: float | None = None

    # --- reading and writing objects

    async def get(self, path: str, parse: Callable[[object], T], *, query: Query = ()) -> T:
        """Read an answer that belongs to no list: the licence, the token's user."""
        return self.read(await self.repeat(Call("GET", path, query=query)), parse)

    async def find(
        self, resource: Resource, key: str | int, parse: Callable[[object], T], rest: str = ""
    ) -> T | None:
        """Read one object; ``None`` if it does not exist."""
        try:
            return self.read(await self.repeat(resource.call("GET", key, rest)), parse)
        except NotFound:
            return None

    async def first(
        self, resource: Resource, parse: Callable[[object], T], when: Callable[[T], bool], query: Query
    ) -> T | None:
        """The first entry of a list that passes: authentik ignores filters that it does not know.

        :param query: narrows the list.
        """
        found = await self.pages(resource, parse, query, done=when)
        return next((entry for entry in found if when(entry)), None)

    async def page(
        self,
        resource: Resource,
        parse: Callable[[object], T | None],
        query: Query = (),
        size: int = PAGE_SIZE,
    ) -> Page[T]:
        """The first page of a list."""
        reply = await self.repeat(resource.call("GET", query=(*query, ("page_size", str(size)))))
        return self.read(reply, partial(_page, parse))

    async def pages(
        self,
        resource: Resource,
        parse: Callable[[object], T | None],
        query: Query = (),
        *,
        page_size: int = PAGE_SIZE,
        max_pages: int | None = None,
        done: Callable[[T], bool] = lambda _: False,
    ) -> list[T]:
        """The entries of a list, page by page.

        :param parse: reads one entry; ``None`` leaves it out.
        :param max_pages: where the newest entries are enough.
        :param done: called with each entry; ``True`` ends the reading after that page.
        :raises UnexpectedAnswer: the list does not end.
        """
        entries: list[T] = []
        number, count, start = 1, 0, self.waiter.monotonic()
        while True:
            paged = (*query, ("page", str(number)), ("page_size", str(page_size)))
            try:
                reply = await self.repeat(resource.call("GET", query=paged))
            except NotFound:
                if number == 1:
                    raise
                return entries  # "Invalid page.": the list became shorter while it was read
            count += 1
            found = self.read(reply, partial(_page, parse))
            entries += found.entries
            if found.following <= number or count == max_pages or any(map(done, found.entries)):
                return entries
            if count >= PAGES_LIMIT or self.waiter.monotonic() - start > LIST_DEADLINE * self.waiter.scale:
                raise unexpected(reply, f"a list that does not end after {count} pages")
            number = found.following

    async def write(self, call: Call, parse: Callable[[object], T]) -> Written[T]:
        """Send a change of fixed values, which may be repeated, and read the object from the answer."""
        reply = await self.repeat(call)
        return Written(self.read(reply, parse), reply.request_id)

    async def create(
        self, call: Call, parse: Callable[[object], T], find: Callable[[], Awaitable[T | None]], *, what: str
    ) -> Written[T]:
        """Create an object under a name that authentik keeps unique.

        When the answer is lost (connection, timeout, server error, unreadable 2xx), the object is looked up before
        anything is sent again: if it is there, it is the result; if not, creating it again cannot double it, because
        the name is unique.

        :param find: the object, if it is there and what was asked for. Raises :class:`AlreadyExists` when another one
            has the name.
        :param what: the condition waited for, for people.
        :returns: the object; without a request id if it was looked up.
        :raises BootstrapError: the refusal; the lost request's error when the object stays absent.
        """
        lost: BootstrapError | None = None

        async def attempt() -> Written[T]:
            nonlocal lost
            if lost is None:
                try:
                    reply = await self.send(call)
                    return Written(self.read(reply, parse), reply.request_id)
                except (Temporary, UnexpectedAnswer) as error:
                    if not may_have_happened(error):
                        raise
                    lost = error
            found = await find()
            if found is not None:
                return Written(found)
            absent, lost = lost, None
            raise absent

        return await self.waiter.retry(attempt, what=what)

    async def delete(self, resource: Resource, key: str | int) -> bool:
        """Delete; ``False`` when there was none. A second deletion is success: the first reply may be lost."""
        try:
            await self.repeat(resource.call("DELETE", key))
        except NotFound:
            return False
        return True

    # --- requests

    async def repeat(self, call: Call) -> Reply:
        """Send a request that may be repeated (GET, OPTIONS, a PATCH of fixed values) until it is answered."""
        if self._tried_since is None:
            self._tried_since = self.waiter.monotonic()
        since = self._tried_since

        def again(error: BaseException) -> bool:
            tried = self.waiter.monotonic() - since
            first_contact = isinstance(error, Unreachable) and not self.reached
            return is_transient(error) and (not first_contact or tried < FIRST_CONTACT * self.waiter.scale)

        return await self.waiter.retry(lambda: self.send(call), what="authentik to answer", when=again)

    async def once(self, call: Call) -> Reply:
        """Send a request that must not be doubled: repeated only where it was surely not carried out."""
        what = "authentik to accept the request"
        return await self.waiter.retry(lambda: self.send(call), what=what, when=is_transient_before_sending)

    async def send(self, call: Call) -> Reply:
        """Send once; an answer outside 2xx is raised as the error it stands for."""
        reply = await self.exchange(call)
        if not 200 <= reply.status < 300:
            raise refusal(reply, call.permission, self.redactor)
        return reply

    def read(self, reply: Reply, parse: Callable[[object], T]) -> T:
        """Read an answer by a tolerant parser.

        :raises ConfigError: a web page answered.
        :raises UnexpectedAnswer: the answer is of another kind; it is not shown.
        """
        try:
            return parse(reply.json())
        except Malformed as error:
            why = str(error)
        except RecursionError:
            why = "its body is nested too deeply"
        if not reply.is_json and "html" in reply.headers.get("content-type", "").lower():
            raise not_an_api(reply.trace())
        raise unexpected(reply, why)


class Part:
    """Base of the adapter's classes, one for each kind of object: they all send by one client."""

    def __init__(self, api: Client) -> None:
        self._api = api
