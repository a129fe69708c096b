"""The settings of one connection: every key with its type and default, and what they resolve to."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr

from authentik_entra_bootstrap.config.values import (
    STRICT,
    AuthentikUrl,
    Duration,
    FilePath,
    Guid,
    HttpsOrigin,
    Names,
    NotSuspend,
    PlainName,
    ProxyUrl,
    Slug,
    SyncTimeout,
    Text,
    Window,
)
from authentik_entra_bootstrap.domain import (
    AUTHORITY_CLOUDS,
    CLOUDS,
    DEFAULT_PERMISSIONS,
    AppId,
    Cloud,
    Desired,
    Network,
    OperatorIdentity,
    SecretText,
    TenantId,
)
from authentik_entra_bootstrap.domain.policy import check_lifetime, check_renewal, overlap_of
from authentik_entra_bootstrap.errors import ConfigError
from authentik_entra_bootstrap.support.addresses import unquoted
from authentik_entra_bootstrap.support.private_files import Unreadable, read_line

DEFAULT_CONNECTION = "default"
DEFAULT_FILE = "authentik-entra.toml"
_MISSING = (
    "`authentik-entra init` asks for them and writes a settings file. Or set each by its variable, its flag, "
    f"or its key in {DEFAULT_FILE}."
)


class ConnectionSettings(BaseModel):
    """Every setting of one connection. Field names are the keys in the file."""

    model_config = STRICT

    name: PlainName = Field(default=DEFAULT_CONNECTION, min_length=1)
    tenant_id: Guid | None = None
    """Directory (tenant) ID."""
    cloud: Literal["global", "usgov", "usgov-dod", "china"] = "global"
    authority: HttpsOrigin | None = None
    """Origin of the token service, instead of the cloud's."""
    graph_url: HttpsOrigin | None = None
    """Origin of Microsoft Graph, instead of the cloud's."""
    portal_url: HttpsOrigin | None = None
    login: Literal[
        "default",
        "environment",
        "workload-identity",
        "managed-identity",
        "azure-cli",
        "device-code",
        "browser",
    ] = "default"
    operator_client_id: str | None = None
    """Client id of the application as which the operator signs in, instead of what ``login`` finds."""
    operator_secret_file: FilePath | None = None
    operator_certificate_file: FilePath | None = None
    operator_certificate_password_file: FilePath | None = None
    authentik_url: AuthentikUrl | None = None
    allow_plain_http: bool = False
    """Whether ``authentik_url`` may be ``http://`` to another machine, where a private network guards the way."""
    authentik_token: SecretStr | None = Field(default=None, exclude=True)
    authentik_token_file: FilePath | None = None
    ca_file: FilePath | None = None
    proxy: ProxyUrl | None = Field(default=None, repr=False)
    timeout: float = Field(default=1.0, gt=0, le=20)
    """Multiplies every waiting budget."""
    application_name: Text = Field(default="", max_length=256)
    unique_name: PlainName = Field(default="", max_length=128)
    service_management_reference: Text | None = None
    permissions: Names = Field(default=DEFAULT_PERMISSIONS, min_length=1)
    secret_lifetime: Duration = timedelta(days=180)
    overlap: Duration = timedelta(hours=24)
    renew_before: Duration | None = None
    """How long before its end a client secret is replaced, instead of two thirds into its lifetime."""
    maintenance_window: Window | None = None
    """When client secrets are replaced, e.g. ``sat,sun 02:00-05:00 Europe/Berlin``."""
    provider_name: Text = ""
    authentik_application_name: Text = ""
    authentik_application_slug: Slug = Field(default="", max_length=50)
    user_mappings: Names | None = None
    group_mappings: Names | None = None
    filter_group: Text | None = None
    """``""`` means no filter; like the settings around it, left out it leaves the provider's field as it is."""
    exclude_service_accounts: bool | None = None
    user_delete_action: Literal["do_nothing", "suspend", "delete"] | None = None
    group_delete_action: Annotated[Literal["do_nothing", "delete"] | None, NotSuspend] = None
    sync_page_size: int | None = Field(default=None, ge=1, le=10_000)
    sync_page_timeout: SyncTimeout | None = None
    discovery_enabled: bool | None = None
    dry_run_sync: bool | None = None

    def desired(self) -> Desired:
        """The connection as plain values, names filled in.

        :raises ConfigError: ``secret-lifetime-invalid``, ``renew-before-invalid``.
        """
        check_lifetime(self.secret_lifetime)
        check_renewal(self.secret_lifetime, self.renew_before)
        only = self.name == DEFAULT_CONNECTION
        title = "Microsoft Entra ID" if only else f"Microsoft Entra ID ({self.name})"
        slug = re.sub(r"[^-a-z0-9_]+", "-", self.name.lower())
        return Desired(
            connection=self.name,
            tenant_id=TenantId(self.tenant_id) if self.tenant_id else None,
            application_name=self.application_name
            or ("authentik provisioning" if only else f"authentik provisioning ({self.name})"),
            unique_name=self.unique_name or f"authentik-entra-{self.name}",
            permissions=self.permissions,
            secret_lifetime=self.secret_lifetime,
            overlap=overlap_of(self.secret_lifetime, self.overlap),
            renew_before=self.renew_before,
            maintenance_window=self.maintenance_window,
            provider_name=self.provider_name or title,
            authentik_application_name=self.authentik_application_name or title,
            authentik_application_slug=self.authentik_application_slug
            or ("microsoft-entra-id" if only else f"microsoft-entra-id-{slug}"[:50]),
            service_management_reference=self.service_management_reference,
            user_mappings=self.user_mappings,
            group_mappings=self.group_mappings,
            filter_group=self.filter_group,
            exclude_service_accounts=self.exclude_service_accounts,
            user_delete_action=self.user_delete_action,
            group_delete_action=self.group_delete_action,
            sync_page_size=self.sync_page_size,
            sync_page_timeout=self.sync_page_timeout,
            discovery_enabled=self.discovery_enabled,
            dry_run=self.dry_run_sync,
            explicit_names=frozenset(
                name
                for name in ("application_name", "provider_name", "authentik_application_slug")
                if getattr(self, name)
            ),
        )

    def resolved_cloud(self) -> Cloud:
        """The cloud, with the hosts that the settings override.

        If no setting names the cloud, the authority names it, e.g. ``AZURE_AUTHORITY_HOST`` alone, as azure-identity
        reads it. Microsoft Graph of one cloud does not accept a token of another.

        :raises ConfigError: ``authority-of-another-cloud``.
        """
        name: str = self.cloud
        host = urlsplit(self.authority or CLOUDS[name].authority).netloc
        named = AUTHORITY_CLOUDS.get(host, ())
        if named and name not in named:
            if "cloud" not in self.model_fields_set:
                name = named[0]
            elif self.graph_url is None:
                raise ConfigError(
                    "authority-of-another-cloud",
                    f"The cloud is {name}, but the authority {self.authority} belongs to {' or '.join(named)}.",
                    "Change cloud, or leave authority (or AZURE_AUTHORITY_HOST) out.",
                )
        cloud = CLOUDS[name]
        authority, graph = self.authority or cloud.authority, self.graph_url or cloud.graph
        return Cloud(
            cloud.name,
            authority,
            graph,
            self.portal_url or cloud.portal,
            known=host in AUTHORITY_CLOUDS,
        )

    def network(self) -> Network:
        """CA and proxy for both sides.

        :raises ConfigError: ``ca-file-unreadable``.
        """
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(
                "ca-file-unreadable",
                f"The CA file {self.ca_file} does not exist or is no file.",
                "Point ca_file (or AUTHENTIK_ENTRA_CA_FILE) to a PEM file.",
            )
        ca_file = str(self.ca_file) if self.ca_file else None
        return Network(ca_file, self.proxy, allow_plain_http=self.allow_plain_http)

    def operator(self) -> OperatorIdentity | None:
        """The application as which the operator signs in; ``None`` where ``login`` decides.

        :raises ConfigError: ``operator-incomplete``.
        """
        files = (self.operator_secret_file, self.operator_certificate_file)
        password = self.operator_certificate_password_file
        if self.operator_client_id is None and files == (None, None) and password is None:
            return None
        if (
            self.operator_client_id is None
            or (password is not None and self.operator_certificate_file is None)
            or None not in files
            or files == (None, None)
            or not self.tenant_id
        ):
            raise ConfigError(
                "operator-incomplete",
                "operator_client_id needs tenant_id and one of operator_secret_file and operator_certificate_file.",
                "Set them together, or none of them to sign in by AZURE_ variables.",
            )
        secret, certificate = (str(path) if path else None for path in files)
        return OperatorIdentity(
            AppId(self.operator_client_id), secret, certificate, str(password) if password else None
        )

    def refuse_missing(self, *also: str, remedy: str = _MISSING) -> None:
        """Refuse settings with which authentik cannot be asked; every missing one is named, with each way to set it.

        :param also: further settings that are needed.
        :param remedy: what to do; by default, to run ``init``.
        :raises ConfigError: ``settings-missing``.
        """
        token = self._token_in_environment() or self.authentik_token_file
        given = {"authentik_url": self.authentik_url, "authentik_token_file": token}
        given |= {name: getattr(self, name) for name in also}
        missing = [name for name, value in given.items() if not value]
        if missing:
            variables = {"tenant_id": "AZURE_TENANT_ID"}
            ways = [
                f"{name} ({variables.get(name, name.upper())}, --{name.replace('_', '-')})"
                for name in missing
            ]
            raise ConfigError(
                "settings-missing",
                f"{'A setting is' if len(missing) == 1 else f'{len(missing)} settings are'} missing: {', '.join(ways)}.",
                remedy,
                facts={"missing": ", ".join(missing)},
            )

    def _token_in_environment(self) -> str:
        return self.authentik_token.get_secret_value().strip() if self.authentik_token is not None else ""

    def token(self) -> SecretText:
        """authentik's API token, from the environment or from a file.

        :raises ConfigError: ``settings-missing``, ``authentik-token-file-unreadable``, ``authentik-token-malformed``.
        """
        token, where = self._token_in_environment(), "The token in AUTHENTIK_TOKEN"
        if not token and self.authentik_token_file is None:
            self.refuse_missing()
        if not token and self.authentik_token_file is not None:
            where = f"The token in {self.authentik_token_file}"
            try:
                token = read_line(self.authentik_token_file)
            except Unreadable as error:
                raise ConfigError(
                    "authentik-token-file-unreadable",
                    f"The token file {self.authentik_token_file} cannot be used: {error}.",
                    "Check its path and permissions. It holds an API token of authentik (intent API) and nothing else.",
                ) from None
        token = unquoted(token)
        # Anything else makes HTTP libraries refuse the header, and quote it in their refusal.
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(
                "authentik-token-malformed",
                f"{where} is no API token: it holds characters that no token has.",
                "Copy the token again, on one line and without quotes.",
            )
        return SecretText(token)
