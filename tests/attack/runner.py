"""Runs cases against a gateway, and sends an honest request after each."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.attack.case import Act, Case, On, Then
from tests.attack.checks import faults_of
from tests.attack.response import Response
from tests.attack.wire import Connection, End, Exchange, Target

AT_ONCE: Final = 12
"""How many cases run at the same time."""
_MAX_REPEATS: Final = 3
HONEST: Final = b'{"data":[[5.1,3.5,1.4,0.2]]}'


@dataclass
class Outcome:
    """The outcome of one case."""

    case: Case
    faults: list[str]
    exchange: Exchange
    seconds: float = 0
    """How long it took, with the honest request."""

    @property
    def accepted_rows(self) -> int:
        """The number of rows that the gateway accepted, by its responses."""
        return sum(_rows_of(response) for response in self.exchange.responses)


@dataclass
class Totals:
    """The outcomes of a run."""

    outcomes: list[Outcome] = field(default_factory=list)
    other_rows: int = 0
    """Rows of honest requests that were accepted, and of outcomes that are not counted."""


class Runner:
    """Runs cases against one address.

    Args:
        target: the gateway or a proxy.
        proxied: whether a proxy is in front.
    """

    def __init__(self, target: Target, *, proxied: bool = False) -> None:
        self.target = target
        self.totals = Totals()
        self._proxied = proxied

    async def run(self, cases: Sequence[Case]) -> list[Outcome]:
        """Run the cases, several at a time where they allow it."""
        places = asyncio.Semaphore(AT_ONCE)

        async def run_in_turn(case: Case) -> Outcome:
            async with places:
                return await self.run_one(case)

        together = [case for case in cases if not case.held]
        outcomes = list(await asyncio.gather(*map(run_in_turn, together)))
        outcomes += [await self.run_one(case) for case in cases if case.held]
        self.totals.outcomes += outcomes
        return outcomes

    async def run_one(self, case: Case) -> Outcome:
        """Run one case, and an honest request on a new connection after it.

        A busy machine may take longer than a gateway of small limits allows its clients, or closes connections later
        than the next one is opened: there, a case with faults is repeated.
        """
        for _ in range(0 if case.on is On.DEFAULT else _MAX_REPEATS):
            outcome = await self._run_once(case)
            if not outcome.faults:
                return outcome
            self.totals.other_rows += outcome.accepted_rows
        return await self._run_once(case)

    async def _run_once(self, case: Case) -> Outcome:
        began = time.monotonic()
        try:
            async with self._held_connections(case):
                exchange = await self._exchange(case)
            faults = faults_of(case, exchange, proxied=self._proxied)
        except OSError as error:
            return Outcome(case, [f"could not connect: {error}"], Exchange())
        faults += await self._honest_faults()
        return Outcome(case, faults, exchange, time.monotonic() - began)

    @asynccontextmanager
    async def _held_connections(self, case: Case) -> AsyncIterator[None]:
        """Keep the other connections of a case open, and check that they are closed afterwards."""
        held = [await self.target.connect(source) for source, count in case.held for _ in range(count)]
        try:
            yield
        finally:
            for _, writer in held:
                writer.close()
                await writer.wait_closed()

    async def _exchange(self, case: Case) -> Exchange:
        seconds = self.target.seconds
        connection = await Connection.open(self.target, head=case.head)
        exchange = connection.exchange
        try:
            await connection.send(case.sends, seconds)
            if Act.STOP_READING in case.sends:
                return exchange
            await connection.wait_for_responses(len(case.wants), seconds)
            if case.then not in (Then.OPEN, Then.ANY) or any(response.closes for response in exchange.responses):
                await connection.wait_for_end(seconds)
            elif exchange.end is End.NOT and len(exchange.responses) == len(case.wants):
                await self._check_next_response(connection, case)
        finally:
            await connection.close()
        return exchange

    async def _check_next_response(self, connection: Connection, case: Case) -> None:
        """Ask for something else on the same connection: the next response must be the response to that."""
        name, exchange = uuid.uuid4().hex, connection.exchange
        method = "HEAD" if case.head else "GET"
        probe = f"{method} /livez HTTP/1.1\r\nHost: sepal\r\nX-Request-ID: {name}\r\n\r\n"
        before = len(exchange.responses)
        await connection.send([probe.encode()], self.target.seconds)
        await connection.wait_for_responses(before + 1, self.target.seconds)
        further = exchange.responses[before:]
        del exchange.responses[before:]
        if exchange.end is not End.NOT and not further:
            return  # the case says what it wants of the connection
        if len(further) != 1 or further[0].header("x-request-id") != name:
            shown = ", ".join(map(str, further)) or "nothing"
            exchange.fault = f"another request on the connection got {shown} instead of its own response"

    async def _honest_faults(self) -> list[str]:
        length = len(HONEST)
        head = f"POST /predict HTTP/1.1\r\nHost: sepal\r\nContent-Type: application/json\r\nContent-Length: {length}"
        connection = await Connection.open(self.target)
        try:
            await connection.send([f"{head}\r\n\r\n".encode() + HONEST], self.target.seconds)
            await connection.wait_for_responses(1, self.target.seconds)
        finally:
            await connection.close()
        statuses = [response.status for response in connection.exchange.responses]
        self.totals.other_rows += sum(status in (200, 202) for status in statuses)
        return [] if statuses == [200] else [f"an honest request after it got {statuses or 'no response'}"]


def _rows_of(response: Response) -> int:
    """Count the rows of a prediction, final or not."""
    try:
        content = json.loads(response.body)
    except ValueError:
        return 0
    if not isinstance(content, dict) or "id" not in content or response.status not in (200, 202):
        return 0
    return len(content["prediction"]) if "prediction" in content else int(content.get("rows", {}).get("total", 0))
