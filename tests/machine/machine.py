"""The rules: what gateways, workers, clients, time and misfortune may do next."""

import sys
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.errors import IdempotencyKeyInUse, PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.store.idempotency import RESERVED_SECONDS, IdempotencyKey
from shared.store.records import Answer, Failure, Outcome
from tests.machine.actors import MAX_ATTEMPTS, Gateway, Worker, finish
from tests.machine.expected import Promise
from tests.machine.server import Server
from tests.machine.site import Site, one

PICK = st.integers(0, 1000)
SMALL = st.lists(st.integers(1, 3), min_size=1, max_size=4)
KEYS = [IdempotencyKey(name, f"body-of-{name}") for name in ("one", "two")]
DEADLINES = st.sampled_from([0, 0, 0, 2.5, 9.5])  # never in the very moment to which a clock is set
STALLS = st.sampled_from([0, 0, 0, 1, 3])
FAILURE = Failure("rows-rejected", "no")
_DRAIN_ROUNDS = 60


class StoreMachine(RuleBasedStateMachine):
    """Two gateways, two workers, one server whose clock is set."""

    server: ClassVar[Server]

    def __init__(self) -> None:
        super().__init__()
        self.site = Site(self.server)
        self.gateways: list[Gateway] = []
        self.workers: list[Worker] = []
        self.reserved: list[tuple[Gateway, IdempotencyKey, int]] = []
        self.keys: dict[str, Promise] = {}

    @initialize()
    def start(self) -> None:
        self.gateways = [Gateway(self.site.transport, self.server) for _ in range(2)]
        self.workers = [Worker(self.server, self.site.transport) for _ in range(2)]
        self.site.look(self.gateways[0])

    # Clients and gateways.

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES, stall=STALLS)
    def submit(self, pick: int, row_counts: list[int], deadline: float, stall: int) -> None:
        """Several small predictions share a batch; the broker may come to them late."""
        gateway = one(self.gateways, pick)
        deadline_us = self.site.deadline(gateway, deadline)
        gateway.stall_seconds = stall
        self.site.submit_shared(gateway, row_counts, deadline_us)

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES, stall=STALLS)
    def submit_spanning(self, pick: int, row_counts: list[int], deadline: float, stall: int) -> None:
        """One prediction fills several batches."""
        gateway = one(self.gateways, pick)
        deadline_us = self.site.deadline(gateway, deadline)
        gateway.stall_seconds = stall
        self.site.submit_spanning(gateway, row_counts, deadline_us)

    @rule(pick=PICK, key=st.sampled_from(KEYS))
    def reserve(self, pick: int, key: IdempotencyKey) -> None:
        """A client sends a request with a key; whoever sends it again is given the same prediction."""
        gateway = one(self.gateways, pick)
        finish(gateway.status.overview())
        latest_us = gateway.clock.now_plus(RESERVED_SECONDS - 1.5)
        try:
            held = finish(gateway.idempotency.reserve(key))
        except IdempotencyKeyInUse:
            return
        earlier = self.keys.get(key.name)
        if held is not None:
            assert earlier is not None, "a key leads to a prediction that was not made with it"
            assert held == earlier.id, "a key leads to two predictions"
        else:
            assert earlier is None or self.site.is_gone(earlier), "a key was forgotten too early"
            self.reserved.append((gateway, key, latest_us))

    @precondition(lambda self: self.reserved)
    @rule(pick=PICK, is_lost=st.booleans())
    def submit_reserved(self, pick: int, is_lost: bool) -> None:
        """The rows of a reserved key come to the store, late perhaps, or its gateway is killed before."""
        gateway, key, latest_us = self.reserved.pop(pick % len(self.reserved))
        if not is_lost:
            promise = self.site.submit_shared(gateway, [1], 0, key, latest_us)
            if promise is not None:
                self.keys[key.name] = promise
            elif self.site.records.now_us <= latest_us - 1_000_000:  # refused, and it is the gateway's still
                finish(gateway.idempotency.release(key))

    @precondition(lambda self: self.site.promises.made)
    @rule(pick=PICK, pick_gateway=PICK)
    def cancel(self, pick: int, pick_gateway: int) -> None:
        """A client gives a prediction up."""
        promise = one(self.site.promises.made, pick)
        try:
            finish(one(self.gateways, pick_gateway).lookups.cancel(promise.id))
        except PredictionAlreadyFinal:
            return
        except (PredictionNotFound, PredictionGone):
            promise.miss(self.server.dump()[0])
            return
        assert promise.end is None, "a final prediction was canceled"
        promise.is_canceled = True

    @precondition(lambda self: self.site.promises.made)
    @rule(pick=PICK)
    def shorten(self, pick: int) -> None:
        """A gateway has given every answer of a batch to its client; or thinks so, for its client's deadline passed."""
        promise = one(self.site.promises.made, pick)
        finish(self.gateways[0].lookups.shorten_retention([promise.id.batch_id]))
        for each in self.site.promises.made:
            each.is_shortened |= each.id.batch_id == promise.id.batch_id

    # Workers.

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def pop(self, pick: int) -> None:
        one(self._awake(), pick).pop()

    @precondition(lambda self: any(worker.popped for worker in self._awake()))
    @rule(pick=PICK)
    def note(self, pick: int) -> None:
        one([worker for worker in self._awake() if worker.popped], pick).note()

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def claim(self, pick: int) -> None:
        """The pool process is given a message."""
        worker = one([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        claim = worker.attempts.claim(batch_id)
        if claim is None:
            worker.acknowledge(tag)
            return
        assert claim.token <= MAX_ATTEMPTS, "a batch has more attempts than it may have"
        self.site.claimed(claim)
        worker.running.append((tag, claim))

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def take_up(self, pick: int) -> None:
        """The three steps at once, as they mostly are."""
        worker = one(self._awake(), pick)
        if worker.popped or worker.pop():
            worker.note()
            self._call(worker, self.claim)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, failing=st.sets(st.integers(0, 3), max_size=1))
    def commit(self, pick: int, failing: set[int]) -> None:
        """A pool process has an outcome; another attempt may have the batch by now."""
        worker = one([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        text = f"{claim.batch_id} {claim.token}"
        ends: list[Answer | Failure] = [
            FAILURE if index in failing else Answer(f"{text} {index}".encode(), None)
            for index in range(len(claim.members))
        ]
        outcome = Outcome(1, 1, ends)
        is_accepted = worker.attempts.commit(claim, outcome) is not None
        if is_accepted or self.site.transport.was_accepted():
            self.site.promises.accepted(claim.batch_id, claim.token, outcome)
        worker.acknowledge(tag)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, by_parent=st.booleans())
    def lose_pool_process(self, pick: int, by_parent: bool) -> None:
        """A pool process is killed, or cannot finish; its parent, or it itself, says so."""
        worker = one([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        (worker.announcements if by_parent else worker.attempts).requeue(claim.batch_id, "lost")
        worker.acknowledge(tag)

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def pass_on(self, pick: int) -> None:
        """A worker without a pool process has a message published again that it has taken."""
        worker = one([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        worker.announcements.requeue(batch_id, "no process")
        worker.acknowledge(tag)

    @rule(pick=PICK)
    def kill_worker(self, pick: int) -> None:
        """A worker is gone with all that was in its memory; its supervisor starts another."""
        self.workers[pick % len(self.workers)] = Worker(self.server, self.site.transport)

    @rule()
    def lose_a_reply(self) -> None:
        """The reply to the next script is lost, and whoever ran it runs it again."""
        self.site.transport.loses_reply = True

    @rule(pick=PICK)
    def freeze_or_thaw_worker(self, pick: int) -> None:
        worker = one(self.workers, pick)
        worker.is_frozen = not worker.is_frozen

    @rule(pick=PICK)
    def lose_connection(self, pick: int) -> None:
        """A worker's consumer starts anew: what it had taken is no longer its own."""
        worker = one(self.workers, pick)
        worker.announcements.forget_deliveries()
        worker.popped, worker.taken = [], []

    # Time.

    @rule(seconds=st.integers(1, 6))
    def pass_time(self, seconds: int) -> None:
        """Seconds in which whoever can act acts."""
        for _ in range(seconds):
            self.server.move_clock(1)
            for worker in self._awake():
                self.site.check_holdings(worker.name, worker.announcements.announce(1))
            for gateway in self.gateways:
                self.site.look(gateway)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK)
    def outlive_leases(self, pick: int) -> None:
        """A worker that has claimed batches is stopped for longer than its leases, and goes on."""
        worker = one([worker for worker in self._awake() if worker.running], pick)
        worker.is_frozen = True
        self.pass_time(7)
        worker.is_frozen = False

    @rule(seconds=st.integers(2, 15))
    def stand_still(self, seconds: int) -> None:
        """The broker, or everybody else, was away for so long."""
        self.server.move_clock(seconds)

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def announce(self, pick: int) -> None:
        worker = one(self._awake(), pick)
        self.site.check_holdings(worker.name, worker.announcements.announce(1))

    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        self.site.look(one(self.gateways, pick))

    @rule(pick=PICK)
    def kill_gateway(self, pick: int) -> None:
        """A gateway is gone with its reservations; another takes its place."""
        dead = one(self.gateways, pick)
        self.reserved = [reserved for reserved in self.reserved if reserved[0] is not dead]
        self.gateways[pick % len(self.gateways)] = Gateway(self.site.transport, self.server)

    # Promises.

    @invariant()
    def promises_hold(self) -> None:
        self.site.check()

    def teardown(self) -> None:
        """Whatever has happened: once things work again, everything ends."""
        try:
            if self.workers and sys.exception() is None:
                self._drain()
        finally:
            self.site.close()

    def _drain(self) -> None:
        for worker in self.workers:
            worker.is_frozen = False
        for _ in range(_DRAIN_ROUNDS):
            for worker in self.workers:
                self._work(worker)
            self.pass_time(1)
            self.site.check()
            if not self.site.has_work():
                return
        raise AssertionError("something never ended")

    def _work(self, worker: Worker) -> None:
        while worker.running:
            self._call(worker, self.commit, failing=set())
        while worker.pop() or worker.popped or worker.taken:
            if worker.popped:
                worker.note()
            if worker.taken:
                self._call(worker, self.claim)
            while worker.running:
                self._call(worker, self.commit, failing=set())

    def _call(self, worker: Worker, act: Callable[..., None], **arguments: Any) -> None:
        """Have one worker act, and no other."""
        others, self.workers = self.workers, [worker]
        act(pick=0, **arguments)
        self.workers = others

    def _awake(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.is_frozen]
