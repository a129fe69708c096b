"""What is made in authentik for a purpose, for people and for programs. The key is in neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from authentik_entra_bootstrap.output.documents import Document, evidence_document
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.workflows.service_account import AccountSeen, AccountStep


def show_account_plan(
    say: Callable[[str, str], None], seen: AccountSeen, steps: Sequence[AccountStep]
) -> None:
    """What will be made, and the permissions of the role.

    :param say: takes a line and its style.
    """
    say(f"Service account for {seen.purpose}", "bold")
    for step in steps:
        say(f"  + {step.target} {step.subject:<32} {step.reason}", "green")
    if not steps:
        say("  = everything is there; only the token's key is read", "dim")
    for name in seen.needed:
        say(f"    {name}", "dim")


def account_document(
    seen: AccountSeen, steps: Sequence[AccountStep], evidence: Sequence[Evidence], file: Path
) -> Document:
    """What was made, without the key."""
    return {
        "purpose": seen.purpose,
        "role": seen.names.role,
        "account": seen.names.account,
        "permissions": list(seen.needed),
        "made": [{"target": step.target, "subject": step.subject, "reason": step.reason} for step in steps],
        "key_file": str(file),
        "evidence": evidence_document(evidence),
    }
