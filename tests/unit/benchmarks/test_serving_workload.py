"""The requests of `make bench`, and how the peers read them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from benchmarks.peers.pipeline import Pipeline
from benchmarks.serving.load import put_load
from benchmarks.serving.peers import PEERS
from benchmarks.serving.systems import outputs_match
from benchmarks.serving.workload import Outputs, Workload
from tests.tools import tool
from training.recipes import RECIPES, TrainingData

CHECKED_REQUESTS = 8


@pytest.fixture(scope="module")
def penguins() -> TrainingData:
    return RECIPES["penguins"].load()


@pytest.fixture(scope="module")
def workload(penguins: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    pipeline = RECIPES["penguins"].pipeline().fit(penguins.X, penguins.y)
    model = tmp_path_factory.mktemp("penguins") / "pipeline.joblib"
    joblib.dump(pipeline, model)
    return Workload.combine(model, pipeline, penguins.X)


@pytest.fixture
def peer(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setenv("BENCH_MODEL", str(workload.model))
    monkeypatch.setenv("BENCH_DTYPES", json.dumps(workload.dtypes))
    return Pipeline()


def test_requests_cover_the_data_set_with_null_for_missing_values(workload: Workload) -> None:
    requests = workload.requests(1)
    assert len(requests) == 344
    assert sum(value is None for (row,) in requests for value in row) == 19
    assert json.loads(json.dumps(requests)) == requests


def test_checked_requests_have_all_classes_and_missing_values(workload: Workload) -> None:
    rows, outputs = workload.rows(CHECKED_REQUESTS), workload.expected_outputs(CHECKED_REQUESTS)
    assert set(outputs.prediction) == {"Adelie", "Chinstrap", "Gentoo"}
    assert any(None in row for row in rows)


def test_request_after_the_last_row_begins_again(workload: Workload) -> None:
    assert workload.rows(2, 343) == [workload.data[343], workload.data[0]]
    assert workload.expected_outputs(2, 343).prediction == [
        workload.outputs.prediction[343],
        workload.outputs.prediction[0],
    ]


def test_peer_builds_the_data_frame_that_the_pipeline_was_fitted_with(
    workload: Workload, peer: Pipeline, penguins: TrainingData
) -> None:
    columns = list(penguins.X.columns)
    built, fitted = (
        frame.sort_values(columns).reset_index(drop=True) for frame in (peer.input(workload.data), penguins.X)
    )
    pd.testing.assert_frame_equal(built, fitted)


def test_peer_returns_to_each_request_of_a_batch_its_own_outputs(workload: Workload, peer: Pipeline) -> None:
    answers = peer.predict_each([workload.rows(3, 0), workload.rows(1, 3)])
    for answer, expected in zip(
        answers, (workload.expected_outputs(3, 0), workload.expected_outputs(1, 3)), strict=True
    ):
        assert outputs_match(Outputs(answer["prediction"], answer["log_proba"]), expected)


@pytest.mark.parametrize("rows", [[["Biscoe"]], [["Biscoe", "long", 1.0, 1.0, 1.0, "male", 2007]]])
def test_peer_refuses_rows_that_are_not_of_the_columns(peer: Pipeline, rows: list[list[Any]]) -> None:
    with pytest.raises(ValueError, match=r"argument|convert"):
        peer.input(rows)


def test_peer_gives_a_matrix_as_float64(peer: Pipeline) -> None:
    peer.dtypes = None
    data = peer.input([(1, 2), (3, 4)])
    assert data.dtype == np.float64
    assert data.shape == (2, 2)


def test_mlserver_takes_one_tensor_for_each_column(workload: Workload) -> None:
    (mlserver,) = (peer for peer in PEERS if peer.name == "mlserver")
    body = json.loads(mlserver.body(workload.rows(4), workload.dtypes))
    assert body["parameters"] == {"content_type": "pd"}
    types = {column["name"]: column["datatype"] for column in body["inputs"]}
    assert (types["island"], types["year"]) == ("BYTES", "INT64")
    assert [column["data"] for column in body["inputs"]] == [
        list(column) for column in zip(*workload.rows(4), strict=True)
    ]


def test_load_generator_sends_all_bodies_in_turn() -> None:
    tool("wrk")
    bodies = [f'{{"data": {number}}}' for number in range(3)]
    for seconds in (1, 10, 60):  # wrk ends on time, however slow the machine is
        with _recording() as (url, received):
            done = put_load(url, bodies, connections=1, seconds=seconds)
        if len(received) > len(bodies):
            break
    assert done.requests > 0
    assert set(received) == set(bodies)
    assert received[1:4] != [received[1]] * 3


@contextmanager
def _recording() -> Iterator[tuple[str, list[str]]]:
    """Serve HTTP, and record the bodies that are received."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/predict", received
        finally:
            server.shutdown()
            thread.join()
