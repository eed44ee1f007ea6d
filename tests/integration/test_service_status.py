"""`GET /status` of a running service."""

from typing import Any

import pytest

from tests.integration.conftest import GatedStack
from tests.stack import Gateway, Stack, wait_for

GATE = 100
ROWS = [[1, GATE], [2, GATE]]
IDLE = {"backlog_rows": 0, "oldest_seconds": 0.0, "seconds_left": 0}


def status_of(gateway: Gateway) -> Any:
    return gateway.client.get("/status").raise_for_status().json()


def backlog(gateway: Gateway, queue: str) -> int:
    return int(status_of(gateway)["queues"][queue]["backlog_rows"])


def test_service_at_rest_has_workers_and_no_backlog(gated: GatedStack) -> None:
    wait_for(lambda: status_of(gated.gateway)["gateways"] == 1, "the gateway in its own status")
    status = status_of(gated.gateway)
    assert (status["ready"], status["reasons"], status["workers"]) == (True, [], 1)
    assert status["model"] == gated.gateway.predict([[1, 0]]).json()["model"]
    for queue in ("interactive", "bulk"):
        assert status["queues"][queue]["pool_processes"] == 1
        assert IDLE.items() <= status["queues"][queue].items()
    assert status["bulk_predictions"]["open"] == 0


def test_waiting_rows_are_the_backlog_of_their_queue(gated: GatedStack) -> None:
    client = gated.gateway.client
    with gated.gates.closed(GATE):
        small = gated.gateway.predict(ROWS, prefer="respond-async").headers["Location"]
        wait_for(lambda: backlog(gated.gateway, "interactive") == 2, "the backlog of a small prediction")
        file = client.post("/predictions", json={"data": ROWS * 5}).raise_for_status().headers["Location"]
        wait_for(lambda: backlog(gated.gateway, "bulk") == 10, "the backlog of a file")
        stored = status_of(gated.gateway)["bulk_predictions"]
        assert stored["open"] == 1
        assert stored["stored_bytes"] > 0
        wait_for(lambda: status_of(gated.gateway)["bulk_predictions"]["oldest_seconds"] > 0, "the age of the file")
    for location in (small, file):
        assert gated.gateway.poll(location).json()["status"] == "succeeded"
    wait_for(lambda: not backlog(gated.gateway, "interactive") + backlog(gated.gateway, "bulk"), "no backlog")


@pytest.mark.parametrize("queue", ["interactive", "bulk"])
def test_final_rows_have_a_rate(gated: GatedStack, queue: str) -> None:
    def rate() -> float:
        path = {"interactive": "/predict", "bulk": "/predictions"}[queue]
        gated.gateway.client.post(path, json={"data": [[1, 0]] * 50}).raise_for_status()
        return float(status_of(gated.gateway)["queues"][queue]["rows_per_second"] or 0)

    wait_for(rate, f"a rate of the queue {queue}")


def test_status_is_answered_at_once_while_the_broker_is_frozen_and_says_so(stack: Stack) -> None:
    broker = stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    broker.process.suspend()
    try:
        wait_for(lambda: not status_of(gateway)["ready"], "a status without the broker")
        status = status_of(gateway)
        assert [reason["code"] for reason in status["reasons"]] == ["broker-unavailable"]
        assert status["model"]["name"] == "iris"
        assert {status[member] for member in ("gateways", "workers", "dead_letters", "bulk_predictions")} == {None}
        assert status["queues"] == {}
    finally:
        broker.process.resume()
    wait_for(lambda: status_of(gateway)["ready"], "a status with the broker")
    assert status_of(gateway)["workers"] == 1
