"""The invariants of bulk predictions in the store, which hold after every step."""

from typing import Any

import msgspec

from shared.bulk import Slice, SliceResult
from shared.store.schema import SLICE, SLICES_PER_PROCESS, STORED_ROWS, BatchState, Counter, Field, Key
from tests.machine.invariants import Records


class StoredRecords:
    """The records of bulk predictions at one moment."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.parents = {each for each in records.batches if records.is_stored(each)}
        self.slices = {each for each in records.batches if records.batches[each].get(Field.ENCODING) == SLICE}

    @property
    def open(self) -> set[str]:
        """The open predictions."""
        return {each for each in self.parents if self.records.is_open(each)}

    def number(self, batch_id: str, name: Field) -> int:
        """Return a numeric field of a record."""
        return int(self.records.batches[batch_id][name])

    def rows(self, slice_id: str) -> Slice:
        """Return the rows of a slice."""
        raw: Any = self.records.keys[Key.BATCH + slice_id][1][Field.ROWS]
        return msgspec.msgpack.decode(raw, type=Slice)

    def texts(self, key: str) -> list[str]:
        """Return the members of a set, a sorted set or a list, or the fields of a hash."""
        members = self.records.value(key, [])
        return [member if isinstance(member, str) else member.decode() for member in members]

    def wanted_slices(self) -> int:
        """Return how many slices the announced pool processes need; each worker has one."""
        ends = [self.records.lease_ends(worker) for worker in self.records.workers]
        n_loaded = [int(announced.split()[1]) for announced in self.records.workers.values()]
        valid = [n for end, n in zip(ends, n_loaded, strict=True) if end >= self.records.now_us]
        return SLICES_PER_PROCESS * sum(valid)


def check_handed_out(before: StoredRecords, after: StoredRecords) -> None:
    """Check that no more slices were cut than the pool processes need."""
    cut = {each: after.number(each, Field.NEXT_ROW) for each in after.parents}
    cut_before = {each: before.number(each, Field.NEXT_ROW) for each in before.parents}
    if any(row > cut_before.get(each, 0) for each, row in cut.items()):
        assert len(after.slices) <= after.wanted_slices(), "more slices are handed out than the pool processes need"


def check(stored: StoredRecords) -> None:
    """Check the invariants of the records at one moment."""
    _check_rows(stored)
    _check_turns(stored)
    _check_space(stored)
    assert set(stored.texts(Key.SLICES)) == stored.slices, "the set of slices differs from the records"
    assert set(stored.texts(Key.BULK_OPEN)) == stored.open, "the open bulk predictions differ from the records"


def _check_rows(stored: StoredRecords) -> None:
    """Check that each row of an open prediction is in one place: a result, a slice, or not cut."""
    n_open = 0
    for batch_id in stored.open:
        n_rows, next_row = (stored.number(batch_id, name) for name in (Field.N_ROWS, Field.NEXT_ROW))
        results = [SliceResult.decode(raw.encode(errors="surrogateescape")) for raw in _results(stored, batch_id)]
        parts = [(result.first_row, result.n_rows) for result in results]
        parts += [
            (rows.first_row, rows.n_rows)
            for rows in (stored.rows(each) for each in stored.slices if each.startswith(f"{batch_id}."))
        ]
        at = 0
        for first_row, n_part in sorted(parts):
            assert first_row == at, "a row is in two slices, or in none"
            at += n_part
        assert at == next_row, "rows that were cut are in no slice"
        n_open += n_rows - stored.number(batch_id, Field.ROWS_DONE)
    counters = stored.records.value(Key.BACKLOG, {})
    accepted, final = (int(counters.get(counter + STORED_ROWS, 0)) for counter in Counter)
    assert accepted - final == n_open, "the rows of bulk predictions are miscounted"


def _results(stored: StoredRecords, batch_id: str) -> list[str]:
    return list(stored.records.value(Key.RESULTS + batch_id, {}))


def _check_turns(stored: StoredRecords) -> None:
    """Check that each prediction with uncut rows has its turn, and each of their owners."""
    uncut: dict[str, list[str]] = {}
    for key in stored.records.keys:
        if key.startswith(Key.UNCUT):
            uncut[key.removeprefix(Key.UNCUT)] = stored.texts(key)
    expected = {each for each in stored.open if stored.number(each, Field.NEXT_ROW) < stored.number(each, Field.N_ROWS)}
    waiting = [each for waiting in uncut.values() for each in waiting]
    assert sorted(waiting) == sorted(expected), "a prediction has no turn, or two"
    assert sorted(stored.texts(Key.OWNERS)) == sorted(uncut), "an owner has no turn, or two"


def _check_space(stored: StoredRecords) -> None:
    """Check that the reserved space adds up, and that a sweeper will examine each holder."""
    held = {batch_id: int(entry.split()[0]) for batch_id, entry in stored.records.value(Key.STORED, {}).items()}
    total = int(stored.records.value(Key.STORED_BYTES, 0))
    assert sum(held.values()) == total, "the bytes in the object store do not add up"
    uploads, swept = stored.texts(Key.UPLOADS), stored.texts(Key.SWEEP)
    assert sorted(held) == sorted(uploads + swept), "a sweeper would not find some space"
    for batch_id in stored.parents:
        assert batch_id in held, "a bulk prediction has no entry for its space"
        if stored.records.is_open(batch_id) or stored.records.state(batch_id) == BatchState.SUCCEEDED:
            assert held[batch_id] > 0, "a bulk prediction with objects has no space"
