"""Ledgers: the book in which the workers share a tenant's limits, beside their leases.

A file on one machine, Redis, or PostgreSQL. What is lost with one are seconds of memory: a worker that cannot reach it
goes on with a small part of its own.
"""

from authentik_entra_bootstrap.ledgers.places import open_ledger

__all__ = ["open_ledger"]
