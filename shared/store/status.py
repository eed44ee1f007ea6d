"""Reads the cluster status: the model, the workers, the backlog, the memory of the server."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from shared.names import Queue
from shared.store.clock import StoreClock
from shared.store.scripts import Script
from shared.store.transport import AsyncTransport
from shared.store.workers import LoadFailure

_STATUS: Final = Script.load("status")


class BulkOverview(NamedTuple):
    """The status of bulk predictions, whose rows are in the object store."""

    accepted_rows: int = 0
    final_rows: int = 0
    n_bytes: int = 0
    """Space for rows and results, including those of final predictions."""
    n_open: int = 0
    oldest_seconds: float = 0
    """Age of the oldest open prediction; 0 if there is none."""

    @property
    def backlog(self) -> int:
        """Rows that were accepted and are not yet final."""
        return self.accepted_rows - self.final_rows


_NO_BULK_PREDICTIONS: Final = BulkOverview()


@dataclass(frozen=True, slots=True)
class Overview:
    """The cluster status, as a gateway reads it every second."""

    card: bytes | None
    gateways: int
    """Number of gateway processes, each of which subscribes to a reply channel."""
    workers: int
    """Number of announced workers with a loaded pool process."""
    pool_processes: int
    """Number of loaded pool processes of all workers."""
    queue_processes: Mapping[Queue, int]
    """Loaded pool processes for each queue; a process may serve both queues."""
    accepted_rows: Mapping[Queue, int]
    """Rows of predictions whose rows are in Redis."""
    final_rows: Mapping[Queue, int]
    oldest_seconds: Mapping[Queue, float]
    """Age of the oldest batch that no worker has claimed; 0 if there is none."""
    dead_letters: int
    memory_bytes: int
    """Memory that the server uses."""
    memory_limit_bytes: int
    """The server's `maxmemory`; 0 for none."""
    load_failure: LoadFailure | None = None
    """The load failure of a worker within the last minute."""
    stored: BulkOverview = _NO_BULK_PREDICTIONS

    def backlog(self, queue: Queue) -> int:
        """Rows of a queue that were accepted and are not yet final."""
        return self.accepted_rows[queue] - self.final_rows[queue]


class StatusReader:
    """Reads the cluster status, and sets the gateway's clock to the store's."""

    def __init__(self, transport: AsyncTransport, clock: StoreClock) -> None:
        self._transport = transport
        self._clock = clock

    async def read_overview(self) -> Overview:
        """Read the cluster status.

        Raises:
            BrokerUnavailable: Redis timed out.
        """
        reply = await self._transport.run(_STATUS, [])
        raw_now, card, workers, gateways, letters, memory, load_failure, stored, *of_queues = reply
        now_us = int(raw_now)
        self._clock.set(now_us)
        loaded = _parse_announcements(workers[1::2], now_us)
        of_queue = {queue: sum(n for n, queues in loaded if queue in queues) for queue in Queue}
        numbers = {
            queue: [int(number or 0) for number in counted] for queue, counted in zip(Queue, of_queues, strict=True)
        }
        memory_bytes, memory_limit_bytes = _parse_memory(memory)
        return Overview(
            card=card,
            gateways=gateways,
            workers=sum(1 for processes, _ in loaded if processes),
            pool_processes=sum(processes for processes, _ in loaded),
            queue_processes=of_queue,
            accepted_rows={queue: accepted for queue, (accepted, _, _) in numbers.items()},
            final_rows={queue: final for queue, (_, final, _) in numbers.items()},
            oldest_seconds={queue: _age_seconds(created, now_us) for queue, (_, _, created) in numbers.items()},
            dead_letters=letters,
            memory_bytes=memory_bytes,
            memory_limit_bytes=memory_limit_bytes,
            load_failure=_decode_load_failure(load_failure),
            stored=_decode_bulk_overview([int(number or 0) for number in stored], now_us),
        )


def _decode_bulk_overview(numbers: list[int], now_us: int) -> BulkOverview:
    accepted, final, n_bytes, n_open, created_us = numbers
    return BulkOverview(accepted, final, n_bytes, n_open, _age_seconds(created_us, now_us))


def _age_seconds(created_us: int, now_us: int) -> float:
    """Return the time since `created_us` in seconds; 0 if `created_us` is 0."""
    return max(0, now_us - created_us) / 1e6 if created_us else 0


def _decode_load_failure(raw: bytes | None) -> LoadFailure | None:
    try:
        return msgspec.json.decode(raw or b"null", type=LoadFailure | None)
    except msgspec.MsgspecError:  # another version of Sepal wrote it
        return None


def _parse_announcements(announcements: list[bytes], now_us: int) -> list[tuple[int, list[str]]]:
    """Return the number of loaded pool processes and the queues of each worker with a valid announcement."""
    announced = [announcement.decode().split(" ") for announcement in announcements]
    return [
        (int(processes), "".join(rest[:1]).split(","))
        for until_ms, processes, *rest in announced
        if int(until_ms) >= now_us // 1000
    ]


def _parse_memory(info: bytes) -> tuple[int, int]:
    """Return `used_memory` and `maxmemory` from a reply of INFO."""
    values: dict[str, Any] = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    return int(values["used_memory"]), int(values["maxmemory"])
