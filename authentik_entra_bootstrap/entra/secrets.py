"""Client secrets, and the tenant's policies about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.password_credential import PasswordCredential
from pydantic import TypeAdapter, ValidationError

from authentik_entra_bootstrap.domain import AppObjectId, KeyId, NewClientSecret, SecretPolicy
from authentik_entra_bootstrap.domain.times import read_time
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.answers import Json
from authentik_entra_bootstrap.entra.codes import fault
from authentik_entra_bootstrap.entra.graph import OnGraph, Query, outcome, record
from authentik_entra_bootstrap.entra.names import as_guid, checked_guid
from authentik_entra_bootstrap.entra.network import worth_another_try
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    BootstrapError,
    Denied,
    NotFound,
    ServiceUnavailable,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)

_DURATION = TypeAdapter(timedelta)
_NOTHING_WAS_MADE = frozenset({"entra-concurrent-change"})


def surely_not_made(error: BaseException) -> bool:
    """Whether ``addPassword`` may be sent again: the answer proves that no secret was made."""
    if isinstance(error, Unreachable):
        return not error.sent and worth_another_try(error)
    return isinstance(error, Throttled) or (
        isinstance(error, ServiceUnavailable) and error.code in _NOTHING_WAS_MADE
    )


class ClientSecrets(OnGraph):
    """Requests on an application's client secrets, and on what the tenant allows of them; see ``EntraPort``."""

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        """Make a client secret. Never sent twice unless it is certain that the first request made none.

        :raises Unreachable: ``sent`` is true where a secret may exist whose text is lost.
        """
        key = checked_guid(app_object_id, "object id")
        end = end_date_time.astimezone(UTC)
        body = AddPasswordPostRequestBody(
            password_credential=PasswordCredential(display_name=display_name, end_date_time=end)
        )
        failure: BootstrapError
        try:
            answer = await self._graph.call(
                operations.ADD_SECRET,
                "post",
                lambda graph: graph.applications.by_application_id(key).add_password,
                body,
                what=f"the application {key}",
                exists=True,
                when=surely_not_made,
            )
            return record(records.new_client_secret, answer)
        except AdminActionRequired as error:
            failure = _with_end(error, end)
        except (ServiceUnavailable, UnexpectedAnswer) as error:
            failure = error if surely_not_made(error) or _refused(error) else _lost(error, display_name)
        raise failure

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        """Remove a client secret; ``False`` when this replica does not know it."""
        key = checked_guid(app_object_id, "object id")
        body = RemovePasswordPostRequestBody(key_id=as_guid(key_id, "key id"))
        try:
            await self._graph.call(
                operations.REMOVE_SECRET,
                "post",
                lambda graph: graph.applications.by_application_id(key).remove_password,
                body,
                what=f"the application {key}",
                exists=True,
            )
        except NotFound as error:
            if error.code != "secret-not-found":
                raise
            return False
        return True

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        """The application's own policy where it has one, else the tenant's default.

        ``known=False`` where policies may not be read.
        """
        try:
            return await self._policy(app_object_id)
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
        return SecretPolicy(known=False)

    async def _policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        key = None if app_object_id is None else checked_guid(app_object_id, "object id")
        # Side by side, although the second is not needed where the first is enabled: that is rare.
        async with asyncio.TaskGroup() as reads:
            own = reads.create_task(outcome(self._own_policies(key)))
            default = reads.create_task(outcome(self._default_policy()))
        enabled = [item for item in own.result().get() if item.get("isEnabled")]
        if enabled:
            # A custom policy replaces the default one; an application has at most one.
            return await self._effective(enabled[0], "restrictions", key)
        tenants = default.result().get()
        if not tenants.get("isEnabled"):
            return SecretPolicy(known=True, policy_id=_text(tenants.get("id")))
        return await self._effective(tenants, "applicationRestrictions", key)

    async def _default_policy(self) -> Json:
        return await self._graph.call(
            operations.READ_POLICY,
            "get",
            lambda graph: graph.policies.default_app_management_policy,
            what="the tenant's app management policy",
        )

    async def _own_policies(self, key: str | None) -> list[Json]:
        if key is None:
            return []
        try:
            return await self._graph.pages(
                operations.READ_POLICY,
                lambda graph: graph.applications.by_application_id(key).app_management_policies,
                what=f"the application {key}",
            )
        except NotFound:
            # Too new for this replica, so nobody can have assigned a policy to it.
            return []

    async def _effective(self, policy: Mapping[str, Any], restrictions: str, key: str | None) -> SecretPolicy:
        created = None
        if key is not None and any(
            entry.get("restrictForAppsCreatedAfterDateTime") for entry in _entries(policy, restrictions)
        ):
            created = await self._created(key)
        return effective_policy(policy, restrictions, created)

    async def _created(self, key: str) -> datetime | None:
        try:
            application = await self._graph.call(
                operations.READ_APPLICATION,
                "get",
                lambda graph: graph.applications.by_application_id(key),
                what=f"the application {key}",
                query=Query(select=["id", "createdDateTime"]),
            )
        except NotFound:
            return None
        return read_time(application.get("createdDateTime"))


def effective_policy(policy: Mapping[str, Any], restrictions: str, created: datetime | None) -> SecretPolicy:
    """What a policy says of client secrets. Pure.

    :param restrictions: the property that holds the restrictions.
    :param created: when the application was made; ``None`` for one that is not made yet, or not known:
        then restrictions for newer applications count.
    """
    allowed, lifetimes, understood = True, [], True
    for entry in _applying(_entries(policy, restrictions), created):
        kind = entry.get("restrictionType")
        if kind == "passwordAddition":
            allowed = False
        elif kind == "passwordLifetime":
            lifetime = iso_duration(entry.get("maxLifetime"))
            lifetimes += [lifetime] if lifetime else []
            understood = understood and lifetime is not None
    return SecretPolicy(
        known=understood,
        addition_allowed=allowed,
        greatest_lifetime=min(lifetimes, default=None),
        policy_id=_text(policy.get("id")),
    )


def iso_duration(value: object) -> timedelta | None:
    """An ISO 8601 duration such as ``P90D``, ``P1Y`` or ``P4DT12H30M5S``; ``None`` for anything else.

    A year counts 365 days and a month 30, so that no limit is read as longer than it is.
    """
    if not isinstance(value, str) or not value.startswith("P"):
        return None
    try:
        return _DURATION.validate_python(value)
    except ValidationError:
        return None


def _entries(policy: Mapping[str, Any], restrictions: str) -> list[Mapping[str, Any]]:
    configuration = policy.get(restrictions)
    entries = configuration.get("passwordCredentials") if isinstance(configuration, Mapping) else None
    return [entry for entry in entries or () if isinstance(entry, Mapping)]


def _applying(entries: Iterable[Mapping[str, Any]], created: datetime | None) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        # ``state`` is younger than the policies themselves: without it a restriction is in force.
        if entry.get("state") == "disabled":
            continue
        since = read_time(entry.get("restrictForAppsCreatedAfterDateTime"))
        if since is None or created is None or created >= since:
            yield entry


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _with_end(error: BootstrapError, end: datetime) -> BootstrapError:
    if error.code != "secret-lifetime-exceeds-policy":
        return error
    asked = end.isoformat()
    facts = {**error.facts, "asked_end_date_time": asked}
    return fault(
        error.code,
        trace=error.trace,
        facts=facts,
        asked_end=asked,
        policy_id=error.facts.get("policy_id", ""),
    )


def _refused(error: BootstrapError) -> bool:
    """Whether Graph itself refused the request as such: then nothing was made."""
    trace = error.trace
    return bool(trace and trace.service_code and trace.status and 400 <= trace.status < 500)


def _lost(error: BootstrapError, display_name: str) -> BootstrapError:
    return fault("secret-reply-lost", trace=error.trace, reason=error.message, display_name=display_name)
