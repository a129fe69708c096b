"""Blueprints as documents: reading, checking, filling in, building. No I/O but reading the shipped files.

What tags mean is authentik's: its blueprint documentation, and the importer of 2025.12 to 2026.5.
"""

from authentik_entra_bootstrap.blueprinting.check import Problem, check
from authentik_entra_bootstrap.blueprinting.export import export_connection
from authentik_entra_bootstrap.blueprinting.fill import filled
from authentik_entra_bootstrap.blueprinting.provider import (
    attaching,
    connection_values,
    creating,
    keeping,
    placeholder_for,
    spec_values,
    without_secret,
)
from authentik_entra_bootstrap.blueprinting.references import Reference, references
from authentik_entra_bootstrap.blueprinting.refusals import refusal
from authentik_entra_bootstrap.blueprinting.shipped import Shipped, shipped, shipped_blueprints
from authentik_entra_bootstrap.blueprinting.yaml_tags import Tag, dump, load

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
