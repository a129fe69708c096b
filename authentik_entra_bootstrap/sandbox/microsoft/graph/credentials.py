"""Client secrets, certificates and federated credentials: what applications sign in with."""

from __future__ import annotations

import base64
from datetime import MAXYEAR, datetime
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from authentik_entra_bootstrap.sandbox.microsoft.graph import errors
from authentik_entra_bootstrap.sandbox.microsoft.graph.address import Key, Route
from authentik_entra_bootstrap.sandbox.microsoft.graph.call import NO_CONTENT, Call, Reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.policies import check_key, check_password
from authentik_entra_bootstrap.sandbox.microsoft.graph.present import entity_reply, list_reply
from authentik_entra_bootstrap.sandbox.microsoft.graph.validation import (
    check_complex,
    check_entity,
    is_guid,
    normalise_moment,
    parse_moment,
    read_base64,
    require,
    seven_digits,
)
from authentik_entra_bootstrap.sandbox.microsoft.model import ENTITIES, FEDERATED_CREDENTIAL
from authentik_entra_bootstrap.sandbox.microsoft.objects import hash_secret, new_secret
from authentik_entra_bootstrap.sandbox.store import Object

PERSONAL_SECRETS = 2
"""Live secrets of an application that personal accounts can sign in to (Azure/azure-cli#12946)."""
PERSONAL_AUDIENCES = ("AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount")
FEDERATED_PATH = "applications/{application}/federatedIdentityCredentials"


def _add_password(call: Call, kind: str) -> Reply:
    """``addPassword``: never idempotent, and the only reply that holds the secret's text."""
    target = call.target(kind, call.keys[0], f"{kind}.credentials")
    body = call.json(required=False)
    for name in body:
        if name != "passwordCredential" and "@odata." not in name:
            raise errors.invalid_property(name)
    created, shown = new_password(call, kind, target, body.get("passwordCredential") or {})
    call.directory.put(kind, target["id"], created)
    return Reply(
        200, {"@odata.context": f"{call.base}/$metadata#microsoft.graph.passwordCredential", **shown}
    )


def new_password(call: Call, kind: str, target: Object, wanted: object) -> tuple[Object, dict[str, Any]]:
    """Add a secret to an object (not yet stored), and return it with the credential that shows the text.

    A ``keyId`` or ``secretText`` in the request is ignored: the service makes both.

    :raises GraphError: 400 for dates that make no sense or that a policy forbids, or beyond the cap.
    """
    given = check_complex("passwordCredential", wanted, "passwordCredential", "PasswordCredential")
    start_text = given.get("startDateTime") or seven_digits(call.now)
    start = parse_moment(start_text)
    end_text = given.get("endDateTime") or seven_digits(_two_years_later(start))
    end = parse_moment(end_text)
    if end <= start or end <= call.now:
        raise errors.bad_request("Key credential end date is invalid.", ("InvalidKeyEndDate", "EndDate"))
    existing = list(target.get("passwordCredentials") or ())
    live = sum(call.now < parse_moment(item["endDateTime"]) for item in existing)
    if target.get("signInAudience") in PERSONAL_AUDIENCES and live >= PERSONAL_SECRETS:
        raise errors.GraphError(
            400,
            "TooManyAppPasswords",
            f"Not allowed to add {live + 1} passwords. You can only add a maximum of {PERSONAL_SECRETS} passwords.",
            details=[("TooManyAppPasswords", "passwordCredentials")],
        )
    check_password(call.directory, kind, target, start, end)
    text = new_secret(call.world)
    stored = {
        "customKeyIdentifier": given.get("customKeyIdentifier"),
        "displayName": given.get("displayName"),
        "endDateTime": end_text,
        "hint": text[:3],
        "keyId": call.world.guid("graph"),
        "secretText": None,
        "startDateTime": start_text,
    }
    # Newest first, as the real service lists them.
    changed = {
        **target,
        "passwordCredentials": [stored, *existing],
        "_secrets": {**target.get("_secrets", {}), stored["keyId"]: hash_secret(text)},
    }
    return changed, {**stored, "secretText": text}


def _two_years_later(moment: datetime) -> datetime:
    day = min(moment.day, 28) if moment.month == 2 else moment.day
    return moment.replace(year=min(moment.year + 2, MAXYEAR), day=day)


def _remove_password(call: Call, kind: str) -> Reply:
    """``removePassword``: a key this replica does not know yet answers just like one that never was.

    :raises GraphError: 400.
    """
    target = call.target(kind, call.keys[0], f"{kind}.credentials")
    body = call.json()
    for name in body:
        if name != "keyId" and "@odata." not in name:
            raise errors.invalid_property(name)
    key_id = body.get("keyId")
    if not is_guid(key_id):
        raise errors.bad_request(
            "Invalid value specified for property 'keyId' of resource 'PasswordCredential'."
        )
    wanted = str(key_id).lower()
    seen = call.view.get(kind, target["id"]) or {}
    for version in (seen, target):
        if all(item["keyId"].lower() != wanted for item in version.get("passwordCredentials") or ()):
            raise errors.bad_request(f"No password credential found with keyId {key_id}.")
    target["passwordCredentials"] = [
        item for item in target["passwordCredentials"] if item["keyId"].lower() != wanted
    ]
    target["_secrets"] = {
        name: item for name, item in target.get("_secrets", {}).items() if name.lower() != wanted
    }
    call.directory.put(kind, target["id"], target)
    return NO_CONTENT


def replace_keys(call: Call, kind: str, target: Object, wanted: list[dict[str, Any]]) -> Object:
    """The object with its certificates replaced whole; an entry that names a known ``keyId`` keeps its key.

    :raises GraphError: 400 for what is no certificate, or outlives it.
    """
    known = {item["keyId"]: item for item in target.get("keyCredentials") or ()}
    pems = target.get("_certificates", {})
    keys: list[dict[str, Any]] = []
    certificates: dict[str, str] = {}
    for entry in wanted:
        key_id = entry.get("keyId") or call.world.guid("graph")
        if not entry.get("key"):
            if key_id not in known:
                raise errors.bad_request(
                    "The value for the property 'key' on one of the KeyCredentials is missing.",
                    ("InvalidValue", "keyCredentials"),
                )
            keys.append(
                {**known[key_id], "displayName": entry.get("displayName", known[key_id].get("displayName"))}
            )
            if key_id in pems:
                certificates[key_id] = pems[key_id]
            continue
        stored, pem = _certificate(entry, key_id)
        start, end = parse_moment(stored["startDateTime"]), parse_moment(stored["endDateTime"])
        check_key(call.directory, kind, target, start, end)
        keys.append(stored)
        certificates[key_id] = pem
    return {**target, "keyCredentials": keys, "_certificates": certificates}


def _certificate(entry: dict[str, Any], key_id: str) -> tuple[dict[str, Any], str]:
    if entry.get("type") != "AsymmetricX509Cert" or entry.get("usage") not in ("Verify", "Encrypt"):
        raise errors.bad_request(
            "One or more properties of the key credential are invalid: only 'AsymmetricX509Cert' keys for 'Verify' or "
            "'Encrypt' can be set.",
            ("InvalidValue", "keyCredentials"),
        )
    certificate = _load(str(entry["key"]))
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    start = entry.get("startDateTime") or seven_digits(first)
    end = entry.get("endDateTime") or seven_digits(last)
    if parse_moment(end) > last or parse_moment(end) <= parse_moment(start):
        raise errors.bad_request("Key credential end date is invalid.", ("InvalidKeyEndDate", "EndDate"))
    if parse_moment(start) < first:
        raise errors.bad_request(
            "Key credential start date is invalid.", ("InvalidKeyStartDate", "StartDate")
        )
    thumbprint = base64.b64encode(certificate.fingerprint(hashes.SHA1())).decode()
    stored = {
        "customKeyIdentifier": entry.get("customKeyIdentifier") or thumbprint,
        "displayName": entry.get("displayName") or certificate.subject.rfc4514_string(),
        "endDateTime": normalise_moment(end),
        "key": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
        "keyId": key_id,
        "startDateTime": normalise_moment(start),
        "type": entry["type"],
        "usage": entry["usage"],
    }
    return stored, certificate.public_bytes(Encoding.PEM).decode()


def _load(text: str) -> x509.Certificate:
    """A certificate from Base64 of DER, or of PEM, which many clients send."""
    try:
        raw = read_base64(text)
        if raw.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_certificate(raw)
        return x509.load_der_x509_certificate(raw)
    except ValueError as error:
        raise errors.bad_request(
            "Key value is invalid certificate.", ("InvalidValue", "keyCredentials")
        ) from error


def password_routes(kind: str) -> list[Route]:
    """The actions on the secrets of a kind of object."""
    place = f"{ENTITIES[kind].path}/{{{kind}}}"
    return [
        Route("POST", f"{place}/addPassword", partial(_add_password, kind=kind)),
        Route("POST", f"{place}/removePassword", partial(_remove_password, kind=kind)),
    ]


def _check_federated(props: dict[str, Any], others: list[dict[str, Any]]) -> None:
    if "audiences" in props and len(props["audiences"]) != 1:
        raise errors.invalid_value("audiences", FEDERATED_CREDENTIAL.label)
    for other in others:
        if other["name"] == props["name"]:
            raise errors.same_key(
                409, f"FederatedIdentityCredential with name {props['name']} already exists."
            )
        if (other["issuer"], other["subject"]) == (props["issuer"], props["subject"]):
            raise errors.same_key(
                409,
                "FederatedIdentityCredential with the same combination of issuer and subject already exists.",
            )


def _pick_federated(application: Object, key: Key) -> dict[str, Any]:
    """By id, or by name, which is an alternate key in both notations.

    :raises GraphError: 404.
    """
    for item in application.get("_federated", ()):
        if key.value in (item["id"], item["name"]):
            return dict(item)
    raise errors.not_found(key.value)


def _list_federated(call: Call) -> Reply:
    application = call.read("application", call.keys[0], "application.read")
    return list_reply(call, FEDERATED_CREDENTIAL, list(application.get("_federated", ())))


def _get_federated(call: Call) -> Reply:
    application = call.read("application", call.keys[0], "application.read")
    return entity_reply(call, FEDERATED_CREDENTIAL, _pick_federated(application, call.keys[1]))


def _create_federated(call: Call) -> Reply:
    application = call.target("application", call.keys[0], "application.update")
    props = check_entity(FEDERATED_CREDENTIAL, call.json()).props
    require(props, FEDERATED_CREDENTIAL.label, "name", "issuer", "subject", "audiences")
    existing = list(application.get("_federated", ()))
    _check_federated(props, existing)
    created = {**FEDERATED_CREDENTIAL.empty(), **props, "id": call.world.guid("graph")}
    _store_federated(call, application, [*existing, created])
    return entity_reply(call, FEDERATED_CREDENTIAL, created, status=201)


def _update_federated(call: Call) -> Reply:
    """``PATCH``: the name never changes."""
    application = call.target("application", call.keys[0], "application.update")
    found = _pick_federated(application, call.keys[1])
    props = check_entity(FEDERATED_CREDENTIAL, call.json()).props
    if props.get("name", found["name"]) != found["name"]:
        raise errors.read_only("name")
    for name in ("issuer", "subject", "audiences"):
        if name in props and not props[name]:
            raise errors.required_value(name, FEDERATED_CREDENTIAL.label)
    changed = {**found, **props}
    others = [item for item in application["_federated"] if item["id"] != found["id"]]
    _check_federated(changed, others)
    _store_federated(call, application, [*others, changed])
    return NO_CONTENT


def _delete_federated(call: Call) -> Reply:
    application = call.target("application", call.keys[0], "application.update")
    found = _pick_federated(application, call.keys[1])
    _store_federated(
        call, application, [item for item in application["_federated"] if item["id"] != found["id"]]
    )
    return NO_CONTENT


def _store_federated(call: Call, application: Object, credentials: list[dict[str, Any]]) -> None:
    call.directory.put("application", application["id"], {**application, "_federated": credentials})


ROUTES: list[Route] = [
    Route("GET", FEDERATED_PATH, _list_federated),
    Route("POST", FEDERATED_PATH, _create_federated),
    Route("GET", f"{FEDERATED_PATH}/{{credential}}", _get_federated),
    Route("PATCH", f"{FEDERATED_PATH}/{{credential}}", _update_federated),
    Route("DELETE", f"{FEDERATED_PATH}/{{credential}}", _delete_federated),
]
