"""What the service is doing: whether it is ready, its workers, and what waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sepal_client.errors import Problem
from sepal_client.progress import read_problem
from sepal_client.result import ModelRef, read_model_ref


@dataclass(frozen=True)
class QueueStatus:
    """One of the queues: `interactive` or `bulk`."""

    pool_processes: int
    """Loaded processes that take batches of this queue."""
    backlog_rows: int
    """Rows that were accepted and are not final."""
    oldest_seconds: float | None = None
    """Age of the oldest batch that no worker has claimed; 0 for none."""
    rows_per_second: float | None = None
    """Rows that became final in the last seconds; None until it is measured."""
    seconds_left: float | None = None
    """At this rate; None if rows wait and none becomes final."""


@dataclass(frozen=True)
class BulkStatus:
    """The bulk predictions of all clients."""

    open: int | None = None
    """How many are not final."""
    oldest_seconds: float | None = None
    """Age of the oldest of these."""
    stored_bytes: int | None = None
    """What is reserved for their rows and results, and for those of final ones."""


@dataclass(frozen=True)
class ServiceStatus:
    """The service at one moment; numbers are None while the gateway cannot reach the broker."""

    ready: bool
    """Whether a prediction that is sent now would be answered."""
    reasons: tuple[Problem, ...]
    """Why it is not ready."""
    model: ModelRef | None
    """None as long as no worker has announced one."""
    gateways: int | None
    workers: int | None
    """Those that have loaded the model."""
    dead_letters: int | None
    queues: Mapping[str, QueueStatus]
    bulk_predictions: BulkStatus
    raw: Mapping[str, Any] = field(repr=False)
    """All that the gateway said."""


def read_status(body: Mapping[str, Any]) -> ServiceStatus:
    """Read the status of the service.

    Raises:
        KeyError, TypeError, AttributeError: it is none.
    """
    model = body.get("model")
    return ServiceStatus(
        ready=bool(body["ready"]),
        reasons=tuple(map(read_problem, body["reasons"])),
        model=None if model is None else read_model_ref(model),
        gateways=body.get("gateways"),
        workers=body.get("workers"),
        dead_letters=body.get("dead_letters"),
        queues={str(name): _queue(queue) for name, queue in body["queues"].items()},
        bulk_predictions=_bulk(body.get("bulk_predictions") or {}),
        raw=body,
    )


def _queue(body: Mapping[str, Any]) -> QueueStatus:
    return QueueStatus(
        pool_processes=int(body["pool_processes"]),
        backlog_rows=int(body["backlog_rows"]),
        oldest_seconds=body.get("oldest_seconds"),
        rows_per_second=body.get("rows_per_second"),
        seconds_left=body.get("seconds_left"),
    )


def _bulk(body: Mapping[str, Any]) -> BulkStatus:
    return BulkStatus(body.get("open"), body.get("oldest_seconds"), body.get("stored_bytes"))
