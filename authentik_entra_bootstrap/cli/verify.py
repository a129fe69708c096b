"""``authentik-entra verify``."""

from __future__ import annotations

import click

from authentik_entra_bootstrap.cli.options import Options, common


@click.command()
@common
def command(options: Options) -> int:
    """Take the proofs now and say which evidence was seen. Changes nothing."""
    from authentik_entra_bootstrap.cli.runner import run_connection
    from authentik_entra_bootstrap.errors import ExitCode
    from authentik_entra_bootstrap.output.documents import Document, evidence_document
    from authentik_entra_bootstrap.output.terminal import Terminal
    from authentik_entra_bootstrap.workflows.planning import look
    from authentik_entra_bootstrap.workflows.session import Session
    from authentik_entra_bootstrap.workflows.verify import judge, verify

    async def body(session: Session, terminal: Terminal) -> tuple[int, Document]:
        seen = await look(session.context, session.desired)
        evidence = await verify(session.context, seen.plan, seen.entra, seen.authentik)
        verdict = judge(evidence)
        if not options.json:
            terminal.evidence(evidence)
            if verdict is None:
                terminal.say(f"SUCCESS: connection {session.desired.connection} works.", "bold green")
            else:
                terminal.error(verdict)
        code = verdict.exit_code if verdict else ExitCode.DONE
        return code, {"connection": session.desired.connection, "evidence": evidence_document(evidence)}

    return run_connection("verify", options, body)
