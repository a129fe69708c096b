"""``authentik-entra sandbox``: the embedded services left running, and the options that ``demo`` shares."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.cli.options import output_option, span
from authentik_entra_bootstrap.cli.runner import SANDBOX
from authentik_entra_bootstrap.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox import Sandbox, Switches

PEOPLE_ONLY = {"AUTHENTIK_ENTRA_EXCLUDE_SERVICE_ACCOUNTS": "true"}
"""A service account has no e-mail address, and authentik 2026.2 and later stops its sync of users there."""
PROFILES = ("2025.12", "2026.2", "2026.5", "2026.8")
_SECONDS = {
    "lag": "Greatest replication lag of Microsoft Graph reads.",
    "secret_lag": "Until every token service replica accepts a new secret.",
    "removed_secret_lag": "How long a removed secret still signs in.",
    "role_lag": "Until new tokens contain new grants.",
}
_SHARES = {
    "throttle_rate": "Share of requests answered 429.",
    "unavailable_rate": "Share of requests answered 503.",
}


def switches(defaults: dict[str, Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the sandbox's switches as options; the command gets them as one ``switch_values`` dict."""

    def number(name: str, text: str, metavar: str, most: float | None = None) -> Callable[..., Any]:
        return click.option(
            f"--{name.replace('_', '-')}",
            type=click.FloatRange(min=0, max=most),
            default=float(defaults.get(name, 0)),
            show_default=True,
            metavar=metavar,
            help=text,
        )

    options = (
        click.option("--authentik-profile", type=click.Choice(PROFILES), default="2026.5", show_default=True),
        click.option("--seed", type=int, default=0, show_default=True, help="Random seed."),
        click.option("--flapping/--no-flapping", default=bool(defaults.get("flapping")), show_default=True),
        *(number(name, text, "SECONDS") for name, text in _SECONDS.items()),
        *(number(name, text, "SHARE", 1) for name, text in _SHARES.items()),
        click.option(
            "--switch",
            "further",
            multiple=True,
            metavar="NAME=VALUE",
            help="Any other switch of the tenant, as JSON; docs/reference/sandbox.md lists them.",
        ),
    )

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def wrapped(further: tuple[str, ...], **rest: Any) -> int:
            values = {name: rest.pop(name) for name in ("flapping", *_SECONDS, *_SHARES)}
            return function(switch_values=values | _parse(further), **rest)

        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def make_sandbox(
    *,
    profile: str,
    seed: int,
    switch_values: dict[str, Any],
    port: int = 0,
    authentik_port: int = 0,
    faults: str | None = None,
) -> Sandbox:
    """A sandbox that is not started yet.

    :param faults: JSON list of faults, or ``@FILE`` that holds one.
    :raises ConfigError: ``sandbox-extra-missing``, ``faults-malformed``, ``switch-malformed``.
    """
    try:
        from authentik_entra_bootstrap.sandbox import Sandbox
        from authentik_entra_bootstrap.sandbox.faults import Fault

        sandbox = Sandbox(
            seed=seed,
            authentik_profile=profile,
            switches=_checked(switch_values),
            port=port,
            authentik_port=authentik_port,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            "sandbox-extra-missing",
            f"The embedded services need the package {error.name}, which is not installed.",
            "Install this program with its extra sandbox; in a checkout: pip install '.[sandbox]'.",
        ) from None
    try:
        for item in _faults(faults):
            sandbox.world.faults.add(Fault.from_json(item))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            "faults-malformed",
            f"--faults: {error}.",
            'Give a JSON list like \'[{"kind": "status", "status": 503, "path": "/applications"}]\', or @FILE.',
        ) from None
    return sandbox


def _parse(further: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value that is no JSON is taken as text.

    :raises ConfigError: ``switch-malformed``.
    """
    values: dict[str, Any] = {}
    for text in further:
        name, equals, value = text.partition("=")
        if not equals:
            raise _malformed(f" {text!r}: NAME=VALUE is wanted")
        try:
            values[name.strip()] = json.loads(value)
        except ValueError:
            values[name.strip()] = value
    return values


def _checked(values: dict[str, Any]) -> Switches:
    """The switches with these values.

    :raises ConfigError: ``switch-malformed`` for an unknown name or a value of another type.
    """
    from authentik_entra_bootstrap.sandbox.control import set_switches
    from authentik_entra_bootstrap.sandbox.faults import Switches

    checked = Switches()
    try:
        set_switches(checked, values)
    except ValueError as error:
        raise _malformed(f": {error}") from None
    return checked


def _malformed(text: str) -> ConfigError:
    return ConfigError(
        "switch-malformed", f"--switch{text}.", "docs/reference/sandbox.md lists every switch."
    )


def _faults(text: str | None) -> list[dict[str, Any]]:
    if not text:
        return []
    value = json.loads(Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text)
    if not isinstance(value, list):
        raise TypeError("a JSON list is wanted")
    return value


def clock(environment: Mapping[str, str]) -> Callable[[], datetime]:
    """The clock of the running sandbox that the environment names.

    :raises ConfigError: ``sandbox-not-running``.
    """
    ahead = datetime.fromisoformat(_control(environment, "")["now"]) - datetime.now(UTC)
    return lambda: datetime.now(UTC) + ahead


def _control(environment: Mapping[str, str], path: str, body: Mapping[str, float] | None = None) -> Any:
    """Ask the running sandbox's control API.

    :param body: is posted; ``None`` only reads.
    """
    import ssl
    from urllib.parse import urlsplit

    import httpx

    from authentik_entra_bootstrap.support.addresses import is_loopback

    address = environment.get(SANDBOX, "")
    if not is_loopback(urlsplit(address).hostname or ""):  # nobody else's clock is believed
        why = "it is no address of this machine" if address else f"{SANDBOX} is not set in this shell"
        raise _not_running(address, why)
    try:
        trust = ssl.create_default_context(cafile=environment.get("AUTHENTIK_ENTRA_CA_FILE"))
        with httpx.Client(verify=trust, trust_env=False) as client:
            answer = client.request("POST" if body else "GET", f"{address}/_sandbox/{path}", json=body)
        return answer.raise_for_status().json()
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise _not_running(address, str(error)) from None


def _not_running(address: str, reason: str) -> ConfigError:
    return ConfigError(
        "sandbox-not-running",
        f"No sandbox answers at {address!r}: {reason}.",
        f"Start one with `authentik-entra sandbox` and export what it prints, or unset {SANDBOX}.",
    )


@click.command()
@switches({})
@click.option("--faults", metavar="JSON|@FILE", help="Faults to inject, as a JSON list.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of Entra ID and Microsoft Graph; 0: any free port.",
)
@click.option(
    "--authentik-port", type=click.IntRange(0, 65535), default=0, help="Port of authentik; 0: any free port."
)
@output_option
@click.option(
    "--advance",
    callback=span,
    metavar="SPAN",
    help="Move the clock of the running sandbox forward, like 125d or 12h. Starts nothing.",
)
def sandbox(authentik_profile: str, output: str, advance: timedelta | None, **rest: Any) -> int:
    """Run an embedded Entra ID tenant and an embedded authentik until interrupted.

    Prints their addresses, the CA file and the variables that point every command (and any other client)
    at them. With these variables, commands use the sandbox's clock. Both servers have a control API under /_sandbox/.
    """
    if advance is not None:
        now = datetime.fromisoformat(
            _control(os.environ, "clock", {"advance": advance.total_seconds()})["now"]
        )
        click.echo(f"In the sandbox it is {now:%Y-%m-%d %H:%M} UTC now.")
        return ExitCode.DONE
    from authentik_entra_bootstrap.domain import SecretText
    from authentik_entra_bootstrap.support.private_files import write_new

    services = make_sandbox(profile=authentik_profile, **rest)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        services.start()
    except OSError as error:
        raise ConfigError(
            "port-in-use", f"The sandbox cannot listen: {error.strerror or error}.", "Choose another port."
        ) from None
    try:
        environment = {**services.environment(), **PEOPLE_ONLY, SANDBOX: services.entra_url}
        token = services.ca_file.with_name("authentik-token")
        write_new(token, SecretText(environment.pop("AUTHENTIK_TOKEN")))
        environment["AUTHENTIK_TOKEN_FILE"] = str(token)
        if output == "json":
            document = {
                "schema_version": 1,
                "command": "sandbox",
                "entra_url": services.entra_url,
                "authentik_url": services.authentik_url,
                "ca_file": str(services.ca_file),
                "environment": environment,
            }
            click.echo(json.dumps(document))
        else:
            click.echo(f"# Entra ID and Microsoft Graph: {services.entra_url}")
            click.echo(f"# authentik {authentik_profile}:         {services.authentik_url}")
            click.echo(f"# CA file:                     {services.ca_file}")
            click.echo(f"# control API:                 {services.entra_url}/_sandbox/")
            for name, value in environment.items():
                click.echo(f"export {name}={shlex.quote(value)}")
            click.echo("# Running; Ctrl-C stops it. Copy these lines into another shell. NEXT STEPS there:")
            click.echo("#   authentik-entra init                    asks for settings, proposing these")
            click.echo("#   authentik-entra sandbox --advance 125d  moves the sandbox's clock on")
        # A wait without a limit cannot be interrupted by signals on every platform.
        while not stop.wait(0.5):
            pass
    finally:
        services.stop()
    return ExitCode.DONE
