"""The smaller entity types: grants, policies, federated credentials, the organization."""

from __future__ import annotations

from authentik_entra_bootstrap.sandbox.microsoft.graph.model import (
    APPLICATION,
    GROUP,
    SERVICE_PRINCIPAL,
    USER,
    EntityType,
    properties,
    words,
)

_PRINCIPALS = (APPLICATION, SERVICE_PRINCIPAL, GROUP, USER)

DIRECTORY_OBJECT = EntityType(
    "directoryObject",
    "DirectoryObject",
    "directoryObjects",
    # Lists of owners and members take the properties of every type they can hold.
    {name: kind for entity in _PRINCIPALS for name, kind in entity.props.items()},
    filterable=frozenset(name for entity in _PRINCIPALS for name in entity.filterable),
)

DIRECTORY_ROLE = EntityType(
    "directoryRole",
    "DirectoryRole",
    "directoryRoles",
    properties("id deletedDateTime:time description displayName roleTemplateId"),
)

DOMAIN = EntityType(
    "domain",
    "Domain",
    "domains",
    properties(
        "id authenticationType availabilityStatus isAdminManaged:bool isDefault:bool isInitial:bool isRoot:bool "
        "isVerified:bool supportedServices:[str] model"
    ),
    filterable=words("id isDefault isInitial isVerified"),
)

APP_ROLE_ASSIGNMENT = EntityType(
    "appRoleAssignment",
    "AppRoleAssignment",
    "appRoleAssignments",
    properties(
        "id deletedDateTime:time appRoleId:guid! createdDateTime:time principalDisplayName principalId:guid! "
        "principalType resourceDisplayName resourceId:guid!"
    ),
    read_only=words(
        "id deletedDateTime createdDateTime principalDisplayName principalType resourceDisplayName"
    ),
    # By nothing else (microsoftgraph/msgraph-sdk-dotnet#990 and #2306).
    filterable=words("principalDisplayName resourceId"),
)

OAUTH2_PERMISSION_GRANT = EntityType(
    "oauth2PermissionGrant",
    "OAuth2PermissionGrant",
    "oauth2PermissionGrants",
    properties(
        "clientId:str! consentType:str! id principalId resourceId:str! scope startTime:time expiryTime:time"
    ),
    read_only=words("id"),
    limits={"scope": 3850},
    filterable=words("clientId consentType principalId resourceId"),
)

TENANT_POLICY = EntityType(
    "tenantAppManagementPolicy",
    "Policy",
    "policies/defaultAppManagementPolicy",
    properties(
        "id deletedDateTime:time displayName description isEnabled:bool! "
        "applicationRestrictions:@appManagementApplicationConfiguration "
        "servicePrincipalRestrictions:@appManagementServicePrincipalConfiguration"
    ),
    read_only=words("id deletedDateTime"),
    filterable=words("id displayName"),
)

APP_POLICY = EntityType(
    "appManagementPolicy",
    "Policy",
    "policies/appManagementPolicies",
    properties(
        "id deletedDateTime:time displayName description isEnabled:bool! "
        "restrictions:@customAppManagementConfiguration"
    ),
    read_only=words("id deletedDateTime"),
    filterable=words("id displayName isEnabled"),
)

FEDERATED_CREDENTIAL = EntityType(
    "federatedIdentityCredential",
    "FederatedIdentityCredential",
    "federatedIdentityCredentials",
    properties("id name:str! issuer:str! subject:str! audiences:[str] description"),
    read_only=words("id"),
    limits={"name": 120, "issuer": 600, "subject": 600, "audiences": 600, "description": 600},
    filterable=words("id name issuer subject"),
)

ORGANIZATION = EntityType(
    "organization",
    "Organization",
    "organization",
    properties(
        "id deletedDateTime:time assignedPlans:[any] businessPhones:[str] city country countryLetterCode "
        "createdDateTime:time defaultUsageLocation displayName marketingNotificationEmails:[str] "
        "onPremisesLastSyncDateTime:time onPremisesSyncEnabled:bool partnerTenantType postalCode preferredLanguage "
        "privacyProfile:any provisionedPlans:[any] securityComplianceNotificationMails:[str] "
        "securityComplianceNotificationPhones:[str] state street technicalNotificationMails:[str] tenantType "
        "verifiedDomains:[any] mobileDeviceManagementAuthority:str!"
    ),
    filterable=words("id displayName"),
)

ENTITIES = {
    entity.name: entity
    for entity in (
        APPLICATION,
        SERVICE_PRINCIPAL,
        USER,
        GROUP,
        DIRECTORY_OBJECT,
        DIRECTORY_ROLE,
        DOMAIN,
        APP_ROLE_ASSIGNMENT,
        OAUTH2_PERMISSION_GRANT,
        TENANT_POLICY,
        APP_POLICY,
        FEDERATED_CREDENTIAL,
        ORGANIZATION,
    )
}
"""Every entity type by name."""
