"""From Microsoft Graph's refusals to our errors. Codes decide; texts only where Graph has but one code for all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from authentik_entra_bootstrap.domain import TokenClaims
from authentik_entra_bootstrap.entra.error_codes import GRAPH, fault
from authentik_entra_bootstrap.entra.http_client import json_of
from authentik_entra_bootstrap.entra.operations import (
    ASSIGN_ROLE,
    CREATE_APPLICATION,
    CREATE_SERVICE_PRINCIPAL,
    REMOVE_SECRET,
    UPDATE_APPLICATION,
    Operation,
)
from authentik_entra_bootstrap.errors import AlreadyExists, BootstrapError, RequestTrace, Temporary
from authentik_entra_bootstrap.support.addresses import proxy_refusal
from authentik_entra_bootstrap.support.waiting import retry_after

SAME_KEY = "Request_MultipleObjectsWithSameKeyValue"
NOT_FOUND = "Request_ResourceNotFound"
CONCURRENCY = "Directory_ConcurrencyViolation"
BACKING_APPLICATION = "backing application of the service principal"
"""403 for an application that is not replicated yet, to a caller with ``Application.ReadWrite.OwnedBy``
(terraform-provider-azuread, vault-plugin-secrets-azure)."""

_POLICY_ID = re.compile(r"policy '([^']+)'")
_NOT_REPLICATED = (
    "does not reference a valid application object",
    "does not exist or one of its queried reference-property objects are not present",
    "not a valid reference update",
)
"""Texts of 400 Request_BadRequest for an object that the replica asked does not know yet."""
_EXISTS = (
    "permission being assigned already exists on the object",
    "entitlementgrant entry already exists",
    "permission entry already exists",
    "added object references already exist",
)
"""Texts of 400 Request_BadRequest for a grant, or an owner, that exists already."""


@dataclass(frozen=True)
class Refusal:
    """An error answer of Microsoft Graph as plain data."""

    status: int
    code: str = ""
    message: str = ""
    details: tuple[tuple[str, str], ...] = ()
    """(code, target) pairs."""
    retry_after: float | None = None
    trace: RequestTrace = field(default_factory=lambda: RequestTrace("graph"))
    content_type: str = ""

    def has(self, *codes: str) -> bool:
        """Whether one of the codes is the error's own or one of its details'."""
        return self.code in codes or any(code in codes for code, _ in self.details)

    def says(self, *texts: str) -> bool:
        """Whether the message holds one of the texts. Only for where Graph gives no code of its own."""
        message = self.message.casefold()
        return any(text.casefold() in message for text in texts)


def refusal(response: httpx.Response, trace: RequestTrace) -> Refusal:
    """An answer that is no success.

    :param trace: of its request; gets Graph's code, and ids that stand only in the body.
    """
    body = json_of(response.content)
    error = _mapping(body, "error")
    # Graph spells it innerError, innererror and InnerError.
    inner = next((_mapping(error, name) for name in error if name.lower() == "innererror"), {})
    details = error.get("details")
    code = _text(error, "code")
    headers = response.headers
    return Refusal(
        response.status_code,
        code,
        _text(error, "message"),
        tuple(
            (_text(item, "code"), _text(item, "target"))
            for item in (details if isinstance(details, list) else ())
            if isinstance(item, Mapping)
        ),
        retry_after(headers.get("retry-after")),
        replace(
            trace,
            service_code=code or None,
            request_id=trace.request_id or _text(inner, "request-id") or None,
            correlation_id=headers.get("client-request-id")
            or _text(inner, "client-request-id")
            or trace.correlation_id,
        ),
        headers.get("content-type", ""),
    )


def graph_fault(
    operation: Operation, refused: Refusal, claims: TokenClaims | None, what: str
) -> BootstrapError:
    """The error of a refused request.

    :param claims: of the token that was refused, to name what it lacks.
    :param what: the object asked about, for people.
    """
    return (
        _temporary(refused)
        or _denied(operation, refused, claims)
        or _policy(refused)
        or _object(operation, refused, what)
        or _unexpected(refused)
    )


def _temporary(refused: Refusal) -> BootstrapError | None:
    error: BootstrapError | None = None
    if refused.status == 407:
        return proxy_refusal(407, GRAPH, trace=refused.trace)
    if refused.has(CONCURRENCY):
        # Seen with 503 and with 409 (Azure/azure-cli#23081, nais/azurerator#448).
        error = fault("entra-concurrent-change", trace=refused.trace)
    elif refused.status == 429:
        error = fault("entra-throttled", trace=refused.trace, service=GRAPH)
    elif refused.status >= 500 or refused.status in {408, 424}:
        error = fault(
            "entra-unavailable", trace=refused.trace, service=GRAPH, status=f"HTTP {refused.status}"
        )
    if isinstance(error, Temporary):
        error.retry_after = refused.retry_after
    return error


def _denied(operation: Operation, refused: Refusal, claims: TokenClaims | None) -> BootstrapError | None:
    if refused.has("Authorization_IdentityNotFound"):
        return fault("operator-not-in-tenant", trace=refused.trace)
    if refused.status == 401 and refused.says("continuous access evaluation"):
        # The SDK has answered the first challenge with a new token; the code is that of every refused token.
        return fault("access-revoked", trace=refused.trace, reason=refused.message)
    if refused.status == 401:
        reason = refused.message or refused.code or "no reason given"
        return fault("operator-token-refused", trace=refused.trace, reason=reason)
    if refused.has("Directory_QuotaExceeded"):
        return fault("quota-exceeded", trace=refused.trace)
    full = refused.has("Directory_ResourceSizeExceeded", "TooManyCredentials", "TooManyAppPasswords")
    if full or refused.says("maximum of 2", "credential limit has been reached"):
        return fault("too-many-secrets", trace=refused.trace)
    if refused.status != 403 or not refused.code:
        # A 403 without Graph's own code comes from something in between.
        return None
    lack, missing = operation.lack(claims)
    facts = {"operation": operation.key, "missing_permission": missing, "enough": operation.rule.enough}
    if operation is CREATE_SERVICE_PRINCIPAL and refused.says(BACKING_APPLICATION):
        # The same code as for every other 403: only the text tells it apart.
        facts["backing_application"] = "unknown"
    return fault(
        "consent-required" if operation.consent else "entra-permission-missing",
        trace=refused.trace,
        facts=facts,
        purpose=operation.purpose,
        lack=lack,
        enough=operation.rule.enough,
    )


def _policy(refused: Refusal) -> BootstrapError | None:
    found = _POLICY_ID.search(refused.message)
    facts = {"policy_id": found.group(1)} if found else {}
    words = {"policy_id": facts.get("policy_id", "")}
    if refused.has("CredentialInvalidLifetimeAsPerAppPolicy"):
        return fault("secret-lifetime-exceeds-policy", trace=refused.trace, facts=facts, **words)
    if refused.has("CredentialTypeNotAllowedAsPerAppPolicy"):
        return fault("secrets-forbidden-by-policy", trace=refused.trace, facts=facts, **words)
    if refused.has("ServiceTreeValueMissing", "ServiceTreeInvalid"):
        return fault("service-management-reference-required", trace=refused.trace)
    if refused.code.endswith("AsPerAppPolicy"):
        return fault("tenant-policy-forbids", trace=refused.trace, facts=facts, reason=refused.message)
    return None


def _object(operation: Operation, refused: Refusal, what: str) -> BootstrapError | None:
    if refused.status == 404 or refused.has(NOT_FOUND, "NoBackingApplicationObject"):
        # A 404 of something in between (a wrong host, a proxy) has no code of Graph's.
        return fault("entra-object-not-found", trace=refused.trace, what=what) if refused.code else None
    if refused.has(SAME_KEY):
        return fault("object-exists", trace=refused.trace)
    if refused.status == 400:
        # From here on Graph's only code is Request_BadRequest, so its texts have to decide, narrowly.
        if refused.says(*_NOT_REPLICATED):
            return fault("entra-object-not-found", trace=refused.trace, what=what)
        if refused.says(*_EXISTS):
            return fault("object-exists", trace=refused.trace)
        if operation in {CREATE_APPLICATION, UPDATE_APPLICATION} and (
            ("ObjectConflict", "uniqueName") in refused.details
            or refused.says("same value for property uniqueName already exists")
        ):
            return fault("unique-name-taken", trace=refused.trace)
        if operation is REMOVE_SECRET and refused.says("no password credential found with keyid"):
            return fault("secret-not-found", trace=refused.trace)
        if operation is ASSIGN_ROLE and refused.says("permission being assigned was not found"):
            return fault("permission-not-offered", trace=refused.trace, reason=refused.message)
    if refused.status == 409:
        return fault("entra-conflict", trace=refused.trace, reason=refused.message or refused.code)
    return None


def _unexpected(refused: Refusal) -> BootstrapError:
    if refused.code:
        reason = f"HTTP {refused.status} {refused.code}: {refused.message}"
    else:
        reason = (
            f"HTTP {refused.status} with {refused.content_type or 'no content type'}, not Graph's own words"
        )
    return fault("unexpected-answer", trace=refused.trace, service=GRAPH, reason=reason)


def not_replicated(error: BaseException) -> bool:
    """Whether the replica asked does not know an object yet that the request needs, in each of Graph's ways to say so."""
    return isinstance(error, BootstrapError) and (
        error.code == "entra-object-not-found" or error.facts.get("backing_application") == "unknown"
    )


def exists_already(error: BaseException) -> bool:
    """Whether Graph holds the object already; only a re-read tells whether it is the same."""
    return isinstance(error, AlreadyExists) and error.code == "object-exists"


def _mapping(body: object, name: str) -> Mapping[str, Any]:
    value = body.get(name) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""
