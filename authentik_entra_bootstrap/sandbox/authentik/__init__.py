"""The embedded authentik: its REST API and its worker."""
