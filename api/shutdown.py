"""What a gateway does when it is told to stop: it answers whom it can, and gives the others their 202."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def drain_when_told(drain: Callable[[], None], after_seconds: float) -> None:
    """Have SIGTERM and SIGINT end all waits, besides what the server does with them: it waits for its requests.

    Args:
        drain: ends the waits.
        after_seconds: that answers may still take.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        _add_handler(number, lambda: loop.call_soon_threadsafe(loop.call_later, after_seconds, drain))


def _add_handler(number: signal.Signals, handle: Callable[[], Any]) -> None:
    servers = signal.getsignal(number)

    def both(number: int, frame: FrameType | None) -> None:
        handle()
        if callable(servers):
            servers(number, frame)

    signal.signal(number, both)
