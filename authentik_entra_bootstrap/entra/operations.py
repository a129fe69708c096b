"""The operations on Microsoft Graph: the permissions that each needs, and the meaning of its refusals.

Codes decide; texts only if Graph has one code for everything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from authentik_entra_bootstrap.domain import TokenClaims
from authentik_entra_bootstrap.entra.error_codes import GRAPH, fault
from authentik_entra_bootstrap.entra.records import json_of, text_of
from authentik_entra_bootstrap.errors import BootstrapError, RequestTrace
from authentik_entra_bootstrap.planning.permissions import RULES, Lack, Rule
from authentik_entra_bootstrap.support.network import proxy_refusal
from authentik_entra_bootstrap.support.waiting import retry_after


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    :param key: stable name.
    :param purpose: completes "The operator may not …".
    :param rule_key: its line in the table of permissions.
    :param consent: whether a refusal means that an administrator has to consent instead of the operator.
    """

    key: str
    purpose: str
    rule_key: str
    consent: bool = False

    @property
    def rule(self) -> Rule:
        """The permissions that the request needs."""
        return RULES[self.rule_key]

    def lack(self, claims: TokenClaims | None) -> tuple[str, str]:
        """Why the request was refused, and the name of the permission or role to ask for.

        :param claims: the refused token's claims, where known.
        """
        rule = self.rule
        smallest = rule.smallest[0]
        lack = Lack("application permission", smallest)
        if claims is not None:
            found = rule.lack(claims, lenient=False)
            if found is None:
                held = f"the token shows every needed permission ({rule.enough}), but Microsoft Graph refuses"
                return held, smallest
            lack = found
            if claims.is_app_only and rule.lack(claims) is None:
                reach = f"{rule.owned[0]} reaches only applications that the operator owns"
                return f"{reach}, and it does not own this one", lack.name
        return f"the {lack} is missing", lack.name


READ_ORGANIZATION = Operation("read-organization", "read the tenant's name", "organization.read")
READ_USERS = Operation("read-users", "read the tenant's users", "user.read")
READ_GROUPS = Operation("read-groups", "read the tenant's groups", "group.read")
READ_MEMBERS = Operation("read-group-members", "read the members of groups", "group.members.read")
READ_APPLICATION = Operation("read-application", "read applications", "application.read")
READ_DELETED = Operation("read-deleted-applications", "read deleted applications", "application.read")
CREATE_APPLICATION = Operation("create-application", "create applications", "application.create")
UPDATE_APPLICATION = Operation("update-application", "change the application", "application.update")
DELETE_APPLICATION = Operation("delete-application", "delete the application", "application.delete")
RESTORE_APPLICATION = Operation(
    "restore-application", "restore the deleted application", "application.delete"
)
PURGE_APPLICATION = Operation("purge-application", "delete the application permanently", "application.purge")
READ_SERVICE_PRINCIPAL = Operation(
    "read-service-principal", "read service principals", "servicePrincipal.read"
)
CREATE_SERVICE_PRINCIPAL = Operation(
    "create-service-principal", "create the application's service principal", "servicePrincipal.create"
)
UPDATE_SERVICE_PRINCIPAL = Operation(
    "update-service-principal", "change the application's service principal", "servicePrincipal.update"
)
READ_ASSIGNMENTS = Operation("read-role-assignments", "read granted permissions", "roleGrant.read")
ASSIGN_ROLE = Operation(
    "assign-role", "grant application permissions of Microsoft Graph", "roleGrant.create.graph", consent=True
)
READ_GRANTS = Operation("read-delegated-grants", "read granted delegated permissions", "scopeGrant.read")
GRANT_SCOPES = Operation(
    "grant-scopes", "grant delegated permissions for all users", "scopeGrant.write", consent=True
)
READ_POLICY = Operation("read-policy", "read the tenant's policies", "policy.read")
ADD_SECRET = Operation("add-secret", "make a client secret", "application.credentials")
REMOVE_SECRET = Operation("remove-secret", "remove a client secret", "application.credentials")
ADD_OWNER = Operation("add-owner", "add an owner to the application", "application.owners")
READ_OWNED = Operation("read-owned-objects", "read what a service principal owns", "servicePrincipal.read")
READ_FEDERATED = Operation("read-federated-credentials", "read federated credentials", "application.read")
FEDERATE = Operation("federate", "write federated credentials of the application", "application.update")


# --- refusals

_BY_CODE: Mapping[str, str] = {
    # Seen with 503 and with 409 (Azure/azure-cli#23081, nais/azurerator#448).
    "Directory_ConcurrencyViolation": "entra-concurrent-change",
    "Authorization_IdentityNotFound": "operator-not-in-tenant",
    "Directory_QuotaExceeded": "quota-exceeded",
    "Directory_ResourceSizeExceeded": "too-many-secrets",
    "TooManyCredentials": "too-many-secrets",
    "TooManyAppPasswords": "too-many-secrets",
    "CredentialInvalidLifetimeAsPerAppPolicy": "secret-lifetime-exceeds-policy",
    "CredentialTypeNotAllowedAsPerAppPolicy": "secrets-forbidden-by-policy",
    "ServiceTreeValueMissing": "service-management-reference-required",
    "ServiceTreeInvalid": "service-management-reference-required",
    "Request_ResourceNotFound": "entra-object-not-found",
    "NoBackingApplicationObject": "entra-object-not-found",
    "Request_MultipleObjectsWithSameKeyValue": "object-exists",
}
"""Graph's code, of the error or one of its details -> this program's code."""
_BY_TEXT: Mapping[str, str] = {
    "does not reference a valid application object": "entra-object-not-found",
    "does not exist or one of its queried reference-property objects are not present": "entra-object-not-found",
    "not a valid reference update": "entra-object-not-found",
    "permission being assigned already exists on the object": "object-exists",
    "entitlementgrant entry already exists": "object-exists",
    "permission entry already exists": "object-exists",
    "added object references already exist": "object-exists",
    "maximum of 2": "too-many-secrets",
    "credential limit has been reached": "too-many-secrets",
}
"""Text of 400 Request_BadRequest, in lower case -> this program's code."""
_NAME_TAKEN = ("same value for property uniquename already exists", "unique-name-taken")
_BY_OPERATION: Mapping[Operation, tuple[str, str]] = {
    CREATE_APPLICATION: _NAME_TAKEN,
    UPDATE_APPLICATION: _NAME_TAKEN,
    REMOVE_SECRET: ("no password credential found with keyid", "secret-not-found"),
    ASSIGN_ROLE: ("permission being assigned was not found", "permission-not-offered"),
}
"""The same for one operation alone."""
_BACKING_APPLICATION = "backing application of the service principal"
"""403 for an application that is not replicated yet, to a caller with ``Application.ReadWrite.OwnedBy``
(terraform-provider-azuread, vault-plugin-secrets-azure)."""
_POLICY_ID = re.compile(r"policy '([^']+)'")


@dataclass(frozen=True)
class _Refusal:
    status: int
    code: str
    message: str
    details: tuple[tuple[str, str], ...]
    """(code, target) pairs."""

    def says(self, text: str) -> bool:
        return text in self.message.casefold()


def graph_fault(
    operation: Operation,
    response: httpx.Response,
    trace: RequestTrace,
    claims: TokenClaims | None,
    what: str,
) -> BootstrapError:
    """The error of a failed request.

    :param trace: of its request; gets Graph's code, and ids that are only in the body.
    :param claims: of the token that was refused, to name what it lacks.
    :param what: the object asked about, for people.
    """
    error = _mapping(json_of(response.content), "error")
    # Graph spells it innerError, innererror and InnerError.
    inner = next((_mapping(error, name) for name in error if name.lower() == "innererror"), {})
    details = error.get("details")
    refused = _Refusal(
        response.status_code,
        text_of(error, "code"),
        text_of(error, "message"),
        tuple(
            (text_of(item, "code"), text_of(item, "target"))
            for item in (details if isinstance(details, list) else ())
            if isinstance(item, Mapping)
        ),
    )
    headers = response.headers
    trace = replace(
        trace,
        service_code=refused.code or None,
        request_id=trace.request_id or text_of(inner, "request-id") or None,
        correlation_id=headers.get("client-request-id")
        or text_of(inner, "client-request-id")
        or trace.correlation_id,
    )
    if refused.status == 407:
        return proxy_refusal(407, GRAPH, trace=trace)
    code, status = _code(operation, refused), f"HTTP {refused.status}"
    reason = refused.message or refused.code or "no reason given"
    facts: dict[str, str] = {}
    words: dict[str, Any] = {}
    if code == "unexpected-answer":
        kind = headers.get("content-type") or "no content type"
        reason = (
            f"{status} {refused.code}: {refused.message}"
            if refused.code
            else f"{status} with {kind}, not Graph's own words"
        )
    elif code in {"entra-permission-missing", "consent-required"}:
        lack, missing = operation.lack(claims)
        enough = operation.rule.enough
        facts = {"operation": operation.key, "missing_permission": missing, "enough": enough}
        words = {"purpose": operation.purpose, "lack": lack, "enough": enough}
        if operation is CREATE_SERVICE_PRINCIPAL and refused.says(_BACKING_APPLICATION):
            # The same code as for every other 403: only the text tells it apart.
            facts["backing_application"] = "unknown"
    elif "policy" in code and (found := _POLICY_ID.search(refused.message)):
        facts = {"policy_id": found.group(1)}
    words |= {"service": GRAPH, "status": status, "reason": reason, "what": what}
    words |= {"policy_id": facts.get("policy_id", "")}
    return fault(code, trace=trace, facts=facts, retry_after=retry_after(headers.get("retry-after")), **words)


def _code(operation: Operation, refused: _Refusal) -> str:
    status, codes = refused.status, (refused.code, *(code for code, _ in refused.details))
    named = next((_BY_CODE[code] for code in codes if code in _BY_CODE), "")
    if status >= 500 or status in {408, 424, 429}:
        passing = "entra-throttled" if status == 429 else "entra-unavailable"
        return named if named == "entra-concurrent-change" else passing
    if named:
        return named
    if refused.code.endswith("AsPerAppPolicy"):
        return "tenant-policy-forbids"
    if status == 400:
        return _by_text(operation, refused)
    if status in {403, 404} and not refused.code:
        # Without Graph's own code it comes from something in between: a proxy, a wrong host.
        return "unexpected-answer"
    # The SDK has answered a first challenge with a new token; the code is that of every refused token.
    revoked = refused.says("continuous access evaluation")
    by_status = {
        401: "access-revoked" if revoked else "operator-token-refused",
        403: "consent-required" if operation.consent else "entra-permission-missing",
        404: "entra-object-not-found",
        409: "entra-conflict",
    }
    return by_status.get(status, "unexpected-answer")


def _by_text(operation: Operation, refused: _Refusal) -> str:
    """Graph's only code is Request_BadRequest, so its texts have to decide, narrowly."""
    text, code = _BY_OPERATION.get(operation, ("", ""))
    if code == "unique-name-taken" and ("ObjectConflict", "uniqueName") in refused.details:
        return code
    if code and refused.says(text):
        return code
    return next((code for text, code in _BY_TEXT.items() if refused.says(text)), "unexpected-answer")


def not_replicated(error: BaseException) -> bool:
    """Whether this replica does not know a needed object yet, in each form of Graph's answer."""
    return isinstance(error, BootstrapError) and (
        error.code == "entra-object-not-found" or error.facts.get("backing_application") == "unknown"
    )


def exists_already(error: BaseException) -> bool:
    """Whether Graph holds the object already; only a re-read tells whether it is the same."""
    return isinstance(error, BootstrapError) and error.code == "object-exists"


def _mapping(body: object, name: str) -> Mapping[str, Any]:
    value = body.get(name) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else {}
