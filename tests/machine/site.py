"""The server, what was promised of it, and what is checked whenever somebody has acted."""

import json
from typing import Any, TypeVar

from shared.errors import BacklogFull, BrokerUnavailable, PredictionGone, PredictionNotFound
from shared.ids import SECRET_BYTES, SPANNING, BatchId, PredictionId, child_id, new_batch_id
from shared.names import FINAL_STATES, Queue, State
from shared.rows import EncodedRows, decode_matrix
from shared.store.attempts import Claim
from shared.store.clock import NEVER_US
from shared.store.idempotency import IdempotencyKey
from shared.store.records import Member, read_announcement, split_rows
from shared.store.schema import BatchState, Field, Key
from shared.store.submissions import NewBatch, Submission
from shared.store.workers import AnnounceReply
from tests.machine.actors import MAX_ATTEMPTS, Gateway, Wire, finish
from tests.machine.expected import Promise, Promises
from tests.machine.invariants import Forgotten, Homeless, Records, check
from tests.machine.server import Server
from tests.submissions import MODEL, encoded

T = TypeVar("T")

_SUBMISSION_PATIENCE_SECONDS = 1.8  # of a client; what the store comes to later is refused


class Site:
    """One server, reset."""

    def __init__(self, server: Server) -> None:
        server.reset()
        self.server = server
        self.transport = Wire(server.url)
        self.promises = Promises()
        self.records = Records(*server.dump())
        self._heard = server.client.pubsub(ignore_subscribe_messages=True)
        self._heard.psubscribe(f"{Key.REPLY}*")
        self._homeless, self._forgotten = Homeless(), Forgotten()
        self._rows: dict[bytes | BatchId, list[list[float]]] = {}
        """By a member's secret, or by its batch where that has none."""

    def close(self) -> None:
        """Let go of the server."""
        self._heard.close()
        self.transport.close()

    def has_work(self) -> bool:
        """Whether anything is open, or lies about."""
        return any(self.records.is_open(each) or self.records.is_child(each) for each in self.records.batches)

    # What gateways do.

    def deadline(self, gateway: Gateway, seconds: float) -> int:
        """Look at the whole, as gateways do all the time; and say when a deadline is, 0 for none."""
        overview = finish(gateway.status.overview())
        backlog = {queue: overview.backlog(queue) for queue in Queue}
        assert backlog == Records(*self.server.dump()).counted_backlog(), "a gateway sees another backlog"
        return gateway.clock.now_plus(seconds) if seconds else 0

    def submit_shared(
        self,
        gateway: Gateway,
        row_counts: list[int],
        deadline_us: int,
        key: IdempotencyKey | None = None,
        latest_us: int = NEVER_US,
    ) -> Promise | None:
        """Submit predictions that share a batch; returns the first of them, None where they were refused."""
        batch_id = new_batch_id()
        ids = [PredictionId.new(batch_id, index) for index in range(len(row_counts))]
        shares = [(each.secret, n_rows) for each, n_rows in zip(ids, row_counts, strict=True)]
        keys = {} if key is None else {key.name: key.value(ids[0])}
        batch = self._batch(batch_id, shares, deadline_us)
        submission = Submission(Queue.INTERACTIVE, batch_id, None, [batch], MODEL, gateway.channel, keys, latest_us)
        if not self._accept(gateway, submission):
            return None
        channel = gateway.channel
        promises = [self._promise(each, n, 0, deadline_us, channel) for each, n in zip(ids, row_counts, strict=True)]
        return promises[0]

    def submit_spanning(self, gateway: Gateway, row_counts: list[int], deadline_us: int) -> None:
        """Submit one prediction over several batches."""
        prediction_id = PredictionId.new(new_batch_id(), SPANNING)
        parent, nobodys = prediction_id.batch_id, bytes(SECRET_BYTES)
        children = [
            self._batch(child_id(parent, index), [(nobodys, n_rows)], deadline_us)
            for index, n_rows in enumerate(row_counts)
        ]
        member = Member(prediction_id.secret, sum(row_counts), deadline_us=deadline_us)
        if self._accept(gateway, Submission(Queue.BULK, parent, member, children, MODEL, gateway.channel)):
            self._promise(prediction_id, sum(row_counts), len(row_counts), deadline_us, gateway.channel)

    def look(self, gateway: Gateway) -> None:
        """Have a gateway's reconciler look."""
        before = Records(*self.server.dump())
        look = finish(gateway.recovery.reconcile())
        after = Records(*self.server.dump())
        if after.looked_at() != before.looked_at():  # else another gateway had just looked
            self._homeless.look(before, after)
            self._forgotten.look(after)
        for batch_id in look.exhausted:
            finish(gateway.recovery.isolate_poison(batch_id))

    # What workers do.

    def claimed(self, claim: Claim) -> None:
        """A claim was granted: is it the next one, of rows that somebody wants?"""
        self.promises.claimed(claim.batch_id, claim.token)
        shares = zip(claim.members, split_rows(claim.rows.content, claim.members), strict=True)
        for member, content in shares:
            owner = member.secret if any(member.secret) else claim.batch_id
            rows = decode_matrix(EncodedRows(content, member.n_rows, claim.rows.encoding))
            assert rows == self._rows[owner], "a member has the rows of another"
        wanted = [promise for promise in self.promises.made if promise.is_of(claim.batch_id)]
        assert not all(promise.is_canceled for promise in wanted), "a batch is run that nobody wants"

    def check_holdings(self, worker: str, holdings: AnnounceReply) -> None:
        """A worker was told of its leases: is it what the records say?"""
        self._forgotten.announced(worker, self.server.dump()[0])
        records = Records(*self.server.dump())
        leased = {batch_id for name, batch_id in records.leases if name == worker}
        assert {lease.batch_id for lease in holdings.leases} == leased
        for lease in holdings.leases:
            batch_id = lease.batch_id
            is_running = records.state(batch_id) == BatchState.RUNNING
            is_wanted = is_running and records.is_open(batch_id.partition(".")[0])
            assert lease.is_wanted == is_wanted, "a worker is told wrongly whether an outcome is wanted"
        assert holdings.n_waiting == sum(len(records.held(queue.value, [])) for queue in Queue)

    # What must be true.

    def check(self) -> None:
        """Look at the store, and at everything that was promised."""
        before, self.records = self.records, Records(*self.server.dump())
        check(self.records)
        self._check_published(before)
        heard = self._hear()
        for promise in self.promises.made:
            was_open = promise.end is None
            self._see(promise)
            if was_open and promise.end is not None and promise.end.state is not State.EXPIRED:
                assert (promise.channel, promise.id.batch_id) in heard, (
                    "a prediction has ended, and its gateway not told"
                )
                self._check_evidence(promise)

    def is_gone(self, promise: Promise) -> bool:
        """Look whether a prediction is past its retention."""
        self.records = Records(*self.server.dump())
        self._see(promise)
        return promise.is_gone

    def _see(self, promise: Promise) -> None:
        if promise.is_gone:
            return
        try:
            prediction = finish(self._lookups().read(promise.id))
        except (PredictionNotFound, PredictionGone):
            promise.miss(self.records.now_us)
            return
        now_us = self.server.dump()[0] if prediction.state in FINAL_STATES else self.records.now_us
        promise.see(prediction, now_us, self.promises.committed)

    def _lookups(self) -> Any:
        return Gateway(self.transport, self.server).lookups

    def _check_published(self, before: Records) -> None:
        """Whoever is queued anew has a message in the queue."""
        for batch_id in self.records.queued - before.queued:
            queue = self.records.batches[batch_id][Field.QUEUE]
            messages = self.records.held(queue, [])
            assert any(f'"{batch_id}"'.encode() in each for each in messages), "a batch is queued without a message"

    def _check_evidence(self, promise: Promise) -> None:
        """Whoever failed because of the attempts at it is a dead letter, with how each of them ended."""
        end = promise.end
        if end is not None and end.failure is not None and end.failure.code == "poison":
            letters = [
                held
                for key, (_, held) in self.records.keys.items()
                if key.startswith(Key.DEAD_LETTER) and held[Field.PREDICTION].decode() == str(promise.id)
            ]
            assert letters, "rows that no attempt survived are no dead letter"
            assert len(json.loads(b"[" + letters[0][Field.LOST] + b"]")) == MAX_ATTEMPTS, "evidence is missing"

    def _hear(self) -> set[tuple[str, str]]:
        """The channels and batches of the announcements since the last time."""
        heard = set()
        while message := self._heard.get_message(timeout=0):
            announcement = read_announcement(message["data"])
            batch_id, outcome = announcement.batch_id, announcement.outcome
            if outcome is not None and batch_id in self.promises.committed:
                assert outcome == self.promises.committed[batch_id], "an outcome is announced that nobody committed"
            heard.add((message["channel"].decode(), str(batch_id)))
        return heard

    def _batch(self, batch_id: BatchId, shares: list[tuple[bytes, int]], deadline_us: int) -> NewBatch:
        members, rows = [], []
        for secret, n_rows in shares:
            own = [[float(len(self._rows)), float(number)] for number in range(n_rows)]
            self._rows[secret if any(secret) else batch_id] = own
            rows += own
            members.append(Member(secret, n_rows, 16 * n_rows, deadline_us))
        return NewBatch(batch_id, encoded(rows), members)

    def _accept(self, gateway: Gateway, submission: Submission) -> bool:
        """Submit; a refusal leaves everything as it was."""
        before = Records(*self.server.dump())
        stalled = gateway.stall_seconds
        try:
            finish(gateway.submissions.submit(submission))
        except (BacklogFull, BrokerUnavailable):
            assert self.server.dump()[1].keys() <= before.keys.keys(), "a refusal has left something behind"
            return False
        assert stalled < _SUBMISSION_PATIENCE_SECONDS, "accepted after its client was refused"
        after = Records(*self.server.dump())
        for batch in submission.batches:
            assert after.sequence(batch.id) > before.latest_sequence(submission.queue), "out of order"
        return True

    def _promise(
        self, prediction_id: PredictionId, n_rows: int, n_children: int, deadline_us: int, channel: str
    ) -> Promise:
        promise = Promise(prediction_id, n_rows, n_children, deadline_us, channel, self.server.dump()[0])
        self.promises.made.append(promise)
        return promise


def one(some: list[T], pick: int) -> T:
    """Pick one."""
    return some[pick % len(some)]
