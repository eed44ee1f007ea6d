"""One connection of a client through the proxy, with its connection to a gateway."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from tests.chaos.clients.strikes import Cut, Ending, Kill, Moment, Refuse, Seen, Side, Strike, Target

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CHUNK_BYTES: Final = 65_536
_END_OF_HEAD: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER without any time: closing sends RST
_LINGER_SECONDS: Final = 1.0  # after FIN, for a client that is still sending


class Owner(Protocol):
    """The part of the proxy that a link uses."""

    kill: Callable[[int | None], None]

    def see(self, target: Target, at: float) -> Seen:
        """Record a request, and take the strike against it from the plan."""


class Link:
    """Forwards bytes in both directions until either side closes, or a strike ends the connection."""

    def __init__(self, owner: Owner, gateway: int, client: Stream, to_gateway: Stream) -> None:
        self._owner = owner
        self._gateway = gateway
        self._client_reader, self._client = client
        self._gateway_reader, self._to_gateway = to_gateway
        for writer in (self._client, self._to_gateway):
            writer.transport.set_write_buffer_limits(0)  # `drain` returns when the kernel has everything
        self._seen: Seen | None = None
        self._forwarded = {Side.REQUEST: 0, Side.RESPONSE: 0}
        """Bytes of the current request, and of its response."""
        self._request_bytes: int | None = None
        """Length of the current request with its head; None if it is chunked."""
        self._may_begin = True
        """Whether the client's next bytes are the head of a request."""
        self._is_sent = False
        """Whether the gateway has the whole request."""
        self._is_cut_off = False
        """Whether the client receives nothing more, and what it sends is discarded."""
        self._awaits_gateway = False
        """Whether the connection to the gateway stays open until it responds."""
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Forward until both connections are closed."""
        try:
            await asyncio.gather(self._forward_requests(), self._forward_responses())
        finally:
            self.abort()

    def abort(self) -> None:
        """Close both connections."""
        if self._timer is not None:
            self._timer.cancel()
        for writer in (self._client, self._to_gateway):
            writer.transport.abort()

    @property
    def _strike(self) -> Strike | None:
        """The strike against the current request that has not happened yet."""
        return None if self._seen is None or self._seen.was_struck else self._seen.strike

    async def _forward_requests(self) -> None:
        is_gateway_gone = False
        while data := await _read(self._client_reader):
            if self._may_begin and not self._is_cut_off:
                data = await self._begin_request(data)
            if not self._is_cut_off and not is_gateway_gone:
                try:
                    await self._forward(data, Side.REQUEST, self._to_gateway)
                except OSError:
                    is_gateway_gone = True  # its response may still be on its way to the client
        self._client.transport.abort()
        if not self._awaits_gateway:
            self._to_gateway.transport.abort()

    async def _forward_responses(self) -> None:
        ending = Ending.CLOSE
        try:
            while data := await self._gateway_reader.read(_CHUNK_BYTES):
                self._may_begin = True
                if self._is_cut_off:
                    break  # the gateway has answered
                if not self._replaces_response():
                    with suppress(ConnectionError):  # of the client, which the other direction notices
                        await self._forward(data, Side.RESPONSE, self._client)
        except OSError:
            ending = Ending.RESET
        self._to_gateway.transport.abort()
        if not self._is_cut_off:
            self._end(self._client, ending)

    async def _begin_request(self, data: bytes) -> bytes:
        """Read the head of a request, and take the strike against it from the plan; return the bytes read."""
        while _REQUEST_LINE.match(data) and _END_OF_HEAD not in data and (more := await _read(self._client_reader)):
            data += more
        if (line := _REQUEST_LINE.match(data)) is None:
            return data  # the rest of a body whose response came early
        head = data[: data.find(_END_OF_HEAD) + len(_END_OF_HEAD)]
        length = _LENGTH.search(head)
        self._request_bytes = None if _CHUNKED.search(head) else len(head) + int(length[1] if length else 0)
        self._forwarded = {Side.REQUEST: 0, Side.RESPONSE: 0}
        self._may_begin = self._is_sent = False
        if self._timer is not None:
            self._timer.cancel()
        self._seen = self._owner.see(Target(line[1].decode(), line[2].decode()), time.time())
        if (strike := self._strike) is not None and strike.moment.side is None:
            self._timer = asyncio.get_running_loop().call_later(strike.moment.seconds, self._carry_out, strike)
        return data

    async def _forward(self, data: bytes, side: Side, writer: asyncio.StreamWriter) -> None:
        """Forward data; if the moment of a strike is in it, only the part before, and then strike."""
        strike = self._strike
        if side is Side.REQUEST:
            n_sent = self._forwarded[side] + len(data)
            is_end = data.endswith(_LAST_CHUNK) if self._request_bytes is None else n_sent >= self._request_bytes
        else:
            is_end = False
        n_left = None if strike is None else self._n_left(strike.moment, side, len(data), is_end=is_end)
        part = data if n_left is None else data[:n_left]
        self._forwarded[side] += len(part)
        if strike is None or not _is_held(strike, side):
            writer.write(part)
            await writer.drain()
            self._is_sent |= is_end and len(part) == len(data)
        if strike is not None and n_left is not None and strike is self._strike:
            self._carry_out(strike)
            if isinstance(strike.action, Kill):  # the connections end by themselves
                await self._forward(data[n_left:], side, writer)

    def _n_left(self, moment: Moment, side: Side, n_bytes: int, *, is_end: bool) -> int | None:
        """Return how many of the next bytes are before a moment; None if it is not among them."""
        if moment.side is not side:
            return None
        n_left = max(0, moment.n_bytes - self._forwarded[side])
        if n_left > n_bytes:
            return n_bytes if is_end else None
        return n_left

    def _replaces_response(self) -> bool:
        """If the strike requires it, replace the gateway's response with a refusal; return whether it does."""
        strike = self._strike
        if strike is None or not isinstance(strike.action, Refuse) or not strike.action.after_acceptance:
            return False
        self._carry_out(strike)
        return True

    def _carry_out(self, strike: Strike) -> None:
        assert self._seen is not None, "a strike is against a request"
        self._seen.was_struck = True
        action = strike.action
        if isinstance(action, Kill):
            self._owner.kill(None if action.kills_all else self._gateway)
            return
        self._is_cut_off = True
        if isinstance(action, Refuse):
            now = time.time()
            self._seen.earliest_repeat = action.earliest(now)
            self._client.write(action.response(now))
            self._end(self._client, Ending.CLOSE)
            self._to_gateway.transport.abort()
        else:
            self._cut(action)

    def _cut(self, cut: Cut) -> None:
        is_open = self._is_sent and not self._forwarded[Side.RESPONSE]
        self._awaits_gateway = cut.keeps_gateway and is_open
        self._end(self._client, cut.ending)
        if not self._awaits_gateway:
            self._end(self._to_gateway, cut.ending)

    def _end(self, writer: asyncio.StreamWriter, ending: Ending) -> None:
        """End a connection; after FIN, the other side may continue to send for a moment."""
        self._is_cut_off = True
        if writer.transport.is_closing():
            return
        if ending is Ending.RESET:
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        else:
            writer.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, writer.transport.abort)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read the available bytes; none if the connection has ended."""
    try:
        return await reader.read(_CHUNK_BYTES)
    except OSError:
        return b""


def _is_held(strike: Strike, side: Side) -> bool:
    """Whether to withhold the request from the gateway."""
    action = strike.action
    return side is Side.REQUEST and isinstance(action, Refuse) and not action.after_acceptance
