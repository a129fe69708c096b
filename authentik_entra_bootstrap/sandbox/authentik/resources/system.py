"""Version, public configuration, licences."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik.rest import filters
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Integer,
    Moment,
    Text,
    Uuid,
    ref,
    show_moment,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model, Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

NO_LICENCE_YET = datetime(1970, 1, 1, tzinfo=UTC)
LICENCE_YEARS = 10


def version(ctx: Context) -> Reply:
    """The running version, which is also the newest known one."""
    return Reply(
        {
            "version_current": ctx.state.profile.version,
            "version_latest": ctx.state.profile.version,
            "version_latest_valid": True,
            "build_hash": "",
            "outdated": False,
            "outpost_outdated": False,
        }
    )


def config(_ctx: Context) -> Reply:
    """What the browser needs to know. That there is an enterprise edition says nothing of a licence."""
    return Reply(
        {
            "error_reporting": {
                "enabled": False,
                "sentry_dsn": "",
                "environment": "customer",
                "send_pii": False,
                "traces_sample_rate": 0.1,
            },
            "capabilities": ["can_impersonate", "is_enterprise"],
            "cache_timeout": 300,
            "cache_timeout_flows": 300,
            "cache_timeout_policies": 300,
        }
    )


def summary(ctx: Context) -> Reply:
    """The licences together."""
    licences = list(ctx.state.tables["license"])
    return Reply(
        {
            "internal_users": sum(row["internal_users"] for row in licences),
            "external_users": sum(row["external_users"] for row in licences),
            "status": ctx.state.licence_status(),
            "latest_valid": show_moment(max((row["expiry"] for row in licences), default=NO_LICENCE_YET)),
            "license_flags": [],
        }
    )


def read_licence(key: str) -> dict[str, Any]:
    """What a licence key says: the claims of a JWT, whose signature the sandbox does not check.

    :raises ValidationError: for a text that is no JWT.
    """
    try:
        _, claims, _ = key.split(".")
        found = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValidationError("Unable to verify license")
    return found


def is_licence(value: str, _instance: Record | None, _ctx: Context) -> None:
    """Refuse what is no licence key.

    :raises ValidationError: for it.
    """
    read_licence(value)


def licence_created(record: Record, ctx: Context) -> None:
    """Fill in what the key says."""
    claims, end = read_licence(record["key"]), ten_years_from(ctx.state.now())
    if isinstance(claims.get("exp"), int):
        end = datetime.fromtimestamp(claims["exp"], UTC)
    record |= {"name": str(claims.get("name", "sandbox")), "expiry": end}
    record |= {name: int(claims.get(name, 1000)) for name in ("internal_users", "external_users")}


def ten_years_from(moment: datetime) -> datetime:
    """When a licence ends that names no end."""
    return (moment + timedelta(days=365 * LICENCE_YEARS)).replace(microsecond=0)


def install_licence(state: State, expiry: datetime | None = None) -> Record:
    """Give the state a licence without a request.

    :param expiry: ten years from now when left out.
    """
    return state.tables["license"].add(
        {
            "license_uuid": state.uuid(),
            "name": "sandbox",
            "key": state.key(40),
            "expiry": expiry or ten_years_from(state.now()),
            "internal_users": 1000,
            "external_users": 1000,
        }
    )


def views(state: State) -> list[View]:
    """The addresses of this module; registers its model."""
    licence = Model(
        state=state,
        label="authentik_enterprise.license",
        serializer=Serializer(
            "License",
            {
                "license_uuid": Uuid(read_only=True),
                "name": Text(read_only=True),
                "key": Text(
                    unique=("license", "License with this key already exists."),
                    validators=[is_licence],
                ),
                "expiry": Moment(read_only=True),
                "internal_users": Integer(read_only=True),
                "external_users": Integer(read_only=True),
            },
        ),
        hidden=frozenset({"key"}),
        before_create=licence_created,
    )
    total = Action("summary", "GET", summary, "summary", public=True, response=ref("LicenseSummary"))
    return [
        View(path="admin/version", actions=[Action("version", "GET", version, response=ref("Version"))]),
        View(
            path="root/config",
            actions=[Action("config", "GET", config, response=ref("Config"))],
            anonymous=True,
        ),
        ModelView(
            path="enterprise/license",
            model=licence,
            lookup_name="license_uuid",
            filters=filters.exact("name"),
            search=["name"],
            ordering=["name"],
            actions=[total],
        ),
    ]
