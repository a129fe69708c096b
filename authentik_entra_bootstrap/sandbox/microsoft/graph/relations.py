"""What stands in a relation of a directory object, as a reader knows it."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.call import PRINCIPALS, Reader
from authentik_entra_bootstrap.sandbox.microsoft.graph.model_more import (
    APP_POLICY,
    APP_ROLE_ASSIGNMENT,
    DIRECTORY_ROLE,
    ENTITIES,
    FEDERATED_CREDENTIAL,
)
from authentik_entra_bootstrap.sandbox.microsoft.tokens import ROLE_TEMPLATES
from authentik_entra_bootstrap.sandbox.store import Object

OWNABLE = ("application", "servicePrincipal", "group")
ASSIGNABLE = ("servicePrincipal", "user", "group")
"""Kinds that an app role can be assigned to."""
SIDES = {"appRoleAssignedTo": "resourceId", "appRoleAssignments": "principalId"}
"""Relation of app role assignments to the property that names its holder."""


def related(reader: Reader, kind: str, value: Object, relation: str) -> list[tuple[str, Object]]:
    """Kind and object of everything in a relation that ``$expand`` takes."""
    if relation in SIDES:
        found = live_assignments(reader, **{SIDES[relation]: value["id"]})
        return [(APP_ROLE_ASSIGNMENT.name, item) for item in found]
    if relation == "federatedIdentityCredentials":
        return [(FEDERATED_CREDENTIAL.name, item) for item in value.get("_federated", ())]
    if relation == "memberOf":
        return memberships(reader, value, transitive=False)
    if relation == "ownedObjects":
        return owned_by(reader, value["id"])
    return related_objects(reader, value, ENTITIES[kind].relations[relation])


def related_objects(reader: Reader, value: Object, relation: str) -> list[tuple[str, Object]]:
    """Kind and object for each id in a private list, as far as the reader knows them."""
    kinds = ("policy",) if relation == "_appManagementPolicies" else PRINCIPALS
    found = []
    for object_id in value.get(relation, ()):
        for kind in kinds:
            item = reader.get(kind, object_id)
            if item is not None:
                found.append((APP_POLICY.name if kind == "policy" else kind, item))
                break
    return found


def owned_by(reader: Reader, owner_id: str) -> list[tuple[str, Object]]:
    """What somebody is an owner of."""
    return [
        (kind, item) for kind in OWNABLE for item in reader.all(kind) if owner_id in item.get("_owners", ())
    ]


def groups_of(reader: Reader, member: Object, *, transitive: bool) -> list[Object]:
    """The groups an object is a member of, directly or also through groups."""
    found = {member["id"]}
    groups: dict[str, Object] = {}
    searching = True
    while searching:
        new = [
            item
            for item in reader.all("group")
            if found & set(item.get("_members", ())) and item["id"] not in groups
        ]
        groups |= {item["id"]: item for item in new}
        found |= {item["id"] for item in new} if transitive else set()
        searching = bool(new) and transitive
    return list(groups.values())


def memberships(reader: Reader, member: Object, *, transitive: bool) -> list[tuple[str, Object]]:
    """Groups, and the directory roles an object holds, which the directory lists among them."""
    groups = [("group", item) for item in groups_of(reader, member, transitive=transitive)]
    roles = [
        (
            DIRECTORY_ROLE.name,
            {"id": ROLE_TEMPLATES[name], "displayName": name, "roleTemplateId": ROLE_TEMPLATES[name]},
        )
        for name in member.get("_directoryRoles", ())
        if name in ROLE_TEMPLATES
    ]
    return [*groups, *roles]


def live_assignments(reader: Reader, **wanted: str) -> list[Object]:
    """App role assignments with these property values whose both ends the reader knows."""
    return [
        item
        for item in reader.all(APP_ROLE_ASSIGNMENT.name)
        if all(item[name] == value for name, value in wanted.items())
        and reader.has("servicePrincipal", item["resourceId"])
        and any(reader.has(kind, item["principalId"]) for kind in ASSIGNABLE)
    ]
