"""The client, in a process of its own: submits at a steady rate, and keeps a ledger of every id and every answer.

python -m tests.chaos.client --ports 8000,8001 --ledger ledger.jsonl --rate 80

Reads bursts from its standard input, one a line as JSON; at its end stops submitting, asks for every accepted id until
it is final, and then fetches each result twice more.
"""

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos.connection import Connection, Lost, Response
from tests.chaos.ledger import GONE, LAST_LOOKS, Ending, Looked, Replied, Sent, Writer
from tests.chaos.traffic import Question, steady
from tests.patience import patience

_POST_SECONDS: Final = 30.0
_GET_SECONDS: Final = 5.0
_POLLERS: Final = 8
_SETTLE_PAUSE_SECONDS: Final = 0.1
_POLL_PAUSE_SECONDS: Final = 0.02  # of each poller: no more than 400 looks a second


class Burst(msgspec.Struct, frozen=True):
    """Submissions that leave together, to one gateway."""

    questions: list[Question]
    gateway: int
    """Its place in the list of ports."""


class Client:
    """Submits, polls, and writes down what it was told."""

    def __init__(self, ports: Sequence[int], ledger: Writer, patience_seconds: float) -> None:
        self._ports = ports
        self._ledger = ledger
        self._patience_seconds = patience_seconds
        self._sent = 0
        self._accepted = 0
        self._open: deque[tuple[int, str]] = deque()
        self._ended: list[tuple[int, str]] = []
        self._known: set[int] = set()  # whose endings are in the ledger
        self._submissions: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, seed: int) -> None:
        """Go on until standard input ends, and then until everything accepted is final."""
        pollers = [asyncio.create_task(self._poll(number)) for number in range(_POLLERS)]
        steadily = asyncio.create_task(self._submit_steadily(rate, seed))
        await self._obey()
        steadily.cancel()
        await asyncio.gather(*self._submissions)
        await self._settle()
        for poller in pollers:
            poller.cancel()
        queue = deque(self._ended)
        await asyncio.gather(*(self._look_again(number, queue) for number in range(_POLLERS)))

    async def _submit_steadily(self, rate: float, seed: int) -> None:
        began = time.monotonic()
        for count, question in enumerate(steady(seed)):
            await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
            self._start(question, self._ports[count % len(self._ports)])

    async def _obey(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            burst = msgspec.json.decode(line, type=Burst)
            for question in burst.questions:
                self._start(question, self._ports[burst.gateway])

    def _start(self, question: Question, port: int) -> None:
        number = self._sent
        self._sent += 1
        task = asyncio.get_running_loop().create_task(self._submit(number, question, port))
        self._submissions.add(task)
        task.add_done_callback(self._submissions.discard)

    async def _submit(self, number: int, question: Question, port: int) -> None:
        body = msgspec.json.encode({"data": question.rows(number)})
        connection = Connection(port)
        self._ledger.write(Sent(number, question, time.monotonic()))
        try:
            response = await connection.request("POST", "/predict", _POST_SECONDS, body, question.prefer)
        except Lost:
            self._ledger.write(Replied(number, time.monotonic(), 0, None, None, None))
            return
        finally:
            connection.close()
        self._note_reply(number, response)

    def _note_reply(self, number: int, response: Response) -> None:
        body, prediction_id, code = response.body, response.body.get("id"), response.body.get("code")
        ending = None
        if prediction_id is not None:
            self._accepted += 1
            # A client that waited is told of a failure by a problem that carries the id.
            ending = Ending.of(body) if response.status < 400 else _ending_of_problem(code)
            if ending is None:
                self._open.append((number, prediction_id))
            else:
                self._known.add(number)
                self._ended.append((number, prediction_id))
        self._ledger.write(Replied(number, time.monotonic(), response.status, prediction_id, code, ending))

    async def _poll(self, poller: int) -> None:
        connections = deque(Connection(port) for port in self._ports)
        connections.rotate(poller)
        while True:
            await asyncio.sleep(_POLL_PAUSE_SECONDS)
            if self._open:
                entry = self._open.popleft()
                is_final = False
                try:
                    is_final = await self._look(connections[0], *entry)
                finally:
                    (self._ended if is_final else self._open).append(entry)
                connections.rotate(1)  # another gateway next time: this one may be dead

    async def _look(self, connection: Connection, number: int, prediction_id: str) -> bool:
        """Fetch a result once, and note it if it is final."""
        try:
            response = await connection.request("GET", f"/results/{prediction_id}", _GET_SECONDS)
        except Lost:
            return False
        if response.status in (404, 410):
            ending: Ending | None = Ending(GONE, response.body["code"])
        else:
            ending = Ending.of(response.body) if response.status == 200 else None
        if ending is None:
            return False
        self._ledger.write(Looked(number, time.monotonic(), ending.digest, None if number in self._known else ending))
        self._known.add(number)
        return True

    async def _settle(self) -> None:
        for _ in range(round(self._patience_seconds / _SETTLE_PAUSE_SECONDS)):
            # Counted, for what a poller has in its hand is in neither list.
            if len(self._ended) == self._accepted:
                return
            await asyncio.sleep(_SETTLE_PAUSE_SECONDS)

    async def _look_again(self, number: int, queue: deque[tuple[int, str]]) -> None:
        connection = Connection(self._ports[number % len(self._ports)])
        while queue:
            entry = queue.popleft()
            for _ in range(LAST_LOOKS):
                await self._look(connection, *entry)


def _ending_of_problem(code: str) -> Ending:
    return Ending("canceled") if code == "prediction-canceled" else Ending("failed", code)


def main() -> None:
    """Run the client that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.client", description=__doc__)
    parser.add_argument("--ports", required=True, type=lambda text: [int(port) for port in text.split(",")])
    parser.add_argument("--ledger", required=True, type=Path)
    parser.add_argument("--rate", type=float, default=60.0, help="submissions a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--patience", type=float, default=patience(), help="seconds that the last results are waited for"
    )
    arguments = parser.parse_args()
    with closing(Writer(arguments.ledger)) as ledger:
        asyncio.run(Client(arguments.ports, ledger, arguments.patience).run(arguments.rate, arguments.seed))


if __name__ == "__main__":
    main()
