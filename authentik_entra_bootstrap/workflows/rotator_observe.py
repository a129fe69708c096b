"""Read the rotator and the connections that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from authentik_entra_bootstrap.domain import Desired
from authentik_entra_bootstrap.entra.port import EntraIdentities, EntraPort
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.rotator.observation import UNIQUE_NAME, ConnectionSeen, RotatorSeen
from authentik_entra_bootstrap.support.waiting import Waiter
from authentik_entra_bootstrap.workflows.concurrency import both
from authentik_entra_bootstrap.workflows.lookup import application_by_marks
from authentik_entra_bootstrap.workflows.reporting import Reporter


@dataclass(frozen=True)
class RotatorContext:
    """The tenant's side alone, and what is injected.

    :param now: aware UTC.
    :param done: told each step that is done, in words; ids, never secrets.
    """

    entra: EntraPort
    identities: EntraIdentities
    waiter: Waiter
    reporter: Reporter
    now: Callable[[], datetime]
    done: Callable[[str], None]


async def observe_rotator(context: RotatorContext, connections: Iterable[Desired]) -> RotatorSeen:
    """Read the rotator's application and who owns the connections' ones.

    :raises BootstrapError: from the service.
    """
    entra = context.entra
    operator = await entra.operator()
    wanted = tuple(connections)
    for desired in wanted:
        refuse_tenant(desired, operator)
    graph, application = await both(entra.graph_principal(), entra.find_application(UNIQUE_NAME))
    seen = RotatorSeen(operator, graph, application)
    if application is None:
        seen = replace(seen, deleted=await entra.find_deleted_application(UNIQUE_NAME))
    else:
        principal, federated = await both(
            entra.find_service_principal(application.app_id),
            context.identities.federated_credentials(application.app_object_id),
        )
        seen = replace(seen, principal=principal, federated=federated)
    if seen.principal is not None:
        key = seen.principal.service_principal_object_id
        assignments, owned = await both(
            entra.role_assignments(key), context.identities.owned_applications(key)
        )
        seen = replace(seen, assignments=assignments, owned=owned)
    found = [await _connection(context, desired, seen) for desired in wanted]
    return replace(seen, connections=tuple(found))


async def _connection(context: RotatorContext, desired: Desired, seen: RotatorSeen) -> ConnectionSeen:
    application = await context.entra.find_application(desired.unique_name)
    if application is None:
        application = await application_by_marks(context.entra, desired)
    if application is None or seen.principal is None:
        return ConnectionSeen(desired.connection, application)
    owners = await context.entra.owners(application.app_object_id)
    return ConnectionSeen(
        desired.connection, application, seen.principal.service_principal_object_id in owners
    )
