"""Keeps secrets out of everything that authentik sends back and people may read."""

from __future__ import annotations

import json
import re

from authentik_entra_bootstrap.domain import SecretText

HIDDEN = "***"
SHORTEST = 6
"""Characters. Shorter texts stand in ordinary words; no service makes such secrets."""
SECRET_WORDS = (
    "secret",
    "password",
    "passwd",
    "token",
    "authorization",
    "assertion",
    "credential",
    "api_key",
)

_KEYED = re.compile(
    r"(?i)((?:client_?secret|secret_?text|client_?assertion|password|passwd|(?:access|refresh|id)_?token"
    r"|api_?key|authorization|secret|token|value)\b\\?[\"']?\s*[:=]\s*\\?[\"']?)"
    r"(?!AADSTS)(?:Bearer\s+)?[^\s\"',;&}\\]+"
)
_SHAPED = (
    re.compile(r"(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    # Entra's client secrets: three characters, a digit, "Q~", then 31 to 34 more.
    re.compile(r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"),
)


class Redactor:
    """Removes the secrets it was told of, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[SecretText] = set()

    def add(self, secret: SecretText) -> None:
        """Remember a secret that must never be shown."""
        if len(secret.reveal().strip()) >= SHORTEST:
            self._known.add(secret)

    def known_only(self, text: str) -> str:
        """The text without the secrets known, also where they stand JSON-escaped."""
        for secret in self._known:
            raw = secret.reveal()
            for form in sorted({raw, raw.strip(), json.dumps(raw)[1:-1]}, key=len, reverse=True):
                text = text.replace(form, HIDDEN)
        return text

    def text(self, text: str) -> str:
        """The text without the secrets known and without anything that looks like one."""
        text = self.known_only(text)
        for shape in _SHAPED:
            text = shape.sub(HIDDEN, text)
        return _KEYED.sub(rf"\1{HIDDEN}", text)

    @staticmethod
    def is_secret_name(name: str) -> bool:
        """Whether a field of that name holds a secret."""
        lowered = name.lower()
        return lowered == "value" or any(word in lowered for word in SECRET_WORDS)
