"""An application in a sandbox's tenant as a bootstrap leaves it."""

from __future__ import annotations

from datetime import datetime, timedelta

from authentik_entra_bootstrap.sandbox.microsoft.objects import application, hash_secret, iso
from authentik_entra_bootstrap.sandbox.store import Object
from authentik_entra_bootstrap.sandbox.world import World

LIFETIME = timedelta(days=180)


def application_of_ours(
    world: World,
    name: str,
    made: datetime,
    *,
    text: str = "made up",
    change: str = "request",
    domain: str = "contoso.example",
    **tags: str,
) -> Object:
    """The application of a connection, whose one client secret lives for :data:`LIFETIME`.

    :param change: id of the request that delivered the secret to authentik.
    :param tags: further marks, or others.
    """
    key = world.guid()
    title = f"authentik provisioning ({name})"
    app = application(world.guid(), world.guid(), title, domain, iso(made))
    marks = {"connection": name, "current": f"{key}@{change}", **tags}
    credential = {
        "customKeyIdentifier": None,
        "displayName": f"authentik-entra:{name}:0123456789abcdef",
        "startDateTime": iso(made),
        "endDateTime": iso(made + LIFETIME),
        "hint": text[:3],
        "keyId": key,
        "secretText": None,
    }
    return {
        **app,
        "uniqueName": f"authentik-entra-{name}",
        "tags": ["authentik-entra", *(f"authentik-entra:{mark}={value}" for mark, value in marks.items())],
        "passwordCredentials": [credential],
        "_secrets": {key: hash_secret(text)},
    }
