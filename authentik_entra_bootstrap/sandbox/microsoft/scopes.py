"""From the ``scope`` of a request to a resource and its permissions."""

from __future__ import annotations

from dataclasses import dataclass

from authentik_entra_bootstrap.sandbox.microsoft import aadsts
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.clients import Client
from authentik_entra_bootstrap.sandbox.microsoft.discovery import is_loopback, split_url
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.microsoft.replica import Replica
from authentik_entra_bootstrap.sandbox.microsoft.tokens import GRAPH_AUDIENCES
from authentik_entra_bootstrap.sandbox.store import Object

GRAPH = "https://graph.microsoft.com"
DEFAULT = "/.default"
OPENID = frozenset({"openid", "profile", "email", "offline_access"})


@dataclass(frozen=True)
class RequestedScopes:
    """What a request asks for.

    ``audience`` is the resource as the caller wrote it; ``values`` are delegated permissions by name, empty
    when ``.default`` was asked; ``openid`` are OpenID's own scopes.
    """

    resource: Object
    audience: str
    values: frozenset[str]
    openid: frozenset[str]
    default: bool
    bare: bool = False
    """Whether permissions were asked without the resource in front, as Microsoft Graph allows."""

    def written(self, granted: frozenset[str]) -> str:
        """The ``scope`` of a version 2.0 reply: what is granted, and what was asked, in the caller's form.

        Client libraries look their cache up by it.
        """
        resource = self.audience.rstrip("/")
        names = {value if self.bare else f"{resource}/{value}" for value in granted - OPENID} | self.openid
        return " ".join(sorted(names | ({f"{resource}{DEFAULT}"} if self.default else set())))


def for_app(replica: Replica, scope: str) -> RequestedScopes:
    """The resource of a client credentials request; ``scope`` must be ``<resource>/.default``.

    :raises Aadsts: 1002012 for another form, 70011 for several, 500011 for an unknown resource.
    """
    asked = scope.split()
    if len(asked) > 1 and any(item.endswith(DEFAULT) for item in asked):
        raise _not_valid(scope)
    if len(asked) != 1 or not asked[0].endswith(DEFAULT):
        message = (
            f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
            "with /.default suffixed to the resource identifier (application ID URI)."
        )
        raise Aadsts(1002012, aadsts.INVALID_SCOPE, message)
    resource, audience = _find(replica, asked[0].removesuffix(DEFAULT))
    return RequestedScopes(resource, audience, frozenset(), frozenset(), default=True)


def for_user(replica: Replica, scope: str) -> RequestedScopes:
    """The delegated permissions of a ``scope``: of one resource, by name or as ``<resource>/.default``.

    :raises Aadsts: 70011 for several resources, 500011 for an unknown one, 650053 for an unknown permission.
    """
    openid, values, prefixes, bare = set(), set(), set(), False
    for item in scope.split():
        if item in OPENID:
            openid.add(item)
            continue
        prefix, _, value = item.rpartition("/")
        bare = bare or not prefix
        prefixes.add(prefix or GRAPH)
        values.add(value)
    if len(prefixes) > 1 or (".default" in values and len(values) > 1):
        raise _not_valid(scope)
    resource, audience = _find(replica, prefixes.pop() if prefixes else GRAPH)
    if ".default" in values:
        return RequestedScopes(resource, audience, frozenset(), frozenset(openid), default=True)
    known = {entry["value"].lower(): entry["value"] for entry in resource.get("oauth2PermissionScopes", ())}
    for value in sorted(values):
        if value.lower() not in known:
            message = (
                f"The application asked for scope '{value}' that doesn't exist on the resource "
                f"'{resource['appId']}'. Contact the app vendor."
            )
            raise Aadsts(650053, aadsts.INVALID_CLIENT, message)
    chosen = frozenset(known[value.lower()] for value in values)
    return RequestedScopes(resource, audience, chosen, frozenset(openid), default=False, bare=bare)


def granted_scopes(
    replica: Replica, client: Client, wanted: RequestedScopes, user: Object, consented: frozenset[str]
) -> frozenset[str]:
    """The delegated permissions that a token carries: all that are granted on the resource.

    :param consented: permissions that the user has just agreed to, which may not have replicated yet.
    :raises Aadsts: 65001 when something that was asked is not granted, or nothing is.
    """
    client_id = client.service_principal["id"]
    granted = frozenset(replica.scopes(client_id, wanted.resource, user["id"])) | consented
    if wanted.values - granted or not (granted or wanted.openid):
        message = (
            f"The user or administrator has not consented to use the application with ID '{client.app_id}' named "
            f"'{client.name}'. Send an interactive authorization request for this user and resource."
        )
        raise Aadsts(65001, aadsts.INVALID_GRANT, message, suberror="consent_required")
    return granted | wanted.openid


def _find(replica: Replica, name: str) -> tuple[Object, str]:
    """A loopback address or a name given to this sandbox stands for Microsoft Graph: it is served there."""
    own_name = name not in GRAPH_AUDIENCES and split_url(name).hostname in replica.world.names
    if own_name or is_loopback(name):
        name = GRAPH
    resource = replica.resource(name)
    if resource is None:
        message = (
            f"The resource principal named {name} was not found in the tenant named {replica.tenant_name}. This can "
            "happen if the application has not been installed by the administrator of the tenant or consented to by "
            "any user in the tenant. You might have sent your authentication request to the wrong tenant."
        )
        raise Aadsts(500011, "invalid_resource", message)
    return resource, name.rstrip("/") if resource["appId"] == GRAPH_APP_ID else name


def _not_valid(scope: str) -> Aadsts:
    message = (
        "The provided value for the input parameter 'scope' is not valid. One or more scopes in "
        f"'{scope}' are not compatible with each other."
    )
    return Aadsts(70011, aadsts.INVALID_SCOPE, message)
