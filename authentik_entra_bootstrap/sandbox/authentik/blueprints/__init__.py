"""The blueprint importer: YAML with authentik's tags, validated and applied in one transaction."""

from authentik_entra_bootstrap.sandbox.authentik.blueprints.service import BlueprintImporter

__all__ = ["BlueprintImporter"]
