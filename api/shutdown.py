"""Shutdown of a gateway: requests still get their results for a while, and after that a 202."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def drain_on_signal(drain: Callable[[], None], after_seconds: float) -> None:
    """Call `drain` after SIGTERM or SIGINT; the server's own handler still runs, and waits for the open requests.

    Args:
        drain: ends the waits.
        after_seconds: time between the signal and the call.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        _add_handler(number, lambda: loop.call_soon_threadsafe(loop.call_later, after_seconds, drain))


def _add_handler(number: signal.Signals, handle: Callable[[], Any]) -> None:
    previous = signal.getsignal(number)

    def handle_and_call_previous(number: int, frame: FrameType | None) -> None:
        handle()
        if callable(previous):
            previous(number, frame)

    signal.signal(number, handle_and_call_previous)
