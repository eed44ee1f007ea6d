"""The settings of the gateways under attack; all others have their default values."""

from typing import Final

TOKEN: Final = b"open-sesame"
"""The operators' token of each of them."""
SMALL: Final[dict[str, int]] = {
    "head_seconds": 1,
    "stall_seconds": 1,
    "idle_seconds": 1,
    "max_body_bytes": 100_000,
}
"""The settings of the gateway whose clients are slow."""
NARROW: Final[dict[str, int]] = {
    "max_connections_per_address": 6,
    "max_connections": 10,
    "max_bodies_bytes": 100_000,
    "max_requests_per_connection": 20,
}
"""The settings of the gateway with few connections, and few requests on each."""
