"""`SEPAL_MAX_WAITERS`: a request beyond the limit is refused, and nothing of it is stored."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.gates import Gates
from tests.integration.conftest import GatedStack
from tests.stack import Gateway, Stack, wait_for

GATE = 3
KEY = {"Idempotency-Key": '"a key"'}


@pytest.fixture
def limited(gated: GatedStack) -> Iterator[tuple[Stack, Gateway, Gates]]:
    """A gateway that lets one request wait, and a pipeline that does not answer while the gate is closed."""
    gateway = gated.stack.start_gateway(max_waiters=1).wait_until_ready()
    yield gated.stack, gateway, gated.gates
    gateway.part.kill()


def refused(gateway: Gateway, headers: dict[str, str] | None = None) -> httpx.Response | None:
    """Send a request that waits for a moment; return its response if it was refused."""
    response = gateway.client.post(
        "/predict", json={"data": [[1, GATE]]}, headers={"Prefer": "wait=1"} | (headers or {})
    )
    return response if response.status_code != 202 else None


def test_one_waiter_too_many_is_refused_and_leaves_nothing(limited: tuple[Stack, Gateway, Gates]) -> None:
    stack, gateway, gates = limited
    with ThreadPoolExecutor(1) as threads:
        with gates.closed(GATE):
            waiting = threads.submit(gateway.predict, [[1, GATE]])
            wait_for(lambda: stack.count("accepted") == 1, "the prediction of the request that waits")
            before = stack.count("accepted"), set(stack.redis.scan_iter("sepal:idempotency:*"))
            for headers in ({}, KEY):
                response = refused(gateway, headers)
                assert response is not None
                assert response.status_code == 503
                assert response.json()["code"] == "too-many-waiters"
                assert int(response.headers["Retry-After"]) >= 1
            assert (stack.count("accepted"), set(stack.redis.scan_iter("sepal:idempotency:*"))) == before
            for prefer in ("respond-async", "wait=0"):
                assert gateway.predict([[1, GATE]], prefer=prefer).status_code == 202
        assert waiting.result().status_code == 200
    assert gateway.predict([[1, 0]]).status_code == 200
