"""``/schema/``: the API description as YAML or JSON, and the components no serializer stands for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from authentik_entra_bootstrap.sandbox.authentik.resources.tasks import TASK_STATES, TASK_STATUSES
from authentik_entra_bootstrap.sandbox.authentik.rest.bodies import Reply
from authentik_entra_bootstrap.sandbox.authentik.rest.fields import (
    BOOLEAN,
    INTEGER,
    KEY,
    MOMENT,
    NULLABLE_STRING,
    OBJECT,
    STRING,
    Shape,
    array,
    ref,
)
from authentik_entra_bootstrap.sandbox.authentik.rest.openapi import Document
from authentik_entra_bootstrap.sandbox.authentik.rest.views import Action, Route, View

if TYPE_CHECKING:
    from authentik_entra_bootstrap.sandbox.authentik.rest.context import Context
    from authentik_entra_bootstrap.sandbox.authentik.state import State

YAML_TYPE = "application/vnd.oai.openapi"
JSON_TYPES = ("application/vnd.oai.openapi+json", "application/json")


def thing(optional: Iterable[str] = (), **properties: Shape) -> Shape:
    """An object whose properties are all required but the optional ones."""
    needed = sorted(set(properties) - set(optional))
    return {"type": "object", "properties": properties, **({"required": needed} if needed else {})}


def enum(names: Iterable[str]) -> Shape:
    """An enumeration of texts."""
    return {"enum": list(names), "type": "string"}


def components(*, newest: bool) -> dict[str, Any]:
    """Shapes of the replies that views write by hand.

    :param newest: whether the release is 2026.8 or newer.
    """
    number = {"type": "number"}
    named = array(thing(name=STRING, pk=KEY))
    page = ("next", "previous", "count", "current", "total_pages", "start_index", "end_index")
    levels = ("critical", "exception", "error", "warn", "warning", "info", "debug", "notset")
    return {
        "Autocomplete": OBJECT,
        "Pagination": thing(**dict.fromkeys(page, number)),
        "ValidationError": {
            "type": "object",
            "properties": {"non_field_errors": array(STRING), "code": STRING},
            "additionalProperties": {},
        },
        "GenericError": thing(["code"], detail=STRING, code=STRING),
        "UsedByActionEnum": enum(("cascade", "cascade_many", "set_null", "set_default", "left_dangling")),
        "UsedBy": thing(
            app=STRING, model_name=STRING, pk=STRING, name=STRING, action=ref("UsedByActionEnum")
        ),
        "TaskStatusEnum": enum(TASK_STATES),
        "TaskAggregatedStatusEnum": enum(TASK_STATUSES),
        "LastTaskStatusEnum": enum(TASK_STATUSES),
        "LogLevelEnum": enum(levels),
        "LogEvent": thing(
            timestamp=MOMENT, log_level=ref("LogLevelEnum"), logger=STRING, event=STRING, attributes=OBJECT
        ),
        "SyncStatus": thing(
            ["last_successful_sync", "last_sync_status"],
            is_running=BOOLEAN,
            last_successful_sync=MOMENT,
            last_sync_status=ref("TaskAggregatedStatusEnum"),
        ),
        "SyncObjectResult": thing(messages=array(ref("LogEvent"))),
        "PropertyMappingTestResult": thing(result=STRING, successful=BOOLEAN),
        "ThemedUrls": thing(["light", "dark"], light=NULLABLE_STRING, dark=NULLABLE_STRING),
        "BlueprintImportResult": thing(logs=array(ref("LogEvent")), success=BOOLEAN),
        "PermissionAssignResult": thing(id=STRING),
        "TokenView": thing(key=STRING),
        "UserServiceAccountResponse": thing(
            ["group_pk"], username=STRING, token=STRING, user_uid=STRING, user_pk=INTEGER, group_pk=STRING
        ),
        "UserSelf": thing(
            pk=INTEGER,
            username=STRING,
            name=STRING,
            is_active=BOOLEAN,
            is_superuser=BOOLEAN,
            groups=named,
            roles=named,
            email=STRING,
            avatar=STRING,
            uid=STRING,
            settings=OBJECT,
            type=ref("UserTypeEnum"),
            system_permissions=array(STRING),
            **({"is_current": BOOLEAN} if newest else {}),
        ),
        "SessionUser": thing(
            ["original"],
            user=ref("UserSelf"),
            original=ref("UserSelf"),
            **({"users": array(ref("UserSelf"))} if newest else {}),
        ),
        "Version": thing(
            version_current=STRING,
            version_latest=STRING,
            version_latest_valid=BOOLEAN,
            build_hash=STRING,
            outdated=BOOLEAN,
            outpost_outdated=BOOLEAN,
        ),
        "Config": thing(
            error_reporting=OBJECT,
            capabilities=array(STRING),
            cache_timeout=INTEGER,
            cache_timeout_flows=INTEGER,
            cache_timeout_policies=INTEGER,
        ),
        "LicenseSummary": thing(
            internal_users=INTEGER,
            external_users=INTEGER,
            status=STRING,
            latest_valid=MOMENT,
            license_flags=array(STRING),
        ),
    }


def view(state: State, routes: Callable[[], list[Route]]) -> View:
    """The address.

    :param routes: gives every address once all views exist.
    """

    @cache
    def document() -> dict[str, Any]:
        return Document(state, routes(), components(newest=state.profile.at_least("2026.8"))).build()

    def schema(ctx: Context) -> Reply:
        """YAML, unless JSON is asked for by the parameter or by the header."""
        accept = ctx.request.headers.get("accept", "") if ctx.request else ""
        kind = next((kind for kind in JSON_TYPES if kind in accept), None)
        if ctx.param("format") == "json":
            kind = kind or JSON_TYPES[0]
        if kind:
            return Reply(headers={"content-type": f"{kind}; charset=utf-8"}, text=json.dumps(document()))
        text = yaml.dump(document(), Dumper=Plainly, sort_keys=False)
        return Reply(headers={"content-type": f"{YAML_TYPE}; charset=utf-8"}, text=text)

    return View(path="schema", actions=[Action("schema", "GET", schema, public=True)], anonymous=True)


class Plainly(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml is optional
    """YAML without anchors, which some readers of API descriptions do not follow."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write everything out."""
        return True
