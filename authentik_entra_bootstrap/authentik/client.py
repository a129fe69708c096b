"""The client: repeats requests where that is safe, reads answers by tolerant records, follows lists to their end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from authentik_entra_bootstrap.authentik.connection import Connection
from authentik_entra_bootstrap.authentik.failures import (
    may_have_happened,
    not_an_api,
    refusal,
    unexpected,
    worth_repeating,
)
from authentik_entra_bootstrap.authentik.requests import Call, Malformed, Query, Reply
from authentik_entra_bootstrap.domain import Written
from authentik_entra_bootstrap.errors import (
    BootstrapError,
    NotFound,
    Temporary,
    UnexpectedAnswer,
    Unreachable,
)
from authentik_entra_bootstrap.support.waiting import PAGES_LIMIT, is_transient_before_sending

T = TypeVar("T")

PAGE_SIZE = 100
FIRST_CONTACT = 2.0
"""Seconds of trying to connect, all requests together, while nothing has answered yet: a wrong address or port is likelier than a restart."""
LIST_DEADLINE = 600.0
"""Seconds to read all pages of a list, scaled like every budget."""


class Api(Connection):
    """Sends requests and reads answers."""

    _tried_since: float | None = None

    async def send(self, call: Call) -> Reply:
        """Send once; an answer outside 2xx is raised as the error it stands for."""
        reply = await self.exchange(call)
        if not 200 <= reply.status < 300:
            raise refusal(reply, call.permission, self.redactor)
        return reply

    async def repeat(self, call: Call) -> Reply:
        """Send a request that may be repeated (GET, OPTIONS, a PATCH of fixed values) until it is answered."""
        if self._tried_since is None:
            self._tried_since = self.waiter.monotonic()
        since = self._tried_since

        def again(error: BaseException) -> bool:
            if isinstance(error, Unreachable) and not self.reached:
                tried = self.waiter.monotonic() - since
                return worth_repeating(error) and tried < FIRST_CONTACT * self.waiter.scale
            return worth_repeating(error)

        return await self.waiter.retry(lambda: self.send(call), what="authentik to answer", when=again)

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

    async def create_once(
        self,
        post: Callable[[], Awaitable[Written[T]]],
        find_ours: Callable[[], Awaitable[T | None]],
        request_id_of: Callable[[T], Awaitable[str | None]],
        *,
        what: str,
    ) -> Written[T]:
        """Create under a name that authentik keeps unique.

        When the answer is lost (connection, timeout, server error, unreadable 2xx), the object is looked up before
        anything else happens: if it is exactly ours, it is the result; if there is none, creating it again cannot
        double it, because the name is unique.

        :param post: sends the creating request once.
        :param find_ours: the object if it is there and exactly what was asked for.
            Raises :class:`AlreadyExists` when another one has the name.
        :param request_id_of: the request that made it, by authentik's audit trail.
        :param what: the condition waited for, for people.
        :raises BootstrapError: as ``post`` does; the lost request's error when the object stays absent.
        """
        lost: BootstrapError | None = None

        async def attempt() -> Written[T]:
            nonlocal lost
            if lost is None:
                try:
                    return await post()
                except (Temporary, UnexpectedAnswer) as error:
                    if not may_have_happened(error):
                        raise
                    lost = error
            found = await find_ours()
            if found is not None:
                known = lost.trace.request_id if isinstance(lost, UnexpectedAnswer) and lost.trace else None
                return Written(found, known or await request_id_of(found))
            absent, lost = lost, None
            raise absent

        return await self.waiter.retry(attempt, what=what, when=worth_repeating)

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
        max_pages: int | None = None,
        done: Callable[[T], bool] = lambda _: False,
    ) -> list[T]:
        """Every entry of a list, page by page.

        :param parse: reads one entry.
        :param max_pages: where the newest entries are enough.
        :param done: told each entry; ``True`` ends the reading after that page.
        :raises UnexpectedAnswer: the list does not end.
        """
        entries: list[T] = []
        page, count, start = 1, 0, self.waiter.monotonic()
        while True:
            paged = (*query, ("page", str(page)), ("page_size", str(page_size)))
            try:
                reply = await self.get(path, permission=permission, query=paged)
            except NotFound:
                if page == 1:
                    raise
                return entries  # "Invalid page.": the list became shorter while it was read
            count += 1
            read, following = self.read(reply, partial(_page, parse))
            entries += read
            if following <= page or count == max_pages or any(done(entry) for entry in read):
                return entries
            if count >= PAGES_LIMIT or self.waiter.monotonic() - start > LIST_DEADLINE * self.waiter.scale:
                raise unexpected(reply, f"a list that does not end after {count} pages")
            page = following


class Part:
    """Base of the adapter's parts, one for each kind of object: they all send by one client."""

    def __init__(self, api: Api) -> None:
        self._api = api


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
