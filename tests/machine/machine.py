"""The rules of the state machine: actions of clients, gateways and workers, failures, and time."""

import sys
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.errors import IdempotencyKeyInUse, PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.store.attempts import Claim
from shared.store.idempotency import RESERVED_SECONDS, IdempotencyKey
from shared.store.records import Answer, Failure, Outcome
from tests.machine.actors import MAX_ATTEMPTS, Gateway, Worker, run_sync
from tests.machine.expected import Promise
from tests.machine.harness import Harness, choose
from tests.machine.server import Server
from tests.submissions import answer

PICK = st.integers(0, 1000)
SMALL = st.lists(st.integers(1, 3), min_size=1, max_size=4)
KEYS = [IdempotencyKey(name, f"body-of-{name}") for name in ("one", "two")]
DEADLINES = st.sampled_from([0, 0, 0, 2.5, 9.5])  # fractions, because the clock is set to whole seconds
STALLS = st.sampled_from([0, 0, 0, 1, 3])
FAILURE = Failure("rows-rejected", "no")
_DRAIN_ROUNDS = 60


class StoreMachine(RuleBasedStateMachine):
    """Two gateways, two workers, and one server whose clock the rules set."""

    server: ClassVar[Server]

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness(self.server)
        self.gateways: list[Gateway] = []
        self.workers: list[Worker] = []
        self.reserved: list[tuple[Gateway, IdempotencyKey, int]] = []
        self.keys: dict[str, Promise] = {}

    @initialize()
    def start(self) -> None:
        self.gateways = [Gateway(self.harness.transport, self.server) for _ in range(2)]
        self.workers = [Worker(self.server, self.harness.transport) for _ in range(2)]
        self.harness.reconcile(self.gateways[0])

    # Clients and gateways.

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES, stall=STALLS)
    def submit(self, pick: int, row_counts: list[int], deadline: float, stall: int) -> None:
        """Submit predictions that share a batch; the broker may run the script after a delay."""
        gateway = choose(self.gateways, pick)
        deadline_us = self.harness.deadline(gateway, deadline)
        gateway.stall_seconds = stall
        self.harness.submit_shared(gateway, row_counts, deadline_us)

    @rule(pick=PICK, row_counts=SMALL, deadline=DEADLINES, stall=STALLS)
    def submit_spanning(self, pick: int, row_counts: list[int], deadline: float, stall: int) -> None:
        """Submit a prediction that spans several batches."""
        gateway = choose(self.gateways, pick)
        deadline_us = self.harness.deadline(gateway, deadline)
        gateway.stall_seconds = stall
        self.harness.submit_spanning(gateway, row_counts, deadline_us)

    @rule(pick=PICK, key=st.sampled_from(KEYS))
    def reserve(self, pick: int, key: IdempotencyKey) -> None:
        """Reserve an idempotency key for a request, or find the prediction of an earlier one."""
        gateway = choose(self.gateways, pick)
        run_sync(gateway.status.read_overview())
        latest_us = gateway.clock.now_plus(RESERVED_SECONDS - 1.5)
        try:
            found = run_sync(gateway.idempotency.reserve(key))
        except IdempotencyKeyInUse:
            return
        earlier = self.keys.get(key.stored_name)
        if found is not None:
            assert earlier is not None, "a key leads to a prediction that was not submitted with it"
            assert found == earlier.id, "a key leads to two predictions"
        else:
            assert earlier is None or self.harness.is_gone(earlier), "a key was deleted too early"
            self.reserved.append((gateway, key, latest_us))

    @precondition(lambda self: self.reserved)
    @rule(pick=PICK, is_lost=st.booleans())
    def submit_reserved(self, pick: int, is_lost: bool) -> None:
        """Submit the rows of a reserved key, perhaps late; or lose them, as if the gateway were killed."""
        gateway, key, latest_us = self.reserved.pop(pick % len(self.reserved))
        if not is_lost:
            promise = self.harness.submit_shared(gateway, [1], 0, key, latest_us)
            if promise is not None:
                self.keys[key.stored_name] = promise
            elif self.harness.records.now_us <= latest_us - 1_000_000:  # refused while the reservation is valid
                run_sync(gateway.idempotency.release(key))

    @precondition(lambda self: self.harness.promises.made)
    @rule(pick=PICK, pick_gateway=PICK)
    def cancel(self, pick: int, pick_gateway: int) -> None:
        """Cancel a prediction."""
        promise = choose(self.harness.promises.made, pick)
        try:
            run_sync(choose(self.gateways, pick_gateway).lookups.cancel(promise.id))
        except PredictionAlreadyFinal:
            return
        except (PredictionNotFound, PredictionGone):
            promise.observe_gone(self.server.dump()[0])
            return
        assert promise.final is None, "a final prediction was canceled"
        promise.is_canceled = True

    @precondition(lambda self: self.harness.promises.made)
    @rule(pick=PICK)
    def shorten_retention(self, pick: int) -> None:
        """Shorten the retention of a batch as if its clients had received their results; it may still be open."""
        promise = choose(self.harness.promises.made, pick)
        run_sync(self.gateways[0].lookups.shorten_retention([promise.id.batch_id]))
        for each in self.harness.promises.made:
            each.is_shortened |= each.id.batch_id == promise.id.batch_id

    # Workers.

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def pop(self, pick: int) -> None:
        choose(self._awake(), pick).pop()

    @precondition(lambda self: any(worker.popped for worker in self._awake()))
    @rule(pick=PICK)
    def record_delivery(self, pick: int) -> None:
        choose([worker for worker in self._awake() if worker.popped], pick).record_delivery()

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def claim(self, pick: int) -> None:
        """A pool process gets a message and claims its batch."""
        worker = choose([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        claim = worker.attempts.claim(batch_id)
        if claim is None:
            worker.acknowledge(tag)
            return
        self._check_claim(claim)
        worker.running.append((tag, claim))

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def pop_and_claim(self, pick: int) -> None:
        """Pop, record and claim a batch without another step in between."""
        worker = choose(self._awake(), pick)
        if worker.popped or worker.pop():
            worker.record_delivery()
            self._call(worker, self.claim)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, failing=st.sets(st.integers(0, 3), max_size=1))
    def commit(self, pick: int, failing: set[int]) -> None:
        """A pool process commits an outcome; another attempt may have the batch by now."""
        worker = choose([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        self._commit(worker, claim, failing)
        worker.acknowledge(tag)

    def _check_claim(self, claim: Claim) -> None:
        assert claim.token <= MAX_ATTEMPTS, "a batch has more attempts than the limit"
        self.harness.claimed(claim)

    def _commit(self, worker: Worker, claim: Claim, failing: set[int]) -> None:
        text = f"{claim.batch_id} {claim.token}"
        members: list[Answer | Failure] = [
            FAILURE if index in failing else answer(f"{text} {index}") for index in range(len(claim.members))
        ]
        outcome = Outcome(1, 1, members)
        is_accepted = worker.attempts.commit(claim, outcome) is not None
        if is_accepted or self.harness.transport.was_accepted():
            self.harness.promises.commit_accepted(claim.batch_id, claim.token, outcome)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK, by_parent=st.booleans())
    def lose_attempt(self, pick: int, by_parent: bool) -> None:
        """An attempt ends without an outcome: the parent, or the pool process itself, requeues its batch."""
        worker = choose([worker for worker in self._awake() if worker.running], pick)
        tag, claim = worker.running.pop(0)
        (worker.registry if by_parent else worker.attempts).requeue(claim.batch_id, "lost")
        worker.acknowledge(tag)

    @precondition(lambda self: any(worker.taken for worker in self._awake()))
    @rule(pick=PICK)
    def requeue_unclaimed(self, pick: int) -> None:
        """A worker without a loaded pool process requeues a batch that it has taken."""
        worker = choose([worker for worker in self._awake() if worker.taken], pick)
        tag, batch_id = worker.taken.pop(0)
        worker.registry.requeue(batch_id, "no process")
        worker.acknowledge(tag)

    @rule(pick=PICK)
    def kill_worker(self, pick: int) -> None:
        """Kill a worker, which loses its memory, and replace it."""
        self.workers[pick % len(self.workers)] = Worker(self.server, self.harness.transport)

    @rule()
    def lose_a_reply(self) -> None:
        """Lose the reply to the next script that writes: its caller runs it again."""
        self.harness.transport.loses_reply = True

    @rule(pick=PICK)
    def freeze_or_thaw_worker(self, pick: int) -> None:
        worker = choose(self.workers, pick)
        worker.is_frozen = not worker.is_frozen

    @rule(pick=PICK)
    def lose_connection(self, pick: int) -> None:
        """A worker's consumer reconnects, and drops the messages that it had taken."""
        worker = choose(self.workers, pick)
        worker.registry.forget_deliveries()
        worker.popped, worker.taken = [], []

    # Time.

    @rule(seconds=st.integers(1, 6))
    def pass_time(self, seconds: int) -> None:
        """Let seconds pass in which awake workers announce themselves and gateways reconcile."""
        for _ in range(seconds):
            self.server.move_clock(1)
            for worker in self._awake():
                self.harness.check_announce_reply(worker.name, worker.registry.announce(1))
            for gateway in self.gateways:
                self.harness.reconcile(gateway)

    @precondition(lambda self: any(worker.running for worker in self._awake()))
    @rule(pick=PICK)
    def freeze_beyond_leases(self, pick: int) -> None:
        """Freeze a worker that has claimed batches until its leases have ended, and thaw it."""
        self._freeze(choose([worker for worker in self._awake() if worker.running], pick))

    @rule(seconds=st.integers(2, 15))
    def skip_time(self, seconds: int) -> None:
        """Let seconds pass in which nothing else happens, as in an outage of the broker."""
        self.server.move_clock(seconds)

    @precondition(lambda self: self._awake())
    @rule(pick=PICK)
    def announce(self, pick: int) -> None:
        worker = choose(self._awake(), pick)
        self.harness.check_announce_reply(worker.name, worker.registry.announce(1))

    @rule(pick=PICK)
    def reconcile(self, pick: int) -> None:
        self.harness.reconcile(choose(self.gateways, pick))

    @rule(pick=PICK)
    def kill_gateway(self, pick: int) -> None:
        """Kill a gateway, which loses its reservations, and replace it."""
        dead = choose(self.gateways, pick)
        self.reserved = [reserved for reserved in self.reserved if reserved[0] is not dead]
        self.gateways[pick % len(self.gateways)] = Gateway(self.harness.transport, self.server)

    # Promises.

    @invariant()
    def promises_hold(self) -> None:
        self.harness.check()

    def teardown(self) -> None:
        """Check that everything becomes final once all workers run again."""
        try:
            if self.workers and sys.exception() is None:
                self._drain()
        finally:
            self.harness.close()

    def _drain(self) -> None:
        for worker in self.workers:
            worker.is_frozen = False
        for _ in range(_DRAIN_ROUNDS):
            for worker in self.workers:
                self._work(worker)
            self.pass_time(1)
            self.harness.check()
            if not self.harness.has_work():
                return
        raise AssertionError("a prediction never became final")

    def _work(self, worker: Worker) -> None:
        while worker.running:
            self._call(worker, self.commit, failing=set())
        while worker.pop() or worker.popped or worker.taken:
            if worker.popped:
                worker.record_delivery()
            if worker.taken:
                self._call(worker, self.claim)
            while worker.running:
                self._call(worker, self.commit, failing=set())

    def _freeze(self, worker: Worker) -> None:
        worker.is_frozen = True
        self.pass_time(7)
        worker.is_frozen = False

    def _call(self, worker: Worker, rule: Callable[..., None], **arguments: Any) -> None:
        """Apply a rule to this worker."""
        others, self.workers = self.workers, [worker]
        rule(pick=0, **arguments)
        self.workers = others

    def _awake(self) -> list[Worker]:
        return [worker for worker in self.workers if not worker.is_frozen]
