"""Run by a process of its own: signs in as the program does, with some versions of Microsoft's libraries.

Standard input: ``{"libraries": [folder], "url", "ca", "tenant", "id", "secret"}``. Standard output:
``{"version": "1.23.0", "steps": {name: outcome}}``. aiohttp, which azure-identity's asynchronous credentials use where
they are given no transport, cannot be imported here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any

ORDER = json.load(sys.stdin)
sys.path[:0] = ORDER["libraries"]
sys.modules["aiohttp"] = None
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ.pop(name, None)  # they would go before what the libraries are told

from azure.identity.aio import (
    CertificateCredential,
    ClientAssertionCredential,
    ClientSecretCredential,
)

from authentik_entra_bootstrap.domain import AppId, Cloud, Network, TenantId
from authentik_entra_bootstrap.entra.http_client import TokenService
from authentik_entra_bootstrap.entra.sign_in import OperatorTokens, fresh_token
from authentik_entra_bootstrap.entra.token_errors import SignIn
from authentik_entra_bootstrap.errors import BootstrapError
from authentik_entra_bootstrap.support.certificates import make_key_pair
from authentik_entra_bootstrap.support.waiting import Waiter

URL = ORDER["url"]
SERVICE = TokenService(
    Cloud("sandbox", URL, URL, URL, known=False), Network(ca_file=ORDER["ca"]), deadline=100.0
)
TENANT, APP = TenantId(ORDER["tenant"]), AppId(ORDER["id"])
CERTIFICATE = make_key_pair("client", datetime.now(UTC), timedelta(days=30)).pem.reveal().encode()
CHALLENGE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


async def outcome(asking: Any) -> str:
    try:
        token = await asking
    except BootstrapError as error:
        number = error.trace.service_code if error.trace else ""
        return f"{error.code} {number}"
    return f"a token of {len(token.token.split('.'))} parts"


async def fresh(kind: Any, tenant: str = TENANT, **proof: Any) -> str:
    who = SignIn("operator" if kind is not ClientSecretCredential else "sync", tenant, APP)
    make = partial(kind, tenant_id=tenant, client_id=APP, **proof)
    return await outcome(fresh_token(SERVICE, Waiter(), who, make))


async def operator(**environment: str) -> str:
    values = {"AZURE_CLIENT_ID": APP, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": ORDER["secret"]}
    os.environ.update(values | environment)
    tokens = OperatorTokens(SERVICE, Waiter(), login="environment", tenant_id=TENANT, announce=lambda _: None)
    first = await outcome(tokens.get_token())
    renewed = await outcome(tokens.get_token(claims=CHALLENGE))
    await tokens.close()
    return f"{first}, {renewed}"


async def main() -> dict[str, str]:
    return {
        "secret": await fresh(ClientSecretCredential, client_secret=ORDER["secret"]),
        "wrong secret": await fresh(ClientSecretCredential, client_secret="wrong"),
        "wrong tenant": await fresh(
            ClientSecretCredential, "11111111-1111-4111-8111-111111111111", client_secret=ORDER["secret"]
        ),
        "certificate": await fresh(CertificateCredential, certificate_data=CERTIFICATE),
        "assertion": await fresh(ClientAssertionCredential, func=lambda: "e30.e30.x"),
        "operator": await operator(),
        "operator, blocking": await operator(AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="1"),
    }


steps = asyncio.run(main())
json.dump({"version": version("azure-identity"), "steps": steps}, sys.stdout)
