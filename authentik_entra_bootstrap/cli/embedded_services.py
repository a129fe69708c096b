"""What the commands ``sandbox`` and ``demo`` share: options, and starting the embedded services."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authentik_entra_bootstrap.errors import ConfigError

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox import Sandbox, Switches

PEOPLE_ONLY = {"AUTHENTIK_ENTRA_EXCLUDE_SERVICE_ACCOUNTS": "true"}
"""A service account has no e-mail address, and authentik 2026.2 and later stops its sync of users there."""
PROFILES = ("2025.12", "2026.2", "2026.5", "2026.8")


def switches(defaults: dict[str, Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the sandbox's switches as options; the command gets them as one ``switch_values`` dict."""
    names = ("lag", "secret_lag", "removed_secret_lag", "role_lag", "throttle_rate", "unavailable_rate")
    texts = {
        "lag": "Greatest replication lag of Microsoft Graph reads.",
        "secret_lag": "Until every token service replica accepts a new secret.",
        "removed_secret_lag": "How long a removed secret still signs in.",
        "role_lag": "Until new grants stand in fresh tokens.",
        "throttle_rate": "Share of requests answered 429.",
        "unavailable_rate": "Share of requests answered 503.",
    }

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def wrapped(flapping: bool, switch: tuple[str, ...], **rest: Any) -> int:
            values = {name: rest.pop(name) for name in names}
            return function(switch_values={**values, "flapping": flapping, **_parse(switch)}, **rest)

        options = [
            click.option(
                "--authentik-profile", type=click.Choice(PROFILES), default="2026.5", show_default=True
            ),
            click.option(
                "--seed", type=int, default=0, show_default=True, help="Of everything drawn by chance."
            ),
            click.option(
                "--flapping/--no-flapping", default=bool(defaults.get("flapping")), show_default=True
            ),
            *(
                click.option(
                    f"--{name.replace('_', '-')}",
                    type=click.FloatRange(min=0, max=1 if name.endswith("rate") else None),
                    default=float(defaults.get(name, 0)),
                    show_default=True,
                    metavar="SHARE" if name.endswith("rate") else "SECONDS",
                    help=texts[name],
                )
                for name in names
            ),
        ]
        options.append(
            click.option(
                "--switch",
                multiple=True,
                metavar="NAME=VALUE",
                help="Any other switch of the tenant, as JSON; docs/reference/sandbox.md lists them.",
            )
        )
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
    :raises ConfigError: ``sandbox-extra-missing``, ``faults-malformed``.
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
            "Install the extra: pip install 'authentik-entra-bootstrap[sandbox]'.",
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


def _parse(switches: tuple[str, ...]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value that is no JSON is taken as text.

    :raises ConfigError: ``switch-malformed``.
    """
    values: dict[str, Any] = {}
    for text in switches:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(
                "switch-malformed",
                f"--switch {text!r}: NAME=VALUE is wanted.",
                "See docs/reference/sandbox.md.",
            )
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
    from authentik_entra_bootstrap.sandbox.switches import Switches

    switches = Switches()
    try:
        set_switches(switches, values)
    except ValueError as error:
        raise ConfigError(
            "switch-malformed", f"--switch: {error}.", "docs/reference/sandbox.md lists every switch."
        ) from None
    return switches


def _faults(text: str | None) -> list[dict[str, Any]]:
    if not text:
        return []
    source = Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    value = json.loads(source)
    if not isinstance(value, list):
        raise TypeError("a JSON list is wanted")
    return value
