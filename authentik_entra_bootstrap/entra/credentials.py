"""What applications sign in with: client secrets, certificates, federated credentials; and the policies about secrets."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from msgraph.generated.applications.item.add_password.add_password_post_request_body import (
    AddPasswordPostRequestBody,
)
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.application import Application as ApplicationModel
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.key_credential import KeyCredential as KeyModel
from msgraph.generated.models.password_credential import PasswordCredential
from pydantic import TypeAdapter, ValidationError

from authentik_entra_bootstrap.domain import (
    AppObjectId,
    FederatedCredential,
    KeyCredential,
    KeyId,
    NewClientSecret,
    PublicCertificate,
    SecretPolicy,
)
from authentik_entra_bootstrap.domain.times import read_time
from authentik_entra_bootstrap.entra import operations, records
from authentik_entra_bootstrap.entra.error_codes import fault
from authentik_entra_bootstrap.entra.graph import (
    OnGraph,
    Query,
    Target,
    application_target,
    as_guid,
    checked_guid,
)
from authentik_entra_bootstrap.entra.records import Json
from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    BootstrapError,
    Denied,
    NotFound,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from authentik_entra_bootstrap.support.waiting import REPLICATION, is_transient_before_sending, result

_DURATION = TypeAdapter(timedelta)
_VISIBLE = replace(REPLICATION, budget=60.0)


class Credentials(OnGraph):
    """Requests on an application's credentials, and on what the tenant allows of them; see ``EntraPort``."""

    # --- client secrets

    async def add_secret(
        self, app_object_id: AppObjectId, *, display_name: str, end_date_time: datetime
    ) -> NewClientSecret:
        """Make a client secret. Never sent twice unless it is certain that the first request made none.

        :raises Unreachable: ``sent`` is true where a secret may exist whose text is lost.
        """
        end = end_date_time.astimezone(UTC)
        body = AddPasswordPostRequestBody(
            password_credential=PasswordCredential(display_name=display_name, end_date_time=end)
        )
        target = application_target(app_object_id).at(lambda application: application.add_password)
        failure: BootstrapError
        try:
            return records.new_client_secret(
                await self._graph.call(
                    operations.ADD_SECRET, "post", target, body, exists=True, when=certainly_not_created
                )
            )
        except AdminActionRequired as error:
            failure = _with_end(error, end)
        except (ServiceUnavailable, UnexpectedAnswer) as error:
            failure = (
                error if certainly_not_created(error) or _refused(error) else _lost_reply(error, display_name)
            )
        raise failure

    async def remove_secret(self, app_object_id: AppObjectId, key_id: KeyId) -> bool:
        """Remove a client secret; ``False`` when this replica does not know it."""
        body = RemovePasswordPostRequestBody(key_id=as_guid(key_id, "key id"))
        target = application_target(app_object_id).at(lambda application: application.remove_password)
        try:
            await self._graph.call(operations.REMOVE_SECRET, "post", target, body, exists=True)
        except NotFound as error:
            if error.code != "secret-not-found":
                raise
            return False
        return True

    # --- policies about client secrets

    async def secret_policy(self, app_object_id: AppObjectId | None) -> SecretPolicy:
        """The application's own policy where it has one, else the tenant's default.

        ``known=False`` where policies may not be read.
        """
        target = None if app_object_id is None else application_target(app_object_id)
        default = Target(
            "the tenant's app management policy", lambda graph: graph.policies.default_app_management_policy
        )
        try:
            # Side by side, although the second is not needed where the first is enabled: that is rare.
            own, tenants = await asyncio.gather(
                self._own_policies(target),
                self._graph.call(operations.READ_POLICY, "get", default),
                return_exceptions=True,
            )
            enabled = [policy for policy in result(own) if policy.get("isEnabled")]
            # A custom policy replaces the default one; an application has at most one.
            policy = enabled[0] if enabled else result(tenants)
        except Denied as error:
            if error.code != "entra-permission-missing":
                raise
            return SecretPolicy(known=False)
        name = "restrictions" if enabled else "applicationRestrictions"
        restrictions = _restrictions(policy, name) if policy.get("isEnabled") else []
        dated = any(item.get("restrictForAppsCreatedAfterDateTime") for item in restrictions)
        created = await self._created(target) if target and dated else None
        return effective_policy(restrictions, created)

    async def _own_policies(self, target: Target | None) -> list[Json]:
        if target is None:
            return []
        try:
            return await self._graph.pages(
                operations.READ_POLICY, target.at(lambda application: application.app_management_policies)
            )
        except NotFound:
            # Too new for this replica, so nobody can have assigned a policy to it.
            return []

    async def _created(self, target: Target) -> datetime | None:
        query = Query(select=["id", "createdDateTime"])
        try:
            body = await self._graph.call(operations.READ_APPLICATION, "get", target, query=query)
        except NotFound:
            return None
        return read_time(body.get("createdDateTime"))

    # --- certificates

    async def replace_keys(
        self,
        app_object_id: AppObjectId,
        keep: Sequence[KeyCredential],
        add: Sequence[tuple[str, PublicCertificate]] = (),
    ) -> None:
        """Write the whole list of certificates. ``addKey`` would need a proof signed by the present key."""
        keys = [_present_key(item) for item in keep] + [_new_key(name, item) for name, item in add]
        body, target = ApplicationModel(key_credentials=keys), application_target(app_object_id)
        try:
            await self._graph.call(operations.UPDATE_APPLICATION, "patch", target, body, exists=True)
        except AdminActionRequired as error:
            if error.code != "secret-lifetime-exceeds-policy":
                raise
            refused = error
        else:
            return
        # Graph has one code for both kinds of credentials.
        facts = refused.facts
        policy_id = facts.get("policy_id", "?")
        raise fault(
            "certificate-lifetime-exceeds-policy", trace=refused.trace, facts=facts, policy_id=policy_id
        )

    # --- federated identity credentials

    async def federated_credentials(self, app_object_id: AppObjectId) -> tuple[FederatedCredential, ...]:
        """The application's federated identity credentials."""
        found = await self._graph.pages(operations.READ_FEDERATED, _federated(app_object_id), exists=True)
        return tuple(records.federated_credential(item) for item in found)

    async def set_federated_credential(
        self, app_object_id: AppObjectId, credential: FederatedCredential
    ) -> None:
        """Create it, or change the one of that name, also where a late replica does not show that yet."""
        target, body = _federated(app_object_id), _federated_body(credential)
        existing = await self._similar(target, credential)
        if existing is None or existing.get("name") != credential.name:
            body.name = credential.name
            try:
                await self._graph.call(operations.FEDERATE, "post", target, body, exists=True)
            except AlreadyExists as error:
                # The reply to an earlier try was lost, a replica lags behind, or another name has the identity.
                taken = error
            else:
                return
            existing = await self._graph.waiter.until(
                lambda: self._similar(target, credential),
                what="Microsoft Graph to show the federated credential that exists",
                code="federated-credential-not-visible",
                backoff=_VISIBLE,
            )
            if existing.get("name") != credential.name:
                raise taken
        if records.federated_credential(existing) != credential:
            key = checked_guid(str(existing.get("id")), "id of the federated credential")
            entry = target.at(lambda builder: builder.by_federated_identity_credential_id(key))
            body = _federated_body(credential)
            await self._graph.call(operations.FEDERATE, "patch", entry, body, exists=True)

    async def _similar(self, target: Target, credential: FederatedCredential) -> Json | None:
        """The entry of that name, else the one that has the same issuer and subject: both are unique."""
        found = await self._graph.pages(operations.READ_FEDERATED, target, exists=True)
        identity = (credential.issuer, credential.subject)
        named = [item for item in found if item.get("name") == credential.name]
        same = [item for item in found if (item.get("issuer"), item.get("subject")) == identity]
        return next(iter(named + same), None)


def certainly_not_created(error: BaseException) -> bool:
    """Whether ``addPassword`` may be sent again: the answer proves that no secret was made."""
    concurrent = isinstance(error, ServiceUnavailable) and error.code == "entra-concurrent-change"
    return concurrent or is_transient_before_sending(error)


def _refused(error: BootstrapError) -> bool:
    """Whether Graph itself refused the request as such: then nothing was made."""
    trace = error.trace
    return bool(trace and trace.service_code and trace.status and 400 <= trace.status < 500)


def _lost_reply(error: BootstrapError, display_name: str) -> BootstrapError:
    return fault("secret-reply-lost", trace=error.trace, reason=error.message, display_name=display_name)


def _with_end(error: BootstrapError, end: datetime) -> BootstrapError:
    if error.code != "secret-lifetime-exceeds-policy":
        return error
    asked = end.isoformat()
    facts = {**error.facts, "asked_end_date_time": asked}
    policy_id = error.facts.get("policy_id", "")
    return fault(error.code, trace=error.trace, facts=facts, asked_end=asked, policy_id=policy_id)


def effective_policy(restrictions: Sequence[Mapping[str, Any]], created: datetime | None) -> SecretPolicy:
    """What a policy's restrictions say of client secrets. Pure.

    :param created: when the application was created; ``None`` for one that is not created yet, or not known:
        then restrictions for newer applications count.
    """
    allowed, lifetimes, understood = True, [], True
    for entry in restrictions:
        since = read_time(entry.get("restrictForAppsCreatedAfterDateTime"))
        # ``state`` is younger than the policies themselves: without it a restriction is in force.
        if entry.get("state") == "disabled" or (since and created and created < since):
            continue
        if entry.get("restrictionType") == "passwordAddition":
            allowed = False
        elif entry.get("restrictionType") == "passwordLifetime":
            lifetime = iso_duration(entry.get("maxLifetime"))
            lifetimes += [lifetime] if lifetime else []
            understood = understood and lifetime is not None
    return SecretPolicy(
        known=understood,
        addition_allowed=allowed,
        greatest_lifetime=min(lifetimes, default=None),
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


def _restrictions(policy: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    configuration = policy.get(name)
    entries = configuration.get("passwordCredentials") if isinstance(configuration, Mapping) else None
    return [entry for entry in entries or () if isinstance(entry, Mapping)]


def _federated(app_object_id: AppObjectId) -> Target:
    return application_target(app_object_id).at(
        lambda application: application.federated_identity_credentials
    )


def _federated_body(credential: FederatedCredential) -> FederatedIdentityCredential:
    return FederatedIdentityCredential(
        issuer=credential.issuer, subject=credential.subject, audiences=[credential.audience]
    )


def _present_key(item: KeyCredential) -> KeyModel:
    identifier = item.custom_key_identifier
    return KeyModel(
        key_id=as_guid(item.key_id, "key id"),
        display_name=item.display_name,
        type=item.kind,
        usage=item.usage,
        start_date_time=item.start_date_time,
        end_date_time=item.end_date_time,
        custom_key_identifier=base64.b64decode(identifier) if identifier else None,
    )


def _new_key(name: str, item: PublicCertificate) -> KeyModel:
    return KeyModel(
        key_id=as_guid(item.key_id, "key id"),
        display_name=name,
        type="AsymmetricX509Cert",
        usage="Verify",
        start_date_time=item.start_date_time,
        end_date_time=item.end_date_time,
        key=item.der,
    )
