"""Leases: one run at a time for one connection, one delivery at a time for one authentik. They save work; the rotation is safe without them.

A file lock on one machine, Redis, or PostgreSQL, each through a well-kept library. What a lease cannot promise (two
machines' clocks, a service that forgot its locks), the rotation's own looks at both services catch.
"""

from authentik_entra_bootstrap.support.leases.from_address import open_lease
from authentik_entra_bootstrap.support.leases.holder import Hold, hold
from authentik_entra_bootstrap.support.leases.lease import Lease, delivery_lease_name, lease_name

__all__ = ["Hold", "Lease", "delivery_lease_name", "hold", "lease_name", "open_lease"]
