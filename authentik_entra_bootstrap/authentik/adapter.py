"""Everything that speaks to authentik, behind :class:`~authentik_entra_bootstrap.ports.AuthentikPort`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from authentik_entra_bootstrap.authentik.accounts import Accounts
from authentik_entra_bootstrap.authentik.address import api_base
from authentik_entra_bootstrap.authentik.applications import Applications
from authentik_entra_bootstrap.authentik.blueprints import Blueprints
from authentik_entra_bootstrap.authentik.client import Api
from authentik_entra_bootstrap.authentik.directory import Directory
from authentik_entra_bootstrap.authentik.permissions import Permissions
from authentik_entra_bootstrap.authentik.providers import Providers
from authentik_entra_bootstrap.authentik.syncs import Syncs
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.waiting import Waiter

if TYPE_CHECKING:
    from authentik_entra_bootstrap.ports import AuthentikPort


class AuthentikAdapter(Providers, Applications, Syncs, Directory, Permissions, Blueprints):
    """authentik, as the owner of an API token. Every method is described by ``AuthentikPort``.

    An asynchronous context manager; the connections are closed at its end. The client library is synchronous:
    its calls run in threads, so that both services can be observed at the same time.

    :param url: authentik's address, with or without ``/api/v3``, also below a sub-path.
    :param token: API token (intent “API token”).
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: clock, sleep and randomness of every retry.
    :param allow_http: accept an ``http://`` address of another machine.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``, ``authentik-token-malformed``.
    """

    def __init__(
        self,
        url: str,
        token: SecretText,
        network: Network,
        waiter: Waiter,
        *,
        allow_http: bool = False,
    ) -> None:
        super().__init__(Api(api_base(url, allow_http=allow_http), token, network, waiter))
        self.accounts = Accounts(self._api)
        """Roles, service accounts and tokens. See ``AuthentikAccounts``."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._api.close()


def _is_a_port(adapter: AuthentikAdapter) -> AuthentikPort:
    """Checked by mypy: the adapter has every method of the port."""
    return adapter
