"""All connections of a gateway process: their number, their deadlines, and the memory of their bodies."""

import asyncio
import contextlib
import ipaddress
import resource
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Protocol

from api.http.forwarded_headers import TrustedProxies
from api.http.problems import TOO_MANY_CONNECTIONS
from api.http.server.refusals import Refused
from api.settings import ConnectionSettings
from api.telemetry.metrics import GatewayMetrics
from shared.errors import TooManyBodies

SWEEP_SECONDS: Final = 0.5
_TURNS_PER_ITERATION: Final = 4  # 1 to 2 ms, if each starts a request with a large response or decodes chunks
_MAX_REFUSAL_RESPONSES: Final = 32  # connections beyond the maximum that get a response; further ones are reset
_MAPPED_PREFIX: Final = "::ffff:"  # prefix of an IPv4 client's address on a dual-stack socket
_RESERVED_FILES: Final = 64  # open files of a gateway that are not client connections


class Connection(Protocol):
    """One connection, as this module uses it."""

    def end_if_overdue(self, now: float) -> None:
        """End the connection if its deadline has passed, or if its response is not read."""


class Connections:
    """Counts the connections of a gateway process, and ends those whose clients are too slow."""

    def __init__(self, limits: ConnectionSettings, metrics: GatewayMetrics) -> None:
        self.limits = limits
        self._metrics = metrics
        self._open: dict[Connection, str] = {}
        self._of_address: Counter[str] = Counter()
        self._max_connections = min(limits.max_connections, _max_open_files() - _RESERVED_FILES)
        self._proxies = TrustedProxies(limits.proxy_networks)
        self._turns: deque[Callable[[], None]] = deque()
        self._is_scheduled = False  # whether the event loop will call `_run_turns`
        self._body_bytes = 0

    def __len__(self) -> int:
        """Return the number of open connections."""
        return len(self._open)

    @property
    def can_respond_to_refused(self) -> bool:
        """Whether a refused connection gets a response, because few connections exceed the maximum."""
        return len(self._open) <= self._max_connections + _MAX_REFUSAL_RESPONSES

    def add(self, connection: Connection, host: str) -> None:
        """Add a new connection of a client.

        Raises:
            Refused: there are too many, in total or from this address. The connection was added, to get a response.
        """
        address = _address_group(host.removeprefix(_MAPPED_PREFIX))
        is_full = len(self._open) >= self._max_connections
        is_address_full = self._of_address[address] >= self.limits.max_connections_per_address
        self._open[connection] = address
        self._of_address[address] += 1
        self._metrics.set_connections(len(self._open))
        if is_full or (is_address_full and host not in self._proxies):
            who = "clients" if is_full else "your address"
            raise Refused(TOO_MANY_CONNECTIONS, f"There are too many connections from {who}: close some, or retry.")

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        address = self._open.pop(connection, None)
        if address is None:
            return
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]
        self._metrics.set_connections(len(self._open))

    def schedule_turn(self, advance: Callable[[], None]) -> None:
        """Let a connection process bytes that it has received earlier; a few do in each iteration of the event loop.

        Requests that have just arrived are processed first, without a turn.
        """
        self._turns.append(advance)
        self._schedule_turns()

    def _schedule_turns(self) -> None:
        if self._turns and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run_turns)

    def _run_turns(self) -> None:
        self._is_scheduled = False
        try:
            for _ in range(min(_TURNS_PER_ITERATION, len(self._turns))):
                self._turns.popleft()()
        finally:
            self._schedule_turns()

    def count_refusal(self, reason: str) -> None:
        """Count a refusal, or a connection that was ended without a response."""
        self._metrics.count_http_refusal(reason)

    def hold_body_bytes(self, n_bytes: int) -> None:
        """Count bytes of a large body that is being received.

        Raises:
            Refused: all bodies together would be too large.
        """
        if self._body_bytes + n_bytes > self.limits.max_bodies_bytes:
            raise Refused(TooManyBodies.code, TooManyBodies.detail)
        self._body_bytes += n_bytes

    def release_body_bytes(self, n_bytes: int) -> None:
        """Subtract bytes that `hold_body_bytes` has counted."""
        self._body_bytes -= n_bytes

    async def sweep_forever(self) -> None:
        """End overdue connections, forever. One timer for all connections costs less than one for each."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._open):
                connection.end_if_overdue(now)


def raise_file_limit() -> None:
    """Raise the limit of open files to the maximum for this process: each connection is an open file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports a limit that it does not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _max_open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 2**31


def _address_group(host: str) -> str:
    """Return the address, or for IPv6 the /64 network, to which the limit of connections applies."""
    if ":" not in host:
        return host
    network = ipaddress.ip_network((host.partition("%")[0], 64), strict=False)
    return str(network)
