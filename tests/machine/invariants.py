"""What must be true of the store after every step, whoever has acted and whoever has died."""

from collections import Counter as Tally
from typing import Any

from shared.names import Queue
from shared.store.records import unpack_members
from shared.store.schema import ANNOUNCEMENT_SECONDS, BatchState, Counter, Field, Key
from tests.machine.actors import LIMITS, RESULT_TTL_SECONDS

OPEN = {state.value for state in (BatchState.QUEUED, BatchState.RUNNING, BatchState.EXHAUSTED, BatchState.SPLIT)}
Keys = dict[str, tuple[int, Any]]
"""From each key to its TTL in seconds, -1 for none, and what it holds."""

_ALWAYS_THERE = {
    *(Key.BACKLOG, Key.SEQUENCE, Key.WORKERS, Key.RECONCILER, Key.MODEL, Key.DEAD_LETTERS, Key.EXHAUSTED),
    *(queue.value for queue in Queue),
    *(Key.QUEUED + queue for queue in Queue),
}


class Records:
    """The store, taken apart."""

    def __init__(self, now_us: int, keys: Keys) -> None:
        self.now_us = now_us
        self.keys = keys
        self.batches: dict[str, dict[Field, str]] = {}
        self.members: dict[str, list[bytes]] = {}
        for key, (_, held) in keys.items():
            if key.startswith(Key.BATCH):
                fields = {name: value for name, value in held.items() if ":" not in name}
                batch_id = key.removeprefix(Key.BATCH)
                self.batches[batch_id] = {Field(name): value.decode(errors="replace") for name, value in fields.items()}
                self.members[batch_id] = [member.secret for member in unpack_members(held["members"])]
        self.workers = {name: value.decode() for name, value in self.held(Key.WORKERS, {}).items()}

    def held(self, key: str, otherwise: Any) -> Any:
        """What a key holds."""
        return self.keys[key][1] if key in self.keys else otherwise

    def is_open(self, batch_id: str) -> bool:
        """Whether there is such a batch or parent, and it is not final."""
        return batch_id in self.batches and self.batches[batch_id][Field.STATE] in OPEN

    def is_parent(self, batch_id: str) -> bool:
        """Whether its rows are with its children."""
        batch = self.batches[batch_id]
        return Field.CHILDREN in batch or batch[Field.STATE] == BatchState.SPLIT

    def is_child(self, batch_id: str) -> bool:
        """Whether its rows are counted by its parent."""
        return "." in batch_id

    def state(self, batch_id: str) -> str:
        """Of a batch or parent; empty where there is none."""
        return self.batches.get(batch_id, {}).get(Field.STATE, "")

    @property
    def queued(self) -> set[str]:
        """Batches that no worker has claimed."""
        return {each for each in self.batches if self.state(each) == BatchState.QUEUED and not self.is_parent(each)}

    @property
    def leases(self) -> set[tuple[str, str]]:
        """Workers and batches that they have claimed."""
        return {
            (key.removeprefix(Key.LEASES), batch_id)
            for key, (_, held) in self.keys.items()
            if key.startswith(Key.LEASES)
            for batch_id in held
        }

    def counted_backlog(self) -> dict[Queue, int]:
        """Rows of each queue, as the counters say."""
        counters = self.held(Key.BACKLOG, {})
        counted = {queue: [int(counters.get(counter + queue, 0)) for counter in Counter] for queue in Queue}
        return {queue: accepted - final for queue, (accepted, final) in counted.items()}

    def sequence(self, batch_id: str) -> int:
        """A batch's number in the order of acceptance."""
        return int(self.batches[batch_id][Field.SEQUENCE])

    def latest_sequence(self, queue: Queue) -> int:
        """The last one given."""
        mine = [fields for fields in self.batches.values() if fields[Field.QUEUE] == queue]
        return max([0, *(int(fields.get(Field.SEQUENCE, 0)) for fields in mine)])

    def looked_at(self) -> bytes:
        """When a reconciler has looked last."""
        return bytes(self.held(Key.RECONCILER, {}).get("at", b""))

    def lease_ends(self, worker: str) -> int:
        """Microseconds until which a worker's leases last; 0 for one that is not known."""
        return int(self.workers[worker].split()[0]) * 1000 if worker in self.workers else 0


def check(records: Records) -> None:
    """Hold everything that one look at the store can tell."""
    _check_backlog(records)
    _check_queued(records)
    _check_leases(records)
    for key, (ttl, _) in records.keys.items():
        _check_key(records, key, ttl)


def _check_backlog(records: Records) -> None:
    """The counters equal what is there."""
    open_rows: Tally[str] = Tally()
    for batch_id, batch in records.batches.items():
        if records.is_open(batch_id) and not records.is_child(batch_id):
            done = int(batch.get(Field.ROWS_DONE, 0))
            open_rows[batch[Field.QUEUE]] += int(batch[Field.N_ROWS]) - done
    for queue, backlog in records.counted_backlog().items():
        assert backlog == open_rows[queue], f"the backlog of {queue} is {open_rows[queue]} rows, not as counted"
        assert backlog <= LIMITS[queue], f"the backlog of {queue} is larger than it may be"


def _check_queued(records: Records) -> None:
    """Whoever is queued is in the sorted set that the reconciler reads, and nobody else is."""
    listed = {
        batch_id: int(number) for queue in Queue for batch_id, number in records.held(Key.QUEUED + queue, {}).items()
    }
    expected = {batch_id: records.sequence(batch_id) for batch_id in records.queued}
    assert listed == expected, "the sorted sets of queued batches are not as the records say"
    for batch_id in records.queued:
        parent = batch_id.partition(".")[0]
        assert records.is_open(parent), "a child is queued under a parent that is final"


def _check_leases(records: Records) -> None:
    """A running batch is under the lease of the worker that its record names, and that worker is known."""
    for batch_id, batch in records.batches.items():
        if batch[Field.STATE] == BatchState.RUNNING and not records.is_parent(batch_id):
            assert (batch[Field.WORKER], batch_id) in records.leases, "a running batch is under no lease"
    for worker, batch_id in records.leases:
        assert worker in records.workers, "a lease of a worker that no reconciler looks at"
        is_running = records.state(batch_id) == BatchState.RUNNING
        assert not is_running or records.batches[batch_id][Field.WORKER] == worker, "a lease on another's batch"
        assert is_running or records.state(batch_id) in ("", BatchState.CANCELED), "a lease on what nobody runs"
    exhausted = {batch_id.decode() for batch_id in records.held(Key.EXHAUSTED, [])}
    for batch_id, batch in records.batches.items():
        if batch[Field.STATE] == BatchState.EXHAUSTED:
            assert batch_id in exhausted, "an exhausted batch that no reconciler looks at"


def _check_key(records: Records, key: str, ttl: int) -> None:
    """No key is without an owner or an end."""
    if key in _ALWAYS_THERE:
        assert ttl == -1, f"{key} has an end"
    elif key.startswith(Key.BATCH):
        _check_record(records, key.removeprefix(Key.BATCH), ttl)
    elif key.startswith(Key.IDEMPOTENCY):
        opens = records.held(key, b"").decode().split(" ")[2][:20]
        assert ttl >= 0 or records.is_open(opens), "an idempotency key without an end leads to nothing open"
        assert ttl <= RESULT_TTL_SECONDS, "an idempotency key is kept too long"
    elif key.startswith(Key.DEAD_LETTER):
        assert 0 <= ttl <= RESULT_TTL_SECONDS, "a dead letter without an end"
        assert key.removeprefix(Key.DEAD_LETTER) in records.held(Key.DEAD_LETTERS, {}), "a dead letter in no list"
    else:
        kind, _, worker = key.rpartition(":")
        assert f"{kind}:" in (Key.LEASES, Key.UNACKED, Key.UNACKED_INDEX), f"nobody knows {key}"
        assert worker in records.workers, f"{key} is of a worker that no reconciler looks at"


def _check_record(records: Records, batch_id: str, ttl: int) -> None:
    if records.is_child(batch_id):
        assert ttl == -1, "a child has an end of its own"
    elif records.is_open(batch_id):
        assert ttl == -1, "an open record has an end"
    else:
        assert 0 <= ttl <= RESULT_TTL_SECONDS, "a final record has no end"
        assert Field.ROWS not in records.batches[batch_id], "a final record keeps its rows"


class Homeless:
    """Batches that no queue holds, no worker has noted, and no lease covers: for how many looks they have been so."""

    def __init__(self) -> None:
        self._looks: Tally[str] = Tally()

    def look(self, before: Records, after: Records) -> None:
        """A reconciler has looked: whoever had no home at its last look either has been found now."""
        left = self._find(before) & self._find(after)
        late = [batch_id for batch_id in left if self._looks[batch_id]]
        assert not late, f"not found within two looks: {late}"
        self._looks = Tally(left)

    def _find(self, records: Records) -> set[str]:
        noted = b"".join(
            b"".join(held.values())
            for key, (_, held) in records.keys.items()
            if key.startswith(Key.UNACKED) and key.removeprefix(Key.UNACKED) in records.workers
        )
        return {
            batch_id
            for batch_id, batch in records.batches.items()
            if not records.is_parent(batch_id) and self._is_homeless(records, batch_id, batch, noted)
        }

    def _is_homeless(self, records: Records, batch_id: str, batch: dict[Field, str], noted: bytes) -> bool:
        if batch[Field.STATE] == BatchState.RUNNING:
            believed_us = ANNOUNCEMENT_SECONDS * 1_000_000
            ends = records.lease_ends(batch[Field.WORKER])
            return ends < records.now_us or ends > records.now_us + believed_us
        if batch[Field.STATE] != BatchState.QUEUED or f'"{batch_id}"'.encode() in noted:
            return False
        messages = records.held(batch[Field.QUEUE], [])
        if any(f'"{batch_id}"'.encode() in message for message in messages):
            return False
        # Messages of earlier batches wait to be popped before it: it is looked for once they are gone.
        return not messages or int(batch[Field.SEQUENCE]) < _sequence(messages[-1])


def _sequence(message: bytes) -> int:
    return int(message.partition(b'"sequence":')[2].partition(b",")[0])


class Forgotten:
    """Workers that have not announced themselves for long: after how many looks they are forgotten."""

    def __init__(self) -> None:
        self._announced_us: dict[str, int] = {}
        self._granted_us: dict[str, int] = {}

    def announced(self, worker: str, now_us: int) -> None:
        """A worker has said that it lives."""
        self._announced_us[worker] = now_us
        self._granted_us.pop(worker, None)

    def look(self, records: Records) -> None:
        """A reconciler has looked: time is given to a silent worker once, after the broker was away, and no more."""
        believed_us = ANNOUNCEMENT_SECONDS * 1_000_000
        for worker in records.workers:
            silent_us = records.now_us - self._announced_us.get(worker, records.now_us)
            if silent_us > believed_us:
                granted_us = self._granted_us.setdefault(worker, records.now_us)
                assert records.now_us - granted_us <= believed_us, f"{worker} is dead, and not forgotten"
