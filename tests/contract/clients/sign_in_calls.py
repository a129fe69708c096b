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
from importlib.metadata import version
from typing import Any

ORDER = json.load(sys.stdin)
sys.path[:0] = ORDER["libraries"]
sys.modules["aiohttp"] = None  # type: ignore[assignment]
for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
    os.environ.pop(name, None)  # they would go before what the libraries are told

from authentik_entra_bootstrap.domain import AppId, Cloud, Network, SecretText, TenantId  # noqa: E402
from authentik_entra_bootstrap.entra.sign_in import Kind, OperatorTokens, fresh_token  # noqa: E402
from authentik_entra_bootstrap.entra.token_service import TokenService  # noqa: E402
from authentik_entra_bootstrap.errors import BootstrapError  # noqa: E402
from authentik_entra_bootstrap.support.waiting import Waiter  # noqa: E402

URL = ORDER["url"]
SERVICE = TokenService(
    Cloud("sandbox", URL, URL, URL, known=False), Network(ca_file=ORDER["ca"]), deadline=100.0
)
TENANT, APP = TenantId(ORDER["tenant"]), AppId(ORDER["id"])
CHALLENGE = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'


def key_pair() -> str:
    """A certificate with its key as PEM."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=30))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return (private + builder.sign(key, hashes.SHA256()).public_bytes(pem)).decode()


async def outcome(asking: Any) -> str:
    try:
        token = await asking
    except BootstrapError as error:
        number = error.trace.service_code if error.trace else ""
        return f"{error.code} {number}"
    return f"a token of {len(token.token.split('.'))} parts"


async def fresh(kind: Kind, proof: str, tenant: TenantId = TENANT) -> str:
    return await outcome(fresh_token(SERVICE, Waiter(), tenant, APP, kind, SecretText(proof)))


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
        "secret": await fresh(Kind.SECRET, ORDER["secret"]),
        "wrong secret": await fresh(Kind.SECRET, "wrong"),
        "wrong tenant": await fresh(
            Kind.SECRET, ORDER["secret"], TenantId("11111111-1111-4111-8111-111111111111")
        ),
        "certificate": await fresh(Kind.CERTIFICATE, key_pair()),
        "assertion": await fresh(Kind.ASSERTION, "e30.e30.x"),
        "operator": await operator(),
        "operator, blocking": await operator(AZURE_CLIENT_SEND_CERTIFICATE_CHAIN="1"),
    }


steps = asyncio.run(main())
json.dump({"version": version("azure-identity"), "steps": steps}, sys.stdout)
