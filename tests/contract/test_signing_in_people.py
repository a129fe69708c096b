"""Device code, browser and admin consent, by the libraries and pages that people use."""

import base64
import hashlib
import html
import re
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DeviceCodeCredential, InteractiveBrowserCredential

from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.clock import SandboxClock
from authentik_entra_bootstrap.sandbox.microsoft.login import decide
from authentik_entra_bootstrap.sandbox.microsoft.objects import application, iso, service_principal
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID, ROLES, SCOPES
from authentik_entra_bootstrap.sandbox.microsoft.seed import AZURE_CLI_SCOPES
from authentik_entra_bootstrap.sandbox.microsoft.tokens import verify_bearer

AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
GRAPH_SCOPE = "https://graph.microsoft.com/.default"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
ROLE_IDS = {role.value: role.id for role in ROLES}
SCOPE_IDS = {scope.value: scope.id for scope in SCOPES}
CALLBACK = "https://app.example/done"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=5, authentik_profile=None, clock=SandboxClock(running=False)) as running:
        running.world.switches.device_code_interval = 0
        yield running


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    verify = ssl.create_default_context(cafile=sandbox.ca_file)
    with httpx.Client(base_url=sandbox.entra_url, verify=verify) as client:
        yield client


def options(sandbox: Sandbox):
    return {
        "authority": sandbox.entra_url,
        "disable_instance_discovery": True,
        "connection_verify": str(sandbox.ca_file),
        "retry_total": 0,
    }


def register(sandbox: Sandbox, **changes):
    directory = sandbox.world.default_tenant
    created = iso(sandbox.world.clock.now())
    app = application(str(uuid4()), str(uuid4()), "Sync <app>", "contoso.example", created) | changes
    directory.put("application", app["id"], app)
    principal = service_principal(str(uuid4()), app["appId"], "Sync <app>", directory.tenant_id, created)
    directory.put("servicePrincipal", principal["id"], principal)
    return app, principal


def access(*names: str):
    items = [{"id": ROLE_IDS[name], "type": "Role"} for name in names if name != "User.Read"]
    items += [{"id": SCOPE_IDS[name], "type": "Scope"} for name in names if name == "User.Read"]
    return [{"resourceAppId": GRAPH_APP_ID, "resourceAccess": items}]


def shown(reply: httpx.Response) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", reply.text))


# Device code


@pytest.mark.parametrize("where", ["tenant", "organizations"])
def test_device_code_credential(sandbox: Sandbox, where: str) -> None:
    upn = sandbox.operator.upn("appadmin")
    tenant_id = sandbox.operator.tenant_id if where == "tenant" else where
    prompts = []

    def prompt(address: str, user_code: str, _expires: object) -> None:
        prompts.append(address)
        decide(sandbox.world, user_code.lower(), upn)

    with DeviceCodeCredential(
        AZURE_CLI, tenant_id=tenant_id, prompt_callback=prompt, **options(sandbox)
    ) as credential:
        first = credential.get_token(GRAPH_SCOPE)
        sandbox.world.clock.advance(10)
        again = credential.get_token(GRAPH_SCOPE)
        record = credential.authenticate(scopes=[GRAPH_SCOPE])
    assert prompts[0] == f"{sandbox.entra_url}/devicelogin"
    assert again.token == first.token
    assert (record.username, record.tenant_id) == (upn, sandbox.operator.tenant_id)
    caller = verify_bearer(sandbox.world, f"Bearer {first.token}")
    assert (caller.kind, caller.upn, caller.app_id) == ("user", upn, AZURE_CLI)
    assert caller.scopes == frozenset(AZURE_CLI_SCOPES)
    assert caller.directory_roles == {"Application Administrator"}
    assert caller.roles == frozenset()


def poll(sandbox: Sandbox, http: httpx.Client, device_code: str, **changes) -> tuple[str, list[int]]:
    form = {"grant_type": DEVICE_GRANT, "client_id": AZURE_CLI, "device_code": device_code} | changes
    body = http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token", data=form).json()
    return body.get("error", "done"), body.get("error_codes", [])


def begin(sandbox: Sandbox, http: httpx.Client, **changes):
    form = {"client_id": AZURE_CLI, "scope": f"{GRAPH_SCOPE} offline_access"} | changes
    return http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/devicecode", data=form).json()


def test_polling(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.switches.device_code_interval = 5
    flow = begin(sandbox, http)
    assert (flow["interval"], flow["expires_in"], len(flow["user_code"])) == (5, 900, 9)
    assert flow["user_code"] in flow["message"]
    assert poll(sandbox, http, flow["device_code"]) == ("authorization_pending", [70016])
    assert poll(sandbox, http, "nonsense") == ("bad_verification_code", [70018])
    assert poll(sandbox, http, flow["device_code"], client_id=str(uuid4())) == (
        "bad_verification_code",
        [70018],
    )
    decide(sandbox.world, flow["user_code"], sandbox.operator.upn("user"))
    assert poll(sandbox, http, flow["device_code"]) == ("done", [])
    assert poll(sandbox, http, flow["device_code"]) == ("bad_verification_code", [70018])
    late = begin(sandbox, http)
    sandbox.world.clock.advance(900)
    assert poll(sandbox, http, late["device_code"]) == ("expired_token", [70020])
    with pytest.raises(LookupError):
        decide(sandbox.world, late["user_code"], sandbox.operator.upn("user"))


def test_the_device_page(sandbox: Sandbox, http: httpx.Client) -> None:
    flow = begin(sandbox, http)
    assert "Enter the code" in http.get("/devicelogin").text
    assert http.post("/devicelogin", data={"otc": "WRONGCODE"}).status_code == 400
    upn = sandbox.operator.upn("admin")
    assert f"value='{upn}'" in http.post("/devicelogin", data={"otc": flow["user_code"]}).text
    nobody = http.post("/devicelogin", data={"otc": flow["user_code"], "user": "nobody@contoso.example"})
    assert nobody.status_code == 400
    done = http.post("/devicelogin", data={"otc": flow["user_code"], "user": upn})
    assert "You have signed in" in done.text
    assert poll(sandbox, http, flow["device_code"]) == ("done", [])
    other = begin(sandbox, http)
    assert (
        "declined" in http.post("/devicelogin", data={"otc": other["user_code"], "decision": "decline"}).text
    )
    assert poll(sandbox, http, other["device_code"]) == ("authorization_declined", [65004])
    late = begin(sandbox, http)
    sandbox.world.clock.advance(900)
    assert "AADSTS70019" in http.post("/devicelogin", data={"otc": late["user_code"]}).text


def test_the_device_flow_by_the_control_api(sandbox: Sandbox, http: httpx.Client) -> None:
    flow = begin(sandbox, http)
    body = {"user_code": flow["user_code"], "user": sandbox.operator.upn("admin")}
    assert http.post("/_sandbox/devicecode", json=body | {"user": "x"}).status_code == 400
    assert http.post("/_sandbox/devicecode", json=body).status_code == 204
    assert poll(sandbox, http, flow["device_code"]) == ("done", [])


def test_a_confidential_client_cannot_use_the_device_flow_unproven(
    sandbox: Sandbox, http: httpx.Client
) -> None:
    app, _ = register(sandbox)
    flow = begin(sandbox, http, client_id=app["appId"], scope="User.Read")
    decide(sandbox.world, flow["user_code"], sandbox.operator.upn("admin"))
    answer = poll(sandbox, http, flow["device_code"], client_id=app["appId"])
    assert answer == ("invalid_client", [7000218])


def test_people_agree_to_what_is_theirs_to_agree_to(sandbox: Sandbox, http: httpx.Client) -> None:
    app, principal = register(sandbox, isFallbackPublicClient=True)
    client = {"client_id": app["appId"]}
    flow = begin(sandbox, http, **client, scope="Application.ReadWrite.All")
    with pytest.raises(ValueError, match="AADSTS90094"):
        decide(sandbox.world, flow["user_code"], sandbox.operator.upn("user"))
    flow = begin(sandbox, http, **client, scope="User.Read")
    decide(sandbox.world, flow["user_code"], sandbox.operator.upn("user"))
    assert poll(sandbox, http, flow["device_code"], **client) == ("done", [])
    (grant,) = [
        entry
        for entry in sandbox.world.default_tenant.all("oauth2PermissionGrant")
        if entry["clientId"] == principal["id"]
    ]
    assert (grant["consentType"], grant["scope"]) == ("Principal", "User.Read")


# Browser


def visit(sandbox: Sandbox, address: str, form: dict[str, str]) -> None:
    """What a person does: open the page, press a button, follow the redirect."""
    verify = ssl.create_default_context(cafile=sandbox.ca_file)
    with httpx.Client(verify=verify) as browser:
        page = browser.get(address)
        assert "Pick an account" in page.text
        reply = browser.post(address, data=form)
        if "location" in reply.headers:
            browser.get(reply.headers["location"])
            return
        fields = re.findall(r"name='([^']*)' value='([^']*)'", reply.text)
        target = re.findall(r"action='([^']*)'", reply.text)[0]
        browser.post(html.unescape(target), data={name: html.unescape(value) for name, value in fields})


@pytest.mark.parametrize("form", ["user", "cancel"])
def test_interactive_browser_credential(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    upn = sandbox.operator.upn("admin")
    answer = {"user": upn} if form == "user" else {"decision": "cancel"}
    visits = []

    def open_browser(address: str) -> bool:
        visits.append(threading.Thread(target=visit, args=(sandbox, address, answer)))
        visits[-1].start()
        return True

    monkeypatch.setattr("azure.identity._credentials.browser._open_browser", open_browser)
    credential = InteractiveBrowserCredential(
        tenant_id=sandbox.operator.tenant_id, timeout=300, **options(sandbox)
    )
    with credential:
        if form == "cancel":
            with pytest.raises(ClientAuthenticationError, match="AADSTS65004"):
                credential.get_token(GRAPH_SCOPE)
        else:
            token = credential.get_token(GRAPH_SCOPE).token
            assert verify_bearer(sandbox.world, f"Bearer {token}").upn == upn
    visits[0].join()


def authorize(sandbox: Sandbox, http: httpx.Client, verifier: str = "v" * 43, **changes) -> httpx.Response:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    params = {
        "client_id": AZURE_CLI,
        "response_type": "code",
        "redirect_uri": "http://localhost:8400",
        "scope": "User.Read openid offline_access",
        "state": "st&te",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    form = {"user": sandbox.operator.upn("user")}
    address = f"/{sandbox.operator.tenant_id}/oauth2/v2.0/authorize"
    params = {name: value for name, value in (params | changes).items() if value is not None}
    return http.post(address, params=params, data=form)


def carried(reply: httpx.Response) -> dict[str, str]:
    parts = urlsplit(reply.headers["location"])
    return {name: values[0] for name, values in parse_qs(parts.query or parts.fragment).items()}


def redeem(sandbox: Sandbox, http: httpx.Client, code: str, **changes) -> tuple[str, list[int]]:
    form = {
        "grant_type": "authorization_code",
        "client_id": AZURE_CLI,
        "code": code,
        "redirect_uri": "http://localhost:8400",
        "code_verifier": "v" * 43,
    }
    body = http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token", data=form | changes).json()
    return body.get("error", "done"), body.get("error_codes", [])


def test_codes_and_their_refusals(sandbox: Sandbox, http: httpx.Client) -> None:
    back = carried(authorize(sandbox, http))
    assert back["state"] == "st&te"
    for changes, outcome in (
        ({"code": "nonsense"}, ("invalid_grant", [9002313])),
        ({"code_verifier": "w" * 43}, ("invalid_grant", [501481])),
        ({"code_verifier": ""}, ("invalid_request", [900144])),
        ({"redirect_uri": "http://localhost:1"}, ("invalid_client", [500112])),
        ({}, ("done", [])),
        ({}, ("invalid_grant", [54005])),
    ):
        assert redeem(sandbox, http, **{"code": back["code"], **changes}) == outcome, changes
    late = carried(authorize(sandbox, http, response_mode="query"))
    sandbox.world.clock.advance(600)
    assert redeem(sandbox, http, late["code"]) == ("invalid_grant", [70008])


def test_authorize_refuses(sandbox: Sandbox, http: httpx.Client) -> None:
    wrong = authorize(sandbox, http, redirect_uri="https://evil.example/")
    assert (wrong.status_code, "AADSTS50011" in wrong.text) == (400, True)
    unknown = authorize(sandbox, http, client_id=str(uuid4()))
    assert (unknown.status_code, "AADSTS700016" in unknown.text) == (400, True)
    assert carried(authorize(sandbox, http, response_type="token"))["error"] == "unsupported_response_type"
    assert "AADSTS650053" in carried(authorize(sandbox, http, scope="No.Such"))["error_description"]
    assert "AADSTS900144" in carried(authorize(sandbox, http, scope=None))["error_description"]
    page = authorize(sandbox, http, response_mode="form_post").text
    assert "name='code'" in page
    assert "action='http://localhost:8400'" in page
    app, _ = register(sandbox, publicClient={"redirectUris": ["http://localhost"]})
    only = http.get(
        "/common/oauth2/v2.0/authorize",
        params={"client_id": app["appId"], "redirect_uri": "http://localhost"},
    )
    assert "AADSTS50194" in only.text


def test_refresh_tokens_end(sandbox: Sandbox, http: httpx.Client) -> None:
    flow = begin(sandbox, http)
    user = sandbox.operator.upn("user")
    decide(sandbox.world, flow["user_code"], user)
    address = f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token"
    form = {"grant_type": DEVICE_GRANT, "client_id": AZURE_CLI, "device_code": flow["device_code"]}
    token = http.post(address, data=form).json()["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "client_id": AZURE_CLI,
        "refresh_token": token,
        "scope": GRAPH_SCOPE,
    }
    assert http.post(address, data=form).is_success
    assert http.post(address, data=form | {"refresh_token": "x"}).json()["error_codes"] == [9002313]
    consent = http.post(address, data=form | {"scope": "Policy.Read.All"}).json()
    assert (consent["error"], consent["suberror"], consent["error_codes"]) == (
        "invalid_grant",
        "consent_required",
        [65001],
    )
    directory = sandbox.world.default_tenant
    person = next(entry for entry in directory.all("user") if entry["userPrincipalName"] == user)
    directory.put("user", person["id"], person | {"accountEnabled": False})
    assert http.post(address, data=form).json()["error_codes"] == [50057]
    directory.remove("user", person["id"])
    assert http.post(address, data=form).json()["error_codes"] == [50034]
    sandbox.world.clock.advance(90 * 86400)
    assert http.post(address, data=form).json()["error_codes"] == [700082]


# Admin consent


def granted(sandbox: Sandbox, principal) -> tuple[set[str], set[str]]:
    directory = sandbox.world.default_tenant
    names = {role.id: role.value for role in ROLES}
    roles = {
        names[entry["appRoleId"]]
        for entry in directory.all("appRoleAssignment")
        if entry["principalId"] == principal["id"]
    }
    scopes = {
        scope
        for entry in directory.all("oauth2PermissionGrant")
        if entry["clientId"] == principal["id"] and entry["consentType"] == "AllPrincipals"
        for scope in entry["scope"].split()
    }
    return roles, scopes


def consent(sandbox: Sandbox, http: httpx.Client, app, **changes) -> httpx.Response:
    params = {"client_id": app["appId"], "redirect_uri": CALLBACK, "state": "12345"}
    form = {"user": sandbox.operator.upn("admin")}
    for name in form.keys() & changes.keys() | {"decision"} & changes.keys():
        form[name] = changes.pop(name)
    params = {name: value for name, value in (params | changes).items() if value is not None}
    return http.post(f"/{sandbox.operator.tenant_id}/adminconsent", params=params, data=form)


@pytest.fixture
def app(sandbox: Sandbox):
    return register(
        sandbox,
        web={"redirectUris": [CALLBACK]},
        requiredResourceAccess=access("Group.Create", "User.ReadWrite.All", "User.Read"),
    )


def test_the_consent_page_names_everything(sandbox: Sandbox, http: httpx.Client, app) -> None:
    reply = http.get(f"/{sandbox.operator.tenant_id}/adminconsent", params={"client_id": app[0]["appId"]})
    text = shown(reply)
    for expected in ("Sync <app>", "Group.Create", "User.ReadWrite.All", "User.Read (delegated)", "Cancel"):
        assert expected in text
    assert granted(sandbox, app[1]) == (set(), set())


def test_consent_grants_what_the_registration_lists_and_nothing_else(
    sandbox: Sandbox, http: httpx.Client, app
) -> None:
    directory, (registered, principal) = sandbox.world.default_tenant, app
    reply = consent(sandbox, http, registered)
    assert reply.headers["location"].startswith(f"{CALLBACK}?")
    assert carried(reply) == {"admin_consent": "True", "tenant": sandbox.operator.tenant_id, "state": "12345"}
    assert granted(sandbox, principal) == ({"Group.Create", "User.ReadWrite.All"}, {"User.Read"})
    consent(sandbox, http, registered)
    mine = [entry for entry in directory.all("appRoleAssignment") if entry["principalId"] == principal["id"]]
    assert len(mine) == 2
    for wanted, roles in ((access("Group.Create"), {"Group.Create"}), ([], set())):
        directory.put("application", registered["id"], registered | {"requiredResourceAccess": wanted})
        consent(sandbox, http, registered)
        assert granted(sandbox, principal) == (roles, set())


def test_consent_refused_by_the_administrator(sandbox: Sandbox, http: httpx.Client, app) -> None:
    first = carried(consent(sandbox, http, app[0], decision="cancel"))
    assert first == {
        "error": "permission_denied",
        "error_description": "The admin canceled the request",
        "state": "12345",
    }
    assert granted(sandbox, app[1]) == (set(), set())


@pytest.mark.parametrize(
    ("person", "wanted", "allowed"),
    [
        ("user", ("User.Read",), False),
        ("cloudadmin", ("User.Read",), True),
        ("cloudadmin", ("Group.Create",), False),
        ("appadmin", ("Group.Create", "User.Read"), False),
        ("roleadmin", ("Group.Create",), True),
    ],
)
def test_who_may_consent(
    sandbox: Sandbox, http: httpx.Client, person: str, wanted: tuple[str, ...], allowed: bool
) -> None:
    app, principal = register(sandbox, requiredResourceAccess=access(*wanted))
    reply = consent(sandbox, http, app, redirect_uri=None, user=sandbox.operator.upn(person))
    assert reply.status_code == (200 if allowed else 403)
    assert ("AADSTS90094" in reply.text) is not allowed
    assert (granted(sandbox, principal) != (set(), set())) is allowed


def test_consent_refuses_addresses_and_clients_it_does_not_know(
    sandbox: Sandbox, http: httpx.Client, app
) -> None:
    assert "AADSTS50011" in consent(sandbox, http, app[0], redirect_uri="https://evil.example/").text
    assert "AADSTS700016" in consent(sandbox, http, {"appId": str(uuid4())}).text
    assert consent(sandbox, http, app[0], user="nobody").status_code == 400
    assert granted(sandbox, app[1]) == (set(), set())


def test_consent_makes_the_service_principal(sandbox: Sandbox, http: httpx.Client, app) -> None:
    sandbox.world.default_tenant.remove("servicePrincipal", app[1]["id"])
    reply = consent(sandbox, http, app[0], redirect_uri=None)
    assert "has what it asked for" in reply.text
    (made,) = [
        entry
        for entry in sandbox.world.default_tenant.all("servicePrincipal")
        if entry["appId"] == app[0]["appId"]
    ]
    assert granted(sandbox, made) == ({"Group.Create", "User.ReadWrite.All"}, {"User.Read"})


# Confidential clients


def test_a_confidential_client_redeems_its_code_with_its_secret(sandbox: Sandbox, http: httpx.Client) -> None:
    directory = sandbox.world.default_tenant
    operator = directory.get("application", sandbox.operator.app_object_id)
    assert operator is not None
    directory.put("application", operator["id"], operator | {"web": {"redirectUris": [CALLBACK]}})
    client = {"client_id": operator["appId"], "redirect_uri": CALLBACK}
    code = carried(authorize(sandbox, http, **client))["code"]
    assert redeem(sandbox, http, code, **client) == ("invalid_client", [7000218])
    assert redeem(sandbox, http, code, **client, client_secret="x") == ("invalid_client", [7000215])
    assert redeem(sandbox, http, code, **client, client_secret=sandbox.operator.secret) == ("done", [])


def test_default_asks_for_what_the_registration_lists(sandbox: Sandbox, http: httpx.Client) -> None:
    app, _ = register(sandbox, isFallbackPublicClient=True, requiredResourceAccess=access("User.Read"))
    flow = begin(sandbox, http, client_id=app["appId"], scope=GRAPH_SCOPE)
    decide(sandbox.world, flow["user_code"], sandbox.operator.upn("user"))
    form = {"grant_type": DEVICE_GRANT, "client_id": app["appId"], "device_code": flow["device_code"]}
    body = http.post(f"/{sandbox.operator.tenant_id}/oauth2/v2.0/token", data=form).json()
    assert verify_bearer(sandbox.world, f"Bearer {body['access_token']}").scopes == {"User.Read"}
    assert body["scope"] == "https://graph.microsoft.com/.default https://graph.microsoft.com/User.Read"


def test_conditional_access_blocks_people_too(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.world.switches.conditional_access_blocks = True
    flow = begin(sandbox, http)
    decide(sandbox.world, flow["user_code"], sandbox.operator.upn("user"))
    assert poll(sandbox, http, flow["device_code"]) == ("invalid_grant", [53003])
