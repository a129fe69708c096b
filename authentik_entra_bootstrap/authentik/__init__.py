"""The authentik side: one adapter for servers from 2025.10 on."""

from authentik_entra_bootstrap.authentik.adapter import AuthentikAdapter
from authentik_entra_bootstrap.authentik.address import api_base
from authentik_entra_bootstrap.authentik.bodies import unsupported_fields
from authentik_entra_bootstrap.authentik.kept import KeptAuthentik

__all__ = ["AuthentikAdapter", "KeptAuthentik", "api_base", "unsupported_fields"]
