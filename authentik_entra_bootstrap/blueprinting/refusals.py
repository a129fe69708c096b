"""What authentik's importer says when it refuses a blueprint, as one of our errors.

The importer answers in log lines alone; there are no codes to go by (recorded imports of 2026.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from authentik_entra_bootstrap.errors import AdminActionRequired, AlreadyExists, BootstrapError, Conflict

_LICENCE = "enterprise is required"
_EXISTS = ("object exists already", "already exists")


def refusal(lines: Sequence[str]) -> BootstrapError:
    """The error that a refusal stands for.

    :param lines: the importer's log lines, secrets redacted.
    """
    text = "; ".join(lines) or "it gave no reason"
    if _LICENCE in text.lower():
        return AdminActionRequired(
            "licence-required",
            "authentik has no valid enterprise licence; creating and saving the Microsoft Entra provider needs one.",
            "Install or renew the licence in authentik (Admin interface, Enterprise, Licenses).",
        )
    if any(sign in text.lower() for sign in _EXISTS):
        return AlreadyExists(
            "blueprint-object-exists",
            f"The blueprint makes something that exists in authentik already: {text}",
            "Run the same command again; it looks at what exists.",
        )
    return Conflict(
        "blueprint-refused",
        f"authentik refused the blueprint, and nothing of it was applied: {text}",
        "Correct what the lines name. Secrets and the entries' attributes are left out of them.",
        facts={"lines": text},
    )
