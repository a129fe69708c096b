"""authentik's applications: by slug, never by the filtered list (it is cached and ignores its filters)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from authentik_client.models.application_request import ApplicationRequest
from authentik_client.models.patched_application_request import PatchedApplicationRequest

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.audit import APPLICATION_MODEL, AuditTrail
from authentik_entra_bootstrap.authentik.client import count_of
from authentik_entra_bootstrap.authentik.permission_names import (
    ADD_APPLICATION,
    CHANGE_APPLICATION,
    DELETE_APPLICATION,
    VIEW_APPLICATION,
    VIEW_BINDING,
)
from authentik_entra_bootstrap.authentik.requests import Call, typed
from authentik_entra_bootstrap.domain import AuthentikApplication, Dependent, Written
from authentik_entra_bootstrap.errors import AlreadyExists, ConfigError, Denied

APPLICATIONS = "/core/applications/"
ONE_APPLICATION = APPLICATIONS + "{slug}/"
BINDINGS = "/policies/bindings/"
_SLUG = re.compile(r"[-a-zA-Z0-9_]+")


class Applications(AuditTrail):
    """Reads and writes of ``/core/applications/``."""

    async def find_application(self, slug: str) -> AuthentikApplication | None:
        """The application by slug.

        :raises ConfigError: ``authentik-slug-invalid``.
        """
        _check_slug(slug)
        return await self._api.find(
            ONE_APPLICATION, records.application, permission=VIEW_APPLICATION, slug=slug
        )

    async def create_application(
        self, *, slug: str, name: str, backchannel_provider_pks: Sequence[int], launch_url: str | None
    ) -> Written[AuthentikApplication]:
        """Create the application with its backchannel providers; a lost answer is settled by reading."""
        _check_slug(slug)
        wanted: dict[str, object] = {
            "name": name,
            "slug": slug,
            "backchannel_providers": list(backchannel_provider_pks),
        }
        if launch_url is not None:
            wanted["meta_launch_url"] = launch_url
        call = Call("POST", APPLICATIONS, body=typed(ApplicationRequest, wanted), permission=ADD_APPLICATION)

        async def post() -> Written[AuthentikApplication]:
            reply = await self._api.send(call)
            return Written(self._api.read(reply, records.application), reply.request_id)

        async def find_ours() -> AuthentikApplication | None:
            found = await self.find_application(slug)
            if found is None:
                return None
            same = set(found.backchannel_provider_pks) == set(backchannel_provider_pks)
            if not same or found.name != name.strip():
                raise AlreadyExists(
                    "authentik-slug-taken",
                    f"authentik has an application with the slug {slug} already, with other settings.",
                    "Choose another slug, or adopt what exists.",
                    call.trace(),
                    {"field": "slug"},
                )
            return found

        async def request_id(made: AuthentikApplication) -> str | None:
            return await self.request_that_created(made.pk.replace("-", ""), APPLICATION_MODEL)

        return await self._api.create_once(
            post, find_ours, request_id, what="authentik to create the application"
        )

    async def set_backchannel_providers(self, slug: str, pks: Sequence[int]) -> Written[AuthentikApplication]:
        """Replace the list of backchannel providers."""
        _check_slug(slug)
        body = typed(PatchedApplicationRequest, {"backchannel_providers": list(pks)})
        call = Call("PATCH", ONE_APPLICATION, {"slug": slug}, body=body, permission=CHANGE_APPLICATION)
        reply = await self._api.repeat(call)
        return Written(self._api.read(reply, records.application), reply.request_id)

    async def application_dependents(self, application: AuthentikApplication) -> tuple[Dependent, ...]:
        """authentik's ``used_by`` of its application."""
        found = await self._api.find(
            ONE_APPLICATION + "used_by/",
            records.dependents,
            permission=VIEW_APPLICATION,
            slug=application.slug,
        )
        return found or ()

    async def application_bindings(self, application: AuthentikApplication) -> int | None:
        """Number of policy bindings of an application; ``None`` where the token may not look.

        An application is a policy binding model: its primary key is what a binding has as target.
        """
        query = (("target", application.pk), ("page_size", "1"))
        try:
            reply = await self._api.get(BINDINGS, permission=VIEW_BINDING, query=query)
        except Denied as error:
            if error.code != "authentik-permission-missing":
                raise
            return None
        return self._api.read(reply, count_of)

    async def delete_application(self, application: AuthentikApplication) -> bool:
        """Delete the application; its backchannel providers and bindings go along.

        :returns: ``False`` when there was none.
        """
        return await self._api.delete(ONE_APPLICATION, permission=DELETE_APPLICATION, slug=application.slug)


def _check_slug(slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise ConfigError(
            "authentik-slug-invalid",
            f"{slug!r} is no slug: only letters, digits, hyphens and underscores may be used.",
            "Choose another slug for the authentik application.",
        )
