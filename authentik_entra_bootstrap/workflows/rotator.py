"""Make, renew and look at the identity that rotates, in Entra ID. Re-running is resuming."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from authentik_entra_bootstrap.domain import MICROSOFT_GRAPH_APP_ID as GRAPH
from authentik_entra_bootstrap.domain import (
    Application,
    ApplicationSpec,
    Desired,
    FederatedCredential,
    PermissionKind,
    RequestedAccess,
    SecretText,
    ServicePrincipal,
)
from authentik_entra_bootstrap.domain.application_tags import current_key, read_tags
from authentik_entra_bootstrap.entra import EntraPort
from authentik_entra_bootstrap.errors import AlreadyExists, Conflict
from authentik_entra_bootstrap.planning.differences import Action
from authentik_entra_bootstrap.planning.preflight import refuse_tenant
from authentik_entra_bootstrap.rotation.proof import Evidence
from authentik_entra_bootstrap.rotator.credentials import KEY_NAME, KeyAction, KeyDecision, decide_key
from authentik_entra_bootstrap.rotator.plan import (
    DISPLAY_NAME,
    ROLE,
    TAG,
    UNIQUE_NAME,
    ConnectionSeen,
    RotatorPlan,
    RotatorSeen,
    make_rotator_plan,
    refuse_rotator,
)
from authentik_entra_bootstrap.support.certificates import KeyPair, make_key_pair, read_key_pair
from authentik_entra_bootstrap.support.logs import record
from authentik_entra_bootstrap.support.private_files import read_secret, refuse_existing, write_new
from authentik_entra_bootstrap.support.waiting import REPLICATION
from authentik_entra_bootstrap.workflows.observe import SETTLING, connection_application
from authentik_entra_bootstrap.workflows.rotator_certificates import (
    RotatorContext,
    RotatorKeys,
    prove_certificate,
    prove_sign_in,
)
from authentik_entra_bootstrap.workflows.session import both

_NO_KEY = KeyDecision(KeyAction.NONE, "a federated credential takes its place")
NOTES = "Made by authentik-entra-bootstrap: the identity that renews client secrets, and nothing else."


@dataclass(frozen=True)
class Wanted:
    """What a run is to make sure of.

    :param key_file: where the private key is, or is to be written; ``None`` where none is named.
    :param federated: a credential to have instead of, or besides, a certificate.
    :param force: a new certificate although none is due.
    """

    key_file: Path | None = None
    lifetime: timedelta = timedelta(days=365)
    overlap: timedelta = timedelta(days=7)
    force: bool = False
    federated: FederatedCredential | None = None
    assertion_file: Path | None = None


async def observe_rotator(context: RotatorContext, connections: Iterable[Desired]) -> RotatorSeen:
    """Read the rotator's application and who owns the connections' ones.

    :raises BootstrapError: from the service.
    """
    entra, wanted = context.entra, tuple(connections)
    operator = await entra.operator()
    for desired in wanted:
        refuse_tenant(desired, operator)
    graph, application = await both(entra.graph_principal(), entra.find_application(UNIQUE_NAME))
    seen = RotatorSeen(operator, graph, application)
    if application is None:
        seen = replace(seen, deleted=await entra.find_deleted_application(UNIQUE_NAME))
    else:
        principal, federated = await both(
            entra.find_service_principal(application.app_id),
            entra.federated_credentials(application.app_object_id),
        )
        seen = replace(seen, principal=principal, federated=federated)
    if seen.principal is not None:
        key = seen.principal.service_principal_object_id
        assignments, owned = await both(entra.role_assignments(key), entra.owned_applications(key))
        seen = replace(seen, assignments=assignments, owned=owned)
    return replace(seen, connections=tuple([await _connection(entra, desired, seen) for desired in wanted]))


async def _connection(entra: EntraPort, desired: Desired, seen: RotatorSeen) -> ConnectionSeen:
    application = await connection_application(entra, desired)
    if application is None or seen.principal is None:
        return ConnectionSeen(desired.connection, application)
    owners = await entra.owners(application.app_object_id)
    owned = seen.principal.service_principal_object_id in owners
    return ConnectionSeen(desired.connection, application, owned)


class RotatorRun:
    """One run: it prepares a plan, and carries it out.

    :param connections: those whose applications the rotator is to own.
    """

    seen: RotatorSeen
    """What was read last."""
    plan: RotatorPlan

    def __init__(self, context: RotatorContext, connections: Iterable[Desired], wanted: Wanted) -> None:
        self.context = context
        self.entra = context.entra
        self.connections = tuple(connections)
        self.wanted = wanted
        self.pair: KeyPair | None = None
        self.done = context.reporter.finished

    async def prepare(self) -> RotatorPlan:
        """Look, refuse what cannot work before the first write, and plan.

        :raises ConfigError: about the key file.
        :raises Conflict: another application has the unique name.
        :raises Denied: the operator lacks what a missing step needs.
        """
        self.plan = await self.context.waiter.retry(
            self._prepare,
            what="Entra ID to show the key file's certificate",
            # A run may have registered it a moment ago.
            when=lambda error: getattr(error, "code", "") == "certificate-not-registered",
            backoff=SETTLING,
        )
        return self.plan

    async def _prepare(self) -> RotatorPlan:
        path, wanted, now = self.wanted.key_file, self.wanted, self.context.now()
        if path is not None and (path.exists() or path.is_symlink()):
            self.pair = read_key_pair(path)
        self.seen = await observe_rotator(self.context, self.connections)
        federated = path is None and wanted.federated is not None
        refuse_rotator(self.seen, certificate=not federated)
        key = _NO_KEY
        if not federated:
            file, named = self.pair.public if self.pair else None, path is not None
            key = decide_key(self.seen.application, now, file=file, named=named, force=wanted.force)
        if key.action is KeyAction.MAKE and path is not None:
            refuse_existing(path)
        return make_rotator_plan(self.seen, key, now, federated=wanted.federated, overlap=wanted.overlap)

    async def apply(self) -> tuple[Evidence, ...]:
        """Carry out the plan and prove it; what was done stays, and the next run continues.

        :raises BootstrapError: the first step that failed.
        """
        evidence = await self._carry_out()
        if self.plan.changes:
            await self._observe_result()
        return evidence

    async def _observe_result(self) -> None:
        """Read what a replica shows that knows of all that was done; after a while, what any of them shows."""
        plan, pair = self.plan, self.pair
        retired = {step.subject for step in plan.changes if step.action is Action.RETIRE}
        wait = self.context.waiter.begin(SETTLING)
        while True:
            self.seen = await observe_rotator(self.context, self.connections)
            left = make_rotator_plan(self.seen, _NO_KEY, self.context.now(), federated=plan.federated)
            application = self.seen.application
            current = current_key(application)
            proven = not plan.key.proves or (pair and current and current.key_id == pair.public.key_id)
            keys = {item.key_id for item in (application.keys if application else ())}
            shown = proven and not left.changes and not retired & keys
            if shown or not await wait.pause("Entra ID to show what was done"):
                wait.over()
                return

    async def _carry_out(self) -> tuple[Evidence, ...]:
        """Every step in order. The certificate is registered last but for its proof: before that nothing can sign in."""
        key = self.plan.key
        if key.action is KeyAction.MAKE:
            self.context.reporter.doing("making a key pair")
            self.pair = make_key_pair(KEY_NAME, self.context.now(), self.wanted.lifetime)
        application = await self._application()
        principal = await self._principal(application)
        if self.plan.wants("permission"):
            await self._role(principal)
        await self._owners(application, principal)
        if self.plan.federated is not None and self.plan.wants("federated credential"):
            await self._federate(application, self.plan.federated)
        if key.proves:
            assert self.pair is not None  # made above, or read from the file
            return await self._certificate(application, self.pair)
        if self.plan.federated is None or self.wanted.assertion_file is None:
            return ()
        token = SecretText(read_secret(self.wanted.assertion_file).reveal().strip())
        sign_in = self.entra.sign_in_with_assertion
        return await prove_sign_in(
            self.context, lambda: sign_in(application.app_id, token), "federated credential"
        )

    async def _certificate(self, application: Application, pair: KeyPair) -> tuple[Evidence, ...]:
        action, keys = self.plan.key.action, RotatorKeys(self.context, application)
        if action is KeyAction.MAKE:
            # In this order the next run can tell where this one ended: the tag names the file's certificate before there is a
            # file, and the file is there before its certificate is registered.
            await keys.mark_pending(pair.public.key_id)
            assert self.wanted.key_file is not None  # decide_key wants one
            write_new(self.wanted.key_file, pair.pem)
            self.done(f"private key written to {self.wanted.key_file}")
        if action is not KeyAction.PROVE:
            await keys.register(pair.public)
        evidence = await prove_certificate(self.context, application, pair)
        await keys.finish(pair.public.key_id, self.wanted.overlap)
        return evidence

    async def _application(self) -> Application:
        existing = self.seen.application
        if existing is not None:
            if not existing.enabled:
                await self.entra.update_application(existing.app_object_id, enable=True)
                self.done("application enabled")
            return existing
        self.context.reporter.doing("creating the rotator's application")
        role = self.seen.graph.app_roles[ROLE]
        spec = ApplicationSpec(
            display_name=DISPLAY_NAME,
            unique_name=UNIQUE_NAME,
            tags=(TAG, *read_tags(()).texts()),
            requested_access=frozenset({RequestedAccess(GRAPH, role, PermissionKind.ROLE)}),
            owner_object_ids=(self.seen.operator.object_id,),
            notes=NOTES,
        )
        try:
            made = await self.entra.create_application(spec)
        except AlreadyExists:
            made = await self._made_already()
        record("rotator-created", app_id=made.app_id)
        self.done(f"application created (client id {made.app_id})")
        return made

    async def _made_already(self) -> Application:
        """The reply to an earlier try was lost, or another run made it: it is this program's if it carries its tags."""
        found = await self.context.waiter.until(
            lambda: self.entra.find_application(UNIQUE_NAME),
            what="Entra ID to show the application that holds the unique name",
            code="rotator-not-visible",
            backoff=replace(REPLICATION, budget=60.0),
        )
        if TAG not in found.tags:
            raise Conflict(
                "rotator-name-taken",
                f"The unique name {UNIQUE_NAME} was taken by another application meanwhile.",
                "Rename or delete that application.",
            )
        return found

    async def _principal(self, application: Application) -> ServicePrincipal:
        existing = self.seen.principal
        if existing is None:
            self.context.reporter.doing("creating the rotator's service principal")
            existing = await self.entra.create_service_principal(application.app_id)
            self.done(f"service principal created (object id {existing.service_principal_object_id})")
        elif not existing.account_enabled:
            await self.entra.enable_service_principal(existing.service_principal_object_id)
            self.done("service principal enabled")
        return existing

    async def _role(self, principal: ServicePrincipal) -> None:
        self.context.reporter.doing(f"granting {ROLE}")
        await self.entra.assign_role(
            principal.service_principal_object_id,
            self.seen.graph.service_principal_object_id,
            self.seen.graph.app_roles[ROLE],
        )
        record("rotator-permission-granted", permission=ROLE)
        self.done(f"permission granted: {ROLE}")

    async def _owners(self, own: Application, principal: ServicePrincipal) -> None:
        certificate = self.plan.key.action is not KeyAction.NONE
        wanted = {"the rotator itself": own} if certificate and not self.seen.owns_itself else {}
        for item in self.seen.connections:
            if item.application is not None and not item.owned:
                wanted[f"connection {item.connection}"] = item.application
        for what, application in wanted.items():
            self.context.reporter.doing(f"making it an owner of the application of {what}")
            await self.entra.add_owner(application.app_object_id, principal.service_principal_object_id)
            record("rotator-owner-added", of=what, app_id=application.app_id)
            self.done(f"owner of the application of {what}")

    async def _federate(self, application: Application, wanted: FederatedCredential) -> None:
        await self.entra.set_federated_credential(application.app_object_id, wanted)
        record("rotator-federated", issuer=wanted.issuer, subject=wanted.subject)
        self.done(f"federated credential {wanted.name}")
