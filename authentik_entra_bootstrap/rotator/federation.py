"""Federated credentials of the rotator: whose tokens Entra ID takes instead of a certificate's signature. Pure.

Sources: Microsoft's "Workload identity federation" (audiences of the clouds), Kubernetes' "Service account token
volume projection", GitHub's "About security hardening with OpenID Connect" (subjects).
"""

from __future__ import annotations

from collections.abc import Mapping

from authentik_entra_bootstrap.domain import FederatedCredential
from authentik_entra_bootstrap.errors import ConfigError

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
AUDIENCES: Mapping[str, str] = {
    "global": "api://AzureADTokenExchange",
    "usgov": "api://AzureADTokenExchangeUSGov",
    "usgov-dod": "api://AzureADTokenExchangeUSGov",
    "china": "api://AzureADTokenExchangeChina",
}


def federated_credential(
    cloud: str,
    *,
    issuer: str | None = None,
    subject: str | None = None,
    kubernetes: str | None = None,
    github: str | None = None,
    branch: str | None = None,
    environment: str | None = None,
    name: str | None = None,
) -> FederatedCredential:
    """The credential that these words describe.

    :param cloud: name of the cloud, which decides the audience.
    :param kubernetes: ``NAMESPACE/ACCOUNT``, with the cluster's ``issuer``.
    :param github: ``OWNER/REPOSITORY``, with ``branch`` or ``environment``.
    :raises ConfigError: ``federation-unclear`` for words that name no identity, or more than one.
    """
    if kubernetes is not None:
        namespace, _, account = kubernetes.partition("/")
        _demand(bool(namespace and account) and "/" not in account, "--kubernetes takes NAMESPACE/ACCOUNT")
        _demand(
            bool(issuer) and not (subject or github), "--kubernetes goes with --issuer alone, the cluster's"
        )
        subject, kind = f"system:serviceaccount:{namespace}:{account}", "kubernetes"
    elif github is not None:
        owner, _, repository = github.partition("/")
        _demand(bool(owner and repository) and "/" not in repository, "--github takes OWNER/REPOSITORY")
        _demand(bool(branch) != bool(environment), "--github goes with one of --branch and --environment")
        _demand(not (issuer or subject), "--github says issuer and subject itself")
        issuer, kind = GITHUB_ISSUER, "github"
        place = f"ref:refs/heads/{branch}" if branch else f"environment:{environment}"
        subject = f"repo:{github}:{place}"
    else:
        kind = "federated"
    _demand(github is not None or not (branch or environment), "--branch and --environment go with --github")
    _demand(bool(issuer and subject), "say who signs in: --kubernetes, --github, or --issuer and --subject")
    assert issuer is not None  # noqa: S101 - demanded
    assert subject is not None  # noqa: S101 - demanded
    _demand(issuer.startswith("https://"), "an issuer is an https:// address")
    return FederatedCredential(name or kind, issuer, subject, AUDIENCES[cloud])


def _demand(holds: bool, words: str) -> None:
    if not holds:
        raise ConfigError(
            "federation-unclear",
            f"The federated credential is not clear: {words}.",
            "See docs/how-to/rotator-identity.md for each kind.",
        )
