"""The hard parts of the real services, as switches. All off by default; all deterministic under a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PostCreateVariant = Literal["none", "404", "400", "403"]
DuplicateGrantShape = Literal["400-bad-request", "400-same-key", "409-same-key"]


@dataclass
class Switches:
    """How the embedded Entra ID tenant misbehaves. Durations are seconds on the sandbox's clock."""

    replicas: int = 2
    """Read replicas of the directory. Replica k of n lags by ``lag * (k + 1) / n``."""
    lag: float = 0.0
    """Greatest replication lag of Microsoft Graph reads."""
    flapping: bool = False
    """Each request reads from a replica drawn by the seed; otherwise always from the slowest."""
    sts_replicas: int = 2
    """Replicas of the token service; they disagree in the same way as the directory's."""
    secret_lag: float = 0.0
    """Until a new client secret is accepted by the slowest token service replica."""
    removed_secret_lag: float = 0.0
    """How long a removed client secret still signs in."""
    role_lag: float = 0.0
    """Until a new app role assignment or delegated grant stands in fresh tokens."""
    app_lag: float = 0.0
    """Until the token service knows a new application (AADSTS700016 until then)."""
    post_create_variant: PostCreateVariant = "none"
    """What a call on a just created application answers while it is younger than ``lag``:
    ``none`` leaves it to the replica that was hit (404 when it does not know the object)."""
    duplicate_grant: DuplicateGrantShape = "400-bad-request"
    """Status and code for an app role assignment that exists already (both are seen in the field)."""
    creator_becomes_owner: bool = True
    """Whether an app-only creator becomes owner without an explicit bind (reports conflict)."""
    rate_servers: tuple[str, ...] = ("graph",)
    """Servers to which the rates below apply: any of ``graph``, ``entra`` (the token service), ``authentik``."""
    throttle_rate: float = 0.0
    """Share of requests answered 429."""
    throttle_retry_after: int | None = 1
    """Seconds in Retry-After of those answers; ``None`` leaves the header out."""
    unavailable_rate: float = 0.0
    """Share of requests answered 503."""
    concurrency_rate: float = 0.0
    """Share of writes on applications answered Directory_ConcurrencyViolation."""
    concurrency_status: Literal[409, 503] = 409
    device_code_interval: int = 5
    """Seconds between polls that the device flow asks of clients."""
    conditional_access_blocks: bool = False
    """Client credentials are refused with AADSTS53003."""
    users_can_register_applications: bool = True
    require_service_management_reference: bool = False
    object_quota: int | None = None
    """Objects one principal may create (403 Directory_QuotaExceeded beyond)."""
