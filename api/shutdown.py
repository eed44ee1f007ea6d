"""Shutdown of a gateway: waiting requests get their results for a limited time, and then the response 202."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


def drain_on_signal(drain: Callable[[], None], after_seconds: float) -> None:
    """Call `drain` some time after SIGTERM or SIGINT. The server's own handler still runs, and waits for open requests.

    Args:
        drain: releases all waiters.
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
