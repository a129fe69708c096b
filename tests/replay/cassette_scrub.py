"""Takes out of requests and answers what must not stand in a file. Pure and idempotent.

What the program reads survives: ids, dates, permission names, the claims of tokens. What is taken out: client
secrets, assertions, signatures, tokens, cookies, every header that is not on a short list, and personal data.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from vcr.filters import decode_response
from vcr.request import Request

SCRUBBED = "SCRUBBED"
DOMAIN = "contoso.example"
PERSON = f"person@{DOMAIN}"

JWT = re.compile(r"\beyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
MAIL = re.compile(r"[\w.+-]+@(?!odata\.)[\w-]+(?:\.[\w-]+)+")

REQUEST_HEADERS = frozenset({"content-type"})
RESPONSE_HEADERS = frozenset(
    [
        "allow",
        "client-request-id",
        "content-type",
        "date",
        "location",
        "request-id",
        "retry-after",
        "x-authentik-id",
        "x-ms-request-id",
    ]
)
CLAIMS = frozenset(
    ["aud", "iss", "tid", "oid", "appid", "azp", "idtyp", "roles", "scp", "wids", "ver", "iat", "nbf", "exp"]
)
"""Claims that stay as they are; of the others only that somebody's name was there."""
NAMES = frozenset({"upn", "preferred_username", "unique_name"})

_CREDENTIALS = frozenset(
    [
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "assertion",
        "password",
        "refresh_token",
        "code",
        "code_verifier",
        "device_code",
    ]
)
_SECRET_KEYS = frozenset(
    [
        "client_secret",
        "secretText",
        "refresh_token",
        "id_token",
        "client_assertion",
        "password",
        "csrf_token",
        "sessionid",
    ]
)
_PERSONAL: Mapping[str, Any] = {
    "mail": PERSON,
    "email": PERSON,
    "userPrincipalName": PERSON,
    "username": "person",
    "givenName": "Given",
    "surname": "Surname",
    "avatar": "",
    "client_ip": "192.0.2.1",
    "ipaddr": "192.0.2.1",
    "publisherDomain": DOMAIN,
    "street": "",
    "city": "",
    "postalCode": "",
    "businessPhones": [],
    "mobilePhone": "",
    "technicalNotificationMails": [],
    "marketingNotificationEmails": [],
    "securityComplianceNotificationMails": [],
    "securityComplianceNotificationPhones": [],
}


@dataclass
class Scrubber:
    """Rewrites what is about to be written to a cassette, and what is compared with one.

    :param names: text -> what stands in its place everywhere: hosts, the tenant's id, the operator's id.
    :param known: secrets known beforehand; the texts of new ones are added as they come by.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    known: set[str] = field(default_factory=set, repr=False)

    def request(self, request: Request) -> Request:
        """The request with its body in one canonical form, so that bodies can be compared as texts."""
        kind = _content_type(request.headers)
        body = request.body
        text = body.decode() if isinstance(body, bytes) else str(body or "")
        headers = {"Content-Type": kind} if kind else {}
        scrubbed = self._body(text, kind, sort=True)
        return Request(request.method, self.text(str(request.uri)), scrubbed or None, headers)

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """The answer without anything secret or personal; new client secrets are remembered."""
        if response["body"]["string"]:
            # Real services compress; a secret inside would not be found. urllib3 may have decoded it already.
            with contextlib.suppress(OSError, zlib.error):
                response = decode_response(response)
        raw = response["body"]["string"]
        text = raw.decode() if isinstance(raw, bytes) else str(raw or "")
        headers = {
            name: [self.text(value) for value in ([values] if isinstance(values, str) else values)]
            for name, values in response["headers"].items()
            if name.lower() in RESPONSE_HEADERS
        }
        scrubbed = self._body(text, _content_type(response["headers"]), sort=False)
        return {"status": response["status"], "headers": headers, "body": {"string": scrubbed.encode()}}

    def text(self, text: str) -> str:
        """Any text: names, known secrets, tokens, mail addresses."""
        text = JWT.sub(lambda match: self._token(match.group()), text)
        for secret in sorted(self.known, key=len, reverse=True):
            text = text.replace(secret, SCRUBBED)
        for name, instead in self.names.items():
            text = text.replace(name, instead)
        return MAIL.sub(lambda found: found.group() if found.group().endswith(DOMAIN) else PERSON, text)

    def _body(self, text: str, kind: str, *, sort: bool) -> str:
        if "form-urlencoded" in kind:
            fields = parse_qsl(text, keep_blank_values=True)
            # A secret and a certificate's assertion are the same here: somebody else's credential.
            kept = {name: self.text(value) for name, value in fields if name not in _CREDENTIALS}
            if len(kept) < len(fields):
                kept["credential"] = SCRUBBED
            return urlencode(sorted(kept.items()))
        try:
            value = json.loads(text)
        except ValueError:
            return self.text(text)
        _each(value, self._learn)
        return json.dumps(self._value(value), indent=1, sort_keys=sort, ensure_ascii=True)

    def _learn(self, value: dict[str, Any]) -> None:
        secret = value.get("secretText")
        if isinstance(secret, str) and secret and secret != SCRUBBED:
            self.known.add(secret)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        if isinstance(value, dict):
            return {name: self._entry(name, item, value) for name, item in value.items()}
        return value

    def _entry(self, name: str, item: Any, inside: dict[str, Any]) -> Any:
        if item in (None, "", []):
            return item
        if name in _SECRET_KEYS and isinstance(item, str):
            return SCRUBBED
        if name == "access_token" and isinstance(item, str) and not JWT.fullmatch(item):
            return SCRUBBED
        if name == "hint" and isinstance(item, str):
            return SCRUBBED[:3]
        if name == "headers" and isinstance(item, dict) and {"method", "status"} & inside.keys():
            # A part of a batch: its headers are kept like those of a request or an answer of its own.
            kept = REQUEST_HEADERS if "method" in inside else RESPONSE_HEADERS
            return {key: self._value(value) for key, value in item.items() if key.lower() in kept}
        if name in _PERSONAL and not isinstance(item, dict):
            return _PERSONAL[name]
        if name == "verifiedDomains" and isinstance(item, list):
            return [{**entry, "name": DOMAIN} for entry in item if isinstance(entry, dict)]
        if name == "displayName" and ({"verifiedDomains", "userPrincipalName"} & inside.keys()):
            return "Contoso"
        if name == "name" and "username" in inside:
            return "A Person"
        return self._value(item)

    def _token(self, token: str) -> str:
        try:
            claims = json.loads(_decoded(token.split(".")[1]))
        except ValueError:
            return SCRUBBED
        kept = {name: value for name, value in claims.items() if name in CLAIMS}
        kept |= {name: PERSON for name in claims if name in NAMES}
        mapped = json.loads(self.text(json.dumps(kept)))
        return unsigned_token(mapped)


def unsigned_token(claims: Mapping[str, Any]) -> str:
    """A JSON Web Token that nobody has signed and no service accepts."""
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{_encoded(claims)}."


def claims_of(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Header, claims and signature of a token."""
    header, claims, signature = token.split(".")
    return json.loads(_decoded(header)), json.loads(_decoded(claims)), signature


def _each(value: Any, visit: Callable[[dict[str, Any]], None]) -> None:
    if isinstance(value, dict):
        visit(value)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _each(item, visit)


def _encoded(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _content_type(headers: Mapping[str, Any]) -> str:
    for name, value in headers.items():
        if name.lower() == "content-type":
            found = value if isinstance(value, str | bytes) else next(iter(value), "")
            return found.decode() if isinstance(found, bytes) else str(found)
    return ""
