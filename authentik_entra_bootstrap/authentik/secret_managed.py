"""The client secret as a managed Secret that the provider refers to (draft for 2026.11).

Replacing a Secret's value saves no provider, starts no sync and writes its own audit event. Its ``rotate``
endpoint makes up a random value and is never used here: Microsoft would not know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authentik_entra_bootstrap.authentik import records
from authentik_entra_bootstrap.authentik.creation import may_have_happened
from authentik_entra_bootstrap.authentik.permission_names import ADD_SECRET, CHANGE_SECRET, VIEW_SECRET
from authentik_entra_bootstrap.authentik.provider_calls import ProviderCalls
from authentik_entra_bootstrap.authentik.secret_inline import InlineSecret
from authentik_entra_bootstrap.authentik.transport import Api
from authentik_entra_bootstrap.authentik.wire import Call, Malformed
from authentik_entra_bootstrap.domain import Provider, ProviderPk, SecretText, Written
from authentik_entra_bootstrap.errors import (
    AlreadyExists,
    Conflict,
    Denied,
    NotFound,
    Temporary,
    UnexpectedAnswer,
)

SECRETS = "/crypto/secrets/"
ONE_SECRET = SECRETS + "{pk}/"
REFERENCE = "client_secret_ref"
_KEY_NAMES = ("pk", "uuid", "secret_uuid", "id")


@dataclass(frozen=True)
class ManagedSecretRecord:
    """A managed Secret without its value."""

    pk: str
    name: str


def secret_name(provider_name: str) -> str:
    """The name that authentik itself gives a provider's Secret when it is upgraded."""
    return f"{provider_name} client secret"


class ManagedSecret:
    """Delivers the secret by way of a managed Secret.

    :param inline: for servers in transition, which also take the literal ``client_secret`` and make the Secret
        themselves: one write that needs no rights on Secrets. ``None`` where they do not.
    """

    def __init__(self, api: Api, calls: ProviderCalls, inline: InlineSecret | None) -> None:
        self._api = api
        self._calls = calls
        self._inline = inline

    async def create(self, body: Mapping[str, object], secret: SecretText) -> Written[Provider]:
        """Create the Secret, or reuse the one that an interrupted run left, then the provider."""
        if self._inline is not None:
            return await self._inline.create(body, secret)
        made = await self._prepare(str(body["name"]), secret)
        return await self._calls.post({**body, REFERENCE: made.pk}, {})

    async def update(
        self, pk: ProviderPk, body: Mapping[str, object], secret: SecretText
    ) -> Written[Provider]:
        """Replace the Secret's value, then save the provider if it changes, so that its sync finds both new.

        :raises NotFound: there is no such provider.
        """
        provider = await self._calls.get(pk)
        if provider is None:
            raise NotFound("authentik-not-found", f"authentik knows no Microsoft Entra provider {pk}.")
        if provider.client_secret_ref is None:
            if self._inline is not None:
                return await self._inline.update(pk, body, secret)
            made = await self._prepare(provider.name, secret)
            return await self._calls.patch(pk, {**body, REFERENCE: made.pk}, {})
        if await self._shared(provider):
            # Somebody gave several providers one Secret: the others keep it as it is.
            made = await self._prepare(provider.name, secret)
            return await self._calls.patch(pk, {**body, REFERENCE: made.pk}, {})
        try:
            request_id = await self._replace(provider.client_secret_ref, secret)
        except (Denied, NotFound) as error:
            if self._inline is None or error.code == "authentik-token-invalid":
                raise
            # Nobody has rights on the Secrets that an upgrade made; the old field still works.
            return await self._inline.update(pk, body, secret)
        if body:
            return await self._calls.patch(pk, body, {})
        return Written(provider, request_id)

    async def _shared(self, provider: Provider) -> bool:
        """Whether another Microsoft Entra provider signs in with the same Secret."""
        reference = provider.client_secret_ref
        return any(
            item.client_secret_ref == reference for item in await self._calls.all() if item.pk != provider.pk
        )

    async def _prepare(self, provider_name: str, secret: SecretText) -> ManagedSecretRecord:
        """A Secret with this value that no other provider uses."""
        name = secret_name(provider_name)
        found = await self.find(name)
        if found is None:
            try:
                return await self._post(name, secret)
            except AlreadyExists:
                found = await self.find(name)
                if found is None:
                    raise
            except (Temporary, UnexpectedAnswer) as error:
                if not may_have_happened(error):
                    raise
                found = await self.find(name)
                if found is None:
                    raise
        await self._refuse_if_used(found)
        await self._replace(found.pk, secret)
        return found

    async def _post(self, name: str, secret: SecretText) -> ManagedSecretRecord:
        body = {"name": name, "type": "text"}
        call = Call("POST", SECRETS, body=body, secrets={"value": secret}, permission=ADD_SECRET)
        return self._api.read(await self._api.once(call), _record)

    async def _replace(self, pk: str, secret: SecretText) -> str | None:
        call = Call(
            "PATCH", ONE_SECRET, {"pk": pk}, body={}, secrets={"value": secret}, permission=CHANGE_SECRET
        )
        return (await self._api.repeat(call)).request_id

    async def find(self, name: str) -> ManagedSecretRecord | None:
        """The Secret of exactly that name."""
        entries = await self._api.pages(
            SECRETS,
            _record,
            permission=VIEW_SECRET,
            query=(("name", name), ("search", name)),
            done=lambda entry: entry.name == name,
        )
        return next((entry for entry in entries if entry.name == name), None)

    async def _refuse_if_used(self, found: ManagedSecretRecord) -> None:
        """A renamed provider may still use a Secret of this name; its credential must not be overwritten.

        :raises Conflict: ``authentik-secret-in-use``.
        """
        users = [
            provider.name for provider in await self._calls.all() if provider.client_secret_ref == found.pk
        ]
        try:
            reply = await self._api.get(ONE_SECRET + "used_by/", permission=VIEW_SECRET, pk=found.pk)
            users += self._api.read(reply, _names)
        except NotFound:
            pass  # the draft may lack the list; the providers were looked at
        if users:
            raise Conflict(
                "authentik-secret-in-use",
                f"authentik's Secret “{found.name}” is in use by {', '.join(sorted(set(users)))}.",
                "Rename that Secret in authentik, or choose another name for the provider.",
            )


def _record(body: object) -> ManagedSecretRecord:
    fields = records.mapping(body)
    key = next((value for name in _KEY_NAMES if (value := records.text(fields, name))), None)
    if key is None:
        raise Malformed("it has no usable pk")
    return ManagedSecretRecord(key, records.text(fields, "name") or "")


def _names(body: object) -> list[str]:
    entries = body if isinstance(body, list) else []
    return [str(entry.get("name") or entry.get("pk")) for entry in entries if isinstance(entry, dict)]
