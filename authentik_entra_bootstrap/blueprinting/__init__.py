"""Blueprints as documents: reading, checking, filling in, building. No I/O but reading the shipped files.

What tags mean is authentik's: its blueprint documentation, and the importer of 2025.12 to 2026.5.
"""

from authentik_entra_bootstrap.blueprinting.check import Problem, Reference, check, references, refusal
from authentik_entra_bootstrap.blueprinting.document import (
    Shipped,
    Tag,
    dump,
    filled,
    load,
    shipped,
    shipped_blueprints,
)
from authentik_entra_bootstrap.blueprinting.provider import (
    attaching,
    connection_values,
    creating,
    export_connection,
    keeping,
    placeholder_for,
    spec_values,
    without_secret,
)

__all__ = [
    "Problem",
    "Reference",
    "Shipped",
    "Tag",
    "attaching",
    "check",
    "connection_values",
    "creating",
    "dump",
    "export_connection",
    "filled",
    "keeping",
    "load",
    "placeholder_for",
    "references",
    "refusal",
    "shipped",
    "shipped_blueprints",
    "spec_values",
    "without_secret",
]
