"""The status of the service: readiness, workers, backlog and rates."""

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
    """Loaded pool processes that take batches from this queue."""
    backlog_rows: int
    """Rows that are accepted and not yet final."""
    oldest_seconds: float | None = None
    """Age of the oldest batch that no worker has claimed; 0 for none."""
    rows_per_second: float | None = None
    """Rows that became final per second, over the last seconds; None until measured."""
    seconds_left: float | None = None
    """Time until the backlog is final at this rate; None if rows wait and none becomes final."""


@dataclass(frozen=True)
class BulkStatus:
    """The bulk predictions of all clients."""

    open: int | None = None
    """The number of predictions that are not final."""
    oldest_seconds: float | None = None
    """Age of the oldest of these."""
    stored_bytes: int | None = None
    """Bytes reserved for the rows and results of all bulk predictions, including final ones."""


@dataclass(frozen=True)
class ServiceStatus:
    """The status of the service at one moment; numbers are None while the broker is unreachable."""

    ready: bool
    """Whether a prediction that is submitted now would get a result."""
    reasons: tuple[Problem, ...]
    """The reasons why it is not ready."""
    model: ModelRef | None
    """None until a worker has announced one."""
    gateways: int | None
    workers: int | None
    """Workers that have loaded the model."""
    dead_letters: int | None
    queues: Mapping[str, QueueStatus]
    bulk_predictions: BulkStatus
    raw: Mapping[str, Any] = field(repr=False)
    """The gateway's JSON."""


def read_status(body: Mapping[str, Any]) -> ServiceStatus:
    """Parse the status of the service.

    Raises:
        KeyError, TypeError, AttributeError: the body has another form.
    """
    model = body.get("model")
    return ServiceStatus(
        ready=bool(body["ready"]),
        reasons=tuple(map(read_problem, body["reasons"])),
        model=None if model is None else read_model_ref(model),
        gateways=body.get("gateways"),
        workers=body.get("workers"),
        dead_letters=body.get("dead_letters"),
        queues={str(name): _read_queue(queue) for name, queue in body["queues"].items()},
        bulk_predictions=_read_bulk(body.get("bulk_predictions") or {}),
        raw=body,
    )


def _read_queue(body: Mapping[str, Any]) -> QueueStatus:
    return QueueStatus(
        pool_processes=int(body["pool_processes"]),
        backlog_rows=int(body["backlog_rows"]),
        oldest_seconds=body.get("oldest_seconds"),
        rows_per_second=body.get("rows_per_second"),
        seconds_left=body.get("seconds_left"),
    )


def _read_bulk(body: Mapping[str, Any]) -> BulkStatus:
    return BulkStatus(body.get("open"), body.get("oldest_seconds"), body.get("stored_bytes"))
