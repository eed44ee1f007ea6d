"""The server, the promises, and the checks after each step."""

import json
from typing import Any, TypeVar

from shared.errors import BacklogFull, BrokerUnavailable, PredictionGone, PredictionNotFound
from shared.ids import SECRET_BYTES, SPANNING, BatchId, PredictionId, child_id, new_batch_id
from shared.names import FINAL_STATES, Queue, State
from shared.rows import EncodedRows, decode
from shared.store.attempts import Claim
from shared.store.clock import NEVER_US
from shared.store.idempotency import IdempotencyKey
from shared.store.records import Member, parse_reply, split_rows
from shared.store.schema import BatchState, Field, Key
from shared.store.submissions import NewBatch, Submission
from shared.store.workers import AnnounceReply
from tests.machine.actors import MAX_ATTEMPTS, Gateway, SharedTransport, run_sync
from tests.machine.expected import Promise, Promises
from tests.machine.invariants import LostBatches, LostWorkers, Records, check
from tests.machine.server import Server
from tests.machine.stored_records import StoredRecords, check_handed_out
from tests.submissions import MODEL, encoded

T = TypeVar("T")

_SUBMISSION_SECONDS = 1.8  # the store refuses a submission that it runs later


class Harness:
    """One run of the state machine on a reset server."""

    def __init__(self, server: Server) -> None:
        server.reset()
        self.server = server
        self.transport = SharedTransport(server.url)
        self.promises = Promises()
        self.records = Records(*server.dump())
        self._replies = server.client.pubsub(ignore_subscribe_messages=True)
        self._replies.psubscribe(f"{Key.REPLY}*")
        self._lost_batches, self._lost_workers = LostBatches(), LostWorkers()
        self._rows: dict[bytes | BatchId, list[list[float]]] = {}
        """By the member's secret; by the batch for children, whose members have none."""

    def close(self) -> None:
        """Close the connections to the server."""
        self._replies.close()
        self.transport.close()

    def has_work(self) -> bool:
        """Whether any record is open, or is that of a child."""
        return any(self.records.is_open(each) or self.records.is_child(each) for each in self.records.batches)

    # Actions of gateways.

    def deadline(self, gateway: Gateway, seconds: float) -> int:
        """Read the overview, which sets the gateway's clock; return a deadline in microseconds, 0 for none."""
        overview = run_sync(gateway.status.read_overview())
        backlog = {queue: overview.backlog(queue) for queue in Queue}
        assert backlog == Records(*self.server.dump()).counted_backlog(), "the overview has another backlog"
        return gateway.clock.now_plus(seconds) if seconds else 0

    def submit_shared(
        self,
        gateway: Gateway,
        row_counts: list[int],
        deadline_us: int,
        key: IdempotencyKey | None = None,
        latest_us: int = NEVER_US,
    ) -> Promise | None:
        """Submit predictions that share a batch; return the first of them, None if they were refused."""
        batch_id = new_batch_id()
        ids = [PredictionId.new(batch_id, index) for index in range(len(row_counts))]
        members = [(each.secret, n_rows) for each, n_rows in zip(ids, row_counts, strict=True)]
        keys = {} if key is None else {key.stored_name: key.stored_value(ids[0])}
        batch = self._batch(batch_id, members, deadline_us)
        submission = Submission(Queue.INTERACTIVE, batch_id, None, [batch], MODEL, gateway.channel, keys, latest_us)
        if not self._accept(gateway, submission):
            return None
        channel = gateway.channel
        promises = [self._promise(each, n, 0, deadline_us, channel) for each, n in zip(ids, row_counts, strict=True)]
        return promises[0]

    def submit_spanning(self, gateway: Gateway, row_counts: list[int], deadline_us: int) -> None:
        """Submit a prediction that spans several batches."""
        prediction_id = PredictionId.new(new_batch_id(), SPANNING)
        parent, no_secret = prediction_id.batch_id, bytes(SECRET_BYTES)
        children = [
            self._batch(child_id(parent, index), [(no_secret, n_rows)], deadline_us)
            for index, n_rows in enumerate(row_counts)
        ]
        member = Member(prediction_id.secret, sum(row_counts), deadline_us=deadline_us)
        if self._accept(gateway, Submission(Queue.BULK, parent, member, children, MODEL, gateway.channel)):
            self._promise(prediction_id, sum(row_counts), len(row_counts), deadline_us, gateway.channel)

    def reconcile(self, gateway: Gateway) -> None:
        """Run a gateway's reconciler, and isolate the poison in the exhausted batches that it found."""
        before = Records(*self.server.dump())
        reconciled = run_sync(gateway.recovery.reconcile())
        after = Records(*self.server.dump())
        check_handed_out(StoredRecords(before), StoredRecords(after))
        if after.reconciled_at() != before.reconciled_at():  # else another gateway has just done so
            self._lost_batches.check(before, after)
            self._lost_workers.check(after)
        for batch_id in reconciled.exhausted:
            run_sync(gateway.recovery.isolate_poison(batch_id))

    # Actions of workers.

    def claimed(self, claim: Claim) -> None:
        """Check a granted claim: its token, its rows, and that not every client has canceled."""
        self.promises.claimed(claim.batch_id, claim.token)
        members = zip(claim.members, split_rows(claim.rows.content, claim.members), strict=True)
        for member, content in members:
            key = member.secret if any(member.secret) else claim.batch_id
            rows = decode(EncodedRows(content, member.n_rows, claim.rows.encoding))
            assert rows == self._rows[key], "a member has the rows of another"
        promises = [promise for promise in self.promises.made if promise.is_of(claim.batch_id)]
        assert not all(promise.is_canceled for promise in promises), "a canceled batch was claimed"

    def check_announce_reply(self, worker: str, reply: AnnounceReply) -> None:
        """Compare the reply to a worker's announcement with the records."""
        self._lost_workers.announced(worker, self.server.dump()[0])
        records = Records(*self.server.dump())
        leased = {batch_id for name, batch_id in records.leases if name == worker}
        assert {lease.batch_id for lease in reply.leases} == leased
        for lease in reply.leases:
            batch_id = lease.batch_id
            is_running = records.state(batch_id) == BatchState.RUNNING
            is_wanted = is_running and records.is_open(batch_id.partition(".")[0])
            assert lease.is_wanted == is_wanted, "the reply is wrong about whether a batch is wanted"
        assert reply.n_waiting == sum(len(records.value(queue.value, [])) for queue in Queue)

    # Checks after each step.

    def check(self) -> None:
        """Check the records and every promise."""
        before, self.records = self.records, Records(*self.server.dump())
        check(self.records)
        self._check_published(before)
        replied = self._read_replies()
        for promise in self.promises.made:
            was_open = promise.final is None
            self._look_up(promise)
            if was_open and promise.final is not None and promise.final.state is not State.EXPIRED:
                assert (promise.channel, promise.id.batch_id) in replied, (
                    "a prediction is final, but no reply was published"
                )
                self._check_evidence(promise)

    def is_gone(self, promise: Promise) -> bool:
        """Look up whether the retention of a prediction has ended."""
        self.records = Records(*self.server.dump())
        self._look_up(promise)
        return promise.is_gone

    def _look_up(self, promise: Promise) -> None:
        if promise.is_gone:
            return
        try:
            prediction = run_sync(self._lookups().read(promise.id))
        except (PredictionNotFound, PredictionGone):
            promise.observe_gone(self.records.now_us)
            return
        now_us = self.server.dump()[0] if prediction.state in FINAL_STATES else self.records.now_us
        promise.observe(prediction, now_us, self.promises.committed)

    def _lookups(self) -> Any:
        return Gateway(self.transport, self.server).lookups

    def _check_published(self, before: Records) -> None:
        """Check that each newly queued batch has a message in the queue."""
        for batch_id in self.records.queued - before.queued:
            queue = self.records.batches[batch_id][Field.QUEUE]
            messages = self.records.value(queue, [])
            assert any(f'"{batch_id}"'.encode() in each for each in messages), "a batch is queued without a message"

    def _check_evidence(self, promise: Promise) -> None:
        """Check that a poison prediction has a dead letter with an entry for each attempt."""
        final = promise.final
        if final is not None and final.failure is not None and final.failure.code == "poison":
            letters = [
                value
                for key, (_, value) in self.records.keys.items()
                if key.startswith(Key.DEAD_LETTER) and value[Field.PREDICTION].decode() == str(promise.id)
            ]
            assert letters, "poison without a dead letter"
            assert len(json.loads(b"[" + letters[0][Field.LOST] + b"]")) == MAX_ATTEMPTS, "a lost attempt is missing"

    def _read_replies(self) -> set[tuple[str, str]]:
        """Return the channels and batches of the replies since the last call."""
        found = set()
        while message := self._replies.get_message(timeout=0):
            reply = parse_reply(message["data"])
            batch_id, outcome = reply.batch_id, reply.outcome
            if outcome is not None and batch_id in self.promises.committed:
                assert outcome == self.promises.committed[batch_id], "a published outcome was not committed"
            found.add((message["channel"].decode(), str(batch_id)))
        return found

    def _batch(self, batch_id: BatchId, row_counts: list[tuple[bytes, int]], deadline_us: int) -> NewBatch:
        members, rows = [], []
        for secret, n_rows in row_counts:
            member_rows = [[float(len(self._rows)), float(number)] for number in range(n_rows)]
            self._rows[secret if any(secret) else batch_id] = member_rows
            rows += member_rows
            members.append(Member(secret, n_rows, 16 * n_rows, deadline_us))
        return NewBatch(batch_id, encoded(rows), members)

    def _accept(self, gateway: Gateway, submission: Submission) -> bool:
        """Submit; return whether the submission was accepted. A refused one must leave no key."""
        before = Records(*self.server.dump())
        stall_seconds = gateway.stall_seconds
        try:
            run_sync(gateway.submissions.submit(submission))
        except (BacklogFull, BrokerUnavailable):
            assert self.server.dump()[1].keys() <= before.keys.keys(), "a refused submission has left a key"
            return False
        assert stall_seconds < _SUBMISSION_SECONDS, "accepted after its client was refused"
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


def choose(items: list[T], pick: int) -> T:
    """Return the item that the random number `pick` selects."""
    return items[pick % len(items)]
