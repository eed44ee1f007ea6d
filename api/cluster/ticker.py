"""Refreshes the cluster status once a second, and then runs the gateway's periodic tasks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from api.cluster.status import ClusterStatus

_TICK_SECONDS: Final = 1.0
_UNREADY_TICK_SECONDS: Final = 0.2  # clients wait for the first worker or for the broker

log = structlog.get_logger(__name__)


async def tick_forever(cluster: ClusterStatus, callbacks: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Refresh the status and call each callback once a second, without end; a failed call does not stop the others."""
    while True:
        for callback in (cluster.refresh, *callbacks):
            try:
                await callback()
            except Exception:
                log.exception("a periodic task failed")  # continue: without the ticker the model card would not change
        await asyncio.sleep(_UNREADY_TICK_SECONDS if cluster.unready_reasons() else _TICK_SECONDS)
