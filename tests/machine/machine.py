"""The rules: what gateways, workers, clients, time and misfortune may do next."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.errors import (
    BacklogFull,
    BrokerUnavailable,
    IdempotencyKeyInUse,
    PredictionAlreadyFinal,
    PredictionGone,
    PredictionNotFound,
)
from shared.ids import SECRET_BYTES, WHOLE, PredictionId, new_batch_id, slice_id
from shared.names import FINAL, Queue
from shared.store.blocking import BlockingTransport
from shared.store.clock import NEVER_US
from shared.store.idempotency import RESERVED_SECONDS, IdempotencyKey
from shared.store.records import Answer, Failure, Member, Outcome
from shared.store.schema import Key
from shared.store.submissions import NewBatch, Submission
from tests.machine.actors import MAX_ATTEMPTS, Gateway, Worker, finish
from tests.machine.expected import Promise, Promises
from tests.machine.invariants import Homeless, Records, check
from tests.machine.server import Server
from tests.submissions import MODEL, encoded

T = TypeVar("T")

PICK = st.integers(0, 1000)
SMALL = st.lists(st.integers(1, 3), min_size=1, max_size=4)
KEYS = [IdempotencyKey(name, f"body-of-{name}") for name in ("one", "two")]
DEADLINES = st.sampled_from([0, 0, 0, 3, 10])
FAILURE = Failure("rows-rejected", "no")
_DRAIN_ROUNDS = 60


class StoreMachine(RuleBasedStateMachine):
    """Two gateways, two workers, one server whose clock is set."""

    server: ClassVar[Server]

    def __init__(self) -> None:
        super().__init__()
        self.server.reset()
        self._transport = BlockingTransport.patient(self.server.url)
        self.promises = Promises()
        self.reserved: list[tuple[Gateway, IdempotencyKey, int]] = []
        self.keys: dict[str, Promise] = {}
        self.homeless = Homeless()
        self.records = Records(*self.server.dump())

    @initialize()
    def start(self) -> None:
        self.gateways = [Gateway(self._transport) for _ in range(2)]
        self.workers = [Worker(self.server, self._transport) for _ in range(2)]
        self._look(self.gateways[0])

    # Clients and gateways.

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES)
    def submit(self, pick: int, row_counts: list[int], deadline: int) -> None:
        """Several small predictions share a batch."""
        gateway = _one(self.gateways, pick)
        finish(gateway.status.overview())
        self._submit_shared(gateway, row_counts, gateway.clock.in_seconds(deadline) if deadline else 0)

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES)
    def submit_spanning(self, pick: int, row_counts: list[int], deadline: int) -> None:
        """One prediction fills several batches."""
        gateway = _one(self.gateways, pick)
        finish(gateway.status.overview())
        deadline_us = gateway.clock.in_seconds(deadline) if deadline else 0
        prediction_id = PredictionId.new(new_batch_id(), WHOLE)
        parent = prediction_id.batch_id
        children = [
            _batch(slice_id(parent, index), [(bytes(SECRET_BYTES), n)], deadline_us)
            for index, n in enumerate(row_counts)
        ]
        member = Member(prediction_id.secret, sum(row_counts), deadline_us=deadline_us)
        submission = Submission(Queue.BULK, parent, member, children, MODEL, gateway.channel)
        if self._accept(gateway, submission):
            self._promise(prediction_id, sum(row_counts), len(row_counts), deadline_us)

    @rule(pick=PICK, key=st.sampled_from(KEYS))
    def reserve(self, pick: int, key: IdempotencyKey) -> None:
        """A client sends a request with a key; whoever sends it again is given the same prediction."""
        gateway = _one(self.gateways, pick)
        finish(gateway.status.overview())
        latest_us = gateway.clock.in_seconds(RESERVED_SECONDS - 1)
        try:
            held = finish(gateway.idempotency.reserve(key))
        except IdempotencyKeyInUse:
            return
        earlier = self.keys.get(key.name)
        if held is not None:
            assert earlier is not None, "a key leads to a prediction that was not made with it"
            assert held == earlier.id, "a key leads to two predictions"
        else:
            assert earlier is None or earlier.is_gone or self._is_gone(earlier), "a key was forgotten too early"
            self.reserved.append((gateway, key, latest_us))

    @precondition(lambda self: self.reserved)
    @rule(pick=PICK, is_lost=st.booleans())
    def submit_reserved(self, pick: int, is_lost: bool) -> None:
        """The rows of a reserved key come to the store, late perhaps, or its gateway is killed before."""
        gateway, key, latest_us = self.reserved.pop(pick % len(self.reserved))
        if not is_lost:
            promise = self._submit_shared(gateway, [1], 0, key, latest_us)
            if promise is not None:
                self.keys[key.name] = promise
            elif self.records.now_us <= latest_us - 1_000_000:  # refused, and it is the gateway's still
                finish(gateway.idempotency.release(key))

    @precondition(lambda self: self.promises.made)
    @rule(pick=PICK, pick_gateway=PICK)
    def cancel(self, pick: int, pick_gateway: int) -> None:
        """A client gives a prediction up."""
        promise = _one(self.promises.made, pick)
        try:
            finish(_one(self.gateways, pick_gateway).lookups.cancel(promise.id))
        except PredictionAlreadyFinal:
            return
        except (PredictionNotFound, PredictionGone):
            promise.miss(self.server.dump()[0])
            return
        assert promise.end is None, "a final prediction was canceled"
        promise.is_canceled = True

    @precondition(lambda self: self.promises.made)
    @rule(pick=PICK)
    def shorten(self, pick: int) -> None:
        """A gateway has given every answer of a batch to its client; or thinks so, for its client's deadline passed."""
        promise = _one(self.promises.made, pick)
        finish(self.gateways[0].lookups.shorten_retention([promise.id.batch_id]))
        for each in self.promises.made:
            each.is_shortened |= each.id.batch_id == promise.id.batch_id

    # Workers.

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def pop(self, pick: int) -> None:
        _one(self._awake(), pick).pop()

    @precondition(lambda self: any(worker.popped for worker in self._awake()))
    @rule(pick=PICK)
    def note(self, pick: int) -> None:
        _one([worker for worker in self._awake() if worker.popped], pick).note()

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def claim(self, pick: int) -> None:
        """The pool process is given a message."""
        worker = _one([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        claim = worker.attempts.claim(batch_id)
        if claim is None:
            worker.acknowledge(tag)
            return
        assert claim.token <= MAX_ATTEMPTS, "a batch has more attempts than it may have"
        assert len(claim.rows.content) == 8 * claim.rows.n_rows, "the rows are not the batch's"
        assert sum(member.n_bytes for member in claim.members) == len(claim.rows.content)
        self.promises.claimed(batch_id, claim.token)
        worker.running.append((tag, claim))

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def take_up(self, pick: int) -> None:
        """The three steps at once, as they mostly are."""
        worker = _one(self._awake(), pick)
        if worker.popped or worker.pop():
            worker.note()
            self._call(worker, self.claim)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, failing=st.sets(st.integers(0, 3), max_size=1))
    def commit(self, pick: int, failing: set[int]) -> None:
        """A pool process has an outcome; another attempt may have the batch by now."""
        worker = _one([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        text = f"{claim.batch_id} {claim.token}"
        ends: list[Answer | Failure] = [
            FAILURE if index in failing else Answer(f"{text} {index}".encode(), None)
            for index in range(len(claim.members))
        ]
        outcome = Outcome(1, 1, ends)
        if worker.attempts.commit(claim, outcome) is not None:
            self.promises.accepted(claim.batch_id, claim.token, outcome)
        worker.acknowledge(tag)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, by_parent=st.booleans())
    def lose_pool_process(self, pick: int, by_parent: bool) -> None:
        """A pool process is killed, or cannot finish; its parent, or it itself, says so."""
        worker = _one([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        (worker.announcements if by_parent else worker.attempts).requeue(claim.batch_id, "lost")
        worker.acknowledge(tag)

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def pass_on(self, pick: int) -> None:
        """A worker without a pool process has a message published again that it has taken."""
        worker = _one([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        worker.announcements.requeue(batch_id, "no process")
        worker.acknowledge(tag)

    @rule(pick=PICK)
    def kill_worker(self, pick: int) -> None:
        """A worker is gone with all that was in its memory; its supervisor starts another."""
        self.workers[pick % len(self.workers)] = Worker(self.server, self._transport)

    @rule(pick=PICK)
    def freeze_or_thaw_worker(self, pick: int) -> None:
        worker = _one(self.workers, pick)
        worker.is_frozen = not worker.is_frozen

    @rule(pick=PICK)
    def lose_connection(self, pick: int) -> None:
        """A worker's consumer starts anew: what it had taken is no longer its own."""
        worker = _one(self.workers, pick)
        worker.announcements.forget_deliveries()
        worker.popped, worker.taken = [], []

    # Time.

    @rule(seconds=st.integers(1, 6))
    def pass_time(self, seconds: int) -> None:
        """Seconds in which whoever can act acts."""
        for _ in range(seconds):
            self.server.move_clock(1)
            for worker in self._awake():
                worker.announcements.announce(1)
            for gateway in self.gateways:
                self._look(gateway)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK)
    def outlive_leases(self, pick: int) -> None:
        """A worker that has claimed batches is stopped for longer than its leases, and goes on."""
        worker = _one([worker for worker in self._awake() if worker.running], pick)
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
        _one(self._awake(), pick).announcements.announce(1)

    @rule(pick=PICK)
    def look(self, pick: int) -> None:
        self._look(_one(self.gateways, pick))

    @rule(pick=PICK)
    def kill_gateway(self, pick: int) -> None:
        """A gateway is gone with its reservations; another takes its place."""
        dead = _one(self.gateways, pick)
        self.reserved = [reserved for reserved in self.reserved if reserved[0] is not dead]
        self.gateways[pick % len(self.gateways)] = Gateway(self._transport)

    # Promises.

    @invariant()
    def promises_hold(self) -> None:
        self.records = Records(*self.server.dump())
        check(self.records)
        for promise in self.promises.made:
            self._see(promise)

    def teardown(self) -> None:
        """Whatever has happened: once things work again, everything ends."""
        try:
            if hasattr(self, "workers"):
                self._drain()
        finally:
            self._transport.close()

    def _drain(self) -> None:
        for worker in self.workers:
            worker.is_frozen = False
        for _ in range(_DRAIN_ROUNDS):
            for worker in self.workers:
                self._work(worker)
            self.pass_time(1)
            self.promises_hold()
            if not any(self.records.is_open(each) or self.records.is_child(each) for each in self.records.batches):
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

    # What they have in common.

    def _awake(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.is_frozen] if hasattr(self, "workers") else []

    def _look(self, gateway: Gateway) -> None:
        records = Records(*self.server.dump())
        look = finish(gateway.recovery.look())
        if self.server.client.hget(Key.RECONCILER, "at") != records.held(Key.RECONCILER, {}).get("at"):
            self.homeless.look(records)  # else another gateway had just looked
        for batch_id in look.exhausted:
            finish(gateway.recovery.find_culprit(batch_id))

    def _submit_shared(
        self,
        gateway: Gateway,
        row_counts: list[int],
        deadline_us: int,
        key: IdempotencyKey | None = None,
        latest_us: int = NEVER_US,
    ) -> Promise | None:
        batch_id = new_batch_id()
        ids = [PredictionId.new(batch_id, index) for index in range(len(row_counts))]
        batch = _batch(batch_id, [(each.secret, n) for each, n in zip(ids, row_counts, strict=True)], deadline_us)
        keys = {} if key is None else {key.name: key.value(ids[0])}
        submission = Submission(Queue.INTERACTIVE, batch_id, None, [batch], MODEL, gateway.channel, keys, latest_us)
        if not self._accept(gateway, submission):
            return None
        promises = [self._promise(each, n, 0, deadline_us) for each, n in zip(ids, row_counts, strict=True)]
        return promises[0]

    def _accept(self, gateway: Gateway, submission: Submission) -> bool:
        """Submit; a refusal leaves everything as it was."""
        before = self.server.dump()[1]
        try:
            finish(gateway.submissions.submit(submission))
        except (BacklogFull, BrokerUnavailable):
            assert self.server.dump()[1].keys() == before.keys(), "a refusal has left something behind"
            return False
        return True

    def _promise(self, prediction_id: PredictionId, n_rows: int, n_children: int, deadline_us: int) -> Promise:
        promise = Promise(prediction_id, n_rows, n_children, deadline_us, self.server.dump()[0])
        self.promises.made.append(promise)
        return promise

    def _see(self, promise: Promise) -> None:
        if promise.is_gone:
            return
        try:
            prediction = finish(self.gateways[0].lookups.read(promise.id))
        except (PredictionNotFound, PredictionGone):
            promise.miss(self.records.now_us)
            return
        now_us = self.server.dump()[0] if prediction.state in FINAL else self.records.now_us
        promise.see(prediction, now_us, self.promises.committed)

    def _is_gone(self, promise: Promise) -> bool:
        self.records = Records(*self.server.dump())
        self._see(promise)
        return promise.is_gone


def _one(some: list[T], pick: int) -> T:
    return some[pick % len(some)]


def _batch(batch_id: Any, shares: list[tuple[bytes, int]], deadline_us: int) -> NewBatch:
    members = [Member(secret, n_rows, 8 * n_rows, deadline_us) for secret, n_rows in shares]
    return NewBatch(batch_id, encoded([[0.0]] * sum(n_rows for _, n_rows in shares)), members)
