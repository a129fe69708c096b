"""The adapter: everything that speaks to authentik, behind the two protocols of ``port.py``."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

from authentik_entra_bootstrap.authentik.accounts import Accounts, Directory
from authentik_entra_bootstrap.authentik.blueprints import Blueprints
from authentik_entra_bootstrap.authentik.client import Client
from authentik_entra_bootstrap.authentik.people import People
from authentik_entra_bootstrap.authentik.permissions import Permissions
from authentik_entra_bootstrap.authentik.providers import Providers
from authentik_entra_bootstrap.authentik.server import AuditTrail
from authentik_entra_bootstrap.authentik.syncs import Syncs
from authentik_entra_bootstrap.domain import Network, SecretText
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import AddressError, authentik_address, is_loopback
from authentik_entra_bootstrap.support.waiting import Waiter

if TYPE_CHECKING:
    from authentik_entra_bootstrap.authentik.port import AuthentikAccounts, AuthentikPort

API_PATH = "/api/v3"


class AuthentikAdapter(Providers, Syncs, AuditTrail, Directory, People, Permissions, Blueprints):
    """authentik, as the owner of an API token. Every method is described by ``AuthentikPort``.

    An asynchronous context manager; the connections are closed at its end. The client library is synchronous:
    its calls run in threads, so that both services can be observed at the same time.

    :param url: authentik's address, with or without ``/api/v3``, also below a sub-path.
    :param token: API token (intent “API token”).
    :param network: CA file, proxy, timeouts, user agent.
    :param waiter: clock, sleep and randomness of every retry.
    :raises ConfigError: ``authentik-url-invalid``, ``authentik-url-insecure``, ``authentik-token-malformed``.
    """

    def __init__(self, url: str, token: SecretText, network: Network, waiter: Waiter) -> None:
        base, text = api_base(url, allow_plain_http=network.allow_plain_http), token.reveal()
        if not text or not text.isascii() or any(character <= " " for character in text):
            raise ConfigError(
                "authentik-token-malformed",
                "The authentik API token is empty or holds white space or characters that no token has.",
                "Copy the token again from authentik (Directory, Tokens and App passwords).",
            )
        super().__init__(Client(base, token, network, waiter))
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


def _implements(adapter: AuthentikAdapter) -> tuple[AuthentikPort, AuthentikAccounts]:
    """Checked by mypy: the adapter has every method of both protocols."""
    return adapter, adapter.accounts
