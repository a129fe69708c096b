"""What stands at the end of a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from authentik_entra_bootstrap.domain import (
    Application,
    AuthentikApplication,
    ClientSecret,
    Provider,
    Renewal,
    ServicePrincipal,
)
from authentik_entra_bootstrap.domain.policy import renew_at
from authentik_entra_bootstrap.planning.consent import ConsentState
from authentik_entra_bootstrap.planning.plan import Step
from authentik_entra_bootstrap.rotation.proof import Evidence


@dataclass(frozen=True)
class Outcome:
    """What stands at the end of a run.

    :param changed: the steps that wrote.
    :param evidence: the proofs seen, newest last; empty when nothing was proven in this run.
    :param consent: set when the operator may not grant the delegated permissions that are still missing.
    """

    application: Application
    service_principal: ServicePrincipal
    provider: Provider
    authentik_application: AuthentikApplication
    secret: ClientSecret
    changed: tuple[Step, ...]
    evidence: tuple[Evidence, ...]
    consent: ConsentState | None = None
    renewal: Renewal = field(default_factory=Renewal)

    @property
    def renew_at(self) -> datetime:
        """When the secret is due for replacement, aware UTC."""
        return renew_at(self.secret, self.renewal)
