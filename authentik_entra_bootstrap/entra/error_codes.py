"""Every error code that Microsoft's side can give: one table, from which the documentation is generated."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from authentik_entra_bootstrap.errors import (
    AdminActionRequired,
    AlreadyExists,
    ConfigError,
    Conflict,
    Denied,
    ErrorRow,
    NotFound,
    ServiceUnavailable,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
    error_of,
)

GRAPH = "Microsoft Graph"
LOGIN_SERVICE = "The token service"
_AGAIN = "Run the same command again; it continues where this run stopped."

CODES: Mapping[str, ErrorRow] = {
    "entra-login-unknown": ErrorRow(ConfigError, "There is no login {login!r}.", "Use one of: {known}."),
    "unique-name-invalid": ErrorRow(
        ConfigError,
        "The unique name {name!r} cannot be used as a key in Microsoft Graph.",
        "Use up to 128 letters, digits, '.', '_', '~' and '-', beginning with a letter or digit.",
    ),
    "id-invalid": ErrorRow(
        ConfigError,
        "{what} {value!r} is not a GUID.",
        "Copy the id from the Entra portal; client id and object id are different.",
    ),
    "host-not-found": ErrorRow(
        Unreachable, "The name {host} cannot be resolved.", "Check the network, DNS and the proxy."
    ),
    "entra-unreachable": ErrorRow(
        Unreachable,
        "No connection to {host}: {reason}.",
        "Check the network and the proxy setting, then run the same command again.",
    ),
    "entra-reply-lost": ErrorRow(
        Unreachable, "The connection to {host} broke before the answer arrived: {reason}.", _AGAIN
    ),
    "secret-reply-lost": ErrorRow(
        Unreachable,
        (
            "Microsoft Graph gave no usable answer to the request for a client secret ({reason}); "
            "one named {display_name!r} may exist."
        ),
        _AGAIN,
    ),
    "entra-throttled": ErrorRow(Throttled, "{service} throttles the requests.", _AGAIN),
    "entra-unavailable": ErrorRow(ServiceUnavailable, "{service} is not available ({status}).", _AGAIN),
    "entra-concurrent-change": ErrorRow(
        ServiceUnavailable,
        "Microsoft Graph refuses the change while another change of the tenant is in progress.",
        _AGAIN,
    ),
    "unexpected-answer": ErrorRow(
        UnexpectedAnswer,
        "{service} gave an unexpected answer: {reason}.",
        "Check the proxy, if there is one. Otherwise report this with the request id.",
    ),
    "no-operator-identity": ErrorRow(
        Denied,
        "No login worked: {tried}.",
        "Set AZURE_TENANT_ID, AZURE_CLIENT_ID and a credential, run `az login`, or choose --login device-code.",
    ),
    "sign-in-failed": ErrorRow(
        Denied,
        "Signing in to Entra ID failed: {reason}.",
        "Sign in again; the number behind AADSTS is explained at https://login.microsoftonline.com/error.",
    ),
    "wrong-tenant": ErrorRow(
        Denied,
        "The operator is signed in to tenant {found}, but the settings name {wanted}.",
        "Sign in to the right tenant (AZURE_TENANT_ID, or `az login --tenant`), or change tenant_id.",
    ),
    "operator-secret-wrong": ErrorRow(
        Denied,
        "The token service does not accept the operator's client secret.",
        "Set AZURE_CLIENT_SECRET to the secret's value (not its id), and check that it belongs to AZURE_CLIENT_ID.",
    ),
    "operator-secret-expired": ErrorRow(
        Denied,
        "The operator's client secret has expired.",
        "Create a new one for the operator's application. A certificate or workload identity is better.",
    ),
    "operator-credential-invalid": ErrorRow(
        Denied,
        "The token service does not accept the operator's certificate or assertion: {reason}.",
        "Check that the certificate or federated credential is registered with the operator's application.",
    ),
    "operator-certificate-expired": ErrorRow(
        Denied,
        "The operator's certificate has expired.",
        (
            "Register a new certificate with the operator's application; `authentik-entra rotator renew` does it for the "
            "rotator before the old one expires."
        ),
    ),
    "clock-off": ErrorRow(
        Denied,
        "The token service refuses the signed assertion: this machine's clock is {off} of the token service's.",
        "Synchronise this machine's clock (NTP), then run the same command again.",
    ),
    "access-revoked": ErrorRow(
        Denied,
        "Microsoft Graph refuses the access token again and again (continuous access evaluation): {reason}.",
        (
            "Sign in again from a network that the tenant's policies allow. If it happens again, ask an administrator whether the "
            "identity was disabled or its sessions were revoked."
        ),
    ),
    "operator-not-in-tenant": ErrorRow(
        Denied,
        "Microsoft Graph does not find the operator's service principal in the tenant.",
        (
            "Create its service principal (enterprise application) in this tenant, or restore it; right after its creation, "
            "wait a few minutes and run the same command again."
        ),
    ),
    "operator-token-refused": ErrorRow(
        Denied,
        "Microsoft Graph does not accept the access token: {reason}.",
        "Sign in again, and check this machine's clock and the cloud setting.",
    ),
    "application-not-found": ErrorRow(
        Denied,
        "The tenant {tenant} does not know the application {app_id}.",
        "Check client id and tenant id; a new application takes a while to be known everywhere.",
    ),
    "application-disabled": ErrorRow(
        Denied,
        "The application {app_id} is disabled.",
        "Enable its sign-in under Enterprise applications > Properties.",
    ),
    "tenant-not-found": ErrorRow(
        Denied,
        "The token service knows no tenant {tenant}.",
        "Check the Directory (tenant) ID and the cloud setting.",
    ),
    "conditional-access": ErrorRow(
        Denied,
        "A Conditional Access policy blocks the sign-in.",
        "Have an administrator exclude this identity, or sign in from where the policy allows it.",
    ),
    "interaction-required": ErrorRow(
        Denied,
        "The sign-in needs a person: {reason}.",
        "Sign in with --login browser or --login device-code, or use a service principal.",
    ),
    "sign-in-declined": ErrorRow(Denied, "The sign-in was declined.", "Start it again and accept it."),
    "sign-in-expired": ErrorRow(
        Denied,
        "The sign-in was not completed in time.",
        "Start it again and enter the code before it expires.",
    ),
    "secret-not-accepted": ErrorRow(
        Denied,
        "The token service does not accept the client secret of application {app_id} (yet).",
        "A new secret works after seconds to minutes. If it never does, create another one.",
    ),
    "secret-expired": ErrorRow(
        Denied, "The client secret of application {app_id} has expired.", "Rotate it."
    ),
    "sync-permission-missing": ErrorRow(
        Denied,
        "The token of application {app_id} may not read the organization (yet).",
        "Grant admin consent for the application's permissions; new grants take a while to work.",
    ),
    "entra-permission-missing": ErrorRow(
        Denied, "The operator may not {purpose}: {lack}.", "The smallest that is enough: {enough}."
    ),
    "assignment-required": ErrorRow(
        AdminActionRequired,
        "Only assigned identities may use the application {app_id}: {reason}.",
        (
            "Have an administrator assign the identity under Enterprise applications > Users and groups, or turn off "
            '"Assignment required" there.'
        ),
    ),
    "consent-required": ErrorRow(
        AdminActionRequired,
        "The operator may not {purpose}: {lack}.",
        (
            "An administrator has to grant consent: in the portal under App registrations > API permissions. Then run the "
            "same command again. "
            "Enough for the operator: {enough}."
        ),
    ),
    "quota-exceeded": ErrorRow(
        AdminActionRequired,
        "The operator has created as many directory objects as the tenant allows it; deleted ones count.",
        "Have an administrator raise the quota or purge deleted objects, or use a role without a quota.",
    ),
    "service-management-reference-required": ErrorRow(
        AdminActionRequired,
        "The tenant demands a service management reference for every application.",
        "Set service_management_reference to the id that your organisation uses.",
    ),
    "tenant-policy-forbids": ErrorRow(
        AdminActionRequired,
        "A policy of the tenant forbids the change: {reason}",
        "Ask an administrator about the tenant's application policies.",
    ),
    "secrets-forbidden-by-policy": ErrorRow(
        AdminActionRequired,
        "The tenant's app management policy {policy_id} forbids client secrets.",
        "Have an administrator exempt the application: authentik signs in with a client secret.",
    ),
    "secret-lifetime-exceeds-policy": ErrorRow(
        AdminActionRequired,
        "The requested client secret until {asked_end} is valid for longer than the tenant's policy {policy_id} allows.",
        "Choose a shorter secret lifetime.",
    ),
    "certificate-lifetime-exceeds-policy": ErrorRow(
        AdminActionRequired,
        "The certificate is valid for longer than the tenant's policy {policy_id} allows.",
        "Choose a shorter --lifetime, and name another file for its key.",
    ),
    "too-many-secrets": ErrorRow(
        AdminActionRequired,
        "Microsoft Graph creates no further client secret: the application holds as many credentials as it may.",
        (
            "Remove unused client secrets in the portal under Certificates & secrets. An application "
            "for personal accounts can hold only two. authentik needs an application for one tenant "
            "(signInAudience AzureADMyOrg)."
        ),
    ),
    "unique-name-taken": ErrorRow(
        AlreadyExists,
        "The unique name {unique_name} is taken by a live or deleted application.",
        "Find that application first. A deleted one keeps the name for up to 30 days.",
    ),
    "object-exists": ErrorRow(AlreadyExists, "Microsoft Graph already has such an object."),
    "entra-object-not-found": ErrorRow(
        NotFound,
        "Microsoft Graph does not know {what} (yet).",
        "A new object takes a while to be known everywhere. Otherwise it was deleted.",
    ),
    "secret-not-found": ErrorRow(
        NotFound,
        "Microsoft Graph knows no client secret with that key id (any more, or yet).",
        "Run the same command again: a removed secret and a secret that is not replicated yet look the same.",
    ),
    "permission-not-offered": ErrorRow(
        NotFound,
        "The resource offers no such permission: {reason}",
        "The permission was removed or renamed by Microsoft; check the list of permissions.",
    ),
    "entra-conflict": ErrorRow(Conflict, "Microsoft Graph refuses the change: {reason}"),
}
"""Every error of the tenant and the token service, by its code."""

fault = partial(error_of, CODES)
"""The error of a code; see :func:`~authentik_entra_bootstrap.errors.error_of`."""
