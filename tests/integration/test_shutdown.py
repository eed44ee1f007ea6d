"""Processes are stopped and replaced while they serve requests."""

import signal
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests import pipelines
from tests.gates import save_gated
from tests.metrics import wait_for_gathered
from tests.models import save_misbehaving
from tests.patience import patience
from tests.stack import Client, Gateway, Stack, listens, running_stack, wait_for

ROW = [[4.8, 3, 1.4, 0.3]]
SOON, LATER = 101, 102  # gates: one opens while the gateway drains, the other after it has stopped
DRAIN_SECONDS = 20


def test_stopping_gateway_answers_within_its_drain_time_and_returns_ids_after_it(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with (
        running_stack(tmp_path, model_dir, "tests.patient", drain_seconds=DRAIN_SECONDS) as (stack, gateway),
        ThreadPoolExecutor(3) as threads,
        gates.closed(SOON, LATER),
    ):
        another = stack.start_gateway().wait_until_ready()
        soon = threads.submit(gateway.predict, [[1, SOON]])
        wait_for(lambda: stack.count("accepted") == 1, "the first batch")
        later = [threads.submit(gateway.predict, [[1, LATER]]) for _ in range(2)]
        wait_for_gathered(gateway, 2)
        gateway.part.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(gateway.port), "a gateway that drains")
        gates.open(SOON)
        assert soon.result().status_code == 200
        accepted = [future.result() for future in later]
        assert [response.status_code for response in accepted] == [202, 202]
        assert gateway.part.wait() in (0, -signal.SIGTERM)
        gates.open(LATER)
        for response in accepted:
            assert another.poll(response.headers["Location"]).json()["status"] == "succeeded"


def test_idle_connection_of_a_stopping_gateway_may_send_one_more_request(stack: Stack) -> None:
    stack.start_broker()
    gateway = stack.start_gateway("tests.patient")
    wait_for(lambda: listens(gateway.port), "a gateway")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=patience()) as connection:
        gateway.part.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(gateway.port), "a gateway that takes no more connections")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: sepal\r\n\r\n")
        answer = b""
        while received := connection.recv(4096):
            answer += received
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert gateway.part.wait() in (0, -signal.SIGTERM)


class Callers:
    """Clients that send requests in a loop, each to the next gateway."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = gateways
        self.outcomes: Counter[str] = Counter()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(4)]

    def __enter__(self) -> "Callers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        while not self._is_over.is_set():
            gateway = self.gateways[number % len(self.gateways)]
            number += 1
            try:
                with Client(gateway.port).client as client:  # a new connection
                    response = client.post("/predict", json={"data": ROW})
            except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
                # The kernel resets connections that the gateway has not accepted when it closes its listener.
                self.outcomes["connection refused"] += 1
            except httpx.TransportError as error:
                self.outcomes[type(error).__name__] += 1
            else:
                self.outcomes[str(response.status_code)] += 1
            self._is_over.wait(0.01)  # leaves time to the processes that start


def test_clients_see_only_refused_connections_in_a_rolling_restart(tmp_path: Path, iris_dir: Path) -> None:
    # A long drain time: no client gets an id instead of an answer.
    with running_stack(tmp_path, iris_dir, drain_seconds=patience()) as (stack, first):
        gateways = [first, stack.start_gateway().wait_until_ready()]
        workers = [stack.part("worker"), stack.start_worker()]
        wait_for(lambda: stack.redis.hlen("sepal:workers") == 2, "two workers")
        with Callers(gateways) as callers:
            for worker in workers:
                worker.stop()
                stack.start_worker()
                _wait_for_answers(callers, 50)
            for index in range(2):
                gateways[index].part.stop()
                gateways[index] = stack.start_gateway().wait_until_ready()
                _wait_for_answers(callers, 50)
        assert set(callers.outcomes) <= {"200", "connection refused"}
        assert callers.outcomes["200"] > 200
        assert stack.count("accepted") == stack.count("final") == callers.outcomes["200"]


def _wait_for_answers(callers: Callers, number: int) -> None:
    before = callers.outcomes["200"]
    wait_for(lambda: callers.outcomes["200"] >= before + number, "answers")


def test_worker_that_finishes_a_long_batch_after_sigterm_keeps_its_lease(stack: Stack, models_dir: Path) -> None:
    stack.start_broker()
    worker = stack.start_worker(model_dir=save_misbehaving(models_dir, pipelines.Sleeps()))
    gateway = stack.start_gateway().wait_until_ready()
    location = gateway.predict([[8000, 0]], prefer="respond-async").headers["Location"]
    wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
    worker.process.send_signal(signal.SIGTERM)
    assert gateway.poll(location).json()["prediction"] == [1]
    assert worker.wait() == 0
    assert "dropped an outcome" not in worker.log.read_text()
