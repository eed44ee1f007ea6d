"""The invariants of the store, which hold after every step."""

from collections import Counter as Tally
from typing import Any

from shared.names import Queue
from shared.store.records import unpack_members
from shared.store.schema import ANNOUNCEMENT_SECONDS, BatchState, Counter, Field, Key
from tests.machine.actors import LIMITS, RESULT_TTL_SECONDS

OPEN = {state.value for state in (BatchState.QUEUED, BatchState.RUNNING, BatchState.EXHAUSTED, BatchState.SPLIT)}
Keys = dict[str, tuple[int, Any]]
"""The TTL in seconds (-1 for none) and the value of each key."""

_PERMANENT = {
    *(Key.BACKLOG, Key.SEQUENCE, Key.WORKERS, Key.RECONCILER, Key.MODEL, Key.DEAD_LETTERS, Key.EXHAUSTED),
    *(queue.value for queue in Queue),
    *(Key.QUEUED + queue for queue in Queue),
    *(Key.SLICES, Key.OWNERS, Key.BULK_OPEN, Key.STORED, Key.STORED_BYTES, Key.UPLOADS, Key.SWEEP),
}
_PERMANENT_PREFIXES = Key.UNCUT, Key.OWNER


class Records:
    """The records of the store at one moment."""

    def __init__(self, now_us: int, keys: Keys) -> None:
        self.now_us = now_us
        self.keys = keys
        self.batches: dict[str, dict[Field, str]] = {}
        self.members: dict[str, list[bytes]] = {}
        for key, (_, value) in keys.items():
            if key.startswith(Key.BATCH):
                fields = {name: content for name, content in value.items() if ":" not in name}
                batch_id = key.removeprefix(Key.BATCH)
                self.batches[batch_id] = {Field(name): text.decode(errors="replace") for name, text in fields.items()}
                self.members[batch_id] = [member.secret for member in unpack_members(value["members"])]
        self.workers = {name: value.decode() for name, value in self.value(Key.WORKERS, {}).items()}

    def value(self, key: str, default: Any) -> Any:
        """Return the value of a key."""
        return self.keys[key][1] if key in self.keys else default

    def is_open(self, batch_id: str) -> bool:
        """Whether this batch or parent exists and is not final."""
        return batch_id in self.batches and self.batches[batch_id][Field.STATE] in OPEN

    def is_parent(self, batch_id: str) -> bool:
        """Whether its rows are in its children."""
        batch = self.batches[batch_id]
        return Field.CHILDREN in batch or batch[Field.STATE] == BatchState.SPLIT or self.is_stored(batch_id)

    def is_stored(self, batch_id: str) -> bool:
        """Whether it is a bulk prediction."""
        return Field.SOURCE in self.batches[batch_id]

    def is_child(self, batch_id: str) -> bool:
        """Whether its parent counts its rows."""
        return "." in batch_id

    def state(self, batch_id: str) -> str:
        """Return the state of a batch or parent; empty if there is no record."""
        return self.batches.get(batch_id, {}).get(Field.STATE, "")

    @property
    def queued(self) -> set[str]:
        """Batches in the state queued, without parents."""
        return {each for each in self.batches if self.state(each) == BatchState.QUEUED and not self.is_parent(each)}

    @property
    def leases(self) -> set[tuple[str, str]]:
        """All leases, as pairs of a worker and a batch."""
        return {
            (key.removeprefix(Key.LEASES), batch_id)
            for key, (_, value) in self.keys.items()
            if key.startswith(Key.LEASES)
            for batch_id in value
        }

    def counted_backlog(self) -> dict[Queue, int]:
        """Return the backlog of each queue by the counters."""
        counters = self.value(Key.BACKLOG, {})
        counted = {queue: [int(counters.get(counter + queue, 0)) for counter in Counter] for queue in Queue}
        return {queue: accepted - final for queue, (accepted, final) in counted.items()}

    def sequence(self, batch_id: str) -> int:
        """Return a batch's sequence number."""
        return int(self.batches[batch_id][Field.SEQUENCE])

    def latest_sequence(self, queue: Queue) -> int:
        """Return the highest sequence number in a queue; 0 if there is none."""
        batches = [fields for fields in self.batches.values() if fields[Field.QUEUE] == queue]
        return max([0, *(int(fields.get(Field.SEQUENCE, 0)) for fields in batches)])

    def reconciled_at(self) -> bytes:
        """Return when a reconciler ran last."""
        return bytes(self.value(Key.RECONCILER, {}).get("at", b""))

    def lease_ends(self, worker: str) -> int:
        """Return the time in microseconds when a worker's leases end; 0 for an unknown worker."""
        return int(self.workers[worker].split()[0]) * 1000 if worker in self.workers else 0


def check(records: Records) -> None:
    """Check the invariants of the records at one moment."""
    _check_backlog(records)
    _check_queued(records)
    _check_leases(records)
    for key, (ttl, _) in records.keys.items():
        _check_key(records, key, ttl)


def _check_backlog(records: Records) -> None:
    """Check that the counters equal the rows of open records."""
    open_rows: Tally[str] = Tally()
    for batch_id, batch in records.batches.items():
        if records.is_open(batch_id) and not records.is_child(batch_id) and not records.is_stored(batch_id):
            done = int(batch.get(Field.ROWS_DONE, 0))
            open_rows[batch[Field.QUEUE]] += int(batch[Field.N_ROWS]) - done
    for queue, backlog in records.counted_backlog().items():
        assert backlog == open_rows[queue], (
            f"the backlog of {queue} is {open_rows[queue]} rows, but {backlog} are counted"
        )
        assert backlog <= LIMITS[queue], f"the backlog of {queue} exceeds its limit"


def _check_queued(records: Records) -> None:
    """Check that the reconciler's sorted sets have exactly the queued batches."""
    listed = {
        batch_id: int(number) for queue in Queue for batch_id, number in records.value(Key.QUEUED + queue, {}).items()
    }
    expected = {batch_id: records.sequence(batch_id) for batch_id in records.queued}
    assert listed == expected, "the sorted sets of queued batches differ from the records"
    for batch_id in records.queued:
        parent = batch_id.partition(".")[0]
        assert records.is_open(parent), "a child of a final parent is queued"


def _check_leases(records: Records) -> None:
    """Check that each running batch has a lease of the worker in its record, and that the workers are registered."""
    for batch_id, batch in records.batches.items():
        if batch[Field.STATE] == BatchState.RUNNING and not records.is_parent(batch_id):
            assert (batch[Field.WORKER], batch_id) in records.leases, "a running batch has no lease"
    for worker, batch_id in records.leases:
        assert worker in records.workers, "a lease of an unregistered worker"
        is_running = records.state(batch_id) == BatchState.RUNNING
        assert not is_running or records.batches[batch_id][Field.WORKER] == worker, (
            "a lease on a batch of another worker"
        )
        assert is_running or records.state(batch_id) in ("", BatchState.CANCELED), (
            "a lease on a batch that does not run"
        )
    exhausted = {batch_id.decode() for batch_id in records.value(Key.EXHAUSTED, [])}
    for batch_id, batch in records.batches.items():
        if batch[Field.STATE] == BatchState.EXHAUSTED:
            assert batch_id in exhausted, "an exhausted batch is not in the set of exhausted batches"


def _check_key(records: Records, key: str, ttl: int) -> None:
    """Check that a key belongs to a record or a worker, and has a TTL exactly if it should."""
    if key in _PERMANENT or key.startswith(_PERMANENT_PREFIXES):
        assert ttl == -1, f"{key} has a TTL"
    elif key.startswith(Key.BATCH):
        _check_record(records, key.removeprefix(Key.BATCH), ttl)
    elif key.startswith(Key.RESULTS):
        is_open = records.is_open(key.removeprefix(Key.RESULTS))
        assert ttl == -1 if is_open else 0 <= ttl <= RESULT_TTL_SECONDS, "results are kept longer than their prediction"
    elif key == Key.RATES:
        assert ttl >= 0, "the rates have no TTL"
    elif key.startswith(Key.IDEMPOTENCY):
        batch_id = records.value(key, b"").decode().split(" ")[2][:20]
        assert ttl >= 0 or records.is_open(batch_id), "an idempotency key has no TTL, and no open record"
        assert ttl <= RESULT_TTL_SECONDS, "an idempotency key has too long a TTL"
    elif key.startswith(Key.DEAD_LETTER):
        assert 0 <= ttl <= RESULT_TTL_SECONDS, "a dead letter has no TTL, or too long a one"
        assert key.removeprefix(Key.DEAD_LETTER) in records.value(Key.DEAD_LETTERS, {}), "a dead letter is not listed"
    else:
        kind, _, worker = key.rpartition(":")
        assert f"{kind}:" in (Key.LEASES, Key.UNACKED, Key.UNACKED_INDEX), f"{key} is unknown"
        assert worker in records.workers, f"{key} belongs to an unregistered worker"


def _check_record(records: Records, batch_id: str, ttl: int) -> None:
    if records.is_child(batch_id):
        assert ttl == -1, "a child has a TTL"
    elif records.is_open(batch_id):
        assert ttl == -1, "an open record has a TTL"
    else:
        assert 0 <= ttl <= RESULT_TTL_SECONDS, "a final record has no TTL, or too long a one"
        assert Field.ROWS not in records.batches[batch_id], "a final record still has its rows"


class LostBatches:
    """Finds batches that no queue, registered worker or lease has, after two runs of the reconciler."""

    def __init__(self) -> None:
        self._runs: Tally[str] = Tally()

    def check(self, before: Records, after: Records) -> None:
        """Check after a run of the reconciler that no batch is lost for the second run."""
        left = self._find(before) & self._find(after)
        late = [batch_id for batch_id in left if self._runs[batch_id]]
        assert not late, f"lost after two runs of the reconciler: {late}"
        self._runs = Tally(left)

    def _find(self, records: Records) -> set[str]:
        unacked = b"".join(
            b"".join(value.values())
            for key, (_, value) in records.keys.items()
            if key.startswith(Key.UNACKED) and key.removeprefix(Key.UNACKED) in records.workers
        )
        return {
            batch_id
            for batch_id, batch in records.batches.items()
            if not records.is_parent(batch_id) and self._is_lost(records, batch_id, batch, unacked)
        }

    def _is_lost(self, records: Records, batch_id: str, batch: dict[Field, str], unacked: bytes) -> bool:
        if batch[Field.STATE] == BatchState.RUNNING:
            valid_us = ANNOUNCEMENT_SECONDS * 1_000_000
            ends = records.lease_ends(batch[Field.WORKER])
            return ends < records.now_us or ends > records.now_us + valid_us
        if batch[Field.STATE] != BatchState.QUEUED or f'"{batch_id}"'.encode() in unacked:
            return False
        messages = records.value(batch[Field.QUEUE], [])
        if any(f'"{batch_id}"'.encode() in message for message in messages):
            return False
        # While messages of earlier batches are in the queue, the reconciler does not look for this one.
        return not messages or int(batch[Field.SEQUENCE]) < _sequence(messages[-1])


def _sequence(message: bytes) -> int:
    return int(message.partition(b'"sequence":')[2].partition(b",")[0])


class LostWorkers:
    """Checks that workers whose announcement has ended are deleted after one grace period at most."""

    def __init__(self) -> None:
        self._announced_us: dict[str, int] = {}
        self._granted_us: dict[str, int] = {}

    def announced(self, worker: str, now_us: int) -> None:
        """Record an announcement."""
        self._announced_us[worker] = now_us
        self._granted_us.pop(worker, None)

    def check(self, records: Records) -> None:
        """Check after a run of the reconciler that it has extended no announcement twice."""
        valid_us = ANNOUNCEMENT_SECONDS * 1_000_000
        for worker in records.workers:
            silent_us = records.now_us - self._announced_us.get(worker, records.now_us)
            if silent_us > valid_us:
                granted_us = self._granted_us.setdefault(worker, records.now_us)
                assert records.now_us - granted_us <= valid_us, f"{worker} is lost, but still registered"
