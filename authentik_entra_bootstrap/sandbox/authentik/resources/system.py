"""Version, configuration, licence, facts about the server."""

from __future__ import annotations

import base64
import json
import platform
import ssl
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from authentik_entra_bootstrap.sandbox.authentik import audit
from authentik_entra_bootstrap.sandbox.authentik.resources import common
from authentik_entra_bootstrap.sandbox.authentik.rest import listing
from authentik_entra_bootstrap.sandbox.authentik.rest.errors import ValidationError
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    Integer,
    Moment,
    Uuid,
    show_moment,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.model import Model
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.serializer import Serializer
from authentik_entra_bootstrap.sandbox.authentik.rest.texts import Text
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, ModelView, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import ApiRequest, Context
    from authentik_entra_bootstrap.sandbox.authentik.state import Record, State

LICENSE = "authentik_enterprise.license"
NO_LICENCE_YET = datetime(1970, 1, 1, tzinfo=UTC)
LICENCE_YEARS = 10


def version(ctx: Context) -> Reply:
    """The running version and the newest one known: none, until somebody looks it up."""
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


def request_environment(request: ApiRequest) -> Record:
    """The request as Django keeps it: variables of the gateway, headers as ``HTTP_…``.

    The real one shows callers their own token too; here its value is left out.
    """
    server, _, port = request.host.partition(":")
    found = {
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.query_string,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "REMOTE_ADDR": request.client_ip,
        "REMOTE_HOST": request.client_ip,
        "SERVER_NAME": server,
        "SERVER_PORT": port or "443",
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        shown = audit.CLEANSED if name in {"authorization", "cookie"} else value
        found[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = shown
    return found


def system(ctx: Context) -> Reply:
    """Facts about the running server."""
    assert ctx.request is not None  # noqa: S101 - views are only reached by requests
    request = ctx.request
    return Reply(
        {
            "http_headers": request_environment(request),
            "http_host": request.host,
            "http_is_secure": True,
            "runtime": {
                "architecture": platform.machine(),
                "authentik_version": ctx.state.profile.version,
                "environment": "custom",
                "openssl_fips_enabled": False if ctx.state.licensed() else None,
                "openssl_version": ssl.OPENSSL_VERSION,
                "platform": platform.platform(),
                "python_version": sys.version,
                "uname": f"{platform.system()} authentik {platform.release()} {platform.machine()}",
            },
            "brand": "Default brand",
            "server_time": show_moment(ctx.state.now()),
            "embedded_outpost_disabled": False,
            "embedded_outpost_host": "",
            **({"base_url": f"https://{request.host}/"} if ctx.state.profile.at_least("2026.8") else {}),
        }
    )


def config(ctx: Context) -> Reply:  # noqa: ARG001 - the signature of all handlers
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


def forecast(ctx: Context) -> Reply:
    """How many users there are and, at the pace of the last thirty days, will have come in a year.

    External users are forecast from all there are, whenever they came.
    """
    users = [row for row in ctx.state.models["authentik_core.user"].rows() if row["is_active"]]
    internal = [row for row in users if row["type"] == "internal"]
    external = sum(row["type"] == "external" for row in users)
    begin = ctx.state.now() - timedelta(days=30)
    return Reply(
        {
            "internal_users": len(internal),
            "external_users": external,
            "forecasted_internal_users": sum(row["date_joined"] >= begin for row in internal) * 12,
            "forecasted_external_users": external * 12,
        }
    )


def read_licence(key: str) -> dict[str, Any]:
    """What a licence key says: the claims of a JWT, whose signature the sandbox does not check.

    :raises ValidationError: for a text that is no JWT.
    """
    parts = key.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        claims = None
    if len(parts) != 3 or not isinstance(claims, dict):
        raise ValidationError("Unable to verify license")
    return claims


def verified(value: str, ctx: Context) -> None:  # noqa: ARG001 - the signature of all validators
    """Refuse what is no licence key."""
    read_licence(value)


def licence_created(record: Record, ctx: Context) -> None:
    """Fill in what the key says."""
    claims = read_licence(record["key"])
    now = ctx.state.now()
    end = claims.get("exp")
    record |= {
        "name": str(claims.get("name", "sandbox")),
        "expiry": datetime.fromtimestamp(end, UTC)
        if isinstance(end, int)
        else now + timedelta(days=365 * LICENCE_YEARS),
        "internal_users": int(claims.get("internal_users", 1000)),
        "external_users": int(claims.get("external_users", 1000)),
    }


def install_licence(state: State, expiry: datetime | None = None) -> Record:
    """Give the state a licence without a request.

    :param expiry: ten years from now when left out.
    """
    end = expiry or (state.now() + timedelta(days=365 * LICENCE_YEARS)).replace(microsecond=0)
    return state.tables["license"].add(
        {
            "license_uuid": state.uuid(),
            "name": "sandbox",
            "key": state.key(40),
            "expiry": end,
            "internal_users": 1000,
            "external_users": 1000,
        }
    )


def license_view(state: State) -> View:
    """The licences' calls."""
    serializer = Serializer(
        "License",
        {
            "license_uuid": Uuid(read_only=True),
            "name": Text(read_only=True),
            "key": Text(
                unique="License with this key already exists.",
                unique_table="license",
                validators=[verified],
            ),
            "expiry": Moment(read_only=True),
            "internal_users": Integer(read_only=True),
            "external_users": Integer(read_only=True),
        },
    )
    model = Model(
        state=state,
        label=LICENSE,
        class_name="License",
        table_name="license",
        serializer=serializer,
        verbose_name="License",
        title=lambda record: f"License {record['name']}",
        hidden=frozenset({"key"}),
        before_create=licence_created,
    )
    state.models[LICENSE] = model
    install_id = state.uuid()
    shown = {"type": "object", "properties": {"install_id": common.STRING}, "required": ["install_id"]}
    return ModelView(
        state,
        "enterprise/license",
        model,
        lookup_name="license_uuid",
        filters={"name": listing.exact("name")},
        search=["name"],
        ordering=["name"],
        actions=[
            Action(
                "summary",
                "GET",
                summary,
                doc="Get the total license status",
                public=True,
                response={"$ref": "#/components/schemas/LicenseSummary"},
            ),
            Action(
                "forecast",
                "GET",
                forecast,
                doc="Forecast how many users will be required in a year",
                permission="authentik_enterprise.view_license",
                response={"$ref": "#/components/schemas/LicenseForecast"},
            ),
            Action(
                "install_id",
                "GET",
                lambda _: Reply({"install_id": install_id}),
                doc="Get install_id",
                permission="authentik_enterprise.view_license",
                response=shown,
            ),
        ],
    )


def single(state: State, path: str, title: str, handler: Any, component: str, **options: Any) -> View:
    """A view on its own address, with GET if no other methods are named."""
    answer = {"$ref": f"#/components/schemas/{component}"}
    permission = options.pop("permission", None)
    name = path.rsplit("/", maxsplit=1)[-1]
    actions = [
        Action(name, method, handler, url=".", permission=permission, response=answer)
        for method in options.pop("methods", ["GET"])
    ]
    return View(state, path, title=title, actions=actions, **options)


def views(state: State) -> list[View]:
    """The addresses of this module; registers its models."""
    return [
        single(state, "admin/version", "Version", version, "Version", doc="Get running and latest version."),
        single(
            state,
            "admin/system",
            "System",
            system,
            "SystemInfo",
            doc="Get system information.",
            permission="authentik_rbac.view_system_info",
            methods=["GET", "POST"],
        ),
        single(
            state,
            "root/config",
            "Config",
            config,
            "Config",
            doc="Retrieve public configuration options",
            anonymous=True,
        ),
        license_view(state),
    ]
