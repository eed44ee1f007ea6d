"""Measures the CPU time of the reconciler with a million records in the store: `python -m benchmarks.reconciler`.

A separate broker is filled with records as gateways and workers write them: final ones within their retention, and
queued ones with their messages. Then the reconcilers of two gateways run once a second, as in production. The CPU time
of the broker and this process is printed as a share of one core, without and with the reconcilers.
"""

import argparse
import asyncio
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import redis
from prometheus_client import CollectorRegistry

from api.cluster.reconciler import Reconciler
from api.messages import CeleryMessages
from api.telemetry.metrics import GatewayMetrics
from local import broker
from shared.ids import SECRET_BYTES, new_batch_id
from shared.names import Queue
from shared.rows import Encoding, encode_matrix
from shared.store.pooled import PooledTransport
from shared.store.records import Member, pack_members
from shared.store.recovery import Recovery
from shared.store.schema import SCHEMA, BatchState, Field, Key

_PIPELINE_SIZE: Final = 5_000
_QUEUE: Final = Queue.INTERACTIVE
_RECORD_FIELDS: Final[dict[Any, Any]] = {
    Field.SCHEMA: SCHEMA,
    Field.CREATED: 1_700_000_000_000_000,
    Field.MEMBERS: pack_members([Member(bytes(SECRET_BYTES), 1)]),
    Field.MODEL: '{"name":"iris","version":"1","digest":"sha256:0"}',
    Field.N_ROWS: 1,
    Field.REPLY: f"{Key.REPLY}none",
    Field.QUEUE: _QUEUE.value,
    Field.ENCODING: Encoding.MATRIX.value,
}
_FINAL_FIELDS: Final[dict[Any, Any]] = {
    Field.STATE: BatchState.COMMITTED.value,
    Field.TOKEN: 1,
    Field.OUTCOME: bytes(90),
    Field.FINISHED: 1_700_000_000_000_000,
}


def main() -> None:
    """Fill the store, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconciler", description=__doc__)
    parser.add_argument("--final", type=int, default=1_000_000, help="final records")
    parser.add_argument("--queued", type=int, default=100_000, help="queued batches")
    parser.add_argument("--seconds", type=int, default=30, help="duration of each measurement")
    arguments = parser.parse_args()
    with _started_broker() as (process, port):
        with redis.Redis(port=port) as client:
            _fill_store(client, arguments.final, arguments.queued)
            n_records, memory = client.dbsize(), client.info("memory")["used_memory"]
        at_rest = _measure_cpu_share(process, lambda: time.sleep(arguments.seconds))
        reconciling = _measure_cpu_share(process, lambda: asyncio.run(_run_reconcilers(port, arguments.seconds)))
        with redis.Redis(port=port) as client:
            assert client.llen(_QUEUE.value) == arguments.queued, "the reconcilers published messages"
    print(f"{n_records:,} keys, {memory / 2**20:,.0f} MiB; {arguments.queued:,} batches are queued")
    print(f"at rest: {at_rest:.2%} of a core; with two reconcilers: {reconciling:.2%}")


@contextmanager
def _started_broker() -> Iterator[tuple[psutil.Process, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(broker.command(port, Path(folder)), stdout=subprocess.DEVNULL) as running,
    ):
        try:
            yield psutil.Process(running.pid), port
        finally:
            running.terminate()


def _fill_store(client: redis.Redis, n_final: int, n_queued: int) -> None:
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            time.sleep(0.05)
    publisher = CeleryMessages()
    (rows,) = encode_matrix([[4.8, 3.0, 1.4, 0.3]], 1)
    for start in range(0, n_final, _PIPELINE_SIZE):
        pipeline = client.pipeline(transaction=False)
        for _ in range(min(_PIPELINE_SIZE, n_final - start)):
            key = Key.BATCH + new_batch_id()
            pipeline.hset(key, mapping={**_RECORD_FIELDS, **_FINAL_FIELDS})
            pipeline.expire(key, 3600)
        pipeline.execute()
    for start in range(0, n_queued, _PIPELINE_SIZE):
        pipeline = client.pipeline(transaction=False)
        for sequence in range(start + 1, min(start + _PIPELINE_SIZE, n_queued) + 1):
            batch_id = new_batch_id()
            message = publisher.make_message(batch_id, _QUEUE, 1, 1)
            record: dict[Any, Any] = {
                **_RECORD_FIELDS,
                Field.STATE: BatchState.QUEUED.value,
                Field.ROWS: rows.content,
                Field.SEQUENCE: sequence,
                Field.MESSAGE: message,
            }
            pipeline.hset(Key.BATCH + batch_id, mapping=record)
            pipeline.zadd(Key.QUEUED + _QUEUE.value, {batch_id: sequence})
            pipeline.lpush(_QUEUE.value, f'{{"sequence":{sequence},{message[1:]}')
        pipeline.execute()
    client.hset(Key.SEQUENCE, _QUEUE.value, n_queued)
    client.hset(Key.WORKERS, mapping={f"worker-{number}": f"{2**52} 2" for number in range(8)})


def _measure_cpu_share(process: psutil.Process, function: Callable[[], object]) -> float:
    """Return the CPU seconds of the broker and of this process per second of elapsed time."""
    processes = [process, psutil.Process()]
    before, began = [sum(each.cpu_times()[:2]) for each in processes], time.monotonic()
    function()
    after = [sum(each.cpu_times()[:2]) for each in processes]
    return (sum(after) - sum(before)) / (time.monotonic() - began)


async def _run_reconcilers(port: int, seconds: int) -> None:
    """Run the reconcilers of two gateways, each once a second, half a second apart."""
    transports = [PooledTransport(f"redis://127.0.0.1:{port}/0") for _ in range(2)]
    publisher = CeleryMessages()
    metrics = GatewayMetrics(CollectorRegistry())
    limits = {"max_attempts": 3, "result_ttl_seconds": 3600, "dead_letter_ttl_seconds": 3600}
    reconcilers = [Reconciler(Recovery(transport, publisher, **limits), metrics) for transport in transports]
    for _ in range(seconds):
        for reconciler in reconcilers:
            await reconciler.tick()
            await asyncio.sleep(0.5)
    for transport in transports:
        await transport.close()


if __name__ == "__main__":
    main()
