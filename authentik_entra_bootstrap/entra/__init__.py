"""Everything that speaks to Microsoft: the token service through azure-identity, Graph through msgraph-sdk.

The adapter itself is imported from :mod:`~.adapter`, when a session opens: it takes half a second.
"""

from authentik_entra_bootstrap.entra.error_codes import CODES

__all__ = ["CODES"]
