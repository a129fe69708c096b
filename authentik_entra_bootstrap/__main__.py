"""``python -m authentik_entra_bootstrap``."""

from authentik_entra_bootstrap.cli import main

if __name__ == "__main__":
    main()
