"""What we ask of Microsoft Graph: each operation with its line of the table of permissions."""

from __future__ import annotations

from dataclasses import dataclass

from authentik_entra_bootstrap.domain import TokenClaims
from authentik_entra_bootstrap.planning.permissions import RULES, Lack, Rule


@dataclass(frozen=True)
class Operation:
    """One kind of request.

    :param key: stable name.
    :param purpose: completes "The operator may not …".
    :param rule_key: its line in the table of permissions.
    :param consent: whether a refusal means that an administrator has to consent instead of the operator.
    """

    key: str
    purpose: str
    rule_key: str
    consent: bool = False

    @property
    def rule(self) -> Rule:
        """What the request needs."""
        return RULES[self.rule_key]

    def lack(self, claims: TokenClaims | None) -> tuple[str, str]:
        """Why the request was refused, in words, and the bare name of the permission or role to ask for.

        :param claims: the refused token's claims, where known.
        """
        rule = self.rule
        smallest = rule.smallest[0]
        lack = Lack("application permission", smallest)
        if claims is not None:
            found = rule.lack(claims, lenient=False)
            if found is None:
                held = f"the token shows everything it takes ({rule.enough}), yet Microsoft Graph refuses"
                return held, smallest
            lack = found
            if claims.is_app_only and rule.lack(claims) is None:
                reach = f"{rule.owned[0]} reaches only applications that the operator owns"
                return f"{reach}, and it does not own this one", lack.name
        return f"the {lack} is missing", lack.name


READ_ORGANIZATION = Operation("read-organization", "read the tenant's name", "organization.read")
READ_USERS = Operation("read-users", "read the tenant's users", "user.read")
READ_GROUPS = Operation("read-groups", "read the tenant's groups", "group.read")
READ_MEMBERS = Operation("read-group-members", "read the members of groups", "group.members.read")
READ_APPLICATION = Operation("read-application", "read applications", "application.read")
READ_DELETED = Operation("read-deleted-applications", "read deleted applications", "application.read")
CREATE_APPLICATION = Operation("create-application", "create applications", "application.create")
UPDATE_APPLICATION = Operation("update-application", "change the application", "application.update")
DELETE_APPLICATION = Operation("delete-application", "delete the application", "application.delete")
RESTORE_APPLICATION = Operation(
    "restore-application", "restore the deleted application", "application.delete"
)
PURGE_APPLICATION = Operation("purge-application", "delete the application permanently", "application.purge")
READ_SERVICE_PRINCIPAL = Operation(
    "read-service-principal", "read service principals", "servicePrincipal.read"
)
CREATE_SERVICE_PRINCIPAL = Operation(
    "create-service-principal", "create the application's service principal", "servicePrincipal.create"
)
UPDATE_SERVICE_PRINCIPAL = Operation(
    "update-service-principal", "change the application's service principal", "servicePrincipal.update"
)
READ_ASSIGNMENTS = Operation("read-role-assignments", "read granted permissions", "roleGrant.read")
ASSIGN_ROLE = Operation(
    "assign-role", "grant application permissions of Microsoft Graph", "roleGrant.create.graph", consent=True
)
READ_GRANTS = Operation("read-delegated-grants", "read granted delegated permissions", "scopeGrant.read")
GRANT_SCOPES = Operation(
    "grant-scopes", "grant delegated permissions for all users", "scopeGrant.write", consent=True
)
READ_POLICY = Operation("read-policy", "read the tenant's policies", "policy.read")
ADD_SECRET = Operation("add-secret", "make a client secret", "application.credentials")
REMOVE_SECRET = Operation("remove-secret", "remove a client secret", "application.credentials")
ADD_OWNER = Operation("add-owner", "add an owner to the application", "application.owners")
READ_OWNED = Operation("read-owned-objects", "read what a service principal owns", "servicePrincipal.read")
READ_FEDERATED = Operation("read-federated-credentials", "read federated credentials", "application.read")
FEDERATE = Operation("federate", "write federated credentials of the application", "application.update")
