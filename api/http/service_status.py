"""`GET /status`: the state of the whole service, as of this gateway's last refresh."""

import math
from typing import Final

from pydantic import BaseModel, Field

from api.cluster.status import ClusterStatus
from api.cluster.throughput import waiting_rows
from api.http.schemas import Count, NonNegativeNumber, Reason
from shared.card import ModelRef
from shared.errors import BrokerUnavailable
from shared.names import Queue
from shared.store.status import Overview

_REF_EXAMPLE: Final = {"name": "iris", "version": "1", "digest": "sha256:" + "0" * 64}
EXAMPLES: Final = {
    "scoring": {
        "summary": "A file is being scored",
        "value": {
            "ready": True,
            "reasons": [],
            "model": _REF_EXAMPLE,
            "gateways": 2,
            "workers": 2,
            "dead_letters": 0,
            "queues": {
                "interactive": {
                    "pool_processes": 1,
                    "backlog_rows": 0,
                    "oldest_seconds": 0,
                    "rows_per_second": 812.4,
                    "seconds_left": 0,
                },
                "bulk": {
                    "pool_processes": 1,
                    "backlog_rows": 1200000,
                    "oldest_seconds": 0.131,
                    "rows_per_second": 402000.2,
                    "seconds_left": 3,
                },
            },
            "bulk_predictions": {"open": 2, "oldest_seconds": 4.271, "stored_bytes": 67000000},
        },
    },
    "broker away": {
        "summary": "The broker is unavailable",
        "value": {
            "ready": False,
            "reasons": [{"code": BrokerUnavailable.code, "detail": BrokerUnavailable.detail}],
            "model": _REF_EXAMPLE,
            "gateways": None,
            "workers": None,
            "dead_letters": None,
            "queues": {},
            "bulk_predictions": None,
        },
    },
}
"""The examples in OpenAPI."""


class QueueStatus(BaseModel):
    """The rows of a queue, and how fast its pool processes score them."""

    pool_processes: Count = Field(
        description="Loaded pool processes that run its batches; one may run those of both queues."
    )
    backlog_rows: Count = Field(description="Rows accepted and not yet final.")
    oldest_seconds: NonNegativeNumber = Field(
        description="Age of the oldest batch that no worker has claimed; 0 for none."
    )
    rows_per_second: NonNegativeNumber | None = Field(
        description="Rows that became final per second, over the last five seconds; null until measured."
    )
    seconds_left: Count | None = Field(
        description="Time until the backlog is final, at this rate; null while no row becomes final."
    )


class BulkOverview(BaseModel):
    """The bulk predictions of all clients."""

    open: Count = Field(description="Number of predictions that are not final.")
    oldest_seconds: NonNegativeNumber = Field(description="Age of the oldest of them; 0 for none.")
    stored_bytes: Count = Field(
        description="Bytes reserved in the object store for rows and results, also of final predictions."
    )


class ServiceStatus(BaseModel):
    """The state of the whole service as last read from the broker; if that failed, numbers are null."""

    ready: bool = Field(description="Whether a prediction sent now would be answered, as in `/readyz`.")
    reasons: list[Reason] = Field(description="Why the gateway is not ready; empty if it is.")
    model: ModelRef | None = Field(description="The model that rows are checked against; null if none is known.")
    gateways: Count | None = Field(description="Gateway processes, this one included.")
    workers: Count | None = Field(description="Workers that have loaded the model.")
    dead_letters: Count | None = Field(description="Batches that used up their attempts, kept for an operator.")
    queues: dict[Queue, QueueStatus] = Field(description="By name; empty while the broker is unavailable.")
    bulk_predictions: BulkOverview | None


def service_status(cluster: ClusterStatus) -> ServiceStatus:
    """Return the status of the service from the last overview."""
    reasons = cluster.unready_reasons()
    is_known = not any(isinstance(reason, BrokerUnavailable) for reason in reasons)
    overview = cluster.overview if is_known else None
    return ServiceStatus(
        ready=not reasons,
        reasons=[Reason(code=reason.code, detail=str(reason)) for reason in reasons],
        model=cluster.model.ref,
        gateways=overview and overview.gateways,
        workers=overview and overview.workers,
        dead_letters=overview and overview.dead_letters,
        queues={queue: _queue_status(cluster, overview, queue) for queue in Queue} if overview else {},
        bulk_predictions=overview and _bulk_status(overview),
    )


def _queue_status(cluster: ClusterStatus, overview: Overview, queue: Queue) -> QueueStatus:
    waiting, rate = waiting_rows(overview, queue), cluster.throughput.rows_per_second(queue)
    return QueueStatus(
        pool_processes=overview.queue_processes[queue],
        backlog_rows=waiting,
        oldest_seconds=round(overview.oldest_seconds[queue], 3),
        rows_per_second=None if rate is None else round(rate, 1),
        seconds_left=_seconds_left(waiting, rate or 0),
    )


def _seconds_left(n_waiting_rows: int, rows_per_second: float) -> int | None:
    if not n_waiting_rows:
        return 0
    return math.ceil(n_waiting_rows / rows_per_second) if rows_per_second else None


def _bulk_status(overview: Overview) -> BulkOverview:
    stored = overview.stored
    return BulkOverview(open=stored.n_open, oldest_seconds=round(stored.oldest_seconds, 3), stored_bytes=stored.n_bytes)
