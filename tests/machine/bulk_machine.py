"""The rules of the state machine for bulk predictions, in addition to the others."""

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from shared.errors import PredictionAlreadyFinal, PredictionGone, PredictionNotFound
from shared.names import FailureCode, OnError
from shared.store.attempts import Claim
from shared.store.records import Failure
from shared.store.schema import Field, Key
from tests.machine.actors import MAX_ATTEMPTS, Gateway, Worker, run_sync
from tests.machine.harness import choose
from tests.machine.invariants import Records
from tests.machine.machine import DEADLINES, FAILURE, PICK, STALLS, StoreMachine
from tests.machine.stored import StoredHarness
from tests.machine.stored_records import StoredRecords, check_handed_out
from tests.stored import new_prediction, result_of

ROW_COUNTS = st.sampled_from([1, 2, 999, 1001, 2500, 7000])
_BATCH_ROWS = 256


class BulkMachine(StoreMachine):
    """A state machine whose workers also run slices, with fewer of the rules that no slice needs."""

    submit_spanning = reserve = submit_reserved = shorten_retention = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.stored = StoredHarness(self.harness)

    # Clients and gateways.

    @rule(pick=PICK, n_rows=ROW_COUNTS, owner=st.integers(1, 2), on_error=st.sampled_from(OnError), deadline=DEADLINES)
    def upload(self, pick: int, n_rows: int, owner: int, on_error: OnError, deadline: float) -> None:
        """Begin an upload; another rule ends it."""
        gateway = choose(self.gateways, pick)
        made = new_prediction(n_rows, owner=owner, on_error=on_error, reply_channel=gateway.channel)
        source = msgspec.structs.replace(made.source, batch_rows=_BATCH_ROWS)
        deadline_us = self.harness.deadline(gateway, deadline)
        self.stored.begin(gateway, msgspec.structs.replace(made, source=source, deadline_us=deadline_us))

    @rule(pick=PICK, n_rows=ROW_COUNTS, owner=st.integers(1, 2))
    def upload_and_accept(self, pick: int, n_rows: int, owner: int) -> None:
        """Begin an upload and end it without another step in between."""
        n_uploads = len(self.stored.uploads)
        self.upload(pick, n_rows, owner, OnError.REPORT, 0)
        if len(self.stored.uploads) > n_uploads:
            self.accept_upload(n_uploads, 0)

    @precondition(lambda self: self.stored.uploads)
    @rule(pick=PICK, stall=STALLS)
    def accept_upload(self, pick: int, stall: int) -> None:
        before = self._stored_records()
        self.stored.accept(choose(self.stored.uploads, pick), stall)
        check_handed_out(before, self._stored_records())

    @precondition(lambda self: self.stored.uploads)
    @rule(pick=PICK)
    def renew_upload(self, pick: int) -> None:
        self.stored.renew(choose(self.stored.uploads, pick))

    @precondition(lambda self: self.stored.uploads)
    @rule(pick=PICK)
    def abandon_upload(self, pick: int) -> None:
        self.stored.abandon(choose(self.stored.uploads, pick))

    @precondition(lambda self: self.stored.promises)
    @rule(pick=PICK, pick_gateway=PICK)
    def cancel_stored(self, pick: int, pick_gateway: int) -> None:
        promise = choose(self.stored.promises, pick)
        try:
            run_sync(choose(self.gateways, pick_gateway).bulk.cancel(promise.prediction.id))
        except PredictionAlreadyFinal:
            return
        except (PredictionNotFound, PredictionGone):
            promise.observe_gone(self.server.dump()[0])
            return
        assert promise.final is None, "a final prediction was canceled"
        promise.is_canceled = True

    @precondition(lambda self: self.stored.promises)
    @rule(pick=PICK)
    def extend_stored(self, pick: int) -> None:
        run_sync(self.gateways[0].bulk.extend_retention(choose(self.stored.promises, pick).prediction.id))

    @rule(pick=PICK, is_killed=st.booleans())
    def sweep(self, pick: int, is_killed: bool) -> None:
        self.stored.sweep(choose(self.gateways, pick), is_killed=is_killed)

    @rule(pick=PICK)
    def kill_gateway(self, pick: int) -> None:
        """Kill a gateway, which loses its reservations and uploads, and replace it."""
        dead = choose(self.gateways, pick)
        self.reserved = [reserved for reserved in self.reserved if reserved[0] is not dead]
        self.stored.uploads = [upload for upload in self.stored.uploads if upload.gateway is not dead]
        self.gateways[pick % len(self.gateways)] = Gateway(self.harness.transport, self.server)

    # Workers.

    @precondition(lambda self: self._awake())
    @rule(pick=PICK, end=st.sampled_from(["commit", "lost reply", "failure", "lost", "given back", "overtaken"]))
    def attempt(self, pick: int, end: str) -> None:
        """Pop, record and claim a batch, and end the attempt, or an earlier one, in one way or another."""
        worker = choose(self._awake(), pick)
        self._call(worker, self.pop_and_claim)
        if not worker.running:
            return
        if end == "overtaken":
            self._overtake(worker)
        elif end == "lost":
            self._call(worker, self.lose_attempt, by_parent=True)
        elif end == "given back" and worker.running[0][1].slice:
            self._give_back(worker)
        else:
            self.harness.transport.loses_reply = end == "lost reply"
            self._call(worker, self.commit, failing={0} if end == "failure" else set())

    def _overtake(self, frozen: Worker) -> None:
        """Freeze a worker until its leases have ended, let others claim its batches, and thaw it."""
        self._freeze(frozen)
        for worker in self._awake():
            if worker is not frozen:
                self._call(worker, self.pop_and_claim)
        self._call(frozen, self.commit, failing=set())

    def _give_back(self, worker: Worker) -> None:
        """Give a slice back: its pool process cannot reach the object store."""
        tag, claim = worker.running.pop(0)
        worker.attempts.give_back(claim.batch_id)
        worker.acknowledge(tag)

    def _check_claim(self, claim: Claim) -> None:
        if claim.slice is None:
            super()._check_claim(claim)
            return
        promise = self.stored.promise_of(claim.batch_id)
        record = self.server.client.hgetall(Key.BATCH + claim.batch_id)
        given_back = int(record.get(Field.GIVEN_BACK.encode(), 0))
        assert claim.token - given_back <= MAX_ATTEMPTS, "a slice has more attempts than the limit"
        assert claim.token > self.harness.promises.latest_token.get(claim.batch_id, 0), "a token was given twice"
        self.harness.promises.latest_token[claim.batch_id] = claim.token
        assert claim.source == promise.prediction.source
        assert not promise.is_canceled, "a slice of a canceled prediction was claimed"

    def _commit(self, worker: Worker, claim: Claim, failing: set[int]) -> None:
        if claim.slice is None:
            super()._commit(worker, claim, failing)
            return
        promise, transport = self.stored.promise_of(claim.batch_id), self.harness.transport
        deadline_us, before = claim.members[0].deadline_us, self._stored_records()
        if failing or 0 < deadline_us < claim.claimed_us:
            failure = FAILURE if failing else Failure(FailureCode.EXPIRED, "late")
            if worker.attempts.commit_slice(claim, failure) or transport.lost_reply:
                promise.failures.add(failure.code)
        else:
            result = result_of(claim, n_bad=1)
            self.stored.objects.add(result.key)
            if worker.attempts.commit_slice(claim, result):
                assert claim.token == self.harness.promises.latest_token[claim.batch_id], "an earlier attempt committed"
                promise.committed.append(result)
            else:
                assert not transport.lost_reply, "a commit was accepted and then refused"
                self.stored.objects.discard(result.key)
        check_handed_out(before, self._stored_records())
        self.server.client.delete(Key.RATES)  # measured in microseconds, which differ from run to run

    def _stored_records(self) -> StoredRecords:
        return StoredRecords(Records(*self.server.dump()))

    # Promises.

    @invariant()
    def stored_promises_hold(self) -> None:
        self.stored.check()

    def _drain(self) -> None:
        super()._drain()
        self.stored.check()
        assert all(promise.final or promise.is_gone for promise in self.stored.promises), "one never became final"
        self.server.move_clock(700)  # longer than every retention and lease
        while self.stored.sweep(self.gateways[0], is_killed=False):
            self.server.move_clock(700)
        left = self._stored_records()
        assert left.texts(Key.STORED) == [], "space is left"
        assert self.stored.objects == set(), "objects are left"
        assert not [key for key in left.records.keys if key.startswith(Key.OWNER)], "a list is left"
