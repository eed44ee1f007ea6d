"""The client process: submits predictions at a steady rate, and records every id and every response in a ledger.

python -m tests.chaos.client --ports 8000,8001 --ledger ledger.jsonl --rate 80

Reads bursts from standard input, one JSON object per line. When standard input ends, it stops submitting, polls every
accepted id until it is final, and then fetches each result twice more.
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

from tests.chaos.connection import Connection, ConnectionLost, Response
from tests.chaos.ledger import FINAL_POLLS, GONE, FinalResponse, Polled, Responded, Sent, Writer
from tests.chaos.traffic import Submission, steady_traffic
from tests.patience import patience

_POST_SECONDS: Final = 30.0
_GET_SECONDS: Final = 5.0
_POLLERS: Final = 8
_CHECK_SECONDS: Final = 0.1
_POLL_PAUSE_SECONDS: Final = 0.02  # of each poller: at most 400 polls a second


class Burst(msgspec.Struct, frozen=True):
    """Submissions that are sent at the same time, to one gateway."""

    submissions: list[Submission]
    gateway: int
    """The index of its port in `--ports`."""


class Client:
    """Submits and polls predictions, and records the responses."""

    def __init__(self, ports: Sequence[int], ledger: Writer, patience_seconds: float) -> None:
        self._ports = ports
        self._ledger = ledger
        self._patience_seconds = patience_seconds
        self._sent = 0
        self._accepted = 0
        self._open: deque[tuple[int, str]] = deque()
        self._final: list[tuple[int, str]] = []
        self._recorded: set[int] = set()  # submissions whose final response is in the ledger
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, seed: int) -> None:
        """Submit until standard input ends, then poll until every accepted prediction is final."""
        pollers = [asyncio.create_task(self._poll(number)) for number in range(_POLLERS)]
        steady = asyncio.create_task(self._submit_steadily(rate, seed))
        await self._submit_bursts()
        steady.cancel()
        await asyncio.gather(*self._tasks)
        await self._wait_until_final()
        for poller in pollers:
            poller.cancel()
        queue = deque(self._final)
        await asyncio.gather(*(self._poll_again(number, queue) for number in range(_POLLERS)))

    async def _submit_steadily(self, rate: float, seed: int) -> None:
        began = time.monotonic()
        for count, submission in enumerate(steady_traffic(seed)):
            await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
            self._start(submission, self._ports[count % len(self._ports)])

    async def _submit_bursts(self) -> None:
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            burst = msgspec.json.decode(line, type=Burst)
            for submission in burst.submissions:
                self._start(submission, self._ports[burst.gateway])

    def _start(self, submission: Submission, port: int) -> None:
        number = self._sent
        self._sent += 1
        task = asyncio.get_running_loop().create_task(self._submit(number, submission, port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, number: int, submission: Submission, port: int) -> None:
        body = msgspec.json.encode({"data": submission.rows(number)})
        connection = Connection(port)
        self._ledger.write(Sent(number, submission, time.monotonic()))
        try:
            response = await connection.request("POST", "/predict", _POST_SECONDS, body, submission.prefer)
        except ConnectionLost:
            self._ledger.write(Responded(number, time.monotonic(), 0, None, None, None))
            return
        finally:
            connection.close()
        self._record_response(number, response)

    def _record_response(self, number: int, response: Response) -> None:
        body, prediction_id, code = response.body, response.body.get("id"), response.body.get("code")
        final = None
        if prediction_id is not None:
            self._accepted += 1
            # A client that waited gets a failure as a problem that contains the id.
            final = FinalResponse.of(body) if response.status < 400 else _final_response_of_problem(code)
            if final is None:
                self._open.append((number, prediction_id))
            else:
                self._recorded.add(number)
                self._final.append((number, prediction_id))
        self._ledger.write(Responded(number, time.monotonic(), response.status, prediction_id, code, final))

    async def _poll(self, poller: int) -> None:
        connections = deque(Connection(port) for port in self._ports)
        connections.rotate(poller)
        while True:
            await asyncio.sleep(_POLL_PAUSE_SECONDS)
            if self._open:
                entry = self._open.popleft()
                is_final = False
                try:
                    is_final = await self._poll_once(connections[0], *entry)
                finally:
                    (self._final if is_final else self._open).append(entry)
                connections.rotate(1)  # to the next gateway: this one may be dead

    async def _poll_once(self, connection: Connection, number: int, prediction_id: str) -> bool:
        """Fetch a result once, and record it if it is final; return whether it is."""
        try:
            response = await connection.request("GET", f"/results/{prediction_id}", _GET_SECONDS)
        except ConnectionLost:
            return False
        if response.status in (404, 410):
            final: FinalResponse | None = FinalResponse(GONE, response.body["code"])
        else:
            final = FinalResponse.of(response.body) if response.status == 200 else None
        if final is None:
            return False
        self._ledger.write(Polled(number, time.monotonic(), final.digest, None if number in self._recorded else final))
        self._recorded.add(number)
        return True

    async def _wait_until_final(self) -> None:
        for _ in range(round(self._patience_seconds / _CHECK_SECONDS)):
            # Compares counts, because an id that is being polled is in neither list.
            if len(self._final) == self._accepted:
                return
            await asyncio.sleep(_CHECK_SECONDS)

    async def _poll_again(self, number: int, queue: deque[tuple[int, str]]) -> None:
        connection = Connection(self._ports[number % len(self._ports)])
        while queue:
            entry = queue.popleft()
            for _ in range(FINAL_POLLS):
                for _ in range(round(self._patience_seconds / _CHECK_SECONDS)):
                    if await self._poll_once(connection, *entry):
                        break
                    await asyncio.sleep(_CHECK_SECONDS)


def _final_response_of_problem(code: str) -> FinalResponse:
    return FinalResponse("canceled") if code == "prediction-canceled" else FinalResponse("failed", code)


def main() -> None:
    """Run the client with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.client", description=__doc__)
    parser.add_argument("--ports", required=True, type=lambda text: [int(port) for port in text.split(",")])
    parser.add_argument("--ledger", required=True, type=Path)
    parser.add_argument("--rate", type=float, default=60.0, help="submissions per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=patience(), help="seconds to wait for the last results")
    arguments = parser.parse_args()
    with closing(Writer(arguments.ledger)) as ledger:
        asyncio.run(Client(arguments.ports, ledger, arguments.patience).run(arguments.rate, arguments.seed))


if __name__ == "__main__":
    main()
