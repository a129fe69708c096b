"""What taking a connection down removes, in which order, and what stays and why. Pure.

Teardown removes only objects that this program created. These are the application with this program's tags, the provider that
signs in as it, and authentik's application if it was made for that provider alone. It removes the objects of authentik
first, so that authentik never has a provider whose sign-in fails.
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
from authentik_entra_bootstrap.domain.application_tags import ApplicationTags, classify_secrets, read_tags
from authentik_entra_bootstrap.errors import Conflict
from authentik_entra_bootstrap.planning.differences import Action, Target
from authentik_entra_bootstrap.planning.permissions import REMOVE
from authentik_entra_bootstrap.planning.plan import Step, secret_name
from authentik_entra_bootstrap.planning.preflight import belongs, is_this_connections, refuse_foreign

PEOPLE_STAY = (
    "Users and groups that authentik provisioned into the tenant stay as they are. "
    "authentik no longer changes, disables or deletes them, so accounts of leavers stay until you remove them."
)
RESTORABLE = (
    "The deleted application stays restorable for 30 days and holds its unique name until then; "
    "--purge deletes it permanently."
)


_KINDS = {
    "microsoftentraprovideruser": "user link",
    "microsoftentraprovidergroup": "group link",
    "propertymapping": "property mapping",
}
"""authentik's names of models, for people."""
_NAMELESS = frozenset({"schedule", "task"})


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
    tags: ApplicationTags
    provider: Provider | None


def our_provider(desired: Desired, seen: TeardownSeen) -> tuple[Provider | None, tuple[Provider, ...]]:
    """The connection's provider, and the others that sign in as the same application.

    A renamed provider still belongs to the connection: it signs in as its application, with its client secret.
    """
    mine = _our_application(desired, seen)
    users = [item for item in seen.providers if mine and belongs(item, mine, seen.operator.tenant_id)]
    named = [item for item in users if item.name == desired.provider_name] or users[:1]
    return (named[0] if named else None), tuple(item for item in users if item not in named)


def _our_application(desired: Desired, seen: TeardownSeen) -> Application | DeletedApplication | None:
    """The live application, else the deleted one if it is this connection's."""
    return seen.application or _our_deleted(desired, seen)


def _our_deleted(desired: Desired, seen: TeardownSeen) -> DeletedApplication | None:
    return seen.deleted if seen.deleted is not None and is_this_connections(desired, seen.deleted) else None


def why_kept(
    desired: Desired,
    application: AuthentikApplication,
    provider: Provider | None,
    dependents: tuple[Dependent, ...],
    bindings: int | None,
) -> str | None:
    """Why authentik's application has to stay; ``None`` when it was made for this program's provider alone.

    authentik's applications have no tags. So everything that bootstrap does not set must be absent: another name,
    a launch URL, a main provider, other backchannel providers, bindings, and any other object that authentik
    lists as using it.
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
        return "it has a name or a launch URL that bootstrap did not give it"
    return None


def plan_teardown(
    desired: Desired, seen: TeardownSeen, *, keep_application: bool = False, purge: bool = False
) -> TeardownPlan:
    """Decide what is removed and what is kept.

    :param keep_application: leave the application in Entra ID, without this program's client secrets and tags.
    :param purge: delete it permanently, also one that an earlier teardown left among the deleted items.
    :raises Conflict: ``application-not-ours``, ``application-of-another-connection``, ``application-in-use``.
    :raises Denied: ``entra-permission-missing``.
    """
    application = seen.application
    tags = read_tags(application.tags) if application else ApplicationTags()
    keep = keep_application or tags.adopted is not None
    secrets = tuple(item.secret for item in classify_secrets(application) if item.ours) if application else ()
    if application is not None and not tags.managed and keep and not secrets:
        # An earlier run with --keep-application has finished: nothing of ours is left on it.
        released = f"application {application.app_id} in Entra ID: nothing of this program is left on it"
        return TeardownPlan(desired, seen, (), (released,), (), tags, None)
    if application is not None:
        remedy = "Remove it yourself, or set unique_name to the name of the connection's application."
        refuse_foreign(desired, application, remedy=remedy)
    provider, others = our_provider(desired, seen)
    if others:
        names = ", ".join(item.name for item in others)
        raise Conflict(
            "application-in-use",
            f"Other providers of authentik sign in as the same application: {names}. They would fail without it.",
            "Delete these providers or give them another application first.",
            facts={"providers": names},
        )
    steps: list[Step] = []
    stays: list[str] = []
    also_deleted: list[str] = []
    if provider is not None:
        slug = provider.application_slug
        where = f"pk {provider.pk}" + (f", in application {slug}" if slug else "")
        steps.append(Step(Action.REMOVE, Target.PROVIDER, provider.name, where, str(provider.pk)))
        also_deleted += _with(seen.provider_dependents, "provider")
    held = seen.authentik_application
    if held is not None and _our_application(desired, seen) is not None:
        if kept := why_kept(desired, held, provider, seen.application_dependents, seen.bindings):
            stays.append(f"application {held.slug} in authentik: {kept}")
        else:
            reason = "made for this provider alone"
            steps.append(Step(Action.REMOVE, Target.AUTHENTIK_APPLICATION, held.slug, reason, held.slug))
    steps += _entra_steps(desired, seen, secrets, keep=keep, purge=purge)
    stays += _what_stays(desired, seen, tags, keep=keep, purge=purge)
    # Before authentik is touched; only service principals show in their token all that they may do.
    lack = REMOVE.lack(seen.operator) if seen.operator.is_app_only else None
    if lack is not None and any(step.target.side == "entra" for step in steps):
        remedy = f"Grant it {lack.name} of Microsoft Graph, with admin consent, and make it an owner of the application."
        raise REMOVE.refused(lack, remedy)
    return TeardownPlan(desired, seen, tuple(steps), tuple(stays), tuple(also_deleted), tags, provider)


def _entra_steps(
    desired: Desired, seen: TeardownSeen, secrets: tuple[ClientSecret, ...], *, keep: bool, purge: bool
) -> Iterator[Step]:
    application = seen.application
    if application is None:
        deleted = _our_deleted(desired, seen)
        if purge and deleted is not None:
            reason = f"client id {deleted.app_id}, permanently, from the deleted items"
            yield Step(
                Action.REMOVE,
                Target.DELETED_APPLICATION,
                deleted.display_name,
                reason,
                deleted.app_object_id,
            )
        return
    if keep:
        for secret in secrets:
            subject = secret_name(secret)
            yield Step(Action.REMOVE, Target.SECRET, subject, "created by this program", secret.key_id)
        reason = "this program's tags; the application stays"
        yield Step(Action.REMOVE, Target.TAGS, application.display_name, reason, application.app_id)
        return
    count = len(application.secrets)
    secrets_too = f"{count} client secret{'' if count == 1 else 's'}"
    reason = f"client id {application.app_id}, with its service principal, grants and {secrets_too}"
    if purge:
        reason += ", permanently"
    yield Step(Action.REMOVE, Target.APPLICATION, application.display_name, reason, application.app_object_id)


def _what_stays(
    desired: Desired, seen: TeardownSeen, tags: ApplicationTags, *, keep: bool, purge: bool
) -> Iterator[str]:
    application, deleted = seen.application, seen.deleted
    if application is not None and keep:
        why = f"taken over on {tags.adopted}, not made here" if tags.adopted else "as asked"
        yield (
            f"application {application.app_id} in Entra ID, its service principal and admin consent: {why}. "
            "Client secrets that this program did not create stay, too"
        )
    elif application is None and deleted is not None and not is_this_connections(desired, deleted):
        yield f"deleted application {deleted.app_id}, which has the unique name: it does not carry this program's tags"
    elif (application or deleted) and not purge:
        yield RESTORABLE
    mine = application or deleted
    for item in seen.providers:
        ours = mine is not None and item.client_id.lower() == mine.app_id.lower()
        if item.name == desired.provider_name and not ours:
            yield f"provider {item.name} in authentik: it signs in as {item.client_id}, which is not this connection's application"


def _with(dependents: tuple[Dependent, ...], what: str) -> Iterator[str]:
    """authentik's own list in words: what is also deleted, and what only loses its link."""
    deleted = [item for item in dependents if item.action == "cascade"]
    linked = [item for item in dependents if item.action != "cascade"]
    if deleted:
        yield f"with the {what} authentik deletes {_kinds(deleted)}"
    if linked:
        yield f"{_kinds(linked)} only lose their link to the {what}"


def _kinds(dependents: list[Dependent]) -> str:
    """What the objects are, counted; the only one of a kind by its name, unless the name says nothing to people."""
    counted = Counter(item.model for item in dependents)
    named = {item.model: f" ({item.name})" for item in dependents if item.model not in _NAMELESS}
    return ", ".join(
        f"{count} {_KINDS.get(model, model)}{'s' if count > 1 else named.get(model, '')}"
        for model, count in counted.items()
    )
