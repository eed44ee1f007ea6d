"""The hot path counts every request, including failed ones."""

from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

from api.http.hot_path import HotPath
from api.telemetry.metrics import GatewayMetrics


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 500 and raise, as Starlette does for an unexpected error."""
    del scope, receive
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})
    raise RuntimeError("a bug")


async def test_request_with_an_unexpected_error_is_counted_and_keeps_its_id() -> None:
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry)
    hot_path = HotPath(failing, cast(Any, None), lambda: 1, metrics, None)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [(b"x-request-id", b"order-66")]}
    with pytest.raises(RuntimeError):
        await hot_path(scope, cast(Any, None), send)
    metrics.observe_and_set_gauges(n_waiters=0, n_gathering_rows=0)
    labels = {"method": "GET", "route": "", "status": "500"}
    assert registry.get_sample_value("sepal_http_request_seconds_count", labels) == 1
    assert (b"x-request-id", b"order-66") in sent[0]["headers"]
