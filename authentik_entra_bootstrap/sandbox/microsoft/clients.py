"""Who signs in: finding the client, and proving that it is the one."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from authentik_entra_bootstrap.sandbox.microsoft import aadsts, assertions
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.objects import MICROSOFT_TENANT, hash_secret
from authentik_entra_bootstrap.sandbox.microsoft.replica import Credential, Replica
from authentik_entra_bootstrap.sandbox.requestlog import note_caller
from authentik_entra_bootstrap.sandbox.store import Directory, Object

Form = dict[str, str]


@dataclass(frozen=True)
class Client:
    """A client as the tenant knows it; Microsoft's own clients have no application in any tenant here."""

    app_id: str
    service_principal: Object
    application: Object | None
    home: Directory | None

    @property
    def name(self) -> str:
        """Its display name."""
        return str(self.service_principal.get("displayName", self.app_id))

    @property
    def public(self) -> bool:
        """Whether it may sign people in without proving itself (device code, browser)."""
        if self.application is None:
            return self.service_principal.get("appOwnerOrganizationId") == MICROSOFT_TENANT
        registered = (self.application.get("publicClient") or {}).get("redirectUris")
        return bool(self.application.get("isFallbackPublicClient") or registered)


def required(form: Form, *names: str) -> list[str]:
    """The values of parameters that must be there.

    :raises Aadsts: 900144 for the first that is missing or empty.
    """
    for name in names:
        if not form.get(name):
            message = f"The request body must contain the following parameter: '{name}'."
            raise Aadsts(900144, aadsts.INVALID_REQUEST, message)
    return [form[name] for name in names]


def check_proof_given(form: Form) -> None:
    """Check that a client that signs in for itself sends a secret or an assertion at all.

    The service says so before it looks at tenant and client: in a recording of Azure's JavaScript SDK both are
    missing.

    :raises Aadsts: 7000216.
    """
    if not form.get("client_secret") and not form.get("client_assertion"):
        message = "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
        raise Aadsts(7000216, aadsts.INVALID_CLIENT, message, status=401)


def find_client(replica: Replica, app_id: str) -> Client:
    """The client, enabled and with a service principal in the tenant.

    :raises Aadsts: 700016 for an unknown one, 7000229 without a service principal, 7000112 when disabled.
    """
    note_caller(app_id)
    principal = replica.service_principal(app_id)
    located = replica.application(app_id)
    if principal is None:
        if located is not None and located[0] is replica.directory:
            message = (
                f"The client application {app_id} is missing service principal in the tenant "
                f"{replica.tenant_id}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
            )
            raise Aadsts(7000229, aadsts.INVALID_CLIENT, message, status=401)
        raise _unknown(replica, app_id)
    home, application = located or (None, None)
    if application is None and principal.get("appOwnerOrganizationId") != MICROSOFT_TENANT:
        raise _unknown(replica, app_id)
    if not principal.get("accountEnabled", True):
        message = f"Application '{app_id}'({principal.get('displayName')}) is disabled."
        raise Aadsts(7000112, aadsts.UNAUTHORIZED_CLIENT, message, status=401)
    return Client(str(principal["appId"]), principal, application, home)


def _unknown(replica: Replica, app_id: str) -> Aadsts:
    message = (
        f"Application with identifier '{app_id}' was not found in the directory '{replica.tenant_name}'. This can "
        "happen if the application has not been installed by the administrator of the tenant or consented to by "
        "any user in the tenant. You may have sent your authentication request to the wrong tenant."
    )
    return Aadsts(700016, aadsts.UNAUTHORIZED_CLIENT, message)


def authenticate(replica: Replica, client: Client, form: Form, origin: str) -> None:
    """Prove a confidential client by its secret, its certificate or a federated token.

    :param origin: the address under which the caller reached us, part of an assertion's audience.
    :raises Aadsts: 7000218 without a proof, 7000215 or 7000222 for a secret, and what
        :mod:`~.assertions` says of assertions.
    """
    assertion, secret = form.get("client_assertion"), form.get("client_secret")
    if client.application is None or client.home is None or not (assertion or secret):
        message = (
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
        )
        raise Aadsts(7000218, aadsts.INVALID_CLIENT, message, status=401)
    if assertion:
        if form.get("client_assertion_type") != assertions.ASSERTION_TYPE:
            raise Aadsts(
                900144,
                aadsts.INVALID_REQUEST,
                "The request body must contain the following parameter: 'client_assertion_type'.",
            )
        certificates = replica.certificates(
            client.home, client.application["id"], client.service_principal["id"]
        )
        assertions.verify(replica, client.application, certificates, assertion, origin)
        return
    secrets = replica.secrets(client.home, client.application["id"], client.service_principal["id"])
    _check_secret(replica, client.app_id, secrets, str(secret))


def _check_secret(replica: Replica, app_id: str, secrets: list[Credential], secret: str) -> None:
    hashed = hash_secret(secret)
    fitting = [credential for credential in secrets if hmac.compare_digest(credential.private, hashed)]
    if any(credential.lives(replica.now) for credential in fitting):
        return
    if any(credential.expired(replica.now) for credential in fitting):
        message = (
            f"The provided client secret keys for app '{app_id}' are expired. Visit the Azure portal to create new "
            "keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added "
            "security: https://aka.ms/certCreds."
        )
        raise Aadsts(7000222, aadsts.INVALID_CLIENT, message, status=401)
    message = (
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
        f"not the client secret ID, for a secret added to app '{app_id}'."
    )
    raise Aadsts(7000215, aadsts.INVALID_CLIENT, message, status=401)
