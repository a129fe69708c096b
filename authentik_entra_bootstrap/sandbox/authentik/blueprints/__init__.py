"""The blueprint importer: YAML with authentik's tags, validated and applied in one transaction."""
