"""Who signs in: finding the client, and proving it by its secret, its certificate or a federated token."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from authentik_entra_bootstrap.sandbox.microsoft import aadsts
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.discovery import split_url
from authentik_entra_bootstrap.sandbox.microsoft.objects import MICROSOFT_TENANT, hash_secret
from authentik_entra_bootstrap.sandbox.microsoft.replica import Credential, Replica
from authentik_entra_bootstrap.sandbox.microsoft.tokens import SIGNATURE_ONLY
from authentik_entra_bootstrap.sandbox.requestlog import note_caller
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SKEW = 300
"""Seconds by which an assertion's times may be off."""
ALGORITHMS = ["RS256", "PS256"]


Form = dict[str, str]


@dataclass(frozen=True)
class Client:
    """A client as the tenant knows it; Microsoft's own clients have no application in any tenant here."""

    app_id: str
    service_principal: Object
    application: Object | None

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
        raise _invalid(7000216, message)


def find_client(replica: Replica, app_id: str) -> Client:
    """The client, enabled and with a service principal in the tenant.

    :raises Aadsts: 700016 for an unknown one, 7000229 without a service principal, 7000112 when disabled.
    """
    note_caller(app_id)
    principal = replica.service_principal(app_id)
    application = replica.application(app_id)
    if principal is None:
        if application is not None:
            message = (
                f"The client application {app_id} is missing service principal in the tenant "
                f"{replica.tenant_id}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
            )
            raise _invalid(7000229, message)
        raise _unknown(replica, app_id)
    if application is None and principal.get("appOwnerOrganizationId") != MICROSOFT_TENANT:
        raise _unknown(replica, app_id)
    if not principal.get("accountEnabled", True):
        message = f"Application '{app_id}'({principal.get('displayName')}) is disabled."
        raise Aadsts(7000112, aadsts.UNAUTHORIZED_CLIENT, message, status=401)
    return Client(str(principal["appId"]), principal, application)


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
    :raises Aadsts: 7000218 without a proof, 7000215 or 7000222 for a secret; for an assertion see :func:`_check_assertion`.
    """
    assertion, secret = form.get("client_assertion"), form.get("client_secret")
    if client.application is None or not (assertion or secret):
        raise _invalid(
            7000218,
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
        )
    ids = client.application["id"], client.service_principal["id"]
    if not assertion:
        _check_secret(replica, client.app_id, replica.secrets(*ids), str(secret))
        return
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        required({}, "client_assertion_type")
    _check_assertion(replica, client.application, replica.certificates(*ids), assertion, origin)


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
        raise _invalid(7000222, message)
    raise _invalid(
        7000215,
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
        f"not the client secret ID, for a secret added to app '{app_id}'.",
    )


def trust_issuer(world: World, issuer: str, jwks: Any) -> None:
    """Make the keys of a federated identity's issuer known, as the real service would fetch them.

    :param jwks: a JSON Web Key Set: ``{"keys": [...]}``.
    :raises ValueError: when issuer or keys are missing or malformed.
    """
    if not issuer or not isinstance(jwks, dict) or not jwks.get("keys"):
        raise ValueError("an issuer and a JSON Web Key Set with keys are needed")
    try:
        keys = jwt.PyJWKSet.from_dict(jwks)
    except (jwt.PyJWKSetError, jwt.InvalidKeyError) as error:
        raise ValueError(f"not a JSON Web Key Set: {error}") from error
    world.extras.setdefault("issuers", {})[issuer.rstrip("/")] = keys


@dataclass(frozen=True)
class _Assertion:
    """A JWT that a client sends as its proof; its signature is still to be checked."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]

    def claim(self, name: str) -> str:
        """A claim as text."""
        return str(self.claims.get(name, ""))

    @property
    def audiences(self) -> list[str]:
        """The ``aud`` claim, which may be a list."""
        value = self.claims.get("aud")
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]

    @property
    def key_name(self) -> str:
        """By what the header names the key."""
        return str(self.header.get("x5t#S256") or self.header.get("x5t") or self.header.get("kid") or "")

    def check_signature(self, key: Any, reason: str) -> None:
        """:raises Aadsts: 700027."""
        try:
            jwt.decode(self.text, key, algorithms=ALGORITHMS, options=SIGNATURE_ONLY)
        except (jwt.InvalidTokenError, TypeError) as error:  # the latter for a key that is no RSA key
            raise _key_error(reason, self.key_name) from error


def _check_assertion(
    replica: Replica, application: Object, certificates: list[Credential], text: str, origin: str
) -> None:
    """Check a JWT signed by a registered certificate, or by a federated issuer.

    :param certificates: the ones that the replica takes.
    :param origin: the address under which the caller reached us.
    :raises Aadsts: 50027 for no JWT, 700027 for the key or signature, 700021 for issuer or subject, 700023
        for the audience, 700024 for the time, 700211 to 700213 when no federated credential fits.
    """
    try:
        header = jwt.get_unverified_header(text)
        claims = jwt.decode(text, options={**SIGNATURE_ONLY, "verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise _invalid(50027, "JWT token is invalid or malformed.") from error
    assertion = _Assertion(text, header, claims)
    app_id = str(application["appId"]).lower()
    if assertion.claim("iss").lower() != app_id:
        _check_federated(replica, application, assertion)
    else:
        _check_certificate(replica, certificates, assertion)
        if assertion.claim("sub").lower() != app_id:
            message = "Client assertion application identifier doesn't match 'client_id' parameter."
            raise _invalid(700021, message)
        if not any(_is_our_audience(replica, value, origin) for value in assertion.audiences):
            raise _invalid(
                700023,
                "Client assertion audience claim does not match Realm issuer. Review the documentation at "
                "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
            )
    # The caller dates its assertion by its own clock, which need not have moved with the sandbox's.
    start, end = float(claims.get("nbf", claims.get("iat", 0))), float(claims.get("exp", 0))
    if not any(start - SKEW <= now < end + SKEW for now in (replica.now.timestamp(), time.time())):
        raise _invalid(700024, "Client assertion is not within its valid time range.")


def _check_certificate(replica: Replica, certificates: list[Credential], assertion: _Assertion) -> None:
    """The certificate is the one whose thumbprint the header names, ``kid`` in hexadecimal."""
    for credential in certificates:
        certificate = x509.load_pem_x509_certificate(credential.private.encode())
        sha1, sha256 = certificate.fingerprint(hashes.SHA1()), certificate.fingerprint(hashes.SHA256())
        if _digest(assertion.key_name) in {sha1, sha256} or assertion.key_name.lower() in {
            sha1.hex(),
            sha256.hex(),
        }:
            break
    else:
        raise _key_error("The key was not found.", assertion.key_name)
    if credential.expired(replica.now):
        # AzureAD/microsoft-identity-web#2834.
        raise _invalid(1000502, "The provided certificate is not within its specified validity window.")
    assertion.check_signature(certificate.public_key(), "The signature is invalid.")


def _digest(value: Any) -> bytes:
    text = str(value)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _check_federated(replica: Replica, application: Object, assertion: _Assertion) -> None:
    issuer, subject, audiences = assertion.claim("iss"), assertion.claim("sub"), assertion.audiences
    matching = [entry for entry in application.get("_federated", ()) if entry.get("issuer") == issuer]
    if not matching:
        raise _no_record(700211, "issuer", issuer)
    matching = [entry for entry in matching if set(audiences) & set(entry.get("audiences", ()))]
    if not matching:
        raise _no_record(700212, "audience", " ".join(audiences))
    if not any(entry.get("subject") == subject for entry in matching):
        raise _no_record(700213, "subject", subject)
    keys: jwt.PyJWKSet | None = replica.world.extras.get("issuers", {}).get(issuer.rstrip("/"))
    for key in keys.keys if keys else ():
        if key.key_id == assertion.key_name:
            assertion.check_signature(key, "The key was not found.")
            return
    raise _key_error("The key was not found.", assertion.key_name)


def _is_our_audience(replica: Replica, audience: str, origin: str) -> bool:
    parts = split_url(audience)
    hosts = {
        split_url(origin).netloc,
        split_url(replica.world.entra_url).netloc,
        "login.microsoftonline.com",
    }
    tenant, _, rest = parts.path.strip("/").partition("/")
    return (
        parts.netloc in hosts
        and replica.world.tenant(tenant) is replica.directory
        and rest in {"oauth2/v2.0/token", "oauth2/token", "v2.0", ""}
    )


def _no_record(code: int, part: str, presented: str) -> Aadsts:
    """Each part of a federated credential has its own number (azure-identity's troubleshooting guide names them)."""
    return _invalid(
        code,
        f"No matching federated identity record found for presented assertion {part} '{presented}'. Check your "
        "federated identity credential Subject, Audience and Issuer against the presented assertion. "
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    )


def _key_error(reason: str, thumbprint: str) -> Aadsts:
    shown = _digest(thumbprint).hex().upper()
    return _invalid(
        700027,
        "The certificate with identifier used to sign the client assertion is not registered on application. "
        f"[Reason - {reason}, Thumbprint of key used by client: '{shown}', Please visit the Azure Portal, Graph "
        "Explorer or directly use MS Graph to see configured keys for app.",
    )


def _invalid(code: int, message: str) -> Aadsts:
    return Aadsts(code, aadsts.INVALID_CLIENT, message, status=401)
