"""A request can be followed by its correlation id in the logs of both processes, and by its trace."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.ids import PredictionId
from tests import pipelines
from tests.gates import Gates
from tests.metrics import wait_for_gathered
from tests.otlp import Receiver, Span, running_receiver
from tests.patience import patience
from tests.stack import ROOT, Gateway, Part, Stack, clean_environment, running_stack, wait_for

PIPELINE = pipelines.WaitsOrRejects
GATE = 100


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, receiver: Receiver
) -> Iterator[tuple[Stack, Gateway]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")  # milliseconds
        patch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", f"{patience():.0f}")  # seconds
        settings: dict[str, Any] = {"otlp_endpoint": receiver.endpoint, "log_json": True}
        with running_stack(tmp_path_factory.mktemp("traced"), model_dir, "tests.patient", **settings) as running:
            yield running


def predict(gateway: Gateway, rows: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.client.post("/predict", json={"data": rows}, headers=named)


def predict_in_one_batch(traced: tuple[Stack, Gateway], gates: Gates, headers: list[dict[str, str]]) -> None:
    """Send one row for each element of `headers`, all in one batch."""
    stack, gateway = traced
    before = stack.count("accepted")
    with gates.closed(GATE), ThreadPoolExecutor(1 + len(headers)) as threads:
        occupant = threads.submit(predict, gateway, [[1, GATE]])
        wait_for(lambda: stack.count("accepted") > before, "the occupant")
        others = [threads.submit(predict, gateway, [[1, 0]], **each) for each in headers]
        wait_for_gathered(gateway, len(headers))
        gates.open(GATE)
        assert [future.result().status_code for future in (occupant, *others)] == [200] * (1 + len(headers))


def lines(part: Part) -> list[dict[str, Any]]:
    """Return the complete lines of a log."""
    return [json.loads(line) for line in part.log.read_text().splitlines(keepends=True) if line.endswith("}\n")]


def find_line(part: Part, key: str, value: Any) -> dict[str, Any]:
    return wait_for(
        lambda: next((line for line in lines(part) if line.get(key) == value), None), f"{value} in {part.log}"
    )


def test_request_id_is_in_the_logs_of_gateway_and_worker(traced: tuple[Stack, Gateway]) -> None:
    stack, gateway = traced
    response = predict(gateway, [[1, 0]], X_Request_ID="order-66/")
    assert response.headers["X-Request-ID"] == "order-66/"
    at_gateway = find_line(gateway.part, "request", "order-66/")
    at_worker = find_line(stack.part("worker"), "requests", ["order-66/"])
    assert (at_gateway["route"], at_gateway["status"]) == ("/predict", 200)
    assert at_gateway["batch"] == at_worker["batch"] == PredictionId.parse(response.json()["id"]).batch_id
    assert response.json()["id"] not in gateway.part.log.read_text()  # its secret authorises access


def test_worker_logs_the_request_ids_of_all_members_of_a_batch(traced: tuple[Stack, Gateway], gates: Gates) -> None:
    stack, _ = traced
    predict_in_one_batch(traced, gates, [{"X-Request-ID": f"shared-{number}"} for number in range(3)])
    expected = [f"shared-{number}" for number in range(3)]
    worker = stack.part("worker")
    wait_for(lambda: any(sorted(line.get("requests", [])) == expected for line in lines(worker)), "all three")


def test_failures_are_logged_with_the_request_id(traced: tuple[Stack, Gateway]) -> None:
    stack, gateway = traced
    assert predict(gateway, [[7, 0]], X_Request_ID="bad-seven").status_code == 422
    assert find_line(gateway.part, "request", "bad-seven")["status"] == 422
    assert find_line(stack.part("worker"), "requests", ["bad-seven"])["event"] == "committed a batch"
    assert gateway.client.get("/results/nothing", headers={"X-Request-ID": "lost"}).headers["X-Request-ID"] == "lost"
    assert find_line(gateway.part, "request", "lost")["status"] == 404


def test_every_batch_of_a_spanning_prediction_has_its_request_id(traced: tuple[Stack, Gateway]) -> None:
    stack, gateway = traced
    assert predict(gateway, [[1, 0]] * 2500, X_Request_ID="large").status_code == 200
    wait_for(lambda: sum(line.get("requests") == ["large"] for line in lines(stack.part("worker"))) == 3, "3 lines")


@pytest.mark.parametrize("request_id", ["", "with space", "x" * 129, "tab\there"])
def test_request_id_that_is_unsafe_in_a_log_is_omitted(traced: tuple[Stack, Gateway], request_id: str) -> None:
    _, gateway = traced
    response = predict(gateway, [[1, 0]], X_Request_ID=request_id)
    assert response.status_code == 200
    assert "X-Request-ID" not in response.headers


def test_request_without_an_id_is_not_logged(traced: tuple[Stack, Gateway]) -> None:
    _, gateway = traced
    prediction = predict(gateway, [[1, 0]]).json()["id"]
    predict(gateway, [[1, 0]], X_Request_ID="the one after")
    assert prediction not in gateway.part.log.read_text()


def traceparent(flags: str = "01") -> tuple[str, str, str]:
    """Return a client's trace id and span id, and the `traceparent` header."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-{flags}"


def complete_trace(receiver: Receiver, trace_id: str) -> dict[str, Span]:
    names = {"POST /predict", "wait", "queue", "batch", "predict"}
    return wait_for(
        lambda: receiver.trace(trace_id) if names <= receiver.trace(trace_id).keys() else None, f"{names} received"
    )


def has_wait_and_queue(receiver: Receiver, trace_id: str) -> bool:
    return {"wait", "queue"} <= receiver.trace(trace_id).keys()


def test_trace_has_spans_of_the_request_its_wait_the_queue_and_the_pipeline(
    traced: tuple[Stack, Gateway], receiver: Receiver
) -> None:
    _, gateway = traced
    trace_id, client_span, header = traceparent()
    prediction = predict(gateway, [[2, 0], [1, 0]], traceparent=header).json()["id"]
    spans = complete_trace(receiver, trace_id)
    request, wait, queue, batch, pipeline = (
        spans[name] for name in ("POST /predict", "wait", "queue", "batch", "predict")
    )
    assert request.parent_id == client_span
    assert wait.parent_id == request.span_id
    assert queue.parent_id == batch.parent_id == wait.span_id
    assert pipeline.parent_id == batch.span_id
    assert batch.links == [wait.span_id]
    assert queue.links == [batch.span_id]
    assert {request.service, wait.service} == {"sepal-gateway"}
    assert {queue.service, batch.service, pipeline.service} == {"sepal-worker"}
    assert batch.began_ns <= pipeline.began_ns < pipeline.ended_ns <= batch.ended_ns
    assert queue.ended_ns == batch.began_ns
    assert wait.attributes["sepal.prediction"] == prediction
    assert batch.attributes["sepal.rows"] == 2
    assert request.attributes["http.response.status_code"] == 200


def test_batch_has_a_link_to_every_request_that_shares_it(
    traced: tuple[Stack, Gateway], gates: Gates, receiver: Receiver
) -> None:
    unsampled = traceparent("00")  # does not affect the other traces
    traces = [traceparent() for _ in range(3)]
    predict_in_one_batch(traced, gates, [{"traceparent": header} for _, _, header in [unsampled, *traces]])
    ids = {trace_id for trace_id, _, _ in traces}
    shared = wait_for(  # in the trace of the first request
        lambda: next((span for span in receiver.spans if span.name == "batch" and span.trace_id in ids), None),
        "the batch",
    )
    for trace_id in ids:
        wait_for(partial(has_wait_and_queue, receiver, trace_id), "the spans of its wait and its time in the queue")
        spans = receiver.trace(trace_id)
        assert spans["wait"].span_id in shared.links
        assert spans["queue"].links == [shared.span_id]
    assert len(shared.links) == 3


def test_trace_that_the_client_does_not_sample_is_not_sent(traced: tuple[Stack, Gateway], receiver: Receiver) -> None:
    _, gateway = traced
    unsampled, _, header = traceparent("00")
    assert predict(gateway, [[1, 0]], traceparent=header).status_code == 200
    sampled, _, header = traceparent()
    assert predict(gateway, [[1, 0]], traceparent=header).status_code == 200
    complete_trace(receiver, sampled)
    assert receiver.trace(unsampled) == {}


@pytest.mark.parametrize("header", ["nonsense", "00-0-0-00", f"ff-{'0' * 32}-{'0' * 16}-01"])
def test_invalid_traceparent_starts_a_new_trace(traced: tuple[Stack, Gateway], receiver: Receiver, header: str) -> None:
    _, gateway = traced
    prediction = predict(gateway, [[1, 0]], traceparent=header).json()["id"]
    wait_for(lambda: any(span.attributes.get("sepal.prediction") == prediction for span in receiver.spans), "its trace")


def test_predictions_are_answered_without_a_receiver(stack: Stack) -> None:
    stack.settings["otlp_endpoint"] = "http://127.0.0.1:9"
    stack.start_broker()
    stack.start_worker()
    gateway = stack.start_gateway().wait_until_ready()
    for _ in range(20):
        assert predict(gateway, [[4.8, 3, 1.4, 0.3]], traceparent=traceparent()[2]).status_code == 200


@pytest.mark.parametrize("module", ["api.app", "worker.app"])
def test_trace_exporter_is_not_imported_without_an_endpoint(module: str) -> None:
    program = f"import sys, {module}; assert not [n for n in sys.modules if n.startswith('opentelemetry.exporter')]"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=clean_environment(), check=True)
