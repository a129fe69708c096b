"""Entity and complex types of Microsoft Graph v1.0, as far as the sandbox serves them.

A property's type is written as Graph's own kinds: ``str bool int guid time bytes any``, ``@name`` for a
complex type, brackets for a collection; ``!`` marks a property that cannot be null. A name without a kind is a string.
Marks behind it: ``-`` only the service sets it, ``?`` ``$filter`` takes it, ``<256`` its greatest length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any


def properties(text: str) -> dict[str, str]:
    """``"name:kind name:kind"`` as a dict; a name without a kind is a nullable string."""
    return {name: kind or "str" for name, _, kind in (word.partition(":") for word in text.split())}


COMPLEX: dict[str, dict[str, str]] = {
    name: properties(text)
    for name, text in {
        "apiApplication": "acceptMappedClaims:bool knownClientApplications:[guid] "
        "oauth2PermissionScopes:[@permissionScope] preAuthorizedApplications:[@preAuthorizedApplication] "
        "requestedAccessTokenVersion:int",
        "appManagementApplicationConfiguration": "keyCredentials:[@credentialConfiguration] "
        "passwordCredentials:[@credentialConfiguration] identifierUris:any",
        "appManagementServicePrincipalConfiguration": "keyCredentials:[@credentialConfiguration] "
        "passwordCredentials:[@credentialConfiguration]",
        "customAppManagementConfiguration": "keyCredentials:[@credentialConfiguration] "
        "passwordCredentials:[@credentialConfiguration] applicationRestrictions:any",
        "appRole": "allowedMemberTypes:[str] description displayName id:guid! isEnabled:bool! origin value",
        "implicitGrantSettings": "enableAccessTokenIssuance:bool enableIdTokenIssuance:bool",
        "informationalUrl": "logoUrl marketingUrl privacyStatementUrl supportUrl termsOfServiceUrl",
        "keyCredential": "customKeyIdentifier:bytes displayName endDateTime:time key:bytes keyId:guid "
        "startDateTime:time type usage",
        "credentialConfiguration": "excludeActors:any maxLifetime restrictForAppsCreatedAfterDateTime:time "
        "restrictionType:str! state:str!",
        "optionalClaim": "additionalProperties:[str] essential:bool! name:str! source",
        "optionalClaims": "accessToken:[@optionalClaim] idToken:[@optionalClaim] saml2Token:[@optionalClaim]",
        "passwordCredential": "customKeyIdentifier:bytes displayName endDateTime:time hint keyId:guid secretText "
        "startDateTime:time",
        "passwordProfile": "forceChangePasswordNextSignIn:bool forceChangePasswordNextSignInWithMfa:bool password",
        "permissionScope": "adminConsentDescription adminConsentDisplayName id:guid! isEnabled:bool! origin type "
        "userConsentDescription userConsentDisplayName value",
        "preAuthorizedApplication": "appId delegatedPermissionIds:[str]",
        "publicClientApplication": "redirectUris:[str]",
        "redirectUriSettings": "index:int uri",
        "requiredResourceAccess": "resourceAccess:[@resourceAccess] resourceAppId:str!",
        "resourceAccess": "id:guid! type:str!",
        "servicePrincipalLockConfiguration": "allProperties:bool credentialsWithUsageSign:bool "
        "credentialsWithUsageVerify:bool isEnabled:bool! tokenEncryptionKeyId:bool",
        "spaApplication": "redirectUris:[str]",
        "webApplication": "homePageUrl implicitGrantSettings:@implicitGrantSettings logoutUrl redirectUris:[str] "
        "redirectUriSettings:[@redirectUriSettings]",
    }.items()
}


_PROPERTY = re.compile(r"(\w+)(?::([^-?<]+))?(-?)(\??)(?:<(\d+))?")


@dataclass(frozen=True)
class EntityType:
    """One entity type.

    :param name: Graph's name, e.g. ``application``; also the directory's kind.
    :param label: the name as error texts write it.
    :param path: its collection.
    :param props: property name to kind.
    :param read_only: properties only the service sets.
    :param filterable: properties ``$filter`` takes.
    :param limits: greatest length of strings.
    :param by_default: properties returned without ``$select`` (``None``: all).
    """

    name: str
    label: str
    path: str
    props: dict[str, str]
    read_only: frozenset[str] = frozenset()
    filterable: frozenset[str] = frozenset()
    limits: dict[str, int] = field(default_factory=dict)
    by_default: list[str] | None = None

    def empty(self) -> dict[str, Any]:
        """Every property with its default value."""
        return unset(self.props)


def unset(kinds: dict[str, str]) -> dict[str, Any]:
    """Unset properties of these kinds: collections are empty."""
    return {name: [] if kind.startswith("[") else None for name, kind in kinds.items()}


def entity(name: str, label: str, path: str, text: str, by_default: str = "") -> EntityType:
    """An entity type from its properties: each with its kind and marks, as the module's first lines say."""
    found = [match.groups() for match in map(_PROPERTY.fullmatch, text.split()) if match]
    return EntityType(
        name,
        label,
        path,
        {prop: kind or "str" for prop, kind, *_ in found},
        frozenset(prop for prop, _, read_only, *_ in found if read_only),
        frozenset(prop for prop, _, _, filterable, _ in found if filterable),
        {prop: int(limit) for prop, *_, limit in found if limit},
        by_default.split() or None,
    )


APPLICATION = entity(
    "application",
    "Application",
    "applications",
    """
    id-? deletedDateTime:time- addIns:[any] api:@apiApplication appId-? applicationTemplateId-?
    appRoles:[@appRole] authenticationBehaviors:any certification:any- createdByAppId-?
    createdDateTime:time-? defaultRedirectUri description?<1024 disabledByMicrosoftStatus-? displayName?<256
    groupMembershipClaims identifierUris:[str]? info:@informationalUrl isDeviceOnlyAuthSupported:bool
    isDisabled:bool? isFallbackPublicClient:bool keyCredentials:[@keyCredential] managerApplications:[guid]
    nativeAuthenticationApisEnabled notes<1024 oauth2RequirePostResponse:bool!
    optionalClaims:@optionalClaims parentalControlSettings:any passwordCredentials:[@passwordCredential]
    publicClient:@publicClientApplication publisherDomain-? requestSignatureVerification:any
    requiredResourceAccess:[@requiredResourceAccess] samlMetadataUrl serviceManagementReference?
    servicePrincipalLockConfiguration:@servicePrincipalLockConfiguration signInAudience? spa:@spaApplication
    tags:[str]?<256 tokenEncryptionKeyId:guid uniqueName?<256 verifiedPublisher:any- web:@webApplication
    """,
)

SERVICE_PRINCIPAL = entity(
    "servicePrincipal",
    "ServicePrincipal",
    "servicePrincipals",
    """
    id-? deletedDateTime:time- accountEnabled:bool? addIns:[any] alternativeNames:[str]? appDescription-
    appDisplayName-? appId-? applicationTemplateId-? appOwnerOrganizationId:guid-?
    appRoleAssignmentRequired:bool!? appRoles:[@appRole] createdByAppId- createdDateTime:time-?
    description?<1024 disabledByMicrosoftStatus-? displayName?<256 homepage? info:@informationalUrl
    isDisabled:bool keyCredentials:[@keyCredential] loginUrl logoutUrl notes<1024
    notificationEmailAddresses:[str] oauth2PermissionScopes:[@permissionScope]
    passwordCredentials:[@passwordCredential] preferredSingleSignOnMode preferredTokenSigningKeyThumbprint
    replyUrls:[str] resourceSpecificApplicationPermissions:[any]- samlSingleSignOnSettings:any
    servicePrincipalNames:[str]? servicePrincipalType-? signInAudience- tags:[str]?<256
    tokenEncryptionKeyId:guid verifiedPublisher:any-
    """,
)

USER = entity(
    "user",
    "User",
    "users",
    """
    id-? deletedDateTime:time- accountEnabled:bool? ageGroup? assignedLicenses:[any]- businessPhones:[str]?
    city? companyName?<64 consentProvidedForMinor country? createdDateTime:time-? creationType-?
    department?<64 displayName?<256 employeeHireDate:time? employeeId?<16 employeeOrgData:any employeeType?
    externalUserState-? faxNumber givenName?<64 identities:[any]? imAddresses:[str]- jobTitle?<128
    lastPasswordChangeDateTime:time- legalAgeGroupClassification- mail? mailNickname?<64 mobilePhone?<64
    officeLocation? onPremisesDistinguishedName- onPremisesDomainName- onPremisesExtensionAttributes:any
    onPremisesImmutableId?<256 onPremisesLastSyncDateTime:time-? onPremisesProvisioningErrors:[any]-
    onPremisesSamAccountName-? onPremisesSecurityIdentifier-? onPremisesSyncEnabled:bool-?
    onPremisesUserPrincipalName-? otherMails:[str]? passwordPolicies passwordProfile:@passwordProfile
    postalCode? preferredDataLocation preferredLanguage? proxyAddresses:[str]-? securityIdentifier-
    showInAddressList:bool signInSessionsValidFromDateTime:time- state? streetAddress? surname?<64
    usageLocation? userPrincipalName?<113 userType?
    """,
    by_default="businessPhones displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    "userPrincipalName id",
)

GROUP = entity(
    "group",
    "Group",
    "groups",
    """
    id-? deletedDateTime:time- classification? createdDateTime:time-? creationOptions:[str]-
    description?<1024 displayName?<256 expirationDateTime:time-? groupTypes:[str]?
    hasMembersWithLicenseErrors:bool- isAssignableToRole:bool? mail-? mailEnabled:bool? mailNickname?<64
    membershipRule? membershipRuleProcessingState? onPremisesDomainName- onPremisesLastSyncDateTime:time-?
    onPremisesNetBiosName- onPremisesProvisioningErrors:[any]- onPremisesSamAccountName-?
    onPremisesSecurityIdentifier-? onPremisesSyncEnabled:bool-? preferredDataLocation preferredLanguage?
    proxyAddresses:[str]-? renewedDateTime:time-? resourceBehaviorOptions:[str]
    resourceProvisioningOptions:[str] securityEnabled:bool? securityIdentifier- theme uniqueName?<128
    visibility?
    """,
)

_PRINCIPALS = (APPLICATION, SERVICE_PRINCIPAL, GROUP, USER)

DIRECTORY_OBJECT = EntityType(
    "directoryObject",
    "DirectoryObject",
    "directoryObjects",
    # Lists of owners and members take the properties of every type they can hold.
    {name: kind for item in _PRINCIPALS for name, kind in item.props.items()},
    filterable=frozenset(name for item in _PRINCIPALS for name in item.filterable),
)

APP_ROLE_ASSIGNMENT = entity(
    "appRoleAssignment",
    "AppRoleAssignment",
    "appRoleAssignments",
    # Filtered by nothing else (microsoftgraph/msgraph-sdk-dotnet#990 and #2306).
    """
    id- deletedDateTime:time- appRoleId:guid! createdDateTime:time- principalDisplayName-? principalId:guid!
    principalType- resourceDisplayName- resourceId:guid!?
    """,
)

OAUTH2_PERMISSION_GRANT = entity(
    "oauth2PermissionGrant",
    "OAuth2PermissionGrant",
    "oauth2PermissionGrants",
    """
    clientId:str!? consentType:str!? id- principalId? resourceId:str!? scope<3850 startTime:time
    expiryTime:time
    """,
)

TENANT_POLICY = entity(
    "tenantAppManagementPolicy",
    "Policy",
    "policies/defaultAppManagementPolicy",
    """
    id-? deletedDateTime:time- displayName? description isEnabled:bool!
    applicationRestrictions:@appManagementApplicationConfiguration
    servicePrincipalRestrictions:@appManagementServicePrincipalConfiguration
    """,
)

APP_POLICY = entity(
    "appManagementPolicy",
    "Policy",
    "policies/appManagementPolicies",
    """
    id-? deletedDateTime:time- displayName? description isEnabled:bool!?
    restrictions:@customAppManagementConfiguration
    """,
)

FEDERATED_CREDENTIAL = entity(
    "federatedIdentityCredential",
    "FederatedIdentityCredential",
    "federatedIdentityCredentials",
    """
    id-? name:str!?<120 issuer:str!?<600 subject:str!?<600 audiences:[str]<600 description<600
    """,
)

ORGANIZATION = entity(
    "organization",
    "Organization",
    "organization",
    """
    id? deletedDateTime:time assignedPlans:[any] businessPhones:[str] city country countryLetterCode
    createdDateTime:time defaultUsageLocation displayName? marketingNotificationEmails:[str]
    onPremisesLastSyncDateTime:time onPremisesSyncEnabled:bool partnerTenantType postalCode
    preferredLanguage privacyProfile:any provisionedPlans:[any] securityComplianceNotificationMails:[str]
    securityComplianceNotificationPhones:[str] state street technicalNotificationMails:[str] tenantType
    verifiedDomains:[any] mobileDeviceManagementAuthority:str!
    """,
)

ENTITIES = {
    item.name: item
    for item in (
        *(*_PRINCIPALS, DIRECTORY_OBJECT, APP_ROLE_ASSIGNMENT, OAUTH2_PERMISSION_GRANT),
        *(TENANT_POLICY, APP_POLICY, FEDERATED_CREDENTIAL, ORGANIZATION),
    )
}
"""Every entity type by name."""
