"""Killed, frozen and misbehaving processes: the client's responses, and the recovery."""

import asyncio
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import pipelines
from tests.burst import predict_many
from tests.gates import save_gated
from tests.models import save_misbehaving
from tests.stack import Gateway, Stack, pool_process, running_stack, wait_for

ROW = [[4.8, 3, 1.4, 0.3]]
GATE = 100


def test_thousand_waiting_clients_are_all_answered(iris: Gateway) -> None:
    answers = asyncio.run(predict_many(iris.port, ROW, 1000, prefer="wait=60"))
    assert Counter(status for status, _ in answers) == {200: 1000}
    assert all(body["prediction"] == [0] for _, body in answers)
    assert len({body["id"] for _, body in answers}) == 1000


def test_waiting_clients_use_no_threads_of_the_gateway(stack: Stack) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    worker.process.suspend()

    async def wait_and_count() -> tuple[int, int, int]:
        requests = asyncio.create_task(predict_many(gateway.port, ROW, 300, prefer="wait=60"))
        before = gateway.part.process.num_threads()
        await asyncio.to_thread(wait_for, lambda: stack.count("accepted") == 300, "300 rows")
        during = gateway.part.process.num_threads()
        worker.process.resume()
        return before, during, Counter(status for status, _ in await requests)[200]

    before, during, answered = asyncio.run(wait_and_count())
    assert during <= before + 1
    assert answered == 300


def test_waiting_requests_survive_a_killed_pool_process(stack: Stack) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()

    async def kill_while_waiting() -> Counter[int]:
        requests = asyncio.create_task(predict_many(gateway.port, ROW, 200, prefer="wait=60"))
        await asyncio.to_thread(wait_for, lambda: stack.count("final") > 20, "answers")
        pool_process(worker).kill()
        return Counter(status for status, _ in await requests)

    assert asyncio.run(kill_while_waiting()) == {200: 200}


def test_batch_whose_process_is_killed_at_every_attempt_fails_as_poison(tmp_path: Path, models_dir: Path) -> None:
    model_dir = save_misbehaving(models_dir, pipelines.Sleeps())
    with running_stack(tmp_path, model_dir, max_attempts=2) as (stack, gateway):
        worker = stack.part("worker")
        location = gateway.predict([[60_000, 0]], prefer="respond-async").headers["Location"]
        key = wait_for(lambda: next(stack.redis.scan_iter("sepal:batch:*"), None), "the batch record")
        for attempt in (b"1", b"2"):
            wait_for(lambda attempt=attempt: stack.redis.hget(key, "token") == attempt, "the attempt")  # type: ignore[misc]
            pool_process(worker).kill()
        failed = gateway.poll(location).json()
        assert failed["status"] == "failed"
        assert failed["error"]["code"] == "poison"
        assert gateway.predict([[1, 0]]).status_code == 200


def test_batch_of_a_killed_worker_is_run_by_another(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir) as (stack, gateway):
        worker = stack.part("worker")
        with gates.closed(GATE):
            location = gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
            wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
            worker.kill()
        stack.start_worker()
        assert gateway.poll(location).json()["status"] == "succeeded"


def test_predictions_of_a_suspended_gateway_are_answered_by_another_and_by_itself_when_it_continues(
    tmp_path: Path,
) -> None:
    model_dir, gates = save_gated(tmp_path)
    with (
        running_stack(tmp_path, model_dir) as (stack, suspended),
        gates.closed(GATE),
        ThreadPoolExecutor(2) as threads,
    ):
        other = stack.start_gateway().wait_until_ready()
        location = suspended.predict([[1, GATE]], prefer="respond-async").headers["Location"]
        waiting = threads.submit(suspended.predict, [[-2, GATE]])
        wait_for(lambda: stack.count("accepted") == 2, "both predictions")
        suspended.part.process.suspend()
        arriving = threads.submit(suspended.predict, [[3, 0]])
        gates.open(GATE)
        assert other.poll(location).json()["prediction"] == [1]
        assert other.predict([[-4, 0]]).json()["prediction"] == [0]
        assert not waiting.done()
        assert not arriving.done()
        suspended.part.process.resume()
        for response, label in ((waiting.result(), 0), (arriving.result(), 1)):
            answer = response if response.status_code == 200 else suspended.poll(response.headers["Location"])
            assert answer.json()["prediction"] == [label]


def test_gateway_without_a_broker_refuses_and_recovers(stack: Stack) -> None:
    broker = stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    assert gateway.predict(ROW).status_code == 200
    broker.kill()
    _expect_refusals(gateway)
    wait_for(lambda: not gateway.is_ready(), "a gateway that is not ready")
    reasons = gateway.client.get("/readyz").json()["reasons"]
    assert [reason["code"] for reason in reasons] == ["broker-unavailable"]
    assert gateway.client.get("/livez").status_code == 200
    stack.start_broker()
    gateway.wait_until_ready()
    assert gateway.predict(ROW).status_code == 200


def test_gateway_with_a_frozen_broker_refuses_and_recovers(stack: Stack) -> None:
    broker = stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    known = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    broker.process.suspend()
    _expect_refusals(gateway)
    for method in ("GET", "DELETE"):
        assert gateway.client.request(method, known).json()["code"] == "broker-unavailable"
    wait_for(lambda: not gateway.is_ready(), "a gateway that is not ready")
    assert gateway.client.get("/livez").status_code == 200
    broker.process.resume()
    gateway.wait_until_ready()
    wait_for(lambda: gateway.predict(ROW).status_code == 200, "an answer")


def test_gathered_predictions_are_refused_when_the_broker_freezes(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with (
        running_stack(tmp_path, model_dir) as (stack, gateway),
        gates.closed(GATE),
        ThreadPoolExecutor(9) as threads,
    ):
        threads.submit(gateway.predict, [[1, GATE]])
        wait_for(lambda: next(stack.redis.scan_iter("sepal:batch:*"), None), "the batch record")
        stack.part("broker").process.suspend()
        responses = [threads.submit(gateway.predict, [[0, 0]]) for _ in range(8)]
        assert {response.result().json()["code"] for response in responses} == {"broker-unavailable"}
        stack.part("broker").process.resume()
        gates.open(GATE)


def test_lost_connection_of_the_unacknowledged_list_loses_no_prediction(stack: Stack) -> None:
    stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()

    def ended_with_exec() -> list[Any]:
        """The recording connection, and at times an idle one that declared the queue."""
        return [client["id"] for client in stack.redis.client_list() if client["cmd"] == "exec"]

    for _ in range(5):  # more than the messages that the worker may hold, so a message that is never released shows
        assert gateway.predict(ROW).status_code == 200
        wait_for(lambda: not list(stack.redis.scan_iter("sepal:unacked*")), "the acknowledgement")
        for connection_id in wait_for(ended_with_exec, "the recording connection"):
            stack.redis.client_kill_filter(_id=connection_id)
        location = gateway.predict(ROW, prefer="respond-async").headers["Location"]
        assert gateway.poll(location).status_code == 200
    wait_for(lambda: not list(stack.redis.scan_iter("sepal:unacked*")), "the last acknowledgement")


def test_waiter_is_answered_although_its_reply_was_lost(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir) as (stack, gateway), ThreadPoolExecutor(1) as threads:
        with gates.closed(GATE):
            answer = threads.submit(gateway.predict, [[1, GATE]])
            wait_for(lambda: next(stack.redis.scan_iter("sepal:batch:*"), None), "the batch record")
            (reply_channel,) = stack.redis.pubsub_channels("sepal:reply:*")
            assert stack.redis.client_kill_filter(_type="pubsub") > 0
        wait_for(lambda: reply_channel in stack.redis.pubsub_channels(), "the new subscription")
        assert answer.result().status_code == 200
    assert "lost the connection to the broker" in (stack.folder / "gateway.log").read_text()


def test_worker_without_a_broker_stops_at_sigterm(stack: Stack) -> None:
    worker = stack.start_worker()
    wait_for(lambda: "Cannot connect" in worker.log.read_text(), "an attempt to connect")
    assert worker.stop() == 0
    assert "Traceback" not in worker.log.read_text()


def test_worker_that_cannot_load_its_model_does_not_replace_the_card(stack: Stack, models_dir: Path) -> None:
    stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    failing = stack.start_worker(model_dir=save_misbehaving(models_dir, pipelines.FailsToLoad()))
    failing.wait()
    assert gateway.client.get("/model").json()["name"] == "iris"
    assert gateway.predict(ROW).status_code == 200


def test_batch_whose_claim_fails_is_requeued_until_it_succeeds(stack: Stack) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    worker.process.suspend()
    location = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    key = next(stack.redis.scan_iter("sepal:batch:*"))
    stack.redis.rename(key, "aside")
    stack.redis.set(key, "no record")
    worker.process.resume()
    wait_for(lambda: "an attempt failed, requeuing its batch" in worker.log.read_text(), "a failed claim")
    stack.redis.rename("aside", key)
    assert gateway.poll(location).json()["prediction"] == [0]


def test_full_broker_refuses_new_predictions_and_finishes_accepted_ones(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir) as (stack, gateway):
        with gates.closed(GATE):
            location = gateway.predict([[1, GATE]], prefer="respond-async").headers["Location"]
            wait_for(lambda: gateway.client.get(location).json()["status"] == "running", "the claim")
            stack.redis.config_set("maxmemory", 1)
            refused = gateway.predict([[0, 0]])
            assert (refused.status_code, refused.json()["code"]) == (503, "broker-unavailable")
            pool_process(stack.part("worker")).kill()  # its batch is requeued in a full broker
        assert gateway.poll(location).json()["prediction"] == [1]
        stack.redis.config_set("maxmemory", 0)
        assert gateway.predict([[0, 0]]).status_code == 200
        assert stack.part("worker").popen.poll() is None
        assert stack.count("accepted") == stack.count("final")


def test_gateway_that_starts_without_a_broker_serves_once_there_is_one(stack: Stack) -> None:
    gateway = stack.start_gateway()
    wait_for(lambda: _alive(gateway), "a live gateway")
    assert gateway.client.get("/readyz").status_code == 503
    response = gateway.predict(ROW)
    assert response.status_code == 503
    assert response.json()["code"] == "model-unknown"
    page = gateway.client.get("/model", headers={"Accept": "text/html"})
    assert (page.status_code, page.json()["code"]) == (503, "model-unknown")
    stack.start_broker()
    stack.start_worker()
    gateway.wait_until_ready()
    assert gateway.predict(ROW).status_code == 200


def test_queued_predictions_and_results_survive_a_restart_of_the_broker(stack: Stack) -> None:
    broker = stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    finished = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    gateway.poll(finished)
    worker.stop()
    waiting = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    broker.kill()
    stack.start_broker()
    stack.start_worker()
    gateway.wait_until_ready()
    assert gateway.client.get(finished).json()["prediction"] == [0]
    assert gateway.poll(waiting).json()["prediction"] == [0]


def test_predictions_accepted_without_a_worker_wait_for_one(stack: Stack) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    worker.stop()
    wait_for(lambda: not gateway.is_ready(), "a gateway that is not ready")
    assert [reason["code"] for reason in gateway.client.get("/readyz").json()["reasons"]] == ["no-worker"]
    location = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    stack.start_worker()
    assert gateway.poll(location).json()["prediction"] == [0]


def test_gateway_is_not_ready_after_its_only_worker_is_killed(stack: Stack) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    worker.kill()
    wait_for(lambda: not gateway.is_ready(), "a gateway that is not ready")


def test_rows_accepted_for_one_model_are_never_predicted_by_another(stack: Stack, breast_cancer_dir: Path) -> None:
    stack.start_broker()
    worker = stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    worker.stop()
    location = gateway.predict(ROW, prefer="respond-async").headers["Location"]
    stack.start_worker(model_dir=breast_cancer_dir)
    failed = gateway.poll(location).json()
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "model-changed"
    assert failed["model"]["name"] == "iris"


def test_worker_finishes_its_batch_after_sigterm(tmp_path: Path) -> None:
    model_dir, gates = save_gated(tmp_path)
    with running_stack(tmp_path, model_dir) as (stack, gateway), ThreadPoolExecutor(1) as threads:
        worker = stack.part("worker")
        with gates.closed(GATE):
            answer = threads.submit(gateway.predict, [[1, GATE]])
            key = wait_for(lambda: next(stack.redis.scan_iter("sepal:batch:*"), None), "the batch record")
            wait_for(lambda: stack.redis.hget(key, "token"), "the claim")
            worker.process.send_signal(signal.SIGTERM)
            wait_for(lambda: "Warm shutdown" in worker.log.read_text(), "the start of the shutdown")
        assert answer.result().status_code == 200
        assert worker.wait() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_every_loaded_pool_process_is_announced(stack: Stack, processes: int) -> None:
    stack.start_broker()
    worker = stack.start_worker(worker_processes=processes)
    stack.start_gateway().wait_until_ready()
    wait_for(lambda: _announced(stack) == processes, "all pool processes")
    pool_process(worker).kill()
    wait_for(lambda: _announced(stack) == processes, "its replacement")


def _announced(stack: Stack) -> int:
    workers = stack.redis.hgetall("sepal:workers")
    return sum(int(value.split()[1]) for value in workers.values())


def _alive(gateway: Gateway) -> bool:
    try:
        return gateway.client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def _expect_refusals(gateway: Gateway) -> None:
    for prefer in ("respond-async", "wait=30"):
        response = gateway.client.post("/predict", json={"data": ROW}, headers={"Prefer": prefer})
        assert response.status_code == 503
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "broker-unavailable"
        assert int(response.headers["Retry-After"]) >= 1


def test_worker_takes_no_message_while_it_loads_its_model(stack: Stack, tmp_path: Path) -> None:
    stack.start_broker()
    model_dir, gates = save_gated(tmp_path, pipelines.LoadsAtAGate)
    first = stack.start_worker(model_dir=model_dir)
    gateway = stack.start_gateway().wait_until_ready()
    first.stop()
    location = gateway.predict([[1, 0]], prefer="respond-async").headers["Location"]
    with gates.closed(0):
        second = stack.start_worker(model_dir=model_dir)
        wait_for(lambda: " ready." in second.log.read_text(), "a worker that consumes")
        wait_for(lambda: len(stack.redis.hkeys("sepal:workers")) > 0, "its announcement")
        assert stack.redis.llen("interactive") == 1
    assert gateway.poll(location).json()["prediction"] == [1]


def test_gateway_refuses_while_the_broker_refuses_writes_and_recovers(stack: Stack) -> None:
    """Lack of replicas stands for the other reasons: a replica, a broker that is loading, a full disk."""
    stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    stack.redis.config_set("min-replicas-to-write", 1)
    refused = gateway.predict(ROW)
    assert (refused.status_code, refused.json()["code"]) == (503, "broker-unavailable")
    stack.redis.config_set("min-replicas-to-write", 0)
    wait_for(gateway.is_ready, "a ready gateway")
    assert gateway.predict(ROW).json()["prediction"] == [0]
