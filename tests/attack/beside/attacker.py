"""`python -m tests.attack.beside.attacker NAME PORT`: attacks until its standard input ends.

A line on its standard input makes it open no more connections, and keep those that it has. It then prints a line of
JSON: what has become of its connections.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections import Counter
from typing import Final

import uvloop

from tests.attack.beside.attacks import ATTACKS, Attack

_READ_BYTES: Final = 256 * 1024
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_STATUS_BYTES: Final = 13


class Attacker:
    """Keeps the connections of one attack."""

    def __init__(self, attack: Attack, port: int) -> None:
        self.opened = 0
        self.longest = 0.0
        """The longest time that a connection was open, in seconds; those that are open count too."""
        self.statuses: Counter[str] = Counter()
        self._attack = attack
        self._port = port
        self._open: dict[asyncio.Task[None], float] = {}
        self._is_stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Attack until the event; connections stay open."""
        while not stop.is_set():
            if self._attack.per_second:
                self._start(self._attack.per_second // 50)
                await asyncio.sleep(1 / 50)
            else:
                self._start(self._attack.connections - len(self._open))
                await asyncio.sleep(0.01)
        self._is_stopping = True

    def report(self) -> str:
        """Describe the connections until now."""
        now = time.monotonic()
        longest = max([self.longest, *(now - began for began in self._open.values())])
        return json.dumps({"opened": self.opened, "longest": round(longest, 1), "statuses": dict(self.statuses)})

    def _start(self, count: int) -> None:
        for _ in range(min(count, self._attack.connections - len(self._open))):
            task = asyncio.get_running_loop().create_task(self._connect())
            self._open[task] = time.monotonic()
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.longest = max(self.longest, time.monotonic() - self._open.pop(task))

    async def _connect(self) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_READ_BYTES)
        except OSError:
            self.statuses["refused"] += 1
            await asyncio.sleep(0.1)
            return
        self.opened += 1
        reading = asyncio.create_task(self._read(reader, writer)) if self._attack.reads else None
        try:
            await self._send(writer, reading)
        except OSError:
            self.statuses["reset"] += 1
        finally:
            if reading is not None:
                reading.cancel()
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter, reading: asyncio.Task[None] | None) -> None:
        for part in self._attack.sends():
            if reading is not None and reading.done():
                break
            writer.write(part)
            await writer.drain()
            if self._attack.every:
                await asyncio.sleep(self._attack.every)
        if reading is not None:
            await reading
        else:  # asyncio notices the end of a connection only where it reads or writes
            while not writer.transport.is_closing():
                await asyncio.sleep(0.2)
                writer.write(b"\r\n")

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received, tail, due = 0, b"", self._attack.responses
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                received += len(data)
                found = [match[1].decode() for match in _STATUS.finditer(tail + data)]
                tail = (tail + data)[-_STATUS_BYTES + 1 :]
                self.statuses.update(found)
                due -= len(found)
                if self._attack.hangs_up and received >= self._attack.hangs_up:
                    return
                if self._attack.repeats and due <= 0 and data.endswith(b"}") and not self._is_stopping:
                    due = self._attack.responses
                    writer.writelines(self._attack.sends())


async def _main(name: str, port: int) -> None:
    stop = asyncio.Event()
    attacker = Attacker(ATTACKS[name], port)
    loop = asyncio.get_running_loop()
    attacking = asyncio.create_task(attacker.run(stop))
    await loop.run_in_executor(None, sys.stdin.readline)
    stop.set()
    await attacking
    await loop.run_in_executor(None, sys.stdin.readline)
    sys.stdout.write(attacker.report() + "\n")
    sys.stdout.flush()
    # The connections end with the process.


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2])))
