"""Everything that speaks to Microsoft: the token service through azure-identity, Graph through msgraph-sdk."""

from authentik_entra_bootstrap.entra.adapter import EntraAdapter
from authentik_entra_bootstrap.entra.code_table import CodeRow
from authentik_entra_bootstrap.entra.codes import CODES
from authentik_entra_bootstrap.entra.kept import KeptEntra

__all__ = ["CODES", "CodeRow", "EntraAdapter", "KeptEntra"]
