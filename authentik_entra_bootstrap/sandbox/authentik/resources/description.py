"""``/schema/``: the API description as YAML or JSON, and the components no serializer stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.resources import common, work
from authentik_entra_bootstrap.sandbox.authentik.rest.openapi import Document
from authentik_entra_bootstrap.sandbox.authentik.rest.replies import Reply, check_accept
from authentik_entra_bootstrap.sandbox.authentik.rest.routes import Route
from authentik_entra_bootstrap.sandbox.authentik.rest.viewset import Action, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import State

YAML_TYPE = "application/vnd.oai.openapi"
JSON_TYPE = "application/vnd.oai.openapi+json"
RENDERS = (YAML_TYPE, "application/yaml", JSON_TYPE, "application/json")
MOMENT = {"type": "string", "format": "date-time"}
UUID = {"type": "string", "format": "uuid"}
BOOLEAN = {"type": "boolean"}
INTEGER = {"type": "integer"}
OPEN = {"type": "object", "additionalProperties": {}}


def ref(name: str) -> dict[str, Any]:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(item: dict[str, Any]) -> dict[str, Any]:
    """An array."""
    return {"type": "array", "items": item}


def thing(optional: Iterable[str] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    """An object whose properties are all required but the optional ones."""
    needed = sorted(set(properties) - set(optional))
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def enum(names: Iterable[str]) -> dict[str, Any]:
    """An enumeration of texts."""
    return {"enum": list(names), "type": "string"}


def components(*, newest: bool) -> dict[str, Any]:
    """Shapes of the replies that views write by hand.

    :param newest: whether the release is 2026.8 or newer.
    """
    text, null_text = common.STRING, common.NULLABLE_STRING
    number = {"type": "number"}
    named = thing(name=text, pk=UUID)
    counts = dict.fromkeys(work.TASK_STATUSES, INTEGER)
    page = ("next", "previous", "count", "current", "total_pages", "start_index", "end_index")
    grant = {
        "id": INTEGER,
        "codename": text,
        "model": text,
        "app_label": text,
        "object_pk": text,
        "name": text,
    }
    reporting = {"enabled": BOOLEAN, "sentry_dsn": text, "environment": text, "send_pii": BOOLEAN}
    return {
        "Autocomplete": OPEN,
        "Pagination": thing(**dict.fromkeys(page, number)),
        "ValidationError": {
            "type": "object",
            "properties": {"non_field_errors": list_of(text), "code": text},
            "additionalProperties": {},
        },
        "GenericError": thing(["code"], detail=text, code=text),
        "UsedByActionEnum": enum(("cascade", "cascade_many", "set_null", "set_default", "left_dangling")),
        "UsedBy": thing(app=text, model_name=text, pk=text, name=text, action=ref("UsedByActionEnum")),
        "TypeCreate": thing(
            ["icon_url", "requires_enterprise", "deprecated"],
            name=text,
            description=text,
            component=text,
            model_name=text,
            icon_url=text,
            requires_enterprise=BOOLEAN,
            deprecated=BOOLEAN,
        ),
        "TaskStatusEnum": enum(work.TASK_STATES),
        "TaskAggregatedStatusEnum": enum(work.TASK_STATUSES),
        "LastTaskStatusEnum": enum(work.TASK_STATUSES),
        "GlobalTaskStatus": thing(**counts),
        "LogLevelEnum": enum(
            ("critical", "exception", "error", "warn", "warning", "info", "debug", "notset")
        ),
        "LogEvent": thing(
            timestamp=MOMENT, log_level=ref("LogLevelEnum"), logger=text, event=text, attributes=OPEN
        ),
        "SyncStatus": thing(
            ["last_successful_sync", "last_sync_status"],
            is_running=BOOLEAN,
            last_successful_sync=MOMENT,
            last_sync_status=ref("TaskAggregatedStatusEnum"),
        ),
        "SyncObjectResult": thing(messages=list_of(ref("LogEvent"))),
        "ThemedUrls": thing(["light", "dark"], light=null_text, dark=null_text),
        "PolicyTestResult": thing(
            passing=BOOLEAN, messages=list_of(text), log_messages=list_of(ref("LogEvent"))
        ),
        "TransactionApplicationResponse": thing(applied=BOOLEAN, logs=list_of(text)),
        "Metadata": thing(name=text, labels=OPEN),
        "BlueprintFile": thing(path=text, last_m=MOMENT, hash=text, meta=ref("Metadata")),
        "BlueprintImportResult": thing(logs=list_of(ref("LogEvent")), success=BOOLEAN),
        "PermissionAssignResult": thing(id=text),
        "RoleObjectPermission": thing(**grant),
        "TokenView": thing(key=text),
        "Worker": thing(worker_id=text, version=text, version_matching=BOOLEAN),
        "ExtraRoleObjectPermission": thing(
            **grant, app_label_verbose=text, model_verbose=text, object_description=null_text
        ),
        "PaginatedExtraRoleObjectPermissionList": thing(
            ["autocomplete"],
            pagination=ref("Pagination"),
            results=list_of(ref("ExtraRoleObjectPermission")),
            autocomplete=ref("Autocomplete"),
        ),
        "EventVolume": thing(action=ref("EventActions"), time=MOMENT, count=INTEGER),
        "EventTopPerUser": thing(application=OPEN, counted_events=INTEGER, unique_users=INTEGER),
        "Link": thing(link=text),
        "UserPath": thing(paths=list_of(text)),
        "UserServiceAccountResponse": thing(
            ["group_pk"], username=text, token=text, user_uid=text, user_pk=INTEGER, group_pk=text
        ),
        "UserSelf": thing(
            pk=INTEGER,
            username=text,
            name=text,
            is_active=BOOLEAN,
            is_superuser=BOOLEAN,
            groups=list_of(named),
            roles=list_of(named),
            email=text,
            avatar=text,
            uid=text,
            settings=OPEN,
            type=ref("UserTypeEnum"),
            system_permissions=list_of(text),
            **({"is_current": BOOLEAN} if newest else {}),
        ),
        "SessionUser": thing(
            ["original"],
            user=ref("UserSelf"),
            original=ref("UserSelf"),
            **({"users": list_of(ref("UserSelf"))} if newest else {}),
        ),
        "Version": thing(
            version_current=text,
            version_latest=text,
            version_latest_valid=BOOLEAN,
            build_hash=text,
            outdated=BOOLEAN,
            outpost_outdated=BOOLEAN,
        ),
        "SystemInfo": OPEN,
        "CapabilitiesEnum": enum(
            ("can_impersonate", "can_save_media", "can_geo_ip", "can_debug", "is_enterprise")
        ),
        "ErrorReportingConfig": thing(**reporting, traces_sample_rate=number),
        "Config": thing(
            error_reporting=ref("ErrorReportingConfig"),
            capabilities=list_of(ref("CapabilitiesEnum")),
            cache_timeout=INTEGER,
            cache_timeout_flows=INTEGER,
            cache_timeout_policies=INTEGER,
        ),
        "LicenseSummary": thing(
            internal_users=INTEGER,
            external_users=INTEGER,
            status=text,
            latest_valid=MOMENT,
            license_flags=list_of(text),
        ),
        "LicenseForecast": thing(
            internal_users=INTEGER,
            external_users=INTEGER,
            forecasted_internal_users=INTEGER,
            forecasted_external_users=INTEGER,
        ),
    }


def view(state: State, routes: Callable[[], list[Route]]) -> View:
    """The address.

    :param routes: gives every address once all views exist.
    """
    made: list[dict[str, Any]] = []

    def schema(ctx: Context) -> Reply:
        assert ctx.request is not None  # noqa: S101 - views are only reached by requests
        if not made:
            made.append(
                Document(state, routes(), components(newest=state.profile.at_least("2026.8"))).build()
            )
        document = made[0]
        wanted = ctx.request.param("format")
        accepted = check_accept(ctx.request, RENDERS)
        if wanted == "json" or (not wanted and accepted in {JSON_TYPE, "application/json"}):
            kind = JSON_TYPE if accepted != "application/json" else "application/json"
            headers = {"content-type": f"{kind}; charset=utf-8"}
            return Reply(headers=headers, text=json.dumps(document))
        headers = {"content-type": f"{YAML_TYPE}; charset=utf-8"}
        return Reply(headers=headers, text=yaml.dump(document, Dumper=Plainly, sort_keys=False))

    action = Action("schema", "GET", schema, url=".", public=True, renders=RENDERS)
    doc = "OpenApi3 schema for this API. Format can be selected via content negotiation."
    return View(state, "schema", title="Schema", doc=doc, actions=[action], anonymous=True)


class Plainly(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """YAML without anchors, which some readers of API descriptions do not follow."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        """Write everything out."""
        return True
