"""`Idempotency-Key`: repeated requests, at any gateway, are one prediction."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gates import Gates
from tests.stack import Gateway, Stack, running_stack, wait_for

GATE = 100
WAITING = [[1, GATE]]


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[tuple[Stack, Gateway, Gateway]]:
    with running_stack(tmp_path_factory.mktemp("stack"), model_dir, max_bulk_backlog_rows=5000) as (stack, gateway):
        yield stack, gateway, stack.start_gateway().wait_until_ready()


def predict(gateway: Gateway, key: str, rows: Any = ((1, 0),), **headers: str) -> httpx.Response:
    return gateway.client.post("/predict", json={"data": rows}, headers={"Idempotency-Key": key, **headers})


@pytest.mark.parametrize("n_rows", [1, 2000])
def test_repeated_request_at_any_gateway_is_the_same_prediction(
    gateways: tuple[Stack, Gateway, Gateway], n_rows: int
) -> None:
    stack, first, second = gateways
    before = stack.count("accepted")
    responses = [predict(gateway, f'"same-{n_rows}"', [[1, 0]] * n_rows) for gateway in (first, second, first)]
    assert {response.status_code for response in responses} == {200}
    assert len({response.content for response in responses}) == 1
    assert stack.count("accepted") == before + n_rows


def test_quotes_are_not_part_of_the_key(gateways: tuple[Stack, Gateway, Gateway]) -> None:
    _, gateway, _ = gateways
    assert predict(gateway, '"bare"').json()["id"] == predict(gateway, "bare").json()["id"]


def test_same_key_with_another_body_is_refused(gateways: tuple[Stack, Gateway, Gateway]) -> None:
    _, gateway, another = gateways
    assert predict(gateway, '"body"').status_code == 200
    response = predict(another, '"body"', [[2, 0]])
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")


def test_equal_keys_of_different_clients_are_independent(
    gateways: tuple[Stack, Gateway, Gateway],
) -> None:
    _, gateway, _ = gateways
    responses = [predict(gateway, '"scope"', [[name, 0]], Authorization=f"Bearer {name}") for name in (1, 2)]
    assert len({response.json()["id"] for response in responses}) == 2


@pytest.mark.parametrize("key", ["", '""', '"half', "two words", '"' + "k" * 256 + '"', '"tab\t"'])
def test_malformed_key_is_refused(gateways: tuple[Stack, Gateway, Gateway], key: str) -> None:
    _, gateway, _ = gateways
    response = predict(gateway, key)
    assert (response.status_code, response.json()["code"]) == (400, "invalid-idempotency-key")


def test_repeated_request_waits_for_the_open_prediction(gateways: tuple[Stack, Gateway, Gateway], gates: Gates) -> None:
    stack, first, second = gateways
    before = stack.count("accepted")
    with ThreadPoolExecutor(2) as threads, gates.closed(GATE):
        started = predict(first, '"wait"', WAITING, Prefer="respond-async")
        assert started.status_code == 202
        waiting = [threads.submit(predict, gateway, '"wait"', WAITING) for gateway in (first, second)]
        gates.open(GATE)
        answers = [future.result() for future in waiting]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.json()["id"] for answer in answers} == {started.json()["id"]}
    assert stack.count("accepted") == before + 1


def test_one_of_many_simultaneous_requests_is_accepted_and_the_others_share_it_or_get_409(
    gateways: tuple[Stack, Gateway, Gateway], gates: Gates
) -> None:
    stack, *both = gateways
    before = stack.count("accepted")
    with ThreadPoolExecutor(16) as threads, gates.closed(GATE):
        futures = [threads.submit(predict, both[number % 2], '"race"', WAITING) for number in range(16)]
        wait_for(lambda: stack.count("accepted") > before, "the accepted request")
        gates.open(GATE)
        responses = [future.result() for future in futures]
    assert {response.status_code for response in responses} <= {200, 409}
    assert {response.json()["code"] for response in responses if response.status_code == 409} <= {
        "idempotency-key-in-use"
    }
    assert len({response.json()["id"] for response in responses if response.status_code == 200}) == 1
    assert stack.count("accepted") == before + 1


def test_key_of_a_refused_request_can_be_used_again(gateways: tuple[Stack, Gateway, Gateway]) -> None:
    _, gateway, _ = gateways
    assert predict(gateway, '"full"', [[0, 0]] * 6000).json()["code"] == "backlog-full"
    assert predict(gateway, '"full"').status_code == 200


def test_key_is_kept_as_long_as_the_result(gateways: tuple[Stack, Gateway, Gateway], gates: Gates) -> None:
    stack, gateway, _ = gateways
    before = set(stack.redis.scan_iter("sepal:idempotency:*"))
    with gates.closed(GATE):
        accepted = predict(gateway, '"kept"', WAITING, Prefer="respond-async")
        (key,) = set(stack.redis.scan_iter("sepal:idempotency:*")) - before
        assert stack.redis.ttl(key) == -1
    gateway.poll(accepted.headers["Location"])
    record = f"sepal:batch:{accepted.json()['id'][:20]}"
    ttl = stack.redis.ttl(record)
    assert 0 < stack.redis.ttl(key) <= ttl + 1
