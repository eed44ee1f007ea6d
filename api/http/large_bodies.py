"""Reads large bodies in another process, so that they do not block the event loop.

A thread would not help: JSON parsers hold the interpreter's lock. The process is started for the first large body, and
replaced if it dies. It reads one body at a time (docs/decisions/0028-large-bodies-in-another-process.md).
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog

from api.http.reader_process import REPLY_HEAD, REQUEST_HEAD, Reply
from api.http.rows import ReadBody
from api.http.shortest_first_lock import ShortestFirstLock
from shared.card import ModelCard
from shared.errors import BodyNotRead, InvalidRows, MalformedJson, TooManyBodies
from shared.rows import EncodedRows

_MAX_ATTEMPTS: Final = 2
_MAX_SECONDS: Final = 30.0  # the slowest body of 8 MB takes 2 s
_STOP_SECONDS: Final = 1.0
_WRITE_BYTES: Final = 2**18  # bytes that are written to the pipe, or buffered from it, at a time
_ROOT: Final = Path(__file__).parents[2]

log = structlog.get_logger(__name__)


class LargeBodies:
    """Starts the reader process, and passes it one large body at a time, the shortest first."""

    def __init__(self, max_rows: int, max_text_bytes: int, max_bytes: int) -> None:
        """Start without a process.

        Args:
            max_rows: the maximum number of rows in a body.
            max_text_bytes: the maximum size of a string.
            max_bytes: the maximum total size of the bodies that are waiting or being read.
        """
        self._arguments = str(max_rows), str(max_text_bytes)
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._turns = ShortestFirstLock()
        self._process: Process | None = None
        self._card: ModelCard | None = None  # the card that was last sent to the process

    async def read(self, body: bytes, card: ModelCard) -> ReadBody:
        """Validate a body and encode its rows, as `BodyReader` does.

        Raises:
            MalformedJson, InvalidRows: as `BodyReader`.
            TooManyBodies: the waiting bodies would exceed `max_bytes`.
            BodyNotRead: the process failed twice, or took too long.
        """
        if self._n_bytes + len(body) > self._max_bytes:
            raise TooManyBodies
        self._n_bytes += len(body)
        try:
            async with self._turns.hold(len(body)):
                return await self._read_with_retry(body, card)
        finally:
            self._n_bytes -= len(body)

    async def close(self) -> None:
        """Stop the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        await self._kill_process()

    async def _read_with_retry(self, body: bytes, card: ModelCard) -> ReadBody:
        for _ in range(_MAX_ATTEMPTS):
            try:
                async with asyncio.timeout(_MAX_SECONDS):
                    return await self._read_in_process(body, card)
            except TimeoutError:
                log.error("reading a large body timed out", bytes=len(body))
                break
            except (OSError, EOFError) as error:
                log.warning("lost the connection to the reader process", reason=repr(error))
        raise BodyNotRead

    async def _read_in_process(self, body: bytes, card: ModelCard) -> ReadBody:
        is_complete = False
        try:
            process = self._process or await self._start_process()
            assert process.stdin is not None, "a pipe"
            assert process.stdout is not None, "a pipe"
            await self._send_request(process.stdin, body, card)
            (n_bytes,) = REPLY_HEAD.unpack(await process.stdout.readexactly(REPLY_HEAD.size))
            reply = msgspec.msgpack.decode(await process.stdout.readexactly(n_bytes), type=Reply)
            rows = [
                EncodedRows(await process.stdout.readexactly(part.n_bytes), part.n_rows, part.encoding)
                for part in reply.parts
            ]
            is_complete = True
        finally:
            if not is_complete:  # the rest of the reply would be read as the next reply
                await self._kill_process()
        _raise_refusal(reply)
        return ReadBody(rows, reply.outputs)

    async def _start_process(self) -> Process:
        self._card = None
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api.http.reader_process",
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            limit=_WRITE_BYTES,
            cwd=_ROOT,
            start_new_session=True,  # Ctrl-C must reach only the gateway, which stops the process
        )
        return self._process

    async def _send_request(self, stdin: asyncio.StreamWriter, body: bytes, card: ModelCard) -> None:
        card_json = b"" if card is self._card else card.model_dump_json().encode()
        self._card = card
        stdin.write(REQUEST_HEAD.pack(len(card_json), len(body)) + card_json)
        view = memoryview(body)
        for start in range(0, len(body), _WRITE_BYTES):
            stdin.write(view[start : start + _WRITE_BYTES])
            await stdin.drain()

    async def _kill_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _raise_refusal(reply: Reply) -> None:
    if reply.faults is not None:
        raise InvalidRows(reply.faults)
    if reply.malformed is not None:
        raise MalformedJson(reply.malformed)
    if reply.bug is not None:
        raise RuntimeError(f"the process that reads large bodies failed:\n{reply.bug}")
