"""Sends submissions to the store: one at once at rest, all that have gathered in one round trip under load.

There is no timer: whatever arrives while a round trip is under way leaves together with the next. So a burst of
requests needs one connection, and cannot run the connection pool dry.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from shared.scripts import script

_ROUND_TRIP_BYTES: Final = 4 * 1024 * 1024  # milliseconds to write: no request times out behind its neighbours' rows


@dataclass(frozen=True, slots=True)
class _Call:
    keys: Sequence[str]
    args: Sequence[str | bytes | int]
    reply: asyncio.Future[int]


class Submitter:
    """Runs `submit.lua` for many requests over one connection."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._script = client.register_script(script("submit"))
        self._gathered: deque[_Call] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | int]) -> int:
        """Run the script once; raises what Redis or its client raised."""
        call = _Call(keys, args, asyncio.get_running_loop().create_future())
        self._gathered.append(call)
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_gathered())
        return await call.reply

    async def _send_gathered(self) -> None:
        while calls := self._next_calls():
            try:
                replies = await self._send(calls)
            except Exception as error:  # it belongs to the requests that wait for these calls
                replies = [error] * len(calls)
            for call, reply in zip(calls, replies, strict=True):
                _settle(call.reply, reply)
        self._sending = None

    def _next_calls(self) -> list[_Call]:
        """Take what one round trip carries, and drop what its request has given up: that was told it was refused."""
        calls: list[_Call] = []
        size = 0
        while self._gathered and size < _ROUND_TRIP_BYTES:
            call = self._gathered.popleft()
            if not call.reply.done():
                calls.append(call)
                size += sum(len(arg) for arg in call.args if isinstance(arg, bytes))
        return calls

    async def _send(self, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._pipeline(calls)
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # a new or restarted server: scripts do not survive a restart
            await self._client.script_load(self._script.script)
            for index, reply in zip(unknown, await self._pipeline([calls[index] for index in unknown]), strict=True):
                replies[index] = reply
        return replies

    async def _pipeline(self, calls: Sequence[_Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.evalsha(self._script.sha, len(call.keys), *call.keys, *call.args)
        return await pipeline.execute(raise_on_error=False)


def _settle(future: asyncio.Future[int], reply: Any) -> None:
    if future.done():  # its request was canceled meanwhile
        return
    if isinstance(reply, BaseException):
        future.set_exception(reply)
    else:
        future.set_result(reply)
