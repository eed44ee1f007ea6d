"""The gateway's clock: refreshes the cluster status once a second and then runs the chores."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from api.cluster.status import ClusterStatus

_TICK_SECONDS: Final = 1.0
_UNREADY_TICK_SECONDS: Final = 0.2  # clients wait for the first worker, or for the broker to come back

log = structlog.get_logger(__name__)


async def tick_forever(cluster: ClusterStatus, chores: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Refresh the status and run each chore, whatever becomes of the others; once a second, without end."""
    while True:
        for act in (cluster.refresh, *chores):
            try:
                await act()
            except Exception:
                log.exception("a periodic task failed")  # without the ticker the gateway would serve an old card
        await asyncio.sleep(_UNREADY_TICK_SECONDS if cluster.unready_reasons() else _TICK_SECONDS)
