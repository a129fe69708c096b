"""Microsoft Graph v1.0 of the sandbox's tenants."""

from authentik_entra_bootstrap.sandbox.microsoft.graph.service import graph_routes

__all__ = ["graph_routes"]
