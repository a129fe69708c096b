"""What taking a connection down removes, in which order, and what stays and why. Pure.

Only what carries our marks goes: the application with our tags, the provider that signs in as it, authentik's
application if it was made for that provider alone. authentik comes first, so that at no moment it has a provider whose sign-in fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from authentik_entra_bootstrap.domain import (
    Application,
    AuthentikApplication,
    ClientSecret,
    DeletedApplication,
    Dependent,
    Desired,
    Organization,
    Provider,
    TokenClaims,
)
from authentik_entra_bootstrap.domain.application_tags import Marks, is_ours, read_marks
from authentik_entra_bootstrap.errors import Conflict, Denied
from authentik_entra_bootstrap.planning import rights
from authentik_entra_bootstrap.planning.plan import Action, Step, Target

PEOPLE_STAY = (
    "Users and groups that authentik provisioned into the tenant are not touched: they stay as they are. "
    "authentik no longer changes, disables or deletes them, so accounts of leavers stay until you remove them."
)
RESTORABLE = (
    "The deleted application stays restorable for 30 days and holds its unique name until then; "
    "--purge deletes it permanently."
)


@dataclass(frozen=True)
class TeardownSeen:
    """Both sides as read for a teardown.

    :param providers: every Microsoft Entra provider of authentik.
    :param application: the connection's live application; ``None`` where there is none.
    :param deleted: the one among the deleted items that holds the unique name.
    :param authentik_application: the application with the connection's slug.
    :param bindings: its number of policy bindings; ``None`` where the token may not look.
    """

    operator: TokenClaims
    organization: Organization
    application: Application | None = None
    deleted: DeletedApplication | None = None
    providers: tuple[Provider, ...] = ()
    provider_dependents: tuple[Dependent, ...] = ()
    authentik_application: AuthentikApplication | None = None
    application_dependents: tuple[Dependent, ...] = ()
    bindings: int | None = 0


@dataclass(frozen=True)
class TeardownPlan:
    """Everything a teardown would do.

    :param steps: in the order in which they are carried out.
    :param stays: what is left, each with the reason.
    :param takes_along: what authentik deletes with the provider and the application, for people.
    """

    desired: Desired
    seen: TeardownSeen
    steps: tuple[Step, ...]
    stays: tuple[str, ...]
    takes_along: tuple[str, ...]
    marks: Marks
    provider: Provider | None
    secrets: tuple[ClientSecret, ...]

    def has(self, target: Target) -> bool:
        """Whether a step is about ``target``."""
        return any(step.target is target for step in self.steps)


def our_provider(desired: Desired, seen: TeardownSeen) -> tuple[Provider | None, tuple[Provider, ...]]:
    """The connection's provider, and the others that sign in as the same application.

    A renamed provider is still ours: it signs in as our application, with our client secret.
    """
    mine = seen.application or _our_deleted(desired, seen)
    if mine is None:
        return None, ()
    tenant = seen.operator.tenant_id.lower()
    users = [
        item
        for item in seen.providers
        if item.client_id.lower() == mine.app_id.lower() and item.tenant_id.lower() == tenant
    ]
    named = [item for item in users if item.name == desired.provider_name] or users[:1]
    return (named[0] if named else None), tuple(item for item in users if item not in named)


def why_kept(
    desired: Desired,
    application: AuthentikApplication,
    provider: Provider | None,
    dependents: tuple[Dependent, ...],
    bindings: int | None,
) -> str | None:
    """Why authentik's application has to stay; ``None`` when it was made for our provider alone.

    It carries no mark of ours, so everything that bootstrap does not set has to be absent: a name of somebody's
    choice, a launch address, a main provider, other backchannel providers, bindings, and anything else that
    authentik lists as hanging from it.
    """
    own = None if provider is None else int(provider.pk)
    others = [pk for pk in application.backchannel_provider_pks if pk != own]
    hanging = [item for item in dependents if not (item.model.endswith("provider") and item.pk == str(own))]
    if application.provider_pk is not None:
        return "it has a main provider"
    if others:
        return f"it holds {len(others)} other backchannel providers"
    if bindings is None:
        return "the token may not see its policy bindings (authentik_policies.view_policybinding)"
    if bindings:
        return f"it has {bindings} policy bindings"
    if hanging:
        return f"{_kinds(hanging)} hang from it"
    if application.name != desired.authentik_application_name or application.meta_launch_url:
        return "it has a name or a launch address that bootstrap did not give it"
    return None


def plan_teardown(
    desired: Desired, seen: TeardownSeen, *, keep_application: bool = False, purge: bool = False
) -> TeardownPlan:
    """Decide what goes and what stays.

    :param keep_application: leave the application in Entra ID, without our client secrets and marks.
    :param purge: delete it permanently, also one that an earlier teardown left among the deleted items.
    :raises Conflict: ``application-not-ours``, ``application-of-another-connection``, ``application-in-use``.
    :raises Denied: ``entra-permission-missing``.
    """
    marks = read_marks(seen.application.tags) if seen.application else Marks()
    keep = keep_application or marks.adopted is not None
    secrets = tuple(item for item in seen.application.secrets if is_ours(item)) if seen.application else ()
    if seen.application is not None and not marks.managed and keep and not secrets:
        # An earlier run with --keep-application has finished: nothing of ours is left on it.
        return TeardownPlan(desired, seen, (), (_released(seen.application),), (), marks, None, ())
    _refuse(desired, seen, marks)
    provider, others = our_provider(desired, seen)
    if others:
        raise Conflict(
            "application-in-use",
            f"Other providers of authentik sign in as the same application: "
            f"{', '.join(item.name for item in others)}. They would fail without it.",
            "Delete these providers or give them another application first.",
            facts={"providers": ", ".join(item.name for item in others)},
        )
    kept = None
    known = seen.application is not None or _our_deleted(desired, seen) is not None
    steps: list[Step] = []
    stays: list[str] = []
    takes_along: list[str] = []
    if provider is not None:
        where = f"pk {provider.pk}" + (
            f", in application {provider.application_slug}" if provider.application_slug else ""
        )
        steps.append(Step(Action.REMOVE, Target.PROVIDER, provider.name, where, str(provider.pk)))
        takes_along += _along(seen.provider_dependents, "provider")
    if known and (application := seen.authentik_application) is not None:
        kept = why_kept(desired, application, provider, seen.application_dependents, seen.bindings)
        if kept is None:
            reason = "made for this provider alone"
            steps.append(
                Step(Action.REMOVE, Target.AUTHENTIK_APPLICATION, application.slug, reason, application.slug)
            )
        else:
            stays.append(f"application {application.slug} in authentik: {kept}")
    steps += _entra(desired, seen, secrets, keep=keep, purge=purge)
    stays += _what_stays(desired, seen, marks, keep=keep, purge=purge)
    _refuse_without_rights(seen, steps)
    return TeardownPlan(
        desired, seen, tuple(steps), tuple(stays), tuple(takes_along), marks, provider, secrets
    )


def _our_deleted(desired: Desired, seen: TeardownSeen) -> DeletedApplication | None:
    if seen.deleted is None:
        return None
    return seen.deleted if is_this_connections(desired, seen.deleted) else None


def is_this_connections(desired: Desired, deleted: DeletedApplication) -> bool:
    """Whether a deleted application carries this connection's marks. Nothing else is restored or purged."""
    marks = read_marks(deleted.tags)
    return marks.managed and marks.connection == desired.connection


def _refuse(desired: Desired, seen: TeardownSeen, marks: Marks) -> None:
    application = seen.application
    if application is None:
        return
    facts = {"app_id": str(application.app_id)}
    if not marks.managed:
        raise Conflict(
            "application-not-ours",
            f"The application {application.app_id} has the unique name {desired.unique_name}, but does not carry "
            "our mark. Nothing was removed.",
            "Remove it yourself, or set unique_name to the name of the connection's application.",
            facts=facts,
        )
    if marks.connection not in {None, desired.connection}:
        raise Conflict(
            "application-of-another-connection",
            f"The application {application.app_id} belongs to the connection {marks.connection!r}.",
            "Use that connection's name.",
            facts=facts,
        )


def _refuse_without_rights(seen: TeardownSeen, steps: list[Step]) -> None:
    """Before authentik is touched; only service principals show in their token all that they may do."""
    writes = any(step.side == "entra" for step in steps)
    lack = rights.missing(rights.REMOVE, seen.operator)
    if not writes or not seen.operator.is_app_only or lack is None:
        return
    smallest = lack.rpartition(" ")[2]
    raise Denied(
        "entra-permission-missing",
        f"The operator may not remove the application or its client secrets: it lacks {smallest}.",
        f"Grant it {smallest} of Microsoft Graph, with admin consent, and make it an owner of the application.",
        facts={"missing_permission": smallest},
    )


def _entra(
    desired: Desired, seen: TeardownSeen, secrets: tuple[ClientSecret, ...], *, keep: bool, purge: bool
) -> Iterator[Step]:
    application = seen.application
    if application is None:
        deleted = _our_deleted(desired, seen)
        if purge and deleted is not None:
            yield Step(
                Action.REMOVE,
                Target.DELETED_APPLICATION,
                deleted.display_name,
                f"client id {deleted.app_id}, permanently, from the deleted items",
                deleted.app_object_id,
            )
        return
    if keep:
        for secret in secrets:
            yield Step(
                Action.REMOVE, Target.SECRET, f"key id {secret.key_id}", "made by this program", secret.key_id
            )
        yield Step(
            Action.REMOVE,
            Target.MARKS,
            application.display_name,
            "our tags; the application stays",
            application.app_id,
        )
        return
    yield Step(
        Action.REMOVE,
        Target.APPLICATION,
        application.display_name,
        f"client id {application.app_id}, with its service principal, grants and {len(application.secrets)} "
        f"client secrets" + (", permanently" if purge else ""),
        application.app_object_id,
    )


def _what_stays(
    desired: Desired, seen: TeardownSeen, marks: Marks, *, keep: bool, purge: bool
) -> Iterator[str]:
    deleted = seen.deleted
    if seen.application is None and deleted is not None:
        if _our_deleted(desired, seen) is None:
            yield f"deleted application {deleted.app_id}, which holds the unique name: it does not carry our mark"
        elif not purge:
            yield RESTORABLE
    if seen.application is not None and keep:
        why = f"taken over on {marks.adopted}, not made here" if marks.adopted else "as asked"
        yield (
            f"application {seen.application.app_id} in Entra ID, its service principal and admin consent: {why}. "
            "Client secrets that this program did not make stay, too"
        )
    elif seen.application is not None and not purge:
        yield RESTORABLE
    for item in seen.providers:
        mine = seen.application or deleted
        if item.name == desired.provider_name and (
            mine is None or item.client_id.lower() != mine.app_id.lower()
        ):
            yield f"provider {item.name} in authentik: it signs in as {item.client_id}, which is not ours"


def _released(application: Application) -> str:
    return f"application {application.app_id} in Entra ID: it carries nothing of ours"


def _along(dependents: tuple[Dependent, ...], what: str) -> Iterator[str]:
    """authentik's own list in words: what is deleted along, and what only loses its link."""
    deleted = [item for item in dependents if item.action == "cascade"]
    linked = [item for item in dependents if item.action != "cascade"]
    if deleted:
        yield f"with the {what} authentik deletes {_kinds(deleted)}"
    if linked:
        yield f"{_kinds(linked)} only lose their link to the {what}"


def _kinds(dependents: list[Dependent]) -> str:
    counted = Counter(item.model for item in dependents)
    named = {item.model: item.name for item in dependents}
    return ", ".join(
        f"{count} {model}" + (f" ({named[model]})" if count == 1 else "") for model, count in counted.items()
    )
