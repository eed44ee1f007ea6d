"""The promises about bulk predictions, with an object store in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.bulk import SliceResult, objects_prefix
from shared.errors import BrokerUnavailable, PredictionGone, PredictionNotFound, StorageFull
from shared.ids import BatchId
from shared.names import FINAL_STATES, OnError, State
from shared.store.bulk import UPLOAD_SECONDS, BulkPrediction, NewBulkPrediction
from shared.store.schema import Key
from tests.machine.actors import RESULT_TTL_SECONDS, Gateway, run_sync
from tests.machine.harness import Harness
from tests.machine.stored_records import StoredRecords, check

_ACCEPT_SECONDS = 1.8  # the store refuses a prediction that it runs later


@dataclass(slots=True)
class Upload:
    """An upload that has reserved space and is not yet accepted."""

    gateway: Gateway
    prediction: NewBulkPrediction
    reserved_us: int


@dataclass(slots=True)
class StoredPromise:
    """An accepted bulk prediction."""

    prediction: NewBulkPrediction
    last_open_us: int
    committed: list[SliceResult] = field(default_factory=list)
    failures: set[str] = field(default_factory=set)
    """Codes of committed failures."""
    final: BulkPrediction | None = None
    event: int = 0
    is_canceled: bool = False
    is_gone: bool = False

    def observe(self, prediction: BulkPrediction, results: Sequence[SliceResult]) -> None:
        """Check a look-up against the earlier ones and the accepted commits."""
        assert not self.is_gone, "a bulk prediction that was gone has returned"
        assert prediction.event >= self.event, "an event has a lower number than an earlier one"
        self.event = prediction.event
        if self.final is not None:
            first = self.final
            assert (prediction.state, prediction.rows_done) == (first.state, first.rows_done), "a final one changed"
            return
        with_objects = [result for result in results if result.key]
        by_row = sorted(self.committed, key=lambda result: result.first_row)
        assert with_objects == by_row, "the results are not those that were committed"
        assert prediction.rows_done == sum(result.n_rows for result in results), "rows done are miscounted"
        assert prediction.rows_bad == sum(result.n_bad for result in results), "bad rows are miscounted"
        if prediction.state not in FINAL_STATES:
            assert not self.is_canceled, "a canceled prediction has another state"
            self.last_open_us = prediction.now_us
            return
        self._check_end(prediction, results)
        self.final = prediction

    def _check_end(self, prediction: BulkPrediction, results: Sequence[SliceResult]) -> None:
        source = self.prediction.source
        match prediction.state:
            case State.SUCCEEDED:
                assert prediction.rows_done == source.n_rows, "it succeeded without some of its rows"
                assert all(result.key for result in results) or source.on_error is OnError.REPORT, "it has hidden a row"
            case State.FAILED:
                code = prediction.failure.code if prediction.failure is not None else ""
                assert code in self.failures | {"poison"}, "a failure was not committed"
            case State.CANCELED:
                assert self.is_canceled, "it is canceled, but no client canceled it"
            case State.EXPIRED:
                assert 0 < self.prediction.deadline_us < prediction.now_us, "it expired before its deadline"

    def observe_gone(self, now_us: int) -> None:
        """Check that the store may have deleted its record."""
        assert self.final is not None or self.is_canceled, "an open bulk prediction has disappeared"
        assert now_us - self.last_open_us >= (RESULT_TTL_SECONDS - 1) * 1_000_000, "a result was deleted too early"
        self.is_gone = True


class StoredHarness:
    """The bulk predictions of one run of the state machine."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self.uploads: list[Upload] = []
        self.promises: list[StoredPromise] = []
        self.objects: set[str] = set()

    # Actions of gateways.

    def begin(self, gateway: Gateway, prediction: NewBulkPrediction) -> None:
        """Reserve the space of an upload, and write its rows."""
        upload = prediction.id.batch_id
        before = self._harness.server.dump()[1].get(Key.STORED)
        try:
            run_sync(gateway.bulk.reserve(upload, prediction.reserved_bytes))
        except StorageFull:
            assert self._harness.server.dump()[1].get(Key.STORED) == before, "a refused upload has left something"
            return
        self.objects.add(prediction.source.key)
        self.uploads.append(Upload(gateway, prediction, self._harness.server.dump()[0]))

    def renew(self, upload: Upload) -> None:
        """Renew the reservation of an upload; without one, the upload is refused."""
        try:
            run_sync(upload.gateway.bulk.reserve(upload.prediction.id.batch_id, upload.prediction.reserved_bytes))
        except BrokerUnavailable:
            self._check_late(upload)
            self.abandon(upload)
        else:
            upload.reserved_us = self._harness.server.dump()[0]

    def accept(self, upload: Upload, stall_seconds: int) -> None:
        """Submit an upload; the broker may run the script after a delay."""
        self.uploads.remove(upload)
        run_sync(upload.gateway.status.read_overview())
        upload.gateway.stall_seconds = stall_seconds
        try:
            run_sync(upload.gateway.bulk.accept(upload.prediction))
        except BrokerUnavailable:
            if stall_seconds < _ACCEPT_SECONDS:
                self._check_late(upload)
            return  # what it left is swept
        assert stall_seconds < _ACCEPT_SECONDS, "accepted after its client was refused"
        self.promises.append(StoredPromise(upload.prediction, self._harness.server.dump()[0]))

    def abandon(self, upload: Upload) -> None:
        """Delete the objects of a refused upload, and release its space."""
        self.uploads.remove(upload)
        self._delete_all(upload.prediction.id.batch_id)
        run_sync(upload.gateway.bulk.abandon_upload(upload.prediction.id.batch_id))

    def sweep(self, gateway: Gateway, *, is_killed: bool) -> bool:
        """Delete what the sweeper finds, which may be killed before it records that; return whether there was any."""
        swept = run_sync(gateway.bulk.find_sweepable())
        for batch_id in swept:
            self._delete_all(batch_id)
        if not is_killed:
            run_sync(gateway.bulk.release_space(swept))
        return bool(swept)

    def _check_late(self, upload: Upload) -> None:
        late_us = self._harness.server.dump()[0] - upload.reserved_us
        assert late_us >= UPLOAD_SECONDS * 1_000_000, "a reservation was lost before its end"

    def _delete_all(self, batch_id: BatchId) -> None:
        prefix = objects_prefix(batch_id)
        self.objects = {key for key in self.objects if not key.startswith(prefix)}

    # Checks after each step.

    def promise_of(self, batch_id: BatchId) -> StoredPromise:
        """Return the promise that a slice belongs to."""
        parent = batch_id.partition(".")[0]
        return next(promise for promise in self.promises if promise.prediction.id.batch_id == parent)

    def check(self) -> None:
        """Check the records, the objects and every promise."""
        check(StoredRecords(self._harness.records))
        gateway = Gateway(self._harness.transport, self._harness.server)
        for promise in self.promises:
            self._look_up(gateway, promise)

    def _look_up(self, gateway: Gateway, promise: StoredPromise) -> None:
        if promise.is_gone:
            return
        try:
            prediction = run_sync(gateway.bulk.read(promise.prediction.id))
            results = run_sync(gateway.bulk.read_results(promise.prediction.id))
        except (PredictionNotFound, PredictionGone):
            promise.observe_gone(self._harness.server.dump()[0])
            return
        promise.observe(prediction, results)
        if prediction.state in (State.QUEUED, State.RUNNING, State.SUCCEEDED):
            needed = {promise.prediction.source.key, *(result.key for result in results if result.key)}
            assert needed <= self.objects, "an object of a bulk prediction was deleted"
