"""Entity and complex types of Microsoft Graph v1.0, as far as the sandbox serves them.

A property's type is written as Graph's own kinds: ``str bool int guid time bytes any``, ``@name`` for a
complex type, brackets for a collection; ``!`` marks a property that cannot be null.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class EntityType:
    """One entity type.

    :param name: Graph's name, e.g. ``application``; also the directory's kind.
    :param label: the name as error texts write it.
    :param path: its collection.
    :param props: property name to kind.
    :param read_only: properties only the service sets.
    :param limits: greatest length of strings.
    :param filterable: properties ``$filter`` takes.
    :param relations: navigation properties ``$expand`` takes, to their private list.
    :param by_default: properties returned without ``$select`` (``None``: all).
    """

    name: str
    label: str
    path: str
    props: dict[str, str]
    read_only: frozenset[str] = frozenset()
    limits: dict[str, int] = field(default_factory=dict)
    filterable: frozenset[str] = frozenset()
    relations: dict[str, str] = field(default_factory=dict)
    by_default: tuple[str, ...] | None = None

    def empty(self) -> dict[str, Any]:
        """Every property with the value it has when nobody set it."""
        return {name: [] if kind.startswith("[") else None for name, kind in self.props.items()}


def words(text: str) -> frozenset[str]:
    """Names separated by spaces, as a set."""
    return frozenset(text.split())


_DIRECTORY = words("id deletedDateTime createdDateTime")

APPLICATION = EntityType(
    "application",
    "Application",
    "applications",
    properties(
        "id deletedDateTime:time addIns:[any] api:@apiApplication appId applicationTemplateId appRoles:[@appRole] "
        "authenticationBehaviors:any certification:any createdByAppId createdDateTime:time "
        "defaultRedirectUri description disabledByMicrosoftStatus displayName groupMembershipClaims "
        "identifierUris:[str] info:@informationalUrl isDeviceOnlyAuthSupported:bool isDisabled:bool "
        "isFallbackPublicClient:bool keyCredentials:[@keyCredential] managerApplications:[guid] "
        "nativeAuthenticationApisEnabled notes oauth2RequirePostResponse:bool! optionalClaims:@optionalClaims "
        "parentalControlSettings:any passwordCredentials:[@passwordCredential] "
        "publicClient:@publicClientApplication publisherDomain requestSignatureVerification:any "
        "requiredResourceAccess:[@requiredResourceAccess] samlMetadataUrl serviceManagementReference "
        "servicePrincipalLockConfiguration:@servicePrincipalLockConfiguration signInAudience spa:@spaApplication "
        "tags:[str] tokenEncryptionKeyId:guid uniqueName verifiedPublisher:any web:@webApplication"
    ),
    read_only=_DIRECTORY
    | words(
        "appId applicationTemplateId certification createdByAppId disabledByMicrosoftStatus publisherDomain verifiedPublisher"
    ),
    limits={"displayName": 256, "description": 1024, "notes": 1024, "tags": 256, "uniqueName": 256},
    filterable=words(
        "id appId applicationTemplateId createdDateTime createdByAppId description disabledByMicrosoftStatus displayName "
        "identifierUris isDisabled publisherDomain serviceManagementReference signInAudience tags uniqueName"
    ),
    relations={"owners": "_owners", "appManagementPolicies": "_appManagementPolicies"},
)

SERVICE_PRINCIPAL = EntityType(
    "servicePrincipal",
    "ServicePrincipal",
    "servicePrincipals",
    properties(
        "id deletedDateTime:time accountEnabled:bool addIns:[any] alternativeNames:[str] appDescription "
        "appDisplayName appId applicationTemplateId appOwnerOrganizationId:guid appRoleAssignmentRequired:bool! "
        "appRoles:[@appRole] createdByAppId createdDateTime:time description disabledByMicrosoftStatus displayName "
        "homepage info:@informationalUrl isDisabled:bool keyCredentials:[@keyCredential] loginUrl logoutUrl notes "
        "notificationEmailAddresses:[str] oauth2PermissionScopes:[@permissionScope] "
        "passwordCredentials:[@passwordCredential] preferredSingleSignOnMode preferredTokenSigningKeyThumbprint "
        "replyUrls:[str] resourceSpecificApplicationPermissions:[any] "
        "samlSingleSignOnSettings:any servicePrincipalNames:[str] servicePrincipalType "
        "signInAudience tags:[str] tokenEncryptionKeyId:guid verifiedPublisher:any"
    ),
    read_only=_DIRECTORY
    | words(
        "appId appDescription appDisplayName applicationTemplateId appOwnerOrganizationId createdByAppId "
        "disabledByMicrosoftStatus servicePrincipalType signInAudience verifiedPublisher "
        "resourceSpecificApplicationPermissions"
    ),
    limits={"displayName": 256, "description": 1024, "notes": 1024, "tags": 256},
    filterable=words(
        "id appId accountEnabled alternativeNames appDisplayName appOwnerOrganizationId applicationTemplateId "
        "appRoleAssignmentRequired createdDateTime description disabledByMicrosoftStatus displayName homepage "
        "servicePrincipalNames servicePrincipalType tags"
    ),
    relations={"owners": "_owners"},
)

USER = EntityType(
    "user",
    "User",
    "users",
    properties(
        "id deletedDateTime:time accountEnabled:bool ageGroup assignedLicenses:[any] businessPhones:[str] city "
        "companyName consentProvidedForMinor country createdDateTime:time creationType department displayName "
        "employeeHireDate:time employeeId employeeOrgData:any employeeType externalUserState faxNumber "
        "givenName identities:[any] imAddresses:[str] jobTitle lastPasswordChangeDateTime:time "
        "legalAgeGroupClassification mail mailNickname mobilePhone officeLocation onPremisesDistinguishedName "
        "onPremisesDomainName onPremisesExtensionAttributes:any onPremisesImmutableId onPremisesLastSyncDateTime:time "
        "onPremisesProvisioningErrors:[any] onPremisesSamAccountName onPremisesSecurityIdentifier "
        "onPremisesSyncEnabled:bool onPremisesUserPrincipalName otherMails:[str] passwordPolicies "
        "passwordProfile:@passwordProfile postalCode preferredDataLocation preferredLanguage proxyAddresses:[str] "
        "securityIdentifier showInAddressList:bool signInSessionsValidFromDateTime:time state streetAddress surname "
        "usageLocation userPrincipalName userType"
    ),
    read_only=_DIRECTORY
    | words(
        "assignedLicenses creationType externalUserState imAddresses lastPasswordChangeDateTime "
        "legalAgeGroupClassification onPremisesDistinguishedName onPremisesDomainName onPremisesLastSyncDateTime "
        "onPremisesProvisioningErrors onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled "
        "onPremisesUserPrincipalName proxyAddresses securityIdentifier "
        "signInSessionsValidFromDateTime"
    ),
    limits={
        "displayName": 256,
        "mailNickname": 64,
        "givenName": 64,
        "surname": 64,
        "jobTitle": 128,
        "department": 64,
        "companyName": 64,
        "employeeId": 16,
        "mobilePhone": 64,
        "userPrincipalName": 113,
        "onPremisesImmutableId": 256,
    },
    filterable=words(
        "id accountEnabled ageGroup businessPhones city companyName country createdDateTime creationType department "
        "displayName employeeHireDate employeeId employeeType externalUserState givenName identities jobTitle mail "
        "mailNickname mobilePhone officeLocation onPremisesImmutableId onPremisesLastSyncDateTime "
        "onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled onPremisesUserPrincipalName "
        "otherMails postalCode "
        "preferredLanguage proxyAddresses state streetAddress surname usageLocation userPrincipalName userType"
    ),
    by_default=(
        "businessPhones",
        "displayName",
        "givenName",
        "jobTitle",
        "mail",
        "mobilePhone",
        "officeLocation",
        "preferredLanguage",
        "surname",
        "userPrincipalName",
        "id",
    ),
)

GROUP = EntityType(
    "group",
    "Group",
    "groups",
    properties(
        "id deletedDateTime:time classification createdDateTime:time creationOptions:[str] description displayName "
        "expirationDateTime:time groupTypes:[str] hasMembersWithLicenseErrors:bool isAssignableToRole:bool mail "
        "mailEnabled:bool mailNickname membershipRule membershipRuleProcessingState onPremisesDomainName "
        "onPremisesLastSyncDateTime:time onPremisesNetBiosName onPremisesProvisioningErrors:[any] "
        "onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled:bool "
        "preferredDataLocation preferredLanguage proxyAddresses:[str] renewedDateTime:time "
        "resourceBehaviorOptions:[str] resourceProvisioningOptions:[str] securityEnabled:bool securityIdentifier "
        "theme uniqueName visibility"
    ),
    read_only=_DIRECTORY
    | words(
        "creationOptions expirationDateTime hasMembersWithLicenseErrors mail onPremisesDomainName "
        "onPremisesLastSyncDateTime onPremisesNetBiosName onPremisesProvisioningErrors onPremisesSamAccountName "
        "onPremisesSecurityIdentifier onPremisesSyncEnabled proxyAddresses "
        "renewedDateTime securityIdentifier"
    ),
    limits={"displayName": 256, "mailNickname": 64, "description": 1024, "uniqueName": 128},
    filterable=words(
        "id classification createdDateTime description displayName expirationDateTime groupTypes isAssignableToRole mail "
        "mailEnabled mailNickname membershipRule membershipRuleProcessingState onPremisesLastSyncDateTime "
        "onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled preferredLanguage "
        "proxyAddresses renewedDateTime securityEnabled uniqueName visibility"
    ),
    relations={"members": "_members", "owners": "_owners"},
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
        APP_ROLE_ASSIGNMENT,
        OAUTH2_PERMISSION_GRANT,
        TENANT_POLICY,
        APP_POLICY,
        FEDERATED_CREDENTIAL,
        ORGANIZATION,
    )
}
"""Every entity type by name."""
