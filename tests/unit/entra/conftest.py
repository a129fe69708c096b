"""Microsoft, played by a function: what it answers, what it was asked, and a clock that only waiting moves."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken

from authentik_entra_bootstrap.domain import (
    CLOUDS,
    AppId,
    ApplicationSpec,
    AppObjectId,
    FederatedCredential,
    KeyId,
    Network,
    ServicePrincipalObjectId,
    TenantId,
)
from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.http_client import TokenService
from authentik_entra_bootstrap.support.waiting import Waiter

TENANT = TenantId("10000000-0000-4000-8000-000000000001")
ID = "20000000-0000-4000-8000-000000000002"
OTHER = "30000000-0000-4000-8000-000000000003"
APPLICATION, CLIENT = AppObjectId(ID), AppId(ID)
PRINCIPAL, RESOURCE = ServicePrincipalObjectId(ID), ServicePrincipalObjectId(OTHER)
CANARY = "c4n~ary.S3cret &+%"
CONTOSO = httpx.Response(200, json={"value": [{"id": TENANT, "displayName": "Contoso"}]})
END = datetime(2027, 1, 1, tzinfo=UTC)
SPEC = ApplicationSpec("name", "unique-name", ("tag",), frozenset(), (ID,))
FEDERATED = FederatedCredential("name", "https://issuer", "subject", "audience")
WRITES: dict[str, Callable[[EntraAdapter], Any]] = {
    "create": lambda entra: entra.create_application(SPEC),
    "update": lambda entra: entra.update_application(APPLICATION, tags=["x"]),
    "restore": lambda entra: entra.restore_application(APPLICATION),
    "delete": lambda entra: entra.delete_application(APPLICATION),
    "purge": lambda entra: entra.purge_application(APPLICATION),
    "principal": lambda entra: entra.create_service_principal(CLIENT),
    "enable": lambda entra: entra.enable_service_principal(PRINCIPAL),
    "assign": lambda entra: entra.assign_role(PRINCIPAL, RESOURCE, ID),
    "grant": lambda entra: entra.grant_scopes(PRINCIPAL, RESOURCE, frozenset({"User.Read"}), None),
    "add secret": lambda entra: entra.add_secret(APPLICATION, display_name="x", end_date_time=END),
    "remove secret": lambda entra: entra.remove_secret(APPLICATION, KeyId(OTHER)),
    "owner": lambda entra: entra.add_owner(APPLICATION, RESOURCE),
    "keys": lambda entra: entra.replace_keys(APPLICATION, []),
    "federate": lambda entra: entra.set_federated_credential(APPLICATION, FEDERATED),
}
NOT_THERE = "Resource 'x' does not exist or one of its queried reference-property objects are not present."


def jwt(**claims: Any) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part({'tid': TENANT, 'oid': ID, 'appid': OTHER} | claims)}.sig"


def refused(
    status: int,
    code: str = "Request_BadRequest",
    message: str = "",
    inner: str = "innerError",
    **headers: str,
) -> httpx.Response:
    """An error as Graph words it."""
    conflict = [{"code": "ObjectConflict", "message": message, "target": "uniqueName"}]
    error = {
        "code": code,
        "message": message,
        "details": conflict if "uniqueName" in message else [],
        inner: {"request-id": "inner-request", "client-request-id": "inner-client"},
    }
    return httpx.Response(status, json={"error": error}, headers=headers)


class Given:
    """A credential that has a token already."""

    def __init__(self, *roles: str) -> None:
        self.asked = 0
        self.roles = list(roles)

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        self.asked += 1
        return AccessToken(jwt(roles=self.roles), 4_000_000_000)


class Service:
    """Gives each of ``answers`` once and then ``always``: a response, an exception, or a function of the request."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.always: Any = CONTOSO
        self.requests: list[httpx.Request] = []
        self.time = 0.0
        self.slept: list[float] = []
        self.credential = Given("Application.ReadWrite.OwnedBy")
        self.transport = httpx.MockTransport(self.handle)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else self.always
        if callable(answer):
            answer = answer(request)
        if asyncio.iscoroutine(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise answer
        # A copy: a response that is given again has been read already.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)

    def waiter(self, scale: float = 1.0) -> Waiter:
        return Waiter(lambda: self.time, self.sleep, random.Random(0), scale=scale)

    def adapter(self, scale: float = 1.0, **changes: Any) -> EntraAdapter:
        options = {"credential": self.credential, "transport": self.transport} | changes
        return EntraAdapter(TENANT, CLOUDS["global"], Network(), self.waiter(scale), **options)

    def tokens(self, cloud: str = "global", **network: Any) -> TokenService:
        """The token service, played by this object too."""
        return TokenService(CLOUDS[cloud], Network(**network), 100.0, self.transport)

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def entra(service: Service) -> AsyncIterator[EntraAdapter]:
    async with service.adapter() as adapter:
        yield adapter
