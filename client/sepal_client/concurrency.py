"""The functions and types that differ between the asynchronous and the synchronous client."""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

AsyncAttempt = Callable[[], Awaitable[T]]
Attempt = Callable[[], T]


async def async_call(function: Callable[..., T], *args: object) -> T:
    """Call a function that may block, such as a file operation, in a thread."""
    return await anyio.to_thread.run_sync(function, *args)


def call(function: Callable[..., T], *args: object) -> T:
    """Call a function."""
    return function(*args)


async def async_sleep(seconds: float) -> None:
    """Sleep without blocking other tasks."""
    await anyio.sleep(seconds)


def sleep(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)
