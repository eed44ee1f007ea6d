"""A Redis server whose clock the test sets."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from local import broker
from tests.chaos import clock
from tests.stack import Part, clean_environment, free_port, listens, wait_for

_EPOCH_SECONDS = 1_800_000_000

_DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local read = {hash = {'HGETALL', key}, list = {'LRANGE', key, 0, -1}, set = {'SMEMBERS', key},
    zset = {'ZRANGE', key, 0, -1, 'WITHSCORES'}, string = {'GET', key}}
  found[#found + 1] = {key, kind, redis.call('TTL', key), redis.call(unpack(read[kind]))}
end
return {redis.call('TIME'), found}
"""


class Server:
    """The server of the broker and the store."""

    def __init__(self, port: int, clock_file: Path) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self.client: Any = redis.Redis(port=port)
        self._dump = self.client.register_script(_DUMP)
        self._clock_file = clock_file
        self._seconds = _EPOCH_SECONDS

    def reset(self) -> None:
        """Delete all keys, and set the clock back to its start."""
        self.client.flushall()
        self.move_clock(_EPOCH_SECONDS - self._seconds)

    def move_clock(self, seconds: int) -> None:
        """Advance the clock, which otherwise stands still."""
        self._seconds += seconds
        staged = self._clock_file.with_suffix(".new")
        staged.write_text(_format_time(self._seconds))
        staged.rename(self._clock_file)  # the server may be reading it
        while self.client.time()[0] != self._seconds:  # it caches the time for about a millisecond
            pass

    def dump(self) -> tuple[int, dict[str, tuple[int, Any]]]:
        """Return the server's time in microseconds and, for each key, its TTL in seconds (-1 for none) and its value.

        The time is in whole seconds, as the test has set it; the server's own differs by less than a millisecond.
        """
        (now, _), found = self._dump()
        keys = {}
        for key, kind, ttl, value in found:
            if kind in (b"hash", b"zset"):
                pairs = zip(value[::2], value[1::2], strict=True)
                value = {name.decode(errors="surrogateescape"): content for name, content in pairs}
            keys[key.decode()] = ttl, value
        return int(now) * 1_000_000, keys


def _format_time(seconds: int) -> str:
    """Format a time for libfaketime, as a clock that stands still."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Start a server with a separate clock."""
    port, clock_file = free_port(), folder / "clock"
    clock_file.write_text(_format_time(_EPOCH_SECONDS))
    environment = clean_environment() | {
        "LD_PRELOAD": os.fspath(clock.library() or ""),
        "FAKETIME_TIMESTAMP_FILE": os.fspath(clock_file),
        "FAKETIME_NO_CACHE": "1",
        "TZ": "UTC",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # the name in older versions
    }
    part = Part("broker", broker.command(port, folder), environment, folder)
    wait_for(lambda: listens(port), "the broker")
    server = Server(port, clock_file)
    try:
        yield server
    finally:
        server.client.close()
        part.stop()
