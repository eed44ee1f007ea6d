"""What must be true of the store after every step, whoever has acted and whoever has died."""

from collections import Counter as Tally
from typing import Any

from shared.names import Queue
from shared.store.records import unpack_members
from shared.store.schema import ANNOUNCEMENT_SECONDS, BatchState, Counter, Field, Key

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
    counters = records.held(Key.BACKLOG, {})
    for queue in Queue:
        accepted, final = (int(counters.get(counter + queue, 0)) for counter in Counter)
        assert accepted - final == open_rows[queue], (
            f"the backlog of {queue} is {open_rows[queue]} rows, not as counted"
        )


def _check_queued(records: Records) -> None:
    """Whoever is queued is in the sorted set that the reconciler reads, and nobody else is."""
    listed = {batch_id.decode() for queue in Queue for batch_id in records.held(Key.QUEUED + queue, [])}
    queued = {
        batch_id
        for batch_id, batch in records.batches.items()
        if batch[Field.STATE] == BatchState.QUEUED and not records.is_parent(batch_id)
    }
    assert listed == queued, "the sorted sets of queued batches are not as the records say"


def _check_leases(records: Records) -> None:
    """A running batch is under the lease of the worker that its record names, and that worker is known."""
    leased = {
        (key.removeprefix(Key.LEASES), batch_id)
        for key, (_, held) in records.keys.items()
        if key.startswith(Key.LEASES)
        for batch_id in held
    }
    for batch_id, batch in records.batches.items():
        if batch[Field.STATE] == BatchState.RUNNING and not records.is_parent(batch_id):
            assert (batch[Field.WORKER], batch_id) in leased, "a running batch is under no lease"
    for worker, _ in leased:
        assert worker in records.workers, "a lease of a worker that no reconciler looks at"
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
    elif key.startswith(Key.DEAD_LETTER):
        assert ttl >= 0, "a dead letter without an end"
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
        assert ttl >= 0, "a final record has no end"
        assert Field.ROWS not in records.batches[batch_id], "a final record keeps its rows"


class Homeless:
    """Batches that no queue holds, no worker has noted, and no lease covers: for how many looks they have been so."""

    def __init__(self) -> None:
        self._looks: Tally[str] = Tally()

    def look(self, records: Records) -> None:
        """A reconciler has looked; it must have found what had no home at its last two looks already."""
        homeless = self._find(records)
        self._looks = Tally({batch_id: self._looks[batch_id] + 1 for batch_id in homeless})
        late = [batch_id for batch_id, looks in self._looks.items() if looks > 2]
        assert not late, f"not found within two looks: {late}"

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
