"""Every row of the table of refusals, end to end: code, exit code, remedy, and whether anything was written."""

from __future__ import annotations

import contextlib
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from on_sandbox import free_port

from authentik_entra_bootstrap.sandbox import Sandbox, Switches
from authentik_entra_bootstrap.sandbox.authentik.resources import system
from authentik_entra_bootstrap.sandbox.microsoft.graph.policies import DEFAULT_POLICY
from authentik_entra_bootstrap.sandbox.microsoft.objects import application, iso
from authentik_entra_bootstrap.sandbox.microsoft.seed import OPERATOR_ROLES, operator_holds, seed_tenant

if TYPE_CHECKING:
    from ordeal import Ordeal

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md"
ENTRA = "authentik_providers_microsoft_entra"
PERMISSIONS = (
    f"{ENTRA}.view_microsoftentraprovider",
    f"{ENTRA}.add_microsoftentraprovider",
    f"{ENTRA}.change_microsoftentraprovider",
    f"{ENTRA}.view_microsoftentraprovidermapping",
    "authentik_tasks.view_task",
    "authentik_events.view_event",
    "authentik_core.view_application",
    "authentik_core.add_application",
    "authentik_core.change_application",
    "authentik_core.view_group",
    "authentik_core.view_user",
)

SMALLEST = (
    "Application.ReadWrite.OwnedBy",
    "Application.Read.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Organization.Read.All",
)
"""What an operator needs; see docs/how-to/least-privilege.md."""


@dataclass(frozen=True)
class Row:
    """One row of the page."""

    what: str
    code: str
    exit: int
    before: bool


def rows() -> dict[str, Row]:
    """The table of the page, by the name in its first column."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            code = re.sub(r"\[`?([\w-]+)`?\]\([^)]*\)|`", r"\1", cells[2])
            found[cells[0].strip("`")] = Row(cells[1], code, int(cells[3]), cells[4] == "yes")
    return found


@dataclass
class Scene:
    """What one case arranges before the run.

    :param settings: text of a settings file.
    """

    ordeal: Ordeal
    folder: Path
    stack: contextlib.ExitStack
    environment: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    settings: str | None = None
    says: list[str] = field(default_factory=list)
    """Texts that the message or the remedy must hold."""
    stood: int = 0

    @property
    def sandbox(self) -> Sandbox:
        return self.ordeal.sandbox

    @property
    def directory(self) -> Any:
        return self.sandbox.world.default_tenant

    @property
    def switches(self) -> Switches:
        return self.sandbox.world.switches

    def fault(self, **values: Any) -> None:
        self.sandbox.world.faults.add(**{"times": None, **values})

    def settle(self) -> None:
        """Bootstrap once before the case begins."""
        assert self.ordeal.run("bootstrap", "--yes").exit == 0

    def setting(self, text: str) -> None:
        self.settings = f"[connections.default]\n{text}\n"

    def policy(self, *restrictions: dict[str, Any]) -> None:
        """The tenant's default app management policy."""
        value = {
            **DEFAULT_POLICY,
            "isEnabled": True,
            "applicationRestrictions": {"passwordCredentials": list(restrictions), "keyCredentials": []},
        }
        self.directory.put("policy", DEFAULT_POLICY["id"], value)

    def without_role(self, *names: str) -> None:
        """Take application permissions from the operator."""
        self.only_roles(*(role for role in OPERATOR_ROLES if role not in names))

    def only_roles(self, *names: str) -> None:
        """Leave the operator these application permissions and no others."""
        operator_holds(self.directory, self.sandbox.operator, *names)

    def token(self, *permissions: str, **values: Any) -> None:
        """Run with a token of a service account that has only these permissions."""
        authentik = self.sandbox.authentik
        context, models = authentik.context(), authentik.state.models
        role = authentik.state.tables["role"].add(
            {
                "pk": authentik.state.uuid(),
                "name": "robot",
                "managed": None,
                "permissions": [(item, "") for item in permissions],
            }
        )
        user = models["authentik_core.user"].create(
            {"username": "robot", "name": "robot", "type": "service_account"}, context
        )
        user["roles"] = [role["pk"]]
        made = {"identifier": "robot", "intent": "api", "user": user["pk"], "expiring": False, **values}
        token = models["authentik_core.token"].create(made, context)
        self.environment["AUTHENTIK_TOKEN"] = str(token["key"])

    def stranger(self, **values: Any) -> dict[str, Any]:
        """An application of somebody else with the name that ours would have."""
        world = self.sandbox.world
        app = application(world.guid(), world.guid(), "somebody's", "contoso.example", iso(world.clock.now()))
        app |= {"uniqueName": "authentik-entra-default", **values}
        self.directory.put("application", app["id"], app)
        return app

    def licence(self, days: float | None) -> None:
        """Only a licence that ends in so many days; ``None`` for no licence."""
        state = self.sandbox.authentik.state
        for row in list(state.tables["license"]):
            state.tables["license"].remove(row["license_uuid"])
        if days is not None:
            system.install_licence(state, state.now() + timedelta(days=days))

    def create(self, model: str, **values: Any) -> dict[str, Any]:
        """An object in authentik."""
        authentik = self.sandbox.authentik
        return authentik.state.models[model].create(values, authentik.context())

    def served(self, context: ssl.SSLContext | None, status: int, headers: dict[str, str]) -> str:
        """The address of a server that answers everything with a page."""

        class Page(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": "text/html", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"<html>hello</html>")

            def log_message(self, *_arguments: Any) -> None:
                return

        for method in ("GET", "POST", "OPTIONS"):
            setattr(Page, f"do_{method}", Page.answer)
        server = HTTPServer(("127.0.0.1", 0), Page)
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.stack.callback(server.server_close)
        self.stack.callback(server.shutdown)
        return f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"

    def strange_certificate(self, host: str) -> tuple[ssl.SSLContext, str]:
        """A server context for that host and the CA file that it comes from."""
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(context)
        path = self.folder / "strange.pem"
        path.write_bytes(authority.cert_pem.bytes())
        return context, str(path)


Arrange = Callable[[Scene], object]
CASES: dict[str, Arrange] = {}


def case(name: str) -> Callable[[Arrange], Arrange]:
    """Name a case as its row does."""

    def add(function: Arrange) -> Arrange:
        assert name not in CASES
        CASES[name] = function
        return function

    return add


def told(arrange: Arrange, *says: str) -> Arrange:
    """What is arranged, and what the run must say."""

    def both(scene: Scene) -> None:
        arrange(scene)
        scene.says += says

    return both


def variables(**values: str) -> Arrange:
    """Other values of environment variables."""
    return lambda scene: scene.environment.update(values)


def missing(name: str, *option: str) -> Arrange:
    """A file that is not there, in an environment variable or behind an option."""

    def arrange(scene: Scene) -> None:
        path = str(scene.folder / "nothing")
        scene.arguments += [*option, path] if option else []
        scene.environment[name] = "" if option else path

    return arrange


def setting(text: str, *says: str) -> Arrange:
    """A settings file with one more line."""
    return told(lambda scene: scene.setting(text), *says)


def without(*roles: str) -> Arrange:
    """The operator lacks application permissions."""
    return lambda scene: scene.without_role(*roles)


def smallest_without(role: str) -> Arrange:
    """The operator has what it needs, but for one permission."""
    return lambda scene: scene.only_roles(*(name for name in SMALLEST if name != role))


def limit(kind: str, longest: str | None, *roles: str) -> Arrange:
    """A policy for client secrets, and permissions that the operator lacks."""

    def arrange(scene: Scene) -> None:
        scene.policy({"restrictionType": kind, "state": "enabled", "maxLifetime": longest})
        scene.without_role(*roles)

    return arrange


def answers(*faults: dict[str, Any]) -> Arrange:
    """What servers answer instead."""
    return lambda scene: [scene.fault(**values) for values in faults]


def status(server: str, number: int, **values: Any) -> dict[str, Any]:
    return {"kind": "status", "server": server, "status": number, **values}


def html(server: str, number: int) -> Arrange:
    """The page of a proxy or gateway."""
    return answers({"kind": "html", "server": server, "status": number})


def lacking(codename: str) -> Arrange:
    """A token with every permission but one."""
    rest = [item for item in PERMISSIONS if not item.endswith(f".{codename}")]
    return told(lambda scene: scene.token(*rest), codename)


def first(*arranged: Arrange) -> Arrange:
    """Several things, one after the other."""

    def arrange(scene: Scene) -> None:
        for each in arranged:
            each(scene)

    return arrange


NOBODY = "11111111-2222-3333-4444-555555555555"
GRANT_ROLES, GRANT_SCOPES = "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.ReadWrite.All"
ALL_APPLICATIONS = "Application.ReadWrite.All"
READ = ("Directory.Read.All", ALL_APPLICATIONS, "Policy.Read.All")
AUDIENCE = {
    "code": "AudienceRestrictionAsPerAppPolicy",
    "message": "The signInAudience is not allowed as per assigned policy 'p1'.",
}
EXPIRED = {"code": "InvalidAuthenticationToken", "message": "Lifetime validation failed."}
READ_ONLY = {
    "internal_users": 1,
    "external_users": 1,
    "status": "read_only",
    "latest_valid": "2026-01-01T00:00:00Z",
    "license_flags": [],
}
ONE = {"next": 0, "previous": 0, "count": 1, "current": 1, "total_pages": 1}
TAKEN = {"pk": 7, "name": "taken", "verbose_name": "OAuth2/OpenID Provider"}
OF_OTHERS = ["authentik-entra", "authentik-entra:connection=other"]
CASES |= {
    # signing in
    "tenant-unknown": variables(AZURE_TENANT_ID=NOBODY),
    "operator-unknown": variables(AZURE_CLIENT_ID=NOBODY),
    "operator-secret-wrong": variables(AZURE_CLIENT_SECRET="wrong"),
    "operator-missing": first(
        variables(AZURE_CLIENT_ID="", AZURE_CLIENT_SECRET=""),
        lambda scene: scene.arguments.extend(["--login", "environment"]),
    ),
    "conditional-access": lambda scene: setattr(scene.switches, "conditional_access_blocks", True),
    # rights in the tenant
    "operator-may-not-register": told(without(ALL_APPLICATIONS), "Application.ReadWrite.OwnedBy"),
    "operator-may-not-grant-roles": told(without(GRANT_ROLES), GRANT_ROLES),
    "operator-may-not-grant-scopes": told(without(GRANT_SCOPES), "User.Read"),
    "operator-may-not-grant-anything": without(GRANT_ROLES, GRANT_SCOPES),
    "operator-may-not-read": told(without(*READ), "Organization.Read.All"),
    "operator-may-not-see-organization": told(
        smallest_without("Organization.Read.All"), "Organization.Read.All"
    ),
    "operator-may-not-see-applications": told(
        smallest_without("Application.Read.All"), "Privileged Role Administrator"
    ),
    # Enough for secrets and service principals, and not for creating the application.
    "operator-writes-the-directory-only": told(
        lambda scene: scene.only_roles("Directory.ReadWrite.All", GRANT_ROLES),
        "Application.ReadWrite.OwnedBy",
    ),
    "operator-has-no-rights": told(without(*READ, GRANT_ROLES, GRANT_SCOPES), "Organization.Read.All"),
    "graph-refuses-token": answers(status("graph", 401, body={"error": EXPIRED})),
    # policies of the tenant
    "passwords-forbidden": limit("passwordAddition", None),
    "passwords-forbidden-unreadable": limit("passwordAddition", None, "Policy.Read.All"),
    "lifetime-below-minimum": limit("passwordLifetime", "PT30M"),
    "lifetime-limited-unreadable": limit("passwordLifetime", "P30D", "Policy.Read.All"),
    "service-reference-required": lambda scene: setattr(
        scene.switches, "require_service_management_reference", True
    ),
    "audience-forbidden": answers(
        status("graph", 400, method="POST", path="/applications$", body={"error": AUDIENCE})
    ),
    "quota": lambda scene: setattr(scene.switches, "object_quota", 0),
    # names in the tenant
    "unique-name-of-stranger": lambda scene: scene.stranger(),
    "unique-name-of-other-connection": lambda scene: scene.stranger(tags=OF_OTHERS),
    # the token for authentik
    "token-missing": variables(AUTHENTIK_TOKEN=""),
    "token-wrong": variables(AUTHENTIK_TOKEN="x" * 60),
    "token-of-wrong-intent": lambda scene: scene.token(*PERMISSIONS, intent="app_password"),
    "token-with-line-break": variables(AUTHENTIK_TOKEN="abc def"),
    "token-file-missing": missing("AUTHENTIK_TOKEN", "--authentik-token-file"),
    **{
        f"token-lacks-{name}": lacking(name)
        for name in (
            "view_microsoftentraprovider",
            "add_microsoftentraprovider",
            "view_microsoftentraprovidermapping",
            "view_task",
            "view_application",
            "add_application",
        )
    },
    "token-lacks-change_microsoftentraprovider": first(
        lambda scene: scene.settle(),
        lambda scene: scene.sandbox.world.clock.advance(130 * 86_400),
        lacking("change_microsoftentraprovider"),
    ),
    "token-lacks-change_application": first(
        lambda scene: scene.create("authentik_core.application", name="Theirs", slug="microsoft-entra-id"),
        lacking("change_application"),
    ),
    "token-lacks-view_group": first(lacking("view_group"), setting('filter_group = "Engineering"')),
    # licence, server and objects of authentik
    "licence-missing": lambda scene: scene.licence(None),
    "licence-expired": lambda scene: scene.licence(-1),
    "licence-read-only": answers(status("authentik", 200, path="license/summary", body=READ_ONLY)),
    "provider-name-of-other-kind": first(
        setting('provider_name = "taken"', "OAuth2/OpenID Provider"),
        answers(
            status("authentik", 200, path="/providers/all/", body={"pagination": ONE, "results": [TAKEN]})
        ),
    ),
    "provider-of-other-application": lambda scene: scene.create(
        f"{ENTRA}.microsoftentraprovider",
        name="Microsoft Entra ID",
        client_id=NOBODY,
        client_secret="s",
        tenant_id=scene.sandbox.world.default_tenant_id,
    ),
    "provider-of-other-tenant": first(
        lambda scene: scene.settle(),
        lambda scene: next(iter(scene.sandbox.authentik.state.tables["provider"])).update(tenant_id=NOBODY),
    ),
    "mapping-unknown": setting('user_mappings = ["nobody\'s"]'),
    "group-unknown": setting('filter_group = "nobody\'s"'),
    "server-without-secret-field": answers(
        status("authentik", 200, method="OPTIONS", body={"actions": {"POST": {"name": {"type": "string"}}}}),
        status("authentik", 200, path="/schema/", body={"components": {"schemas": {}}}),
    ),
    "option-unknown-to-server": setting("discovery_enabled = true"),
    # network
    "authentik-host-unknown": variables(AUTHENTIK_URL="https://authentik.invalid"),
    "entra-unreachable": answers({"kind": "refuse", "server": "entra"}),
    "graph-host-unknown": variables(AUTHENTIK_ENTRA_GRAPH_URL="https://graph.invalid"),
    "proxy-page-before-authentik": html("authentik", 200),
    "proxy-refusal-before-authentik": html("authentik", 403),
    "proxy-page-before-graph": html("graph", 200),
    "proxy-page-before-token-service": html("entra", 200),
    "gateway-error-before-authentik": html("authentik", 502),
    "graph-slow-down": answers(status("graph", 429, retry_after=30)),
    "graph-unavailable": answers(status("graph", 503)),
    "authentik-url-http": variables(AUTHENTIK_URL="http://authentik.example.com"),
    "authentik-url-not-an-address": variables(AUTHENTIK_URL="ftp://authentik.example.com"),
    "authentik-url-missing": variables(AUTHENTIK_URL=""),
    "ca-file-missing": missing("AUTHENTIK_ENTRA_CA_FILE"),
    # settings
    "settings-no-toml": setting("this is no toml", "line 2"),
    "settings-key-unknown": setting('colour = "red"', ":2", "colour"),
    "settings-type-wrong": setting('sync_page_size = "many"', ":2", "sync_page_size"),
    "settings-duration-wrong": setting('secret_lifetime = "soon"', ":2", "secret_lifetime"),
    "settings-page-timeout-wrong": setting('sync_page_timeout = "soon"', ":2", "sync_page_timeout"),
    "settings-lifetime-too-short": setting('secret_lifetime = "0.1h"'),
    "settings-tenant-no-guid": setting('tenant_id = "contoso.com"', ":2", "tenant_id"),
    "settings-secret-in-file": setting('authentik_token = "t0ken-in-a-file"', ":2"),
    "settings-permission-unknown": setting('permissions = ["User.Fly.All"]', "User.Fly.All"),
    "settings-file-missing": missing("AUTHENTIK_ENTRA_CONFIG", "--config"),
    "settings-connection-unknown": first(
        setting(""), lambda scene: scene.arguments.extend(["--connection", "elsewhere"])
    ),
    "nobody-to-ask": lambda scene: scene.arguments.append("--no-input"),
    # hostile names
    **{
        f"name-{kind}": setting(f'application_name = "{text}"', ":2", "application_name")
        for kind, text in {
            "control": "a\\u0007\\u001b[31mb",
            "newline": "a\\nb",
            "null": "a\\u0000b",
            "right-to-left": "a\\u202Eb",
            "too-long": "x" * 300,
        }.items()
    },
    "provider-name-control": setting('provider_name = "a\\u001b[2Jb"', ":2", "provider_name"),
    "slug-with-markup": setting('authentik_application_slug = "<b>"', ":2", "authentik_application_slug"),
    "unique-name-with-quote": setting('unique_name = "a\'b"', ":2", "unique_name"),
}


@case("tenant-wrong")
def _(scene: Scene) -> None:
    other = seed_tenant(scene.sandbox.world, display_name="Fabrikam", name="fabrikam")
    scene.setting(f'tenant_id = "{other.tenant_id}"')


@case("operator-secret-expired")
def _(scene: Scene) -> None:
    app = scene.directory.get("application", scene.sandbox.operator.app_object_id)
    app["passwordCredentials"][0]["endDateTime"] = "2024-06-01T00:00:00Z"
    scene.directory.put("application", app["id"], app)


@case("secrets-full")
def _(scene: Scene) -> None:
    scene.settle()
    # Whoever removed our secret made two others, and people with personal accounts can sign in.
    stored = scene.ordeal.application()
    ours = stored["passwordCredentials"][0]
    others = [
        {**ours, "displayName": name, "keyId": str(uuid.uuid5(uuid.NAMESPACE_DNS, name))}
        for name in ("theirs", "terraform")
    ]
    changed = {"signInAudience": "AzureADandPersonalMicrosoftAccount", "passwordCredentials": others}
    scene.directory.put("application", stored["id"], {**stored, **changed})
    scene.says += ["theirs (until ", "terraform (until ", "signInAudience"]


@case("unique-name-of-deleted")
def _(scene: Scene) -> None:
    scene.settle()
    assert scene.ordeal.run("teardown", "--yes").exit == 0
    scene.says += ["--restore", "--purge-deleted"]


@case("token-expired")
def _(scene: Scene) -> None:
    clock = scene.sandbox.world.clock
    scene.token(*PERMISSIONS, expiring=True, expires=clock.now() + timedelta(minutes=1))
    clock.advance(3600)


@case("authentik-certificate-not-trusted")
def _(scene: Scene) -> None:
    context, _ = scene.strange_certificate("127.0.0.1")
    scene.environment["AUTHENTIK_URL"] = scene.served(context, 200, {})


@case("authentik-certificate-of-other-host")
def _(scene: Scene) -> None:
    context, path = scene.strange_certificate("authentik.example.com")
    with Path(path).open("ab") as both:
        both.write(scene.sandbox.ca_file.read_bytes())
    scene.environment["AUTHENTIK_ENTRA_CA_FILE"] = path
    scene.environment["AUTHENTIK_URL"] = scene.served(context, 200, {})


@case("entra-certificate-not-trusted")
def _(scene: Scene) -> None:
    _, scene.environment["AUTHENTIK_ENTRA_CA_FILE"] = scene.strange_certificate("127.0.0.1")


@case("authentik-unreachable")
def _(scene: Scene) -> None:
    scene.environment["AUTHENTIK_URL"] = f"https://127.0.0.1:{free_port()}"


@case("authentik-url-wrong-path")
def _(scene: Scene) -> None:
    scene.environment["AUTHENTIK_URL"] = scene.sandbox.authentik_url + "/somewhere/else"


@case("authentik-url-redirects")
def _(scene: Scene) -> None:
    scene.environment["AUTHENTIK_URL"] = scene.served(
        None, 302, {"Location": "https://login.example.com/start"}
    )
    scene.says.append("login.example.com")


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    from ordeal import Ordeal

    profile = (
        "2025.12" if request.node.callspec.params.get("name") == "option-unknown-to-server" else "2026.5"
    )
    with contextlib.ExitStack() as stack, Sandbox(authentik_profile=profile) as sandbox:
        yield Scene(Ordeal(sandbox), tmp_path, stack)


def test_rows_and_cases_agree() -> None:
    assert set(rows()) == set(CASES)
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", list(CASES))
def test_refusal(name: str, scene: Scene) -> None:
    from ordeal import documented

    row = rows()[name]
    CASES[name](scene)
    arguments = ["bootstrap", *([] if "--no-input" in scene.arguments else ["--yes"]), *scene.arguments]
    if scene.settings is not None:
        path = scene.folder / "settings.toml"
        path.write_text(scene.settings, encoding="utf-8")
        arguments += ["--config", str(path)]
    mark = scene.sandbox.world.log.last_seq
    result = scene.ordeal.run(*arguments, **scene.environment)
    text = result.text
    assert (result.code, result.exit) == (row.code, row.exit), text
    assert result.exit in documented()[row.code]
    assert result.refuses_well() is None, text
    assert "What to do: " in text
    for said in scene.says:
        assert said in text, f"{said!r} is missing in {text}"
    if (
        (line := re.search(r"Request: .*", text))
        and " 4" in line[0]
        and "html" not in name
        and "proxy" not in name
    ):
        assert "request id" in line[0] or "correlation id" in line[0], line[0]
    written = [
        item
        for item in scene.ordeal.ours(mark)
        if item.write and item.status is not None and item.status < 400 and item.fault is None
    ]
    assert (not written) == row.before, written
    for secret in (scene.sandbox.operator.secret, scene.sandbox.authentik.token, "t0ken-in-a-file"):
        assert secret not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text), repr(text)


UNHARMED = [
    "Café ☕ 🚀 «Ω»",
    "a'b\"c",
    "<script>alert(1)</script>",
    "!Env [AUTHENTIK_TOKEN]",
    "%s {0} $HOME `id`",
]


@pytest.mark.parametrize("text", UNHARMED)
def test_strange_names_are_carried_through_unharmed(text: str, scene_free: Ordeal, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    keys = ("application_name", "provider_name", "authentik_application_name")
    path.write_text(
        "[connections.default]\n" + "".join(f'{key} = "{quoted}"\n' for key in keys), encoding="utf-8"
    )
    result = scene_free.run("bootstrap", "--yes", "--config", str(path))
    assert result.exit == 0, result.text
    assert text in result.text
    assert scene_free.application()["displayName"] == text
    tables = scene_free.sandbox.authentik.state.tables
    assert [row["name"] for row in tables["provider"]] == [text]
    assert text in [row["name"] for row in tables["application"]]


def test_a_token_that_only_may_not_look_around_is_no_reason_to_refuse(
    scene_free: Ordeal, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scene(scene_free, tmp_path, stack)
        wanted = [item for item in PERMISSIONS if item.rpartition(".")[2] not in {"view_event", "view_user"}]
        scene.token(*wanted)
        result = scene_free.run("bootstrap", "--yes", **scene.environment)
    assert result.exit == 0, result.text
    assert scene_free.flaws() == []


def test_a_limited_lifetime_is_shortened_and_said(scene_free: Ordeal, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        scene = Scene(scene_free, tmp_path, stack)
        scene.policy({"restrictionType": "passwordLifetime", "state": "enabled", "maxLifetime": "P30D"})
        result = scene_free.run("bootstrap", "--yes")
    assert result.exit == 0, result.text
    assert "shortened by the tenant's policy" in result.text


@pytest.fixture
def scene_free() -> Iterator[Ordeal]:
    from ordeal import Ordeal

    with Sandbox() as sandbox:
        yield Ordeal(sandbox)
