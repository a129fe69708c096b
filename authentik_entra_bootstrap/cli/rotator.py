"""``authentik-entra rotator``: the identities with which rotation runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from authentik_entra_bootstrap.cli.options import Options, common, span

_certificate = click.option(
    "--certificate-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Private key and certificate in PEM. Made with mode 0600; a file that exists is never overwritten.",
)
_lifetime = click.option(
    "--lifetime",
    callback=span,
    metavar="DURATION",
    default="365d",
    show_default=True,
    help="Of a new certificate.",
)
_yes = click.option("-y", "--yes", is_flag=True, help="Apply without asking.")


@click.group()
def command() -> None:
    """The identities with which rotation runs: all that it needs, and nothing else.

    In Entra ID an application that owns the connections' applications, with a certificate or a federated
    credential; in authentik a service account with a token. Without --connection every connection of the settings
    file is meant.
    """


@command.command(short_help="make the rotator in Entra ID: application, certificate, permission, ownerships")
@common
@_certificate
@_lifetime
@_yes
def create(options: Options, certificate_file: Path | None, lifetime: timedelta, yes: bool) -> int:
    """Make the application, its certificate, its one permission and its ownerships. Asks once.

    Running it again is resuming; it also makes the rotator owner of connections that came later.
    """
    from authentik_entra_bootstrap.cli.rotator_run import apply
    from authentik_entra_bootstrap.workflows.rotator import Wanted

    return apply(
        "rotator create", options, Wanted(key_file=certificate_file, lifetime=lifetime), yes=yes, renew=False
    )


@command.command(short_help="roll its certificate: add, prove, later remove the old one")
@common
@_certificate
@_lifetime
@click.option("--now", is_flag=True, help="Make a new certificate although none is due.")
@click.option(
    "--overlap",
    "key_overlap",
    callback=span,
    metavar="DURATION",
    default="7d",
    show_default=True,
    help='How long a replaced certificate stays; "0h" removes it at once.',
)
@_yes
def renew(
    options: Options,
    certificate_file: Path | None,
    lifetime: timedelta,
    now: bool,
    key_overlap: timedelta,
    yes: bool,
) -> int:
    """Roll the certificate once two thirds of its life have passed: add, prove, later remove the old one.

    Name a file that does not exist yet for a new key. Named with the present file, a run proves that certificate and
    removes replaced ones whose overlap is over.
    """
    from authentik_entra_bootstrap.cli.rotator_run import apply
    from authentik_entra_bootstrap.workflows.rotator import Wanted

    wanted = Wanted(key_file=certificate_file, lifetime=lifetime, overlap=key_overlap, force=now)
    return apply("rotator renew", options, wanted, yes=yes, renew=True)


@command.command(short_help="sign in with tokens of Kubernetes or GitHub instead of a certificate")
@common
@click.option("--issuer", metavar="URL", help="Issuer of the tokens: the cluster's, for Kubernetes.")
@click.option("--subject", metavar="TEXT", help="Subject of the tokens.")
@click.option(
    "--kubernetes", metavar="NAMESPACE/ACCOUNT", help="A service account of a cluster; with --issuer."
)
@click.option("--github", metavar="OWNER/REPOSITORY", help="A workflow of GitHub; with one of the next two.")
@click.option("--branch", metavar="NAME", help="Of that repository.")
@click.option("--environment", metavar="NAME", help="Of that repository.")
@click.option(
    "--name", metavar="NAME", help="Name of the credential.  [default: kubernetes, github or federated]"
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A token of that identity, to prove that it signs in.",
)
@_yes
def federate(options: Options, token_file: Path | None, yes: bool, **words: str | None) -> int:
    """Let a workload of Kubernetes or GitHub sign in as the rotator, without any certificate.

    Makes the application, its permission and its ownerships where they are missing, as `create` does.
    """
    from authentik_entra_bootstrap.cli.rotator_run import apply
    from authentik_entra_bootstrap.workflows.rotator import Wanted

    return apply(
        "rotator federate", options, Wanted(assertion_file=token_file), yes=yes, renew=False, words=words
    )


@command.command(short_help="as it stands: permission, certificates, owned applications")
@common
@click.option("--check", is_flag=True, help="Exit with 2 when something is missing or due.")
def show(options: Options, check: bool) -> int:
    """The rotator as it stands: permission, certificates and when they are due, owned applications."""
    from authentik_entra_bootstrap.cli.rotator_run import show as look

    return look(options, check=check)


@command.command(short_help="make the service account in authentik and its API token")
@common
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["rotation", "bootstrap"]),
    default="rotation",
    show_default=True,
    help="What the token is to be good for.",
)
@_yes
def token(options: Options, file: Path, purpose: str, yes: bool) -> int:
    """Make in authentik the service account, its role and its API token; the key goes to FILE, or to stdout for "-".

    Runs with an administrator's token. FILE is made with mode 0600 and must not exist; nothing else keeps the key.
    """
    from authentik_entra_bootstrap.cli.service_account import make_token

    return make_token(options, file, purpose, yes=yes)
