"""Finds what bulk predictions leave in Redis and in the object store."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import psutil

from shared.bulk import MARKER_KEY, SliceResult, Source
from shared.objects import KEY_PREFIX, ObjectStore
from shared.store.schema import STORED_ROWS, BatchState, Counter, Field, Key
from tests.stack import SESSION, SESSION_VARIABLE

_OF_BULK: Final = (
    *(Key.SLICES, Key.OWNERS, Key.UNCUT, Key.BULK_OPEN, Key.RESULTS, Key.STORED, Key.UPLOADS, Key.SWEEP, Key.OWNER),
    Key.EXHAUSTED,
)
_OF_BATCHES: Final = (Key.LEASES, Key.UNACKED, Key.UNACKED_INDEX, Key.QUEUED)
"""Keys of single predictions, too, which exist while any is open."""
_TABLES: Final = "api.formats"


def live(server: Any) -> dict[str, set[str]]:
    """Return the keys of rows and results for each prediction with a record; a failed one has none."""
    found: dict[str, set[str]] = {}
    for raw_id in server.hkeys(Key.STORED):
        batch_id = raw_id.decode()
        source, state = server.hmget(Key.BATCH + batch_id, Field.SOURCE, Field.STATE)
        if state == BatchState.FAILED.encode():
            found[batch_id] = set()
        elif source is not None:
            packed = server.zrange(Key.RESULTS + batch_id, 0, -1)
            found[batch_id] = {Source.decode(source).key, *(SliceResult.decode(result).key for result in packed)}
    return found


def objects(store: ObjectStore) -> set[str]:
    """Return the keys of all objects except the marker, including unfinished ones in a folder."""
    return {stored.key for stored in store.list() if stored.key != MARKER_KEY}


def misplaced(server: Any, store: ObjectStore) -> list[str]:
    """List the missing objects of live predictions, and the objects that belong to no prediction.

    Objects left by killed attempts stay until the other objects of their prediction are deleted.
    """
    predictions, found = live(server), objects(store)
    needed = set().union(*predictions.values())
    stray = {key for key in found if key.removeprefix(KEY_PREFIX).partition("/")[0] not in predictions}
    return [f"missing: {key}" for key in sorted(needed - found)] + [f"stray: {key}" for key in sorted(stray)]


def unneeded(server: Any, store: ObjectStore) -> int:
    """Count the unneeded objects of live predictions, which killed attempts have left."""
    needed = set().union(*live(server).values())
    return len(objects(store) - needed)


def end_abandoned_uploads(server: Any) -> None:
    """End the reservations of uploads now instead of in half a minute; no upload is in progress."""
    for batch_id in server.zrange(Key.UPLOADS, 0, -1):
        server.zadd(Key.UPLOADS, {batch_id: 0}, xx=True)


def end_retention(server: Any) -> None:
    """Expire the records of all bulk predictions now, with all keys that expire with them."""
    for batch_id in server.hkeys(Key.STORED):
        key = Key.BATCH + batch_id.decode()
        names = (server.hget(key, Field.IDEMPOTENCY) or b"").split()
        server.delete(key, Key.RESULTS + batch_id.decode(), *names)
        server.zadd(Key.SWEEP, {batch_id: 0}, xx=True)


def left(server: Any, store: ObjectStore, *, are_batches_open: bool) -> list[str]:
    """List what is left in Redis and the object store when no bulk prediction has a record.

    Args:
        server: the broker.
        store: the object store.
        are_batches_open: whether single predictions may be open.
    """
    prefixes = _OF_BULK if are_batches_open else (*_OF_BULK, *_OF_BATCHES)
    keys = [key.decode() for key in server.scan_iter("*", count=1000)]
    found = [f"key: {key}" for key in keys if _is_one_of(key, prefixes)]
    if n_bytes := int(server.get(Key.STORED_BYTES) or 0):
        found.append(f"{n_bytes} reserved bytes")
    if n_rows := open_rows(server):
        found.append(f"{n_rows} open rows")
    return [*found, *(f"object: {key}" for key in sorted(objects(store)))]


def _is_one_of(key: str, names: Sequence[Key]) -> bool:
    return any(key.startswith(name) if name.endswith(":") else key == name for name in names)


def open_rows(server: Any) -> int:
    """Return the number of rows of bulk predictions that were accepted and are not final."""
    accepted, final = server.hmget(Key.BACKLOG, [counter + STORED_ROWS for counter in Counter])
    return int(accepted or 0) - int(final or 0)


def table_processes(gateway_pid: int) -> list[psutil.Process]:
    """Return the table server of a gateway, and the processes of its jobs."""
    try:
        children = psutil.Process(gateway_pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [process for process in children if _is_table_process(process)]


def job_processes(gateway_pid: int) -> list[psutil.Process]:
    """Return the processes of a gateway's uploads and downloads."""
    return table_processes(gateway_pid)[1:]  # parents come first


def unowned_table_processes(gateway_pids: list[int]) -> list[psutil.Process]:
    """Return the table processes of this test session that belong to none of the gateways."""
    owned = {process.pid for pid in gateway_pids for process in table_processes(pid)}
    return [process for process in _all_table_processes() if process.pid not in owned]


def describe(process: psutil.Process) -> dict[str, Any]:
    """Return what helps to find out why a process still runs."""
    shown: dict[str, Any] = process.as_dict(["pid", "ppid", "status", "num_threads", "net_connections"])
    return shown


def _all_table_processes() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get(SESSION_VARIABLE) == SESSION
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if is_ours and _is_table_process(process):
            yield process


def _is_table_process(process: psutil.Process) -> bool:
    try:
        return _TABLES in process.cmdline()
    except psutil.NoSuchProcess:
        return False
