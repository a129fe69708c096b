"""A sandbox with many connections, all due, as a process of its own: ``python -m tests.benchmarks.crowd FOLDER COUNT``.

Writes the settings file of the fleet into the folder and prints the variables that point at the sandbox. Then each line
on its standard input is a question, answered with one line: how many requests of ours came since the last question. It
ends with its input. Applications, service principals and providers are put into the sandbox's stores directly, as a
bootstrap leaves them; the secrets are old enough to be renewed. authentik holds few people: what it provisions after
each change of a provider is not what is measured.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import certifi

from authentik_entra_bootstrap.domain import Network
from authentik_entra_bootstrap.sandbox import Sandbox
from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources.providers import LABEL as PROVIDER
from authentik_entra_bootstrap.sandbox.authentik.state import Record, State
from authentik_entra_bootstrap.sandbox.microsoft.objects import (
    iso,
    new_secret,
    role_assignment,
    service_principal,
)
from authentik_entra_bootstrap.sandbox.microsoft.permissions_table import GRAPH_APP_ID
from authentik_entra_bootstrap.sandbox.microsoft.seed import Operator, seed_tenant
from authentik_entra_bootstrap.sandbox.store import Directory, Object
from tests.doubles.made_before import application_of_ours

AGE = timedelta(days=170)
"""Of the secrets, which live for 180 days: every one is due, and none is past its end."""
TENANTS = 20
ROLES = ("User.ReadWrite.All", "Group.ReadWrite.All", "GroupMember.ReadWrite.All", "Group.Create")


class Crowd:
    """Connections over several tenants of one sandbox.

    :param folder: for the settings file and the operators' secrets.
    """

    def __init__(self, sandbox: Sandbox, folder: Path, tenants: int = TENANTS) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.state: State = sandbox.authentik.state
        self.operators = [sandbox.operator] + [
            seed_tenant(sandbox.world, display_name=f"Tenant {number}", name=f"tenant{number}")
            for number in range(1, tenants)
        ]
        mappings = list(self.state.tables["mapping"])
        self._mappings = [
            [row["pk"] for row in mappings if kind in row["name"]] for kind in ("User", "Group")
        ]
        self._made = sandbox.world.clock.now() - AGE
        self._resources = [self._graph(operator) for operator in self.operators]

    def fill(self, count: int) -> Path:
        """Add connections ``c00000`` and so on, in turns over the tenants; the settings file that names them."""
        lines = ["[defaults]", f'authentik_url = "{self.sandbox.authentik_url}"']
        for number in range(count):
            operator = self.operators[number % len(self.operators)]
            name = f"c{number:05d}"
            self._add(name, operator, self._resources[number % len(self.operators)])
            lines += [
                f"[connections.{name}]",
                f'tenant_id = "{operator.tenant_id}"',
                f'operator_client_id = "{operator.app_id}"',
                f'operator_secret_file = "{self._secret_file(operator)}"',
            ]
        file = self.folder / "fleet.toml"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    def _secret_file(self, operator: Operator) -> Path:
        file = self.folder / f"{operator.tenant_id}.secret"
        if not file.exists():
            file.write_text(operator.secret, encoding="utf-8")
        return file

    def _directory(self, operator: Operator) -> Directory:
        return self.sandbox.world.tenants[operator.tenant_id]

    def _graph(self, operator: Operator) -> Object:
        found = self._directory(operator).find("servicePrincipal", lambda item: item["appId"] == GRAPH_APP_ID)
        assert found is not None, "every seeded tenant has it"
        return found

    def _add(self, name: str, operator: Operator, graph: Object) -> None:
        world, directory = self.sandbox.world, self._directory(operator)
        text, request = new_secret(world), self.state.request_id()
        app = application_of_ours(world, name, self._made, text=text, change=request, domain=operator.domain)
        directory.put("application", app["id"], app, at=self._made)
        principal = service_principal(
            world.guid(), app["appId"], app["displayName"], operator.tenant_id, iso(self._made)
        )
        directory.put("servicePrincipal", principal["id"], principal, at=self._made)
        for role in graph["appRoles"]:
            if role["value"] in ROLES:
                granted = role_assignment(principal, graph, role["id"], iso(self._made))
                directory.put("appRoleAssignment", granted["id"], granted, at=self._made)
        self._add_provider(name, operator, app["appId"], text, request)

    def _add_provider(self, name: str, operator: Operator, client_id: str, secret: str, request: str) -> None:
        """The rows that a bootstrap leaves; without the schedule, which the first change of the provider makes."""
        title, slug = f"Microsoft Entra ID ({name})", f"microsoft-entra-id-{name}"
        model, applications = self.state.models[PROVIDER], self.state.models["authentik_core.application"]
        assigned: Record = {
            "pk": self.state.uuid(),
            **applications.serializer.defaults(),
            "name": title,
            "slug": slug,
            "provider": None,
        }
        assigned["pbm_uuid"] = assigned["pk"]
        applications.table.add(assigned)
        provider: Record = {
            "pk": model.table.next_id(),
            **model.extra,
            **model.serializer.defaults(),
            "name": title,
            "client_id": client_id,
            "client_secret": secret,
            "tenant_id": operator.tenant_id,
            "property_mappings": self._mappings[0],
            "property_mappings_group": self._mappings[1],
            "backchannel_application": assigned["pk"],
        }
        model.table.add(provider)
        event = audit.store(
            self.state,
            action="model_updated",
            app="authentik.events.middleware",
            context={"model": audit.show_model(model, provider), "http_request": {"request_id": request}},
            user={},
            client_ip="127.0.0.1",
        )
        event["created"] = self._made + timedelta(minutes=1)


def variables(sandbox: Sandbox, folder: Path, file: Path) -> dict[str, str]:
    """What points a worker at the sandbox and at its settings; the operators stand in the settings."""
    found = {name: value for name, value in sandbox.environment().items() if not name.startswith("AZURE_")}
    found["AZURE_AUTHORITY_HOST"] = sandbox.entra_url
    # As large as the bundles of real machines are: what it takes to read one is part of the figures.
    bundle = folder / "ca.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + sandbox.world.ca_pem)
    return {**found, "AUTHENTIK_ENTRA_CA_FILE": str(bundle), "AUTHENTIK_ENTRA_CONFIG": str(file)}


def serve(folder: Path, count: int) -> None:
    """Print the variables, answer questions, and end with standard input."""
    with Sandbox(authentik_options={"seed": "recorded"}) as sandbox:
        file = Crowd(sandbox, folder).fill(count)
        say(variables(sandbox, folder, file))
        log, agent = sandbox.world.log, Network().user_agent
        for _ in sys.stdin:
            say(Counter(entry.server for entry in log.since(0, agent)))
            # What was told is forgotten: it would make the sandbox larger and slower with every rotation.
            log.clear()


def say(answer: Mapping[str, object]) -> None:
    """One line of JSON."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Workers are killed in the middle of a request when enough was measured.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
