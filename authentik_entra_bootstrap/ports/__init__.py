"""What the workflows need of the two services. ``entra/`` and ``authentik/`` implement these.

Every method raises the family of :mod:`authentik_entra_bootstrap.errors` and nothing else, with the
request's trace where there was a request. Transient answers (429, 5xx, lost connections) are retried inside
the adapters within the budget of :mod:`authentik_entra_bootstrap.waiting`; ``add_secret`` never is, by no layer.
Reads after writes may be stale: the workflows wait for named conditions instead of trusting one read.
"""

from authentik_entra_bootstrap.ports.authentik import AuthentikPort
from authentik_entra_bootstrap.ports.entra import EntraPort, SyncSession

__all__ = ["AuthentikPort", "EntraPort", "SyncSession"]
