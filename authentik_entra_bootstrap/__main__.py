"""``python -m authentik_entra_bootstrap``, and the command ``authentik-entra``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command and exit with its code; an interrupt while everything is imported is none of Python's tracebacks."""
    try:
        from authentik_entra_bootstrap.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
