"""Client assertions: a JWT signed by a registered certificate, or by a federated issuer."""

from __future__ import annotations

import base64
import time
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from authentik_entra_bootstrap.sandbox.microsoft import aadsts
from authentik_entra_bootstrap.sandbox.microsoft.aadsts import Aadsts
from authentik_entra_bootstrap.sandbox.microsoft.discovery import split_url
from authentik_entra_bootstrap.sandbox.microsoft.replica import Credential, Replica
from authentik_entra_bootstrap.sandbox.microsoft.tokens import SIGNATURE_ONLY
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SKEW = 300
"""Seconds by which an assertion's times may be off."""
ALGORITHMS = ["RS256", "PS256"]


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


def verify(
    replica: Replica, application: Object, certificates: list[Credential], assertion: str, origin: str
) -> None:
    """Check a client assertion against the application.

    :param certificates: the ones that the replica takes.
    :param origin: the address under which the caller reached us.
    :raises Aadsts: 50027 for no JWT, 700027 for the key or signature, 700021 for issuer or subject, 700023
        for the audience, 700024 for the time, 700211 to 700213 when no federated credential fits.
    """
    try:
        header = jwt.get_unverified_header(assertion)
        claims = jwt.decode(assertion, options={**SIGNATURE_ONLY, "verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise _invalid(50027, "JWT token is invalid or malformed.") from error
    if str(claims.get("iss", "")).lower() == str(application["appId"]).lower():
        _by_certificate(replica, application, certificates, assertion, header, claims, origin)
    else:
        _by_federation(replica, application, assertion, header, claims)
    _check_time(replica, claims)


def _by_certificate(
    replica: Replica,
    application: Object,
    certificates: list[Credential],
    assertion: str,
    header: dict[str, Any],
    claims: dict[str, Any],
    origin: str,
) -> None:
    named = header.get("x5t#S256") or header.get("x5t") or header.get("kid") or ""
    credential, certificate = _named_certificate(certificates, header)
    if credential is None or certificate is None:
        raise _key_error("The key was not found.", named)
    if credential.expired(replica.now):
        # AzureAD/microsoft-identity-web#2834.
        raise _invalid(1000502, "The provided certificate is not within its specified validity window.")
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise _key_error("The key is not an RSA key.", named)
    try:
        jwt.decode(assertion, key, algorithms=ALGORITHMS, options=SIGNATURE_ONLY)
    except jwt.InvalidTokenError as error:
        raise _key_error("The signature is invalid.", named) from error
    if str(claims.get("sub", "")).lower() != str(application["appId"]).lower():
        raise _invalid(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
    if not any(_is_our_audience(replica, str(value), origin) for value in _listed(claims.get("aud"))):
        raise _invalid(
            700023,
            "Client assertion audience claim does not match Realm issuer. Review the documentation at "
            "https://docs.microsoft.com/azure/active-directory/develop/active-directory-certificate-credentials .",
        )


def _named_certificate(
    certificates: list[Credential], header: dict[str, Any]
) -> tuple[Credential | None, x509.Certificate | None]:
    """The certificate whose thumbprint the header names (``x5t#S256``, ``x5t``, or ``kid`` in hexadecimal)."""
    for credential in certificates:
        certificate = x509.load_pem_x509_certificate(credential.private.encode())
        sha1, sha256 = certificate.fingerprint(hashes.SHA1()), certificate.fingerprint(hashes.SHA256())  # noqa: S303  # a name, not a proof
        if "x5t#S256" in header:
            fits = _digest(header["x5t#S256"]) == sha256
        elif "x5t" in header:
            fits = _digest(header["x5t"]) == sha1
        else:
            fits = str(header.get("kid", "")).lower() in {sha1.hex(), sha256.hex()}
        if fits:
            return credential, certificate
    return None, None


def _digest(value: Any) -> bytes:
    text = str(value)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _by_federation(
    replica: Replica, application: Object, assertion: str, header: dict[str, Any], claims: dict[str, Any]
) -> None:
    issuer, subject = str(claims.get("iss", "")), str(claims.get("sub", ""))
    audiences = _listed(claims.get("aud"))
    matching = [entry for entry in application.get("_federated", ()) if entry.get("issuer") == issuer]
    if not matching:
        raise _no_record(700211, "issuer", issuer)
    matching = [entry for entry in matching if set(audiences) & set(entry.get("audiences", ()))]
    if not matching:
        raise _no_record(700212, "audience", " ".join(audiences))
    if not any(entry.get("subject") == subject for entry in matching):
        raise _no_record(700213, "subject", subject)
    keys: jwt.PyJWKSet | None = replica.world.extras.get("issuers", {}).get(issuer.rstrip("/"))
    try:
        key = (keys or jwt.PyJWKSet([]))[str(header.get("kid", ""))]
        jwt.decode(assertion, key, algorithms=ALGORITHMS, options=SIGNATURE_ONLY)
    except (jwt.InvalidTokenError, jwt.PyJWKSetError, KeyError) as error:
        raise _key_error("The key was not found.", str(header.get("kid", ""))) from error


def _check_time(replica: Replica, claims: dict[str, Any]) -> None:
    """The caller dates its assertion by its own clock, which need not have moved with the sandbox's."""
    start, end = float(claims.get("nbf", claims.get("iat", 0))), float(claims.get("exp", 0))
    if any(start - SKEW <= now < end + SKEW for now in (replica.now.timestamp(), time.time())):
        return
    raise _invalid(700024, "Client assertion is not within its valid time range.")


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


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


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
