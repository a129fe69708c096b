"""Run by a process of its own: calls everything that one authentik-client offers for the sandbox's endpoints.

Standard input: ``{"library", "url", "token", "ca", "lazy", "offered": [[method, pattern]]}``; standard
output: ``{"version", "called": [...], "problems": [...]}``. The client's typed methods are used throughout: they
build strict models of every request and every reply.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

ORDER = json.load(sys.stdin)
if ORDER["library"]:
    sys.path.insert(0, ORDER["library"])

if ORDER["lazy"]:
    import_module("authentik_entra_bootstrap.authentik")  # which leaves the client's packages bare

import authentik_client
import authentik_client.models
from authentik_client.exceptions import ApiException
from pydantic import ValidationError


def import_when_named(package: ModuleType) -> None:
    """Each name of a package from the module that its source names: all of them at once take eight seconds."""
    source = Path(str(package.__file__)).read_text(encoding="utf-8")
    places = {name: module for module, name in re.findall(r"^from (\S+) import (\w+)", source, re.MULTILINE)}
    usual = package.__getattr__

    def find(name: str) -> object:
        return getattr(import_module(places[name]), name) if name in places else usual(name)

    package.__getattr__ = find  # PEP 562


if ORDER["lazy"]:
    import_when_named(authentik_client)
    import_when_named(authentik_client.models)

NOTHING = "00000000-0000-4000-8000-000000000000"
OF_OBJECTS = {"rel_obj_id__isnull": False}
"""Real servers leave two fields out of tasks without an object, and all versions of the client fail on those."""
NEVER_NULL = {
    # of an application that has only backchannel providers, and of those providers (until 2026.5)
    *("provider_obj", "authorization_flow", "invalidation_flow"),
    # of a binding, which names one of the three; of a rule without a group (until 2026.2)
    *("policy_obj", "group_obj", "user_obj", "destination_group_obj"),
}
"""What real servers leave empty, though the clients of some releases expect it always."""
LICENCE = "e30.eyJleHAiOjQxMDI0NDQ4MDAsIm5hbWUiOiJjbGllbnRzIn0.c2lnbmF0dXJl"
"""A licence key: a JWT with an expiry and a name."""
SIGNATURE = re.compile(
    r"    def (?P<name>\w+)\(\n        self,\n(?P<parameters>.*?)        _request_timeout"
    r".*?    def _(?P=name)_serialize\((?P<body>.*?)method='(?P<method>\w+)',\s+resource_path='(?P<path>[^']+)'",
    re.DOTALL,
)
PARAMETER = re.compile(r"^        (\w+): (.*),$", re.MULTILINE)
TYPE = re.compile(r":type (\w+): (\w+)$", re.MULTILINE)


class Operation:
    """One method of the generated client, as its source tells it."""

    def __init__(self, group: str, match: re.Match[str]) -> None:
        self.group, self.name = group, match["name"]
        self.method, self.path = match["method"], match["path"]
        documented = dict(TYPE.findall(match[0]))
        self.parameters = {
            name: kind.replace("[Any]", f"[{documented.get(name, 'Any')}]")
            for name, kind in PARAMETER.findall(match["parameters"])
        }
        found = re.search(r"_body_params = (\w+)", match["body"])
        self.body = found[1] if found else None
        self.in_path = re.findall(r"\{(\w+)\}", self.path)
        self.key = (self.method, re.sub(r"\{\w+\}", "{lookup}", self.path).strip("/"))

    def model(self, values: dict[str, Any]) -> Any:
        """The request's model, of strictly checked values."""
        name = re.sub(r"^Optional\[(.*)\]$", r"\1", self.parameters[self.body].partition(" = ")[0])
        return getattr(authentik_client, name)(**values)


def operations() -> dict[tuple[str, str], Operation]:
    folder = Path(authentik_client.__file__).parent / "api"
    found = {}
    for file in sorted(folder.glob("*_api.py")):
        source = file.read_text(encoding="utf-8")
        group = re.search(r"^class (\w+Api):", source, re.MULTILINE)
        for match in SIGNATURE.finditer(source):
            operation = Operation(group[1], match)
            found[operation.key] = operation
    return found


def lost(sent: Any, read: Any, where: str = "") -> list[str]:
    """What the reply holds and the model does not."""
    if isinstance(sent, dict) and isinstance(read, dict):
        return [
            text
            for name, value in sent.items()
            for text in (
                lost(value, read[name], f"{where}.{name}")
                if name in read
                else ([] if value is None else [f"{where}.{name} is unknown to the client"])
            )
        ]
    if isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        pairs = zip(sent, read, strict=True)
        return [text for number, pair in enumerate(pairs) for text in lost(*pair, f"{where}[{number}]")]
    if isinstance(read, datetime):
        return [] if datetime.fromisoformat(sent) == read else [f"{where}: {sent!r} became {read!r}"]
    if isinstance(read, UUID):
        read = str(read)
    return [] if sent == read else [f"{where}: {sent!r} became {read!r}"]


def plain(data: Any) -> Any:
    if hasattr(data, "model_dump"):
        return data.model_dump(by_alias=True)  # its own to_dict() leaves out what a client may not write
    return [plain(item) for item in data] if isinstance(data, list) else data


def known_limit(error: Exception) -> bool:
    """Whether the client refuses what real servers of its release say, too."""
    if not isinstance(error, ValidationError):
        return False
    return all(item["input"] is None and item["loc"][-1] in NEVER_NULL for item in error.errors())


class Caller:
    def __init__(self) -> None:
        configuration = authentik_client.Configuration(
            host=f"{ORDER['url']}/api/v3", access_token=ORDER["token"], ssl_ca_cert=ORDER["ca"]
        )
        self.client = authentik_client.ApiClient(configuration)
        self.last: bytes | None = None
        deserialize = self.client.response_deserialize

        def remembering(response_data: Any, response_types_map: Any = None) -> Any:
            self.last = response_data.data
            return deserialize(response_data, response_types_map)

        self.client.response_deserialize = remembering
        self.operations = operations()
        self.called: set[tuple[str, str]] = set()
        self.made: list[tuple[str, Any]] = []
        self.problems: list[str] = []

    def __call__(self, method: str, path: str, /, *keys: Any, body: Any = None, **query: Any) -> Any:
        """Call by method and address (``{}`` for each key); the reply's JSON, ``None`` when refused."""
        operation = self.operations[method, path.replace("{}", "{lookup}").strip("/")]
        arguments = dict(zip(operation.in_path, keys, strict=True)) | query
        try:
            if body is not None:
                arguments[operation.body] = operation.model(body) if isinstance(body, dict) else body
            group = getattr(authentik_client, operation.group)(self.client)
            answer = getattr(group, f"{operation.name}_with_http_info")(**arguments)
        except ApiException as error:
            self.called.add(operation.key)
            if query and error.status == 400 and json.loads(error.body):
                return None  # a filter that does not take this value, and says so
            self.problems.append(f"{method} {path} {keys} {query}: {error.status} {str(error.body)[:300]}")
            return None
        except Exception as error:  # whatever the models find wrong is a finding
            self.called.add(operation.key)
            if known_limit(error) and self.last:
                return json.loads(self.last)
            self.problems.append(
                f"{method} {path} {keys} {query}: {type(error).__name__}: {str(error)[:600]}"
            )
            return None
        self.called.add(operation.key)
        if not answer.raw_data or answer.data is None:
            return None
        if path == "/schema/":
            return answer.data
        sent = json.loads(answer.raw_data)
        self.problems += [f"{method} {path}: {text}" for text in lost(sent, plain(answer.data))]
        return sent

    def offers(self, method: str, path: str) -> bool:
        key = method, path.replace("{}", "{lookup}").strip("/")
        return key in self.operations and list(key) in ORDER["offered"]

    def life(self, path: str, body: dict[str, Any], change: dict[str, Any] | None = None) -> Any:
        """Create, read, replace, change; returns the object's key. It is deleted at the end."""
        made = self("POST", path, body=body)
        assert made is not None, (path, self.problems)
        item = f"{path}{{}}/"
        operation = self.operations["GET", item.replace("{}", "{lookup}").strip("/")]
        key = made.get(operation.in_path[0], made.get("pk"))
        self("GET", item, key)
        for method, values in (("PUT", body), ("PATCH", change or {})):
            if self.offers(method, item):
                self(method, item, key, body=values)
        if self.offers("GET", f"{item}used_by/"):
            self("GET", f"{item}used_by/", key)
        self.made.append((item, key))
        return key

    def ends(self) -> None:
        """Delete what was made, the newest first."""
        for item, key in reversed(self.made):
            self("DELETE", item, key)

    def lists(self) -> None:
        """Every list and every other address without a key, with each of its query parameters."""
        for operation in self.operations.values():
            if operation.method != "GET" or operation.in_path or list(operation.key) not in ORDER["offered"]:
                continue
            path = operation.path
            needed = {
                name: value_of(name, kind)
                for name, kind in operation.parameters.items()
                if "None" not in kind
            }
            needed |= {name: value for name, value in OF_OBJECTS.items() if name in operation.parameters}
            self("GET", path, **needed)
            for name, kind in operation.parameters.items():
                if name not in needed and path != "/schema/":
                    self("GET", path, **needed, **{name: value_of(name, kind)})


def value_of(name: str, kind: str) -> Any:
    """A value that the client's own check of this parameter accepts."""
    simple = {
        "ordering": "-pk",
        "page": 1,
        "page_size": 2,
        "model": "authentik_core.application",
        "lang": "en",
    }
    if name in simple:
        return simple[name]
    if "datetime" in kind:
        return datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    value: Any = "a"
    if "StrictBool" in kind:
        value = True
    elif "UUID" in kind:
        value = UUID(NOTHING)
    elif "StrictInt" in kind or "int" in kind.split("=", maxsplit=1)[0].rsplit("[", maxsplit=1)[-1]:
        value = 1
    elif enum := re.search(r"\[([A-Z]\w+)\]+(?: = |,|$)", kind):
        members = getattr(authentik_client, enum[1], None)
        value = next(iter(members)) if isinstance(members, type) else value
    return [value] if "List[" in kind else value


def story(call: Caller) -> None:
    """The objects, in the order in which they need each other."""
    group = call.life("/core/groups/", {"name": "clients", "attributes": {"a": [1]}}, {"name": "clients 2"})
    role = call.life("/rbac/roles/", {"name": "clients"}, {"name": "clients 2"})
    person = {"username": "client", "name": "Client", "groups": [group], "roles": [role], "email": "c@a.com"}
    user = call.life("/core/users/", person, {"name": "Client 2", "attributes": {"x": None}})
    robot = {"name": "robot", "create_group": True, "expiring": False}
    call("POST", "/core/users/service_account/", body=robot)
    call("POST", "/core/groups/{}/add_user/", group, body={"pk": user})
    call("POST", "/core/groups/{}/remove_user/", group, body={"pk": user})
    grants = {"permissions": ["authentik_core.view_application", "authentik_tasks.view_task"]}
    call("POST", "/rbac/permissions/assigned_by_roles/{}/assign/", role, body=grants)
    call("PATCH", "/rbac/permissions/assigned_by_roles/{}/unassign/", role, body=grants)
    call("GET", "/rbac/permissions/{}/", call("GET", "/rbac/permissions/", page_size=1)["results"][0]["id"])
    api_token = {"identifier": "client", "user": user, "intent": "api", "expiring": False}
    token = call.life("/core/tokens/", api_token, {"description": "of a test"})
    call("GET", "/core/tokens/{}/view_key/", token)

    mappings, every = "/propertymappings/provider/microsoft_entra/", "/propertymappings/all/{}/"
    mapping = call.life(mappings, {"name": "clients", "expression": "return {}"}, {"name": "clients 2"})
    call("GET", every, mapping)
    somebody = {"user": user, "context": {"connection": None}}
    tried = call("POST", f"{every}test/", mapping, body=somebody)
    assert tried == {"result": "{}", "successful": True}
    call("DELETE", every, call("POST", mappings, body={"name": "x", "expression": "x"})["pk"])
    entra = {
        "name": "clients",
        "client_id": "c",
        "client_secret": "made-up",
        "tenant_id": "t",
        "property_mappings": [mapping],
        "filter_group": group,
        "user_delete_action": "do_nothing",
        "group_delete_action": "suspend",
        "dry_run": True,
    }
    providers = "/providers/microsoft_entra/"
    provider = call.life(providers, entra, {"client_secret": "another"})
    call("GET", f"{providers}{{}}/sync/status/", provider)
    missing = {"sync_object_model": "authentik.core.models.User", "sync_object_id": "999999"}
    call("POST", f"{providers}{{}}/sync/object/", provider, body=missing)
    call("GET", "/providers/all/{}/", provider)
    call("DELETE", "/providers/all/{}/", call("POST", providers, body=entra | {"name": "other"})["pk"])
    for kind, key in (("user", user), ("group", group)):
        link = {"microsoft_id": kind, kind: key, "provider": provider}
        call.life(f"/providers/microsoft_entra_{kind}s/", link)
    app = {"name": "Clients", "slug": "clients", "policy_engine_mode": "any"}
    call.life("/core/applications/", app, {"meta_publisher": "Tests", "group": "tests"})

    empty = {"name": "clients", "content": "version: 1\nentries: []\n"}
    stored = {**empty, "context": {"a": 1}, "enabled": True}
    blueprint = call.life("/managed/blueprints/", stored, {"enabled": False, **empty})
    call("POST", "/managed/blueprints/{}/apply/", blueprint)
    if call.offers("POST", "/managed/blueprints/import/"):
        call("POST", "/managed/blueprints/import/", file=("b.yaml", empty["content"].encode()))

    policy = call.life("/policies/expression/", {"name": "clients", "expression": "return True"})
    transport = call.life("/events/transports/", {"name": "clients", "mode": "local"}, {"send_once": True})
    alert = {"name": "clients", "transports": [transport], "severity": "alert", "destination_group": group}
    rule = call.life("/events/rules/", alert, {"severity": "notice"})
    call.life("/policies/bindings/", {"policy": policy, "target": rule, "order": 0}, {"order": 1})
    event = {"action": "secret_rotate", "app": "clients", "context": {"a": {"b": [1, None]}}}
    call.life("/events/events/", event)

    task = call("GET", "/tasks/tasks/", ordering="-mtime", **OF_OBJECTS)["results"][0]
    call("GET", "/tasks/tasks/{}/", task["message_id"])
    schedule = call("GET", "/tasks/schedules/", **OF_OBJECTS)["results"][0]
    call("GET", "/tasks/schedules/{}/", schedule["id"])
    call("POST", "/tasks/schedules/{}/send/", schedule["id"])
    call.life("/enterprise/license/", {"key": LICENCE})
    call.ends()


def main() -> None:
    call = Caller()
    try:
        story(call)
    except Exception as error:  # the report tells what was called before
        call.problems.append(f"the story ended: {type(error).__name__}: {error}")
    call.lists()
    wanted = {tuple(item) for item in ORDER["offered"]} & set(call.operations)
    report = {
        "version": authentik_client.__version__,
        "called": len(call.called),
        "missed": sorted(" ".join(key) for key in wanted - call.called),
        "unknown": sorted(" ".join(item) for item in ORDER["offered"] if tuple(item) not in call.operations),
        "problems": call.problems,
    }
    json.dump(report, sys.stdout)


main()
