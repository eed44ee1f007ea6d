"""Metrics of a real gateway and a real worker: their values, and a bounded number of series."""

import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import pytest

from tests import pipelines
from tests.gates import Gates, save_gated
from tests.metrics import Metrics
from tests.stack import Gateway, Stack, free_port, pool_process, wait_for
from tests.tools import tool

PROCESSES = 2
GATE = 100


class Site(NamedTuple):
    """A stack of one gateway and one worker, and the port of the worker's metrics."""

    stack: Stack
    gateway: Gateway
    worker_port: int
    gates: Gates

    def read(self) -> Metrics:
        return Metrics(self.gateway.port, self.worker_port)

    def wait_for(self, expected: float, name: str, /, **labels: str) -> None:
        """Wait for a value: a pool process counts after its commit, and a gateway refreshes once a second."""
        wait_for(lambda: self.read().value(name, **labels) == expected, f"{expected} {name} {labels}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, worker_port = tmp_path_factory.mktemp("metrics"), free_port()
    model_dir, gates = save_gated(folder, pipelines.WaitsOrRejects)
    stack = Stack(folder, model_dir)
    try:
        stack.start_broker()
        stack.start_worker(worker_http_port=worker_port, worker_processes=PROCESSES)
        yield Site(stack, stack.start_gateway().wait_until_ready(), worker_port, gates)
    finally:
        stack.stop()


def test_batches_of_all_pool_processes_are_measured(site: Site) -> None:
    """First: a pool process reports its attempt at a canceled batch late."""
    before = site.read()
    assert site.gateway.predict([[1, 0]] * 100).status_code == 200
    site.wait_for(before.value("batch_rows_count", queue="interactive") + 1, "batch_rows_count", queue="interactive")
    after = site.read()
    assert after.value("batch_rows_sum") - before.value("batch_rows_sum") == 100
    assert after.value("attempts_total") - before.value("attempts_total") == 1
    assert after.value("queue_seconds_count") - before.value("queue_seconds_count") == 1
    assert after.value("predict_seconds_sum") - before.value("predict_seconds_sum") > 0


def test_predictions_are_counted_by_final_state(site: Site) -> None:
    gateway = site.gateway
    before = site.read()

    def gained(n: int, state: str, queue: str = "interactive") -> None:
        labels = {"state": state, "queue": queue}
        site.wait_for(before.value("predictions_final_total", **labels) + n, "predictions_final_total", **labels)

    for _ in range(3):
        assert gateway.predict([[1, 0], [0, 0]]).status_code == 200
    assert gateway.predict([[7, 0]]).status_code == 422
    assert gateway.predict([[1, 0]] * 2500).status_code == 200
    with site.gates.closed(GATE):
        late = gateway.client.post("/predict", json={"data": [[1, GATE]]}, headers={"Sepal-Deadline": "1"})
        assert late.status_code == 504
        canceled = gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        assert gateway.client.delete(canceled).status_code == 200
    gained(3, "succeeded")
    gained(1, "succeeded", "bulk")
    gained(1, "failed")
    gained(1, "expired")
    gained(1, "canceled")
    after = site.read()
    for name, n in (("predictions_accepted_total", 6), ("rows_accepted_total", 9)):
        labels = {"queue": "interactive"}
        assert after.value(name, **labels) - before.value(name, **labels) == n
    assert after.value("rows_accepted_total", queue="bulk") - before.value("rows_accepted_total", queue="bulk") == 2500


def test_refusals_are_counted_by_their_code(site: Site) -> None:
    before = site.read().value("predictions_refused_total", code="invalid-rows")
    assert site.gateway.predict([[1]]).status_code == 422
    assert site.read().value("predictions_refused_total", code="invalid-rows") == before + 1


def test_age_of_the_oldest_queued_batch_and_the_backlog_are_shown(site: Site) -> None:
    """Batches wait while all pool processes are busy."""
    with site.gates.closed(GATE):
        responses = [site.gateway.predict([[1, GATE]] * 1025, prefer="respond-async") for _ in range(4)]
        wait_for(lambda: site.read().value("oldest_queued_seconds", queue="bulk") > 0.5, "a waiting batch")
        seen = site.read()
        assert seen.value("backlog_rows", queue="bulk") >= 1025
        assert seen.value("backlog_rows", queue="interactive") == 0
        for response in responses:
            site.gateway.client.delete(response.headers["Location"])
    site.wait_for(0, "oldest_queued_seconds", queue="bulk")
    site.wait_for(0, "backlog_rows")


def test_bulk_predictions_are_shown_while_they_are_open_and_their_space_until_it_is_swept(site: Site) -> None:
    before = site.read().value("slice_rows_total")
    with site.gates.closed(GATE):
        assert site.gateway.client.post("/predictions", json={"data": [[1, GATE]] * 10}).status_code == 202
        site.wait_for(1, "bulk_open_predictions")
        site.wait_for(10, "bulk_backlog_rows")
        wait_for(lambda: site.read().value("bulk_oldest_seconds") > 0, "the age of the prediction")
    site.wait_for(0, "bulk_open_predictions")
    site.wait_for(0, "bulk_backlog_rows")
    site.wait_for(before + 10, "slice_rows_total")
    seen = site.read()
    assert seen.value("bulk_oldest_seconds") == 0
    assert 0 < seen.value("bulk_stored_bytes") < seen.value("bulk_stored_limit_bytes")
    assert seen.value("bulk_uploads_total", format="json", outcome="accepted") == 1
    assert seen.value("bulk_sweeper_paused") == 0


def test_waiters_are_counted_while_they_wait(site: Site) -> None:
    site.wait_for(0, "waiters")
    with ThreadPoolExecutor(1) as threads, site.gates.closed(GATE):
        waiter = threads.submit(site.gateway.predict, [[1, GATE]])
        site.wait_for(1, "waiters")
        site.gates.open(GATE)
        assert waiter.result().status_code == 200
    site.wait_for(0, "waiters")


def test_cluster_status_is_shown(site: Site) -> None:
    site.wait_for(PROCESSES, "pool_processes", queue="interactive")
    seen = site.read()
    assert seen.value("workers") == 1
    assert seen.value("loaded_processes") == PROCESSES
    assert seen.value("model_info", name="waitsorrejects", version="1") == 2  # the gateway and the worker
    assert seen.value("unready") == 0
    assert seen.value("dead_letters") == 0
    assert seen.value("broker_memory_bytes") > 1_000_000
    assert seen.value("backlog_limit_rows", queue="bulk") == 1_000_000


def test_killed_pool_process_loses_a_lease_and_no_count(site: Site) -> None:
    worker = site.stack.part("worker")
    before = site.read()
    with site.gates.closed(GATE):
        location = site.gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        wait_for(lambda: site.gateway.client.get(location).json()["status"] == "running", "an attempt")
        for process in worker.process.children():
            os.kill(process.pid, signal.SIGKILL)
    assert site.gateway.poll(location).json()["status"] == "succeeded"
    site.wait_for(before.value("leases_lost_total", reason="process") + 1, "leases_lost_total", reason="process")
    site.wait_for(before.value("attempts_total") + 2, "attempts_total")
    site.wait_for(PROCESSES, "loaded_processes")


def test_worker_without_a_pool_process_is_live_and_not_ready(site: Site) -> None:
    worker = site.stack.part("worker")
    url = f"http://127.0.0.1:{site.worker_port}"
    assert site.gateway.client.get(f"{url}/readyz").status_code == 200

    def is_not_ready() -> bool:
        for process in worker.process.children():  # whichever has replaced the last one; it loads in no time
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        return site.gateway.client.get(f"{url}/readyz").status_code == 503

    pool_process(worker)
    wait_for(is_not_ready, "a worker that is not ready")
    assert site.gateway.client.get(f"{url}/livez").status_code == 200
    assert site.gateway.client.get(f"{url}/secrets").status_code == 404
    wait_for(lambda: site.gateway.client.get(f"{url}/readyz").status_code == 200, "a worker that is ready again")


def test_number_of_series_does_not_grow_with_the_requests(site: Site) -> None:
    def series() -> int:
        return sum(len(family.samples) for family in site.read().families)

    def send(number: int) -> None:
        client, url = site.gateway.client, "/predict"
        client.get(f"/nothing/{number}")
        client.get(f"/results/{number}")
        client.request(f"BREW{number}", url)
        client.post(url, json={"data": [[1, 0]]}, headers={"X-Request-ID": f"request-{number}"})
        client.post(url, content=b"[", headers={"Content-Type": f"text/{number}"})

    send(0)
    site.wait_for(1, "http_request_seconds_count", status="415")  # the last request of `send`; counted within a second
    before = series()
    for number in range(1, 20):
        send(number)
    site.wait_for(20, "http_request_seconds_count", status="415")
    assert series() == before
    assert before < 700


def test_promtool_accepts_the_metrics(site: Site) -> None:
    promtool = tool("promtool")
    for text in site.read().texts:
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_metrics_of_gateway_processes_are_added(site: Site) -> None:
    gateway = site.stack.start_gateway(api_processes=2).wait_until_ready()
    for _ in range(40):
        assert gateway.client.post(gateway.url, json={"data": [[1, 0]]}, headers={"Connection": "close"}).is_success
    labels = {"route": "/predict", "status": "200"}
    for _ in range(5):  # either of the two may respond
        assert Metrics(gateway.port).value("predictions_accepted_total") == 40
        wait_for(lambda: Metrics(gateway.port).value("http_request_seconds_count", **labels) == 40, "the requests")
