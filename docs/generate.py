"""Writes the parts of the reference that come from the code; ``--check`` only says whether they are up to date."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import architecture_picture
import click
import deploy_files
import error_scan
import manpage
import rotation_picture
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from authentik_entra_bootstrap.cli import cli
from authentik_entra_bootstrap.config import ENV_PREFIX, FOREIGN_VARIABLES
from authentik_entra_bootstrap.config.connection import ConnectionSettings
from authentik_entra_bootstrap.config.worker import WorkerSettings
from authentik_entra_bootstrap.domain import MaintenanceWindow
from authentik_entra_bootstrap.entra.token_errors import NUMBERS, OF_SYNC_IDENTITY
from authentik_entra_bootstrap.errors import ExitCode
from authentik_entra_bootstrap.sandbox import Switches

DOCS = Path(__file__).resolve().parent
REFERENCE = DOCS / "reference"
WIDTH = 100

EXIT_CODES: Mapping[ExitCode, str] = {
    ExitCode.DONE: "Done, healthy, or nothing to do.",
    ExitCode.UNEXPECTED: "Unexpected: an undocumented answer of a service, a bug in this program, or output that cannot be written "
    "(full disk, closed pipe).",
    ExitCode.CHANGES_PENDING: "Changes are pending (`plan`, `rotate --dry-run`), or a check found something (`status --check`, "
    "`rotator show --check`, `schedule --check`). No failure.",
    ExitCode.USAGE: "Wrong arguments, settings, variables or files, or a name in them that a service does not know.",
    ExitCode.DENIED: "Signing in failed, or a permission is missing.",
    ExitCode.ADMIN_ACTION: "An administrator has to act: consent, licence, tenant policy, or a name that is taken.",
    ExitCode.VERIFICATION_FAILED: "A proof failed. No secret was removed because of it.",
    ExitCode.TEMPORARY: "Temporary: throttled, not reachable, or not replicated in time. Run the same command again.",
    ExitCode.INTERRUPTED: "Interrupted (Ctrl-C). Run the same command again; it continues.",
}

MEANINGS: Mapping[str, str] = {
    "tenant_id": "Directory (tenant) ID, a GUID. If missing: `AZURE_TENANT_ID`, or else the tenant that the operator signs in to.",
    "cloud": "Microsoft cloud; sets the addresses of token service, Microsoft Graph and portal.",
    "authority": "Origin of the token service, instead of the cloud's.",
    "graph_url": "Origin of Microsoft Graph, instead of the cloud's.",
    "portal_url": "Origin of the portal in the addresses that are printed, instead of the cloud's.",
    "login": "How the operator signs in. `default` is azure-identity's DefaultAzureCredential, which tries the "
    "environment, workload identity, managed identity and Azure CLI, among others.",
    "operator_client_id": "Client id of the operator's application, for connections in different tenants. Needs `tenant_id` "
    "and one of the two files below. If missing: `login` decides.",
    "operator_secret_file": "File that holds that application's client secret.",
    "operator_certificate_file": "PEM or PKCS12 file with that application's certificate and private key; better than a secret.",
    "operator_certificate_password_file": "File that holds the password of that private key, if it has one.",
    "authentik_url": "Address of authentik, as in the browser. Required. `http://` only to this machine, unless "
    "`allow_plain_http` is set.",
    "allow_plain_http": "Whether `http://` to another machine is accepted. API token and client secret then travel "
    "unencrypted; only for a private network, such as that of authentik's own containers (`http://server:9000`).",
    "authentik_token": "API token of authentik, with the intent API. By environment only; never in the file, never a flag.",
    "authentik_token_file": "File that holds the token. Used if `authentik_token` is not set.",
    "ca_file": "PEM file with the certificate authorities to trust, instead of the system's: for both services, broker and leases.",
    "proxy": "HTTP proxy for both services, without credentials. If missing: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, "
    "`NO_PROXY`.",
    "timeout": "Multiplies every time limit: 2 waits twice as long. At most 20.",
    "application_name": "Display name of the application in Entra ID.",
    "unique_name": "`uniqueName` of the application, by which every later run finds it. Another name means another "
    "application.",
    "service_management_reference": "Sent with the application; some tenants demand it.",
    "permissions": "Microsoft Graph permissions of the sync identity, by name: application permissions, or else "
    "delegated ones. Other permissions of the application are kept.",
    "secret_lifetime": "Requested lifetime of a client secret, from one hour to two years. A policy of the tenant may "
    "shorten it.",
    "overlap": "How long a replaced secret stays in Entra ID; at most a sixth of `secret_lifetime`.",
    "renew_before": "How long before its expiry a client secret is replaced; at most two thirds of `secret_lifetime`. If "
    "missing: two thirds into the granted lifetime, and up to a twentieth of it sooner, so that connections spread.",
    "maintenance_window": "When client secrets are replaced, like `sat,sun 02:00-05:00 Europe/Berlin` or "
    "`22:00-04:00 UTC`. Ignored if the secret would expire before the next window.",
    "provider_name": "Name of the provider in authentik; unique among all its providers.",
    "authentik_application_name": "Name of the application in authentik.",
    "authentik_application_slug": "Slug of the application in authentik.",
    "user_mappings": "Names of property mappings for users. If missing: unchanged; at creation authentik's default one.",
    "group_mappings": "Names of property mappings for groups. If missing: unchanged; at creation authentik's default one.",
    "filter_group": 'Name of a group: only its direct members are provisioned. `""` means all users. Groups are never '
    "filtered. If missing: unchanged; at creation no filter.",
    "exclude_service_accounts": "Whether service accounts are not provisioned. If missing: unchanged; at creation `false`.",
    "user_delete_action": "What authentik does in the tenant with a user that is deleted in authentik. If missing: unchanged; "
    "at creation `delete`.",
    "group_delete_action": "The same for groups. authentik cannot suspend a group, so `suspend` is refused. If missing: "
    "unchanged; at creation `delete`.",
    "sync_page_size": "Objects on one page of authentik's sync. If missing: authentik's default.",
    "sync_page_timeout": "Time limit for one page, in authentik's format: `minutes=30`. If missing: authentik's default.",
    "discovery_enabled": "Whether authentik links objects that it finds in the tenant. authentik 2026.8 or newer.",
    "dry_run_sync": "authentik's own dry run: its syncs sign in and read, and write nothing to the tenant. If missing: "
    "unchanged; at creation `false`.",
}

WORKER_MEANINGS: Mapping[str, str] = {
    "state_dir": "Folder for embedded broker, schedule and lock files; only its user may write to it. "
    "If missing: `authentik-entra` in `XDG_STATE_HOME`, else in `~/.local/state`.",
    "broker_url": "Celery's broker: `redis://…`, `rediss://…`, `amqp://…`, `amqps://…`. If missing: files in `state_dir`. "
    "With a password: by environment only.",
    "broker_url_file": "File that holds the broker's address. Used if `broker_url` is not set.",
    "lease_url": "Where the leases are: `file:///folder`, `redis://…`, `rediss://…`, `postgresql://…`, or `none`. If "
    "missing: the broker if it is Redis, else files in `state_dir`. With a password: by environment only.",
    "lease_url_file": "File that holds that address. Used if `lease_url` is not set.",
    "sweep_interval": "Time between two sweeps. Half of the shortest `overlap` if that is less.",
    "verify_interval": "Time between two verifications of a connection.",
    "concurrency": "Processes for tasks, unless `celery worker -c` sets another number.",
    "rotations_per_sweep": "Rotations that one sweep starts for one tenant, the soonest to expire first. At most 10,000.",
    "ca_file": "PEM file with the authorities to trust for broker and leases. If missing: `ca_file` of `[defaults]`.",
    "metrics_port": "Port for Prometheus; none if it is not set. Needs the extra `metrics`.",
    "metrics_address": "Address of that port; `0.0.0.0` in a container.",
}


# --- command line


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command with its name as typed."""
    context = click.Context(cli, info_name="authentik-entra")
    yield "authentik-entra", cli
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None  # the group lists what it has
        yield f"authentik-entra {name}", command
        if isinstance(command, click.Group):
            yield from ((f"authentik-entra {name} {inner}", it) for inner, it in command.commands.items())


def commands_page() -> str:
    """The page with every ``--help``."""
    head = (
        "# Commands\n\n"
        "The output of each command's `--help`. See also [settings](settings.md) and [exit codes](exit-codes.md).\n"
    )
    parts = [head]
    for name, command in commands():
        context = click.Context(
            command, info_name=name, terminal_width=WIDTH, help_option_names=["-h", "--help"]
        )
        parts.append(f"## {name}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


# --- settings


def setting_names() -> list[str]:
    """Settings that a person can set; the connection's name is its table in the file."""
    return [name for name in ConnectionSettings.model_fields if name != "name"]


def settings_table() -> str:
    """One row for each setting: its name, flag and variables of other tools; its values and default; its meaning."""
    flags = _flags()
    rows = ["| setting | value | meaning |", "|---|---|---|"]
    for key in setting_names():
        names = [key, *([flags[key]] if key in flags else []), *_variables(key)[1:]]
        rows.append(_row(names, ConnectionSettings.model_fields[key], key, MEANINGS))
    return "\n".join(rows)


def worker_table() -> str:
    """One row for each setting of the worker and the leases."""
    rows = ["| setting | value | meaning |", "|---|---|---|"]
    rows += [_row([key], field, key, WORKER_MEANINGS) for key, field in WorkerSettings.model_fields.items()]
    return "\n".join(rows)


def _row(names: list[str], field: FieldInfo, key: str, meanings: Mapping[str, str]) -> str:
    default = _default(key, field)
    value = f"{_value(field)}<br>default {default}" if default else _value(field)
    return f"| {'<br>'.join(f'`{name}`' for name in names)} | {value} | {meanings[key]} |"


def _variables(key: str) -> list[str]:
    """The environment variables of one setting."""
    foreign = [variable for variable, name in FOREIGN_VARIABLES.items() if name == key]
    return [
        f"{ENV_PREFIX}{key.upper()}",
        *foreign,
        *(["AZURE_TENANT_ID"] if key == "tenant_id" else []),
    ]


def _flags() -> dict[str, str]:
    found: dict[str, str] = {}
    for _, command in commands():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and parameter.name in ConnectionSettings.model_fields:
                found[parameter.name] = max(parameter.opts, key=len)
    return found


def _value(field: FieldInfo) -> str:
    hint: Any = field.annotation
    if get_origin(hint) in {types.UnionType, Union}:
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is Literal:
        return ", ".join(f"`{option}`" for option in get_args(hint))
    if hint is SecretStr:
        return "secret"
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint is timedelta:
        return "duration"
    if hint is MaintenanceWindow:
        return "days and hours"
    if get_origin(hint) is tuple:
        return "list of names"
    return {"str": "text", "bool": "true or false", "int": "number", "float": "number", "Path": "file"}[
        hint.__name__
    ]


def _default(key: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if value == "":
        one = getattr(ConnectionSettings().desired(), key)
        other = getattr(ConnectionSettings(name="NAME").desired(), key)
        return f"`{one}`; with a connection's name `{other}`" if one != other else f"`{one}`"
    if isinstance(value, timedelta):
        days, rest = divmod(value, timedelta(days=1))
        if value < timedelta(hours=1):
            return f"`{value // timedelta(minutes=1)}m`"
        return f"`{days}d`" if not rest and days > 1 else f"`{value // timedelta(hours=1)}h`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


# --- sandbox


def switches_table() -> str:
    """One row for each switch, its meaning from the string below the field."""
    tree = ast.parse(inspect.getsource(Switches)).body[0]
    assert isinstance(tree, ast.ClassDef)  # it is a class
    flags = {
        option.name: max(option.opts, key=len)
        for option in dict(commands())["authentik-entra sandbox"].params
        if isinstance(option, click.Option)
    }
    rows = ["| switch | flag | default | meaning |", "|---|---|---|---|"]
    for node, after in pairwise([*tree.body, ast.Pass()]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            text = after.value if isinstance(after, ast.Expr) else None
            meaning = (
                " ".join(str(text.value).split()).replace("``", "`") if isinstance(text, ast.Constant) else ""
            )
            flag = f"`{flags[name]}`" if name in flags else ""
            default = json.dumps(getattr(Switches(), name))
            rows.append(f"| `{name}` | {flag} | `{default}` | {meaning.replace('|', '&#124;')} |")
    return "\n".join(rows)


# --- errors


def errors_page(page: str) -> str:
    """The page of errors with the exit code in each entry.

    :raises LookupError: for codes without an entry, and entries without a code.
    """
    codes = error_scan.error_codes()
    entries = re.findall(r"^### (\S+)$", page, flags=re.MULTILINE)
    missing, stale = sorted(set(codes) - set(entries)), sorted(set(entries) - set(codes))
    if missing or stale or len(entries) != len(set(entries)):
        raise LookupError(f"errors.md: missing {missing}, stale {stale}; each code has one entry")

    def entry(match: re.Match[str]) -> str:
        exits = " or ".join(str(code) for code in sorted(codes[match[1]]))
        return f"### {match[1]}\n\nExit code {exits}.\n"

    return re.sub(r"^### (\S+)\n\n(?:Exit code \d+(?: or \d+)*\.\s)?", entry, page, flags=re.MULTILINE)


def sign_in_table() -> str:
    """One row for each error with the numbers behind AADSTS that mean it, by who signs in."""
    rows = ["| number | when the operator signs in | when the sync identity signs in |", "|---|---|---|"]
    for code, numbers in sorted(NUMBERS.items()):
        other = OF_SYNC_IDENTITY.get(code, code)
        links = [f"[{code}](#{code})", "the same" if other == code else f"[{other}](#{other})"]
        rows.append(f"| {', '.join(map(str, sorted(numbers)))} | {' | '.join(links)} |")
    return "\n".join(rows)


def exit_codes_table() -> str:
    """One row for each exit code."""
    rows = ["| code | meaning |", "|---|---|"]
    return "\n".join([*rows, *(f"| {int(code)} | {EXIT_CODES[code]} |" for code in ExitCode)])


# --- manual page


def manual() -> str:
    """The manual page of section 1."""
    variables = {", ".join(_variables(key)): MEANINGS[key] for key in setting_names()}
    return manpage.manual(commands(), variables, {int(code): EXIT_CODES[code] for code in ExitCode})


# --- pages


def bootstrap_output() -> str:
    """What a first bootstrap prints once it has the plan's consent, as the tests saw it, up to the next steps."""
    story = (DOCS.parent / "tests" / "golden" / "piped.txt").read_text(encoding="utf-8")
    command = "$ authentik-entra bootstrap --yes\n"
    out, _, err = story.split(command, 1)[1].split("\n(exit code", 1)[0].partition("\n2> ")
    done = [line.removeprefix("2> ") for line in err.splitlines() if "Done: " in line]
    proven = out[out.index("default: working and proven") :].split("\n(->)", 1)[0]
    return "```text\n" + command + "\n".join([*done, proven]) + "\n```"


def pages() -> dict[Path, str]:
    """Every page with generated parts, as it should be."""
    tables = (
        (REFERENCE / "settings.md", "settings", settings_table()),
        (REFERENCE / "settings.md", "worker settings", worker_table()),
        (REFERENCE / "exit-codes.md", "exit codes", exit_codes_table()),
        (REFERENCE / "sandbox.md", "switches", switches_table()),
        (REFERENCE / "errors.md", "aadsts", sign_in_table()),
        (DOCS.parent / "README.md", "bootstrap", bootstrap_output()),
    )
    wanted = {REFERENCE / "commands.md": commands_page(), REFERENCE / "authentik-entra.1": manual()}
    for path, name, table in tables:
        wanted[path] = _filled(wanted.get(path) or path.read_text(encoding="utf-8"), name, table)
    wanted[DOCS / "architecture.svg"] = architecture_picture.architecture_svg()
    wanted[DOCS / "explanation" / "rotation.svg"] = rotation_picture.rotation_svg()
    wanted |= deploy_files.deploy_files()
    wanted[REFERENCE / "errors.md"] = errors_page(wanted[REFERENCE / "errors.md"])
    return wanted


def _filled(page: str, name: str, table: str) -> str:
    begin, end = f"<!-- begin generated: {name} -->", f"<!-- end generated: {name} -->"
    filled, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n{table}\n{end}",
        page,
        flags=re.DOTALL,
    )
    if count != 1:
        raise LookupError(f"the page has {count} places for the generated part {name!r}, one is wanted")
    return filled


def main() -> int:
    """Write what differs; with ``--check`` write nothing and return 1 when something differs."""
    check = "--check" in sys.argv[1:]
    differing = [
        (path, text)
        for path, text in pages().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in differing:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        click.echo(f"{'differs' if check else 'written'}: {path.relative_to(DOCS.parent)}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
