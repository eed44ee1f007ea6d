"""Gateways and workers that call the same methods of the store as the real processes."""

import json
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from shared.card import Data, ModelCard
from shared.columns import Column, ModelInput, ValueType
from shared.ids import BatchId
from shared.names import Queue
from shared.store.attempts import Attempts, Claim
from shared.store.bulk import BulkStore
from shared.store.clock import NEVER_US, StoreClock
from shared.store.idempotency import IdempotencyKeys
from shared.store.lookups import Lookups
from shared.store.recovery import Recovery
from shared.store.schema import Key
from shared.store.scripts import Script
from shared.store.status import StatusReader
from shared.store.submissions import Submissions
from shared.store.transport import Argument
from shared.store.workers import WorkerRegistry
from tests.machine.server import Server
from tests.stored import TEMPLATE
from tests.submissions import Messages, patient_transport

T = TypeVar("T")

RESULT_TTL_SECONDS = 60
ANSWERED_TTL_SECONDS = 20
MAX_ATTEMPTS = 2
MAX_STORED_BYTES = 300_000
LIMITS = {Queue.INTERACTIVE: 12, Queue.BULK: 9}

CARD = ModelCard(
    name="any",
    version="1",
    digest="sha256:" + "0" * 64,
    input=ModelInput(
        kind="matrix", library="numpy", columns=(Column(name="x", type=ValueType.FLOAT64, dtype="float64"),)
    ),
    classes=None,
    outputs=("prediction",),
    versions={},
    data=Data(source="none", rows=0),
    metrics={},
    example=((0.0,),),
)


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the coroutine suspended")


class ReadClock(StoreClock):
    """A gateway's clock that stays at the store's time that was last read, however long the test takes."""

    def __init__(self) -> None:
        super().__init__()
        self._read_us: int | None = None

    def set(self, now_us: int) -> None:
        self._read_us = now_us

    def now_plus(self, seconds: float) -> int:
        return NEVER_US if self._read_us is None else self._read_us + round(seconds * 1_000_000)


class SharedTransport:
    """The connection of all actors. On request it loses the next reply, and runs the script a second time."""

    def __init__(self, url: str) -> None:
        self._transport = patient_transport(url)
        self.loses_reply = False
        self.lost_reply: Any = None
        """The first reply of the last script, if that was run twice."""

    def run(self, script: Script, args: Sequence[Argument]) -> Any:
        self.lost_reply = None
        if self.loses_reply and "no-writes" not in script.text.partition("\n")[0]:
            self.loses_reply = False
            self.lost_reply = self._transport.run(script, args)
        return self._transport.run(script, args)

    def was_accepted(self) -> bool:
        """Whether the lost reply was that of an accepted commit."""
        return self.lost_reply is not None and int(self.lost_reply) >= 0

    def close(self) -> None:
        self._transport.close()


class Gateway:
    """The store's methods that a gateway process calls; it is its own transport, whose `run` never suspends."""

    def __init__(self, transport: SharedTransport, server: Server) -> None:
        self._transport, self._server = transport, server
        self.stall_seconds = 0
        """Seconds by which the broker's clock advances before the next command."""
        messages, clock = Messages(), ReadClock()
        self.clock = clock
        self.channel = f"{Key.REPLY}{secrets.token_hex(4)}"
        self.submissions = Submissions(self, clock, messages, LIMITS)
        self.lookups = Lookups(self, result_ttl_seconds=RESULT_TTL_SECONDS, answered_ttl_seconds=ANSWERED_TTL_SECONDS)
        self.bulk = BulkStore(
            self,
            clock,
            max_bytes=MAX_STORED_BYTES,
            result_ttl_seconds=RESULT_TTL_SECONDS,
            message_template=TEMPLATE,
        )
        self.idempotency = IdempotencyKeys(self)
        self.status = StatusReader(self, clock)
        self.recovery = Recovery(
            self,
            messages,
            max_attempts=MAX_ATTEMPTS,
            result_ttl_seconds=RESULT_TTL_SECONDS,
            dead_letter_ttl_seconds=RESULT_TTL_SECONDS,
        )

    async def run(self, script: Script, args: Sequence[Argument]) -> Any:
        stall, self.stall_seconds = self.stall_seconds, 0
        if stall:
            self._server.move_clock(stall)
        return self._transport.run(script, args)


class Worker:
    """A Celery parent with one pool process; its messages are in the broker's list of unacknowledged messages."""

    def __init__(self, server: Server, transport: SharedTransport) -> None:
        self._server = server
        self.name = f"worker-{secrets.token_hex(4)}"
        self.attempts = Attempts(transport, self.name, result_ttl_seconds=RESULT_TTL_SECONDS, max_attempts=MAX_ATTEMPTS)
        self.registry = WorkerRegistry(transport, self.name, CARD, MAX_ATTEMPTS)
        self.popped: list[bytes] = []
        """Messages that kombu has popped and not recorded as delivered."""
        self.taken: list[tuple[str, BatchId]] = []
        """Delivery tags and batches of the recorded messages that no pool process has claimed."""
        self.running: list[tuple[str, Claim]] = []
        self.is_frozen = False
        self.registry.announce(1)

    def pop(self) -> bool:
        """Pop a message as kombu does: `interactive` before `bulk`; return whether there was one."""
        message = self._server.client.rpop(Queue.INTERACTIVE.value) or self._server.client.rpop(Queue.BULK.value)
        if message is not None:
            self.popped.append(message)
        return message is not None

    def record_delivery(self) -> None:
        """Record the oldest popped message as the worker's transport does, in one transaction."""
        message, tag = self.popped.pop(0), secrets.token_hex(4)
        pipeline = self._server.client.pipeline()
        pipeline.zadd(Key.UNACKED_INDEX + self.name, {tag: 0})
        pipeline.hset(Key.UNACKED + self.name, tag, json.dumps([json.loads(message), "", ""]))
        pipeline.hsetnx(Key.WORKERS, self.name, "0 0")
        pipeline.execute()
        self.taken.append((tag, BatchId(json.loads(message)["id"])))

    def acknowledge(self, tag: str) -> None:
        """Acknowledge a message."""
        pipeline = self._server.client.pipeline()
        pipeline.zrem(Key.UNACKED_INDEX + self.name, tag)
        pipeline.hdel(Key.UNACKED + self.name, tag)
        pipeline.execute()
