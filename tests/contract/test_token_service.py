"""The token service, asked by the libraries that ask the real one."""

import base64
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import jwt
import pytest
from azure.identity import (
    ClientAssertionCredential,
    WorkloadIdentityCredential,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.microsoft.clients import trust_issuer
from authentik_entra_bootstrap.sandbox.microsoft.objects import (
    application,
    hash_secret,
    iso,
    role_assignment,
    service_principal,
)
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.microsoft.seed import OPERATOR_ROLES, seed_tenant
from authentik_entra_bootstrap.sandbox.microsoft.tokens import (
    Caller,
    SigningKey,
    TokenRejected,
    signing_key,
    verify_bearer,
)
from authentik_entra_bootstrap.support.certificates import make_key_pair

GRAPH_SCOPE = "https://graph.microsoft.com/.default"


class Tenant:
    """The running sandbox, with shortcuts for registering applications in it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.world = sandbox.world
        self.operator = sandbox.operator
        self.directory = sandbox.world.default_tenant
        self.id = self.directory.tenant_id
        self.http = httpx.Client(
            base_url=sandbox.entra_url, verify=ssl.create_default_context(cafile=sandbox.ca_file)
        )

    @property
    def graph(self):
        principals = self.directory.all("servicePrincipal")
        return next(entry for entry in principals if entry["appId"] == GRAPH_APP_ID)

    @property
    def now(self) -> datetime:
        return self.world.clock.now()

    def register(self, **changes):
        app = application(str(uuid4()), str(uuid4()), "a client", "contoso.example", iso(self.now)) | changes
        self.directory.put("application", app["id"], app)
        principal = service_principal(str(uuid4()), app["appId"], "a client", self.id, iso(self.now))
        self.directory.put("servicePrincipal", principal["id"], principal)
        return app, principal

    def add_secret(
        self, app_id: str, text: str = "s3cret~+ %&", *, lifetime: timedelta = timedelta(days=1)
    ) -> str:
        app = self.directory.get("application", app_id)
        key_id = str(uuid4())
        entry = {"keyId": key_id, "startDateTime": iso(self.now - timedelta(seconds=1))}
        app["passwordCredentials"].append(entry | {"endDateTime": iso(self.now + lifetime)})
        app["_secrets"][key_id] = hash_secret(text)
        self.directory.put("application", app_id, app)
        return key_id

    def remove_secret(self, app_id: str, key_id: str) -> None:
        app = self.directory.get("application", app_id)
        app["passwordCredentials"] = [
            entry for entry in app["passwordCredentials"] if entry["keyId"] != key_id
        ]
        del app["_secrets"][key_id]
        self.directory.put("application", app_id, app)

    def add_certificate(self, app_id: str, pem: str, *, lifetime: timedelta = timedelta(days=1)) -> None:
        app = self.directory.get("application", app_id)
        key_id = str(uuid4())
        entry = {
            "keyId": key_id,
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "startDateTime": iso(self.now),
        }
        app["keyCredentials"].append(entry | {"endDateTime": iso(self.now + lifetime)})
        app["_certificates"][key_id] = pem
        self.directory.put("application", app_id, app)

    def grant(self, principal, value: str) -> None:
        role = next(role["id"] for role in self.graph["appRoles"] if role["value"] == value)
        entry = role_assignment(principal, self.graph, role, iso(self.now))
        self.directory.put("appRoleAssignment", entry["id"], entry)

    def token(self, *, tenant: str | None = None, headers=None, **form) -> httpx.Response:
        values = {"grant_type": "client_credentials", "scope": GRAPH_SCOPE, **form}
        values = {name: value for name, value in values.items() if value is not None}
        return self.http.post(f"/{tenant or self.id}/oauth2/v2.0/token", data=values, headers=headers)

    def as_operator(self, **form) -> httpx.Response:
        values = {"client_id": self.operator.app_id, "client_secret": self.operator.secret}
        return self.token(**values | form)

    def caller(self, reply: httpx.Response) -> Caller:
        return verify_bearer(self.world, f"Bearer {reply.json()['access_token']}")

    def options(self):
        return {
            "authority": self.sandbox.entra_url,
            "disable_instance_discovery": True,
            "connection_verify": str(self.sandbox.ca_file),
            "retry_total": 0,
        }


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    clock = SandboxClock(running=False)
    with Sandbox(seed=7, authentik_profile=None, clock=clock) as sandbox:
        tenant = Tenant(sandbox)
        yield tenant
        tenant.http.close()


@pytest.fixture(scope="module")
def certificate() -> tuple[str, bytes]:
    """A self-signed certificate as PEM, and the PEM of key and certificate together."""
    return make_certificate()


def make_certificate() -> tuple[str, bytes]:
    pair = make_key_pair("sandbox client", datetime.now(UTC), timedelta(days=30))
    certificate = x509.load_der_x509_certificate(pair.public.der)
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), pair.pem.reveal().encode()


def refused(reply: httpx.Response, code: int, error: str, status: int = 400) -> dict:
    body = reply.json()
    assert (reply.status_code, body["error_codes"], body["error"]) == (status, [code], error)
    lines = body["error_description"].split("\r\n")
    assert lines[0].startswith(f"AADSTS{code}: ")
    assert lines[1:] == [
        f"Trace ID: {body['trace_id']}",
        f"Correlation ID: {body['correlation_id']}",
        f"Timestamp: {body['timestamp']}",
    ]
    assert body["error_uri"].endswith(f"error?code={code}")
    assert reply.headers["x-ms-request-id"] == body["trace_id"]
    return body


# Signing in with what azure-identity and MSAL send


def test_the_operators_claims_are_those_of_a_version_1_token(tenant: Tenant) -> None:
    reply = tenant.as_operator().json()
    assert (reply["token_type"], reply["expires_in"], reply["ext_expires_in"]) == ("Bearer", 3599, 3599)
    assert "refresh_token" not in reply
    keys = tenant.http.get(f"/{tenant.id}/discovery/v2.0/keys").json()["keys"]
    claims = jwt.decode(
        reply["access_token"],
        jwt.PyJWK(keys[0]),
        audience="https://graph.microsoft.com",
        issuer=f"https://sts.windows.net/{tenant.id}/",
    )
    assert claims["ver"] == "1.0"
    assert claims["tid"] == tenant.id
    assert claims["idtyp"] == "app"
    assert set(claims["roles"]) == set(OPERATOR_ROLES)


def test_an_application_without_grants_signs_in_without_roles(tenant: Tenant) -> None:
    app, _ = tenant.register()
    tenant.add_secret(app["id"])
    reply = tenant.token(client_id=app["appId"], client_secret="s3cret~+ %&")
    assert "roles" not in jwt.decode(reply.json()["access_token"], options={"verify_signature": False})
    assert tenant.caller(reply).roles == frozenset()


@pytest.mark.parametrize("name", ["contoso.example", "CONTOSO.onmicrosoft.example"])
def test_the_tenant_by_its_domain(tenant: Tenant, name: str) -> None:
    assert tenant.caller(tenant.as_operator(tenant=name)).tid == tenant.id


def test_the_loopback_address_of_the_sandbox_stands_for_microsoft_graph(tenant: Tenant) -> None:
    assert tenant.caller(tenant.as_operator(scope=f"{tenant.sandbox.entra_url}/.default")).app_id


# Refusals


def test_refusals_of_the_request_itself(tenant: Tenant) -> None:
    refused(tenant.as_operator(scope=None), 900144, "invalid_request")
    refused(tenant.as_operator(resource="https://graph.microsoft.com"), 901002, "invalid_request")
    refused(tenant.http.post(f"/{tenant.id}/oauth2/v2.0/token", json={}), 900144, "invalid_request")
    refused(tenant.http.get(f"/{tenant.id}/oauth2/v2.0/token"), 900561, "invalid_request")
    refused(tenant.as_operator(grant_type="password"), 70003, "unsupported_grant_type")
    for name in ("client_id", "scope", "grant_type"):
        body = refused(tenant.as_operator(**{name: None}), 900144, "invalid_request")
        assert f"parameter: '{name}'." in body["error_description"]


def test_a_client_that_sends_no_proof_hears_of_that_first(tenant: Tenant) -> None:
    # Recorded by Azure's JavaScript SDK: neither client nor tenant stood in that request either.
    for changes in ({}, {"client_secret": ""}, {"client_id": None}, {"tenant": "undefined"}):
        reply = tenant.as_operator(**{"client_secret": None} | changes)
        body = refused(reply, 7000216, "invalid_client", 401)
        assert "is required for the 'client_credentials' grant type." in body["error_description"]
    refused(tenant.as_operator(tenant="undefined"), 900023, "invalid_request")


def test_refusals_of_the_tenant(tenant: Tenant) -> None:
    refused(tenant.as_operator(tenant=str(uuid4())), 90002, "invalid_request")
    refused(tenant.as_operator(tenant="unknown.example"), 90002, "invalid_request")
    refused(tenant.as_operator(tenant="nonsense"), 900023, "invalid_request")
    refused(tenant.as_operator(tenant="organizations"), 50059, "invalid_request")
    reply = tenant.http.get(f"/{uuid4()}/v2.0/.well-known/openid-configuration")
    refused(reply, 90002, "invalid_tenant")


def test_refusals_of_the_scope(tenant: Tenant) -> None:
    body = refused(tenant.as_operator(scope="User.Read"), 1002012, "invalid_scope")
    assert "The provided value for scope User.Read is not valid." in body["error_description"]
    refused(tenant.as_operator(scope=f"{GRAPH_SCOPE} openid"), 70011, "invalid_scope")
    refused(tenant.as_operator(scope="https://vault.example/.default"), 500011, "invalid_resource")


def test_refusals_of_the_client(tenant: Tenant) -> None:
    body = refused(tenant.as_operator(client_id=str(uuid4())), 700016, "unauthorized_client")
    assert "was not found in the directory 'Contoso (sandbox)'" in body["error_description"]
    body = refused(tenant.as_operator(client_secret="wrong"), 7000215, "invalid_client", 401)
    assert f"added to app '{tenant.operator.app_id}'." in body["error_description"]
    app, principal = tenant.register()
    tenant.add_secret(app["id"], "text")
    tenant.directory.put("servicePrincipal", principal["id"], principal | {"accountEnabled": False})
    reply = tenant.token(client_id=app["appId"], client_secret="text")
    refused(reply, 7000112, "unauthorized_client", 401)
    tenant.directory.remove("servicePrincipal", principal["id"])
    refused(tenant.token(client_id=app["appId"], client_secret="text"), 7000229, "invalid_client", 401)
    tenant.directory.remove("application", app["id"])
    refused(tenant.token(client_id=app["appId"], client_secret="text"), 700016, "unauthorized_client")


def test_an_expired_secret(tenant: Tenant) -> None:
    app, _ = tenant.register()
    tenant.add_secret(app["id"], "text", lifetime=timedelta(hours=1))
    assert tenant.token(client_id=app["appId"], client_secret="text").is_success
    tenant.world.clock.advance(3600)
    refused(tenant.token(client_id=app["appId"], client_secret="text"), 7000222, "invalid_client", 401)
    refused(tenant.token(client_id=app["appId"], client_secret="other"), 7000215, "invalid_client", 401)


def test_conditional_access(tenant: Tenant) -> None:
    tenant.world.switches.conditional_access_blocks = True
    refused(tenant.as_operator(), 53003, "access_denied")
    refused(tenant.as_operator(client_secret="wrong"), 7000215, "invalid_client", 401)


def test_the_headers_of_a_reply(tenant: Tenant) -> None:
    for reply in (tenant.as_operator(), tenant.as_operator(client_secret="wrong")):
        assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
        assert (reply.headers["Cache-Control"], reply.headers["Expires"]) == ("no-store, no-cache", "-1")
        assert reply.headers["x-ms-request-id"]


def test_the_callers_correlation_id_comes_back(tenant: Tenant) -> None:
    sent = str(uuid4())
    reply = tenant.as_operator(client_secret="wrong", headers={"client-request-id": sent})
    assert reply.json()["correlation_id"] == sent
    assert reply.headers["client-request-id"] == sent


def test_the_log_names_the_client_and_no_secret(tenant: Tenant) -> None:
    tenant.as_operator()
    (entry,) = tenant.world.log.all()
    assert (entry.caller, entry.server, entry.write, entry.status) == (
        tenant.operator.app_id,
        "entra",
        False,
        200,
    )
    assert tenant.operator.secret not in repr(tenant.world.log.all())
    assert tenant.operator.secret not in repr(tenant.operator)


# Assertions


def assertion(
    tenant: Tenant, app_id: str, certificate: tuple[str, bytes], *, header=None, alg="PS256", **claims
) -> str:
    cert = x509.load_pem_x509_certificate(certificate[0].encode())
    thumbprint = base64.urlsafe_b64encode(cert.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    values = {
        "aud": f"{tenant.sandbox.entra_url}/{tenant.id}/oauth2/v2.0/token",
        "iss": app_id,
        "sub": app_id,
        "jti": str(uuid4()),
        "nbf": int(time.time()),
        "exp": int(time.time()) + 600,
    }
    key = serialization.load_pem_private_key(certificate[1], None)
    return jwt.encode(values | claims, key, algorithm=alg, headers=header or {"x5t#S256": thumbprint})


def by_assertion(tenant: Tenant, app_id: str, text: str, **form) -> httpx.Response:
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return tenant.token(client_id=app_id, client_assertion=text, client_assertion_type=kind, **form)


def test_assertions_and_their_refusals(tenant: Tenant, certificate: tuple[str, bytes]) -> None:
    app, _ = tenant.register()
    app_id = app["appId"]
    tenant.add_certificate(app["id"], certificate[0])
    cert = x509.load_pem_x509_certificate(certificate[0].encode())
    thumbprint = cert.fingerprint(hashes.SHA1())  # the header x5t is defined so
    sha1 = base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode()

    def send(**changes):
        return by_assertion(tenant, app_id, assertion(tenant, app_id, certificate, **changes))

    assert send().is_success
    assert send(alg="RS256", header={"x5t": sha1}).is_success
    assert send(header={"kid": thumbprint.hex().upper()}).is_success
    unknown = refused(send(header={"x5t": "AAAA"}), 700027, "invalid_client", 401)
    assert "The key was not found" in unknown["error_description"]
    refused(send(sub=str(uuid4())), 700021, "invalid_client", 401)
    refused(send(aud="https://elsewhere.example/token"), 700023, "invalid_client", 401)
    refused(send(nbf=0, exp=1000), 700024, "invalid_client", 401)
    other = (certificate[0], make_certificate()[1])
    reply = by_assertion(tenant, app_id, assertion(tenant, app_id, other))
    body = refused(reply, 700027, "invalid_client", 401)
    assert "The signature is invalid" in body["error_description"]
    refused(by_assertion(tenant, app_id, "nonsense"), 50027, "invalid_client", 401)
    refused(tenant.token(client_id=app_id, client_assertion="nonsense"), 900144, "invalid_request")


def test_an_expired_certificate(tenant: Tenant, certificate: tuple[str, bytes]) -> None:
    app, _ = tenant.register()
    tenant.add_certificate(app["id"], certificate[0], lifetime=timedelta(hours=1))
    text = assertion(tenant, app["appId"], certificate)
    assert by_assertion(tenant, app["appId"], text).is_success
    tenant.world.clock.advance(3600)
    body = refused(by_assertion(tenant, app["appId"], text), 1000502, "invalid_client", 401)
    assert "not within its specified validity window" in body["error_description"]


def test_a_federated_identity(tenant: Tenant, tmp_path: Path) -> None:
    issuer, subject = "https://token.actions.example", "repo:org/project:ref:refs/heads/main"
    app, principal = tenant.register(
        _federated=[
            {"id": "1", "issuer": issuer, "subject": subject, "audiences": ["api://AzureADTokenExchange"]},
        ]
    )
    key = SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048), "key-1")
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": "api://AzureADTokenExchange",
        "exp": int(time.time()) + 60,
    }
    text = key.sign(claims)
    refused(by_assertion(tenant, app["appId"], text), 700027, "invalid_client", 401)
    trust_issuer(tenant.world, issuer, {"keys": [key.jwk()]})
    credential = ClientAssertionCredential(tenant.id, app["appId"], lambda: text, **tenant.options())
    with credential:
        token = credential.get_token(GRAPH_SCOPE)
    assert verify_bearer(tenant.world, f"Bearer {token.token}").oid == principal["id"]
    (tmp_path / "token").write_text(text)
    with WorkloadIdentityCredential(
        tenant_id=tenant.id,
        client_id=app["appId"],
        token_file_path=str(tmp_path / "token"),
        **tenant.options(),
    ) as workload:
        assert workload.get_token(GRAPH_SCOPE).token
    for claim, other, code in (
        ("sub", "repo:org/other:ref:refs/heads/main", 700213),
        ("aud", "https://elsewhere.example", 700212),
        ("iss", "https://issuer.example", 700211),
    ):
        wrong = key.sign(claims | {claim: other})
        body = refused(by_assertion(tenant, app["appId"], wrong), code, "invalid_client", 401)
        assert f"'{other}'" in body["error_description"]
    refused(by_assertion(tenant, app["appId"], key.sign(claims | {"exp": 1})), 700024, "invalid_client", 401)


def test_credentials_of_the_service_principal_sign_in_too(
    tenant: Tenant, certificate: tuple[str, bytes]
) -> None:
    app, principal = tenant.register()
    bearer = {"Authorization": f"Bearer {tenant.as_operator().json()['access_token']}"}
    place = f"/v1.0/servicePrincipals/{principal['id']}"
    made = tenant.http.post(f"{place}/addPassword", json={}, headers=bearer).json()
    sent = {"client_id": app["appId"], "client_secret": made["secretText"]}
    assert tenant.caller(tenant.token(**sent)).oid == principal["id"]
    der = x509.load_pem_x509_certificate(certificate[0].encode()).public_bytes(serialization.Encoding.DER)
    entry = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(der).decode()}
    reply = tenant.http.patch(place, json={"keyCredentials": [entry]}, headers=bearer)
    assert reply.status_code == 204, reply.text
    text = assertion(tenant, app["appId"], certificate)
    assert tenant.caller(by_assertion(tenant, app["appId"], text)).oid == principal["id"]
    tenant.http.post(f"{place}/removePassword", json={"keyId": made["keyId"]}, headers=bearer)
    refused(tenant.token(**sent), 7000215, "invalid_client", 401)


# Replicas


def outcomes(tenant: Tenant, app_id: str, secret: str, count: int = 24) -> set[int]:
    replies = [tenant.token(client_id=app_id, client_secret=secret) for _ in range(count)]
    return {0 if reply.is_success else reply.json()["error_codes"][0] for reply in replies}


@pytest.mark.parametrize(
    ("switch", "seconds", "refusal"), [("secret_lag", 20.0, 7000215), ("app_lag", 8.0, 700016)]
)
def test_what_is_new_is_known_to_one_replica_before_the_other(
    tenant: Tenant, switch: str, seconds: float, refusal: int
) -> None:
    setattr(tenant.world.switches, switch, seconds)
    app, _ = tenant.register()
    tenant.add_secret(app["id"], "new")
    for seen in ({refusal}, {0, refusal}, {0}):
        assert outcomes(tenant, app["appId"], "new") == seen
        tenant.world.clock.advance(seconds / 2)


def test_a_removed_secret_signs_in_for_a_while(tenant: Tenant) -> None:
    app, _ = tenant.register()
    old = tenant.add_secret(app["id"], "old")
    tenant.world.clock.advance(1)
    tenant.world.switches.removed_secret_lag = 60.0
    tenant.remove_secret(app["id"], old)
    assert outcomes(tenant, app["appId"], "old") == {0}
    tenant.add_secret(app["id"], "new")
    assert outcomes(tenant, app["appId"], "new") == {0}
    tenant.world.clock.advance(30)
    assert outcomes(tenant, app["appId"], "old") == {0, 7000215}
    tenant.world.clock.advance(30)
    assert outcomes(tenant, app["appId"], "old") == {7000215}


def test_a_new_role_appears_in_some_tokens_first(tenant: Tenant) -> None:
    app, principal = tenant.register()
    tenant.add_secret(app["id"], "text")
    tenant.world.switches.role_lag = 30.0
    tenant.grant(principal, "Group.Create")

    def roles() -> set[frozenset[str]]:
        replies = [tenant.token(client_id=app["appId"], client_secret="text") for _ in range(24)]
        return {tenant.caller(reply).roles for reply in replies}

    none, some = frozenset(), frozenset({"Group.Create"})
    for seen in ({none}, {none, some}, {some}):
        assert roles() == seen
        tenant.world.clock.advance(15)


def test_one_seed_gives_one_sequence_of_answers() -> None:
    def sequence() -> list[bool]:
        switches = Switches(secret_lag=20.0)
        clock = SandboxClock(running=False)
        with Sandbox(seed=11, authentik_profile=None, clock=clock, switches=switches) as sandbox:
            tenant = Tenant(sandbox)
            app, _ = tenant.register()
            tenant.add_secret(app["id"], "new")
            clock.advance(10)
            found = [tenant.token(client_id=app["appId"], client_secret="new").is_success for _ in range(16)]
            tenant.http.close()
            return found

    first = sequence()
    assert set(first) == {True, False}
    assert sequence() == first


def test_two_tenants_do_not_know_each_others_applications(tenant: Tenant) -> None:
    other = seed_tenant(tenant.world, display_name="Fabrikam", name="fabrikam")
    body = refused(tenant.as_operator(tenant="fabrikam.example"), 700016, "unauthorized_client")
    assert "'Fabrikam'" in body["error_description"]
    reply = tenant.token(tenant=other.tenant_id, client_id=other.app_id, client_secret=other.secret)
    assert tenant.caller(reply).tid == other.tenant_id


# What Microsoft Graph makes of a token


def rejection(tenant: Tenant, header: str | None) -> str:
    with pytest.raises(TokenRejected) as caught:
        verify_bearer(tenant.world, header)
    assert caught.value.code == "InvalidAuthenticationToken"
    return caught.value.message


def test_tokens_that_microsoft_graph_does_not_take(tenant: Tenant) -> None:
    good = tenant.as_operator().json()["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    sign = signing_key().sign
    assert rejection(tenant, None) == "Access token is empty."
    assert rejection(tenant, "Bearer ") == "Access token is empty."
    assert rejection(tenant, "Basic abc") == "Access token is empty."
    assert "CompactToken parsing failed" in rejection(tenant, "Bearer abc")
    stranger = SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048), signing_key().kid)
    assert "CompactToken validation failed" in rejection(tenant, f"Bearer {stranger.sign(claims)}")
    assert "audience" in rejection(tenant, f"Bearer {sign(claims | {'aud': 'https://vault.example'})}")
    assert "issuer" in rejection(tenant, f"Bearer {sign(claims | {'tid': str(uuid4())})}")
    assert "not yet valid" in rejection(tenant, f"Bearer {sign(claims | {'nbf': claims['exp'] - 1})}")
    tenant.world.clock.advance(3599)
    assert rejection(tenant, f"Bearer {good}") == "Lifetime validation failed, the token is expired."


# Discovery


def test_instance_discovery(tenant: Tenant) -> None:
    own = tenant.sandbox.entra_url
    params = {"api-version": "1.1", "authorization_endpoint": f"{own}/{tenant.id}/oauth2/v2.0/authorize"}
    found = tenant.http.get("/common/discovery/instance", params=params).json()
    assert found["tenant_discovery_endpoint"] == f"{own}/{tenant.id}/v2.0/.well-known/openid-configuration"
    assert found["metadata"][0]["aliases"] == [own.removeprefix("https://")]
    params["authorization_endpoint"] = "https://elsewhere.example/common/oauth2/authorize"
    refused(tenant.http.get("/common/discovery/instance", params=params), 50049, "invalid_instance")
    refused(tenant.http.get("/common/discovery/instance"), 900144, "invalid_request")


@pytest.mark.parametrize("name", ["contoso.example", "organizations", "common"])
def test_the_configuration(tenant: Tenant, name: str) -> None:
    own = tenant.sandbox.entra_url
    shown = tenant.id if name == "contoso.example" else "{tenantid}"
    document = tenant.http.get(f"/{name}/v2.0/.well-known/openid-configuration").json()
    assert document["issuer"] == f"{own}/{shown}/v2.0"
    assert document["token_endpoint"].endswith("/oauth2/v2.0/token")
    assert document["device_authorization_endpoint"].endswith("/oauth2/v2.0/devicecode")
    assert tenant.http.get(document["jwks_uri"]).json()["keys"][0]["kid"] == signing_key().kid


def test_the_issuer_follows_the_name_by_which_the_sandbox_is_called(tenant: Tenant) -> None:
    address = f"/{tenant.id}/v2.0/.well-known/openid-configuration"
    for host, expected in (
        ("localhost:1", "https://localhost:1"),
        ("evil.example", tenant.sandbox.entra_url),
    ):
        document = tenant.http.get(address, headers={"Host": host}).json()
        assert document["issuer"] == f"{expected}/{tenant.id}/v2.0"
