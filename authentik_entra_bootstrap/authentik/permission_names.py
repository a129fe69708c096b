"""authentik's permissions by name, as the API calls need them (recorded from 2025.12 and 2026.5).

The one place that lists what each purpose needs: ``check``, the role that ``rotator token`` makes and the role of the
blueprint agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping

_ENTRA = "authentik_providers_microsoft_entra"

VIEW_PROVIDER = f"{_ENTRA}.view_microsoftentraprovider"
ADD_PROVIDER = f"{_ENTRA}.add_microsoftentraprovider"
"""Also needed for ``sync/object``."""
CHANGE_PROVIDER = f"{_ENTRA}.change_microsoftentraprovider"
DELETE_PROVIDER = f"{_ENTRA}.delete_microsoftentraprovider"
VIEW_MAPPING = f"{_ENTRA}.view_microsoftentraprovidermapping"
VIEW_PROVIDER_USER = f"{_ENTRA}.view_microsoftentraprovideruser"
VIEW_ANY_PROVIDER = "authentik_core.view_provider"
VIEW_APPLICATION = "authentik_core.view_application"
ADD_APPLICATION = "authentik_core.add_application"
CHANGE_APPLICATION = "authentik_core.change_application"
DELETE_APPLICATION = "authentik_core.delete_application"
VIEW_BINDING = "authentik_policies.view_policybinding"
VIEW_GROUP = "authentik_core.view_group"
VIEW_USER = "authentik_core.view_user"
VIEW_TASK = "authentik_tasks.view_task"
VIEW_EVENT = "authentik_events.view_event"
ADD_EVENT = "authentik_events.add_event"
VIEW_BLUEPRINT = "authentik_blueprints.view_blueprintinstance"
ADD_BLUEPRINT = "authentik_blueprints.add_blueprintinstance"
CHANGE_BLUEPRINT = "authentik_blueprints.change_blueprintinstance"
DELETE_BLUEPRINT = "authentik_blueprints.delete_blueprintinstance"
# For making the service account; an administrator's.
VIEW_ROLE = "authentik_rbac.view_role"
ADD_ROLE = "authentik_rbac.add_role"
ASSIGN_PERMISSIONS = "authentik_rbac.assign_role_permissions"
ADD_GROUP = "authentik_core.add_group"
CHANGE_GROUP = "authentik_core.change_group"
ADD_TO_GROUP = "authentik_core.add_user_to_group"
ADD_USER = "authentik_core.add_user"
VIEW_TOKEN = "authentik_core.view_token"  # noqa: S105 - the name of a permission
ADD_TOKEN = "authentik_core.add_token"  # noqa: S105 - the name of a permission
VIEW_TOKEN_KEY = "authentik_core.view_token_key"  # noqa: S105 - the name of a permission

ROTATION = (VIEW_PROVIDER, ADD_PROVIDER, CHANGE_PROVIDER, VIEW_TASK, VIEW_EVENT, ADD_EVENT)
"""What a rotation needs: deliver a secret, have it proven, read who changed the provider, leave an event."""
BOOTSTRAP = (
    VIEW_PROVIDER,
    ADD_PROVIDER,
    CHANGE_PROVIDER,
    VIEW_TASK,
    VIEW_EVENT,
    VIEW_MAPPING,
    VIEW_APPLICATION,
    ADD_APPLICATION,
    CHANGE_APPLICATION,
    VIEW_GROUP,
    VIEW_USER,
)
"""What bootstrap, status and verify need."""
NEEDED: Mapping[str, tuple[str, ...]] = {"rotation": ROTATION, "bootstrap": BOOTSTRAP}
"""The permissions of each purpose."""
