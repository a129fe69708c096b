"""The identities of rotation: the rotator's plan, outcome and state, and the service account in authentik."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from authentik_entra_bootstrap.config import ENV_PREFIX
from authentik_entra_bootstrap.domain import Cloud, KeyCredential
from authentik_entra_bootstrap.output.documents import (
    Document,
    application_document,
    evidence_document,
    moment,
    values,
)
from authentik_entra_bootstrap.output.terminal import Terminal
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME, renew_key_at
from authentik_entra_bootstrap.rotator.plan import (
    UNIQUE_NAME,
    RotatorPlan,
    RotatorSeen,
    RotatorStep,
    shortcomings,
)
from authentik_entra_bootstrap.workflows.service_account import AccountSeen

if TYPE_CHECKING:
    from authentik_entra_bootstrap.workflows.rotator import RotatorRun


def show_rotator_plan(terminal: Terminal, plan: RotatorPlan, seen: RotatorSeen) -> None:
    """Every step with its reason, and warnings."""
    count = len(plan.changes)
    what = f"{count} step{'s' if count > 1 else ''} to take" if count else "nothing to do"
    terminal.headline("rotator", what, news=bool(count))
    terminal.rows([("tenant", seen.tenant_id)])
    for step in plan.steps:
        what = step.subject if step.action is Action.PROVE else f"{step.target} {step.subject}"
        terminal.action(step.action, what, step.reason)
    terminal.warnings(plan.warnings)


def show_rotator_outcome(
    terminal: Terminal, run: RotatorRun, evidence: Sequence[Evidence], cloud: Cloud
) -> None:
    """The end of a run, and what a worker needs to sign in as the rotator."""
    application, plan = run.seen.application, run.plan
    assert application is not None  # the run made it or found it
    did = "ready" if plan.changes else "up to date, nothing was changed"
    terminal.headline("rotator", did, "bold green", news=bool(plan.changes))
    terminal.evidence(evidence)
    terminal.rows(
        [
            ("application", f"{application.display_name} (client id {application.app_id})"),
            ("", cloud.application_page(application.app_id)),
        ]
    )
    settings = sign_in_settings(run)
    terminal.say("  Commands run as the rotator with these variables, or with the settings of the same name:")
    unsaid = "AZURE_FEDERATED_TOKEN_FILE", "names the file with the workload's own token"
    if plan.federated is None:
        settings = {f"{ENV_PREFIX}{name.upper()}": value for name, value in settings.items()}
        unsaid = (
            f"{ENV_PREFIX}OPERATOR_CERTIFICATE_FILE",
            "is unchanged: the certificate was not replaced",
        )
    for name, value in settings.items():
        terminal.copyable(f"  export {name}={shlex.quote(value)}")
    if unsaid[0] not in settings:
        terminal.copyable(f"  # {' '.join(unsaid)}")


def show_rotator(terminal: Terminal, seen: RotatorSeen, cloud: Cloud, now: datetime) -> None:
    """The rotator as it stands."""
    application, lacks = seen.application, shortcomings(seen, now)
    what = "needs attention" if lacks else "healthy"
    terminal.headline("rotator", what if application else "not created yet", news=bool(lacks))
    terminal.rows([("tenant", seen.tenant_id)])
    if application is not None:
        rows = [
            ("application", f"{application.display_name} (client id {application.app_id})"),
            ("", cloud.application_page(application.app_id)),
            ("permissions", ", ".join(sorted(seen.granted)) or "none"),
        ]
        for key in application.keys:
            dates = f"until {key.end_date_time:%Y-%m-%d}, due from {renew_key_at(key):%Y-%m-%d}"
            rows.append(("certificate", f"{_state(seen, key)}, {dates} (key id {key.key_id})"))
        rows += [("federated", f"{item.name}: {item.subject} of {item.issuer}") for item in seen.federated]
        for connection in seen.connections:
            word = "owned" if connection.owned else "not owned" if connection.application else "none yet"
            rows.append(("connection", f"{connection.connection}: application {word}"))
        known = {item.application.app_id for item in seen.connections if item.application}
        known.add(application.app_id)
        if others := sorted(seen.owned - known):
            rows.append(("also owns", f"{len(others)} applications (client ids {', '.join(others)})"))
        terminal.rows(rows)
    terminal.warnings([f"{text[0].upper()}{text[1:]}." for text in lacks])


def sign_in_settings(run: RotatorRun) -> dict[str, str]:
    """Settings, or for a federated credential variables, with which a worker signs in as the rotator.

    A file is named only if this run signed in with it.
    """
    seen, wanted = run.seen, run.wanted
    app_id = seen.application.app_id if seen.application else ""
    if run.plan.federated is not None:
        variables = {
            "AUTHENTIK_ENTRA_LOGIN": "workload-identity",
            "AZURE_TENANT_ID": seen.tenant_id,
            "AZURE_CLIENT_ID": app_id,
        }
        if wanted.assertion_file is not None:
            variables["AZURE_FEDERATED_TOKEN_FILE"] = str(wanted.assertion_file.absolute())
        return variables
    settings = {"tenant_id": seen.tenant_id, "operator_client_id": app_id}
    if run.plan.key.proves and wanted.key_file is not None:
        settings["operator_certificate_file"] = str(wanted.key_file.absolute())
    return settings


def rotator_document(seen: RotatorSeen, cloud: Cloud, now: datetime) -> Document:
    """The keys ``tenant_id``, ``rotator``, ``connections``, ``shortcomings``."""
    application, principal = seen.application, seen.principal
    return {
        "tenant_id": seen.tenant_id,
        "rotator": None
        if application is None
        else {
            "unique_name": UNIQUE_NAME,
            **application_document(application, cloud),
            "service_principal_object_id": principal.service_principal_object_id if principal else None,
            "permissions": sorted(seen.granted),
            "certificates": [
                {
                    "key_id": key.key_id,
                    "ours": key.display_name == KEY_NAME,
                    "state": _state(seen, key),
                    "start": moment(key.start_date_time),
                    "end": moment(key.end_date_time),
                    "renew_at": moment(renew_key_at(key)),
                }
                for key in application.keys
            ],
            "federated_credentials": [
                values(item, "name", "issuer", "subject", "audience") for item in seen.federated
            ],
            "owned_applications": sorted(seen.owned),
        },
        "connections": [
            {
                "connection": item.connection,
                "app_id": item.application.app_id if item.application else None,
                "owned": item.owned,
            }
            for item in seen.connections
        ],
        "shortcomings": list(shortcomings(seen, now)),
    }


def rotator_outcome_document(
    run: RotatorRun, evidence: Sequence[Evidence], cloud: Cloud, now: datetime
) -> Document:
    """The rotator after a run, the changes, the proof, and how a worker signs in."""
    return {
        **rotator_document(run.seen, cloud, now),
        "changed": [values(step, "action", "target", "subject", "reason") for step in run.plan.changes],
        "warnings": list(run.plan.warnings),
        "evidence": evidence_document(evidence),
        "sign_in": sign_in_settings(run),
    }


def _state(seen: RotatorSeen, key: KeyCredential) -> str:
    tags = seen.tags
    if tags.current and key.key_id == tags.current.key_id:
        return "current"
    if tags.pending and key.key_id == tags.pending.key_id:
        return "pending"
    return "previous" if any(item.key_id == key.key_id for item in tags.previous) else "unknown"


# --- the service account in authentik


def show_account_plan(
    say: Callable[[str, str], None], seen: AccountSeen, steps: Sequence[RotatorStep]
) -> None:
    """What will be made, and the permissions of the role.

    :param say: takes a line and its style.
    """
    what = f"{len(steps)} to create" if steps else "already there; only the token's key is read"
    say(f"service account for {seen.purpose}: {what}", "bold")
    for step in steps:
        say(f"  + {step.target} {step.subject} ({step.reason})", "green")
    say("  permissions of its role:", "dim")
    for name in seen.needed:
        say(f"    {name}", "dim")


def account_document(
    seen: AccountSeen, steps: Sequence[RotatorStep], evidence: Sequence[Evidence], file: Path
) -> Document:
    """What was made, without the key."""
    return {
        "purpose": seen.purpose,
        "role": seen.names.role,
        "account": seen.names.account,
        "permissions": list(seen.needed),
        "made": [values(step, "target", "subject", "reason") for step in steps],
        "key_file": str(file),
        "evidence": evidence_document(evidence),
    }
