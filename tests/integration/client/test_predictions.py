"""The client against a real service: rows, data frames and files of every format."""

import gzip
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from sepal_client import (
    PredictionAlreadyFinal,
    PredictionCanceled,
    PredictionExpired,
    PredictionFailed,
    RequestRefused,
    State,
    WaitTimeout,
)
from shared.store.schema import Key
from tests import pipelines
from tests.clients import Connect
from tests.integration.conftest import GatedStack
from tests.stack import Gateway, running_stack, wait_for

PIPELINE = pipelines.WaitsOrRejects
GATE, SEVEN = 3, 7
MAX_ROWS = 50
ISLANDS = ["Biscoe", "Dream", "Torgersen"]


def penguins_frame(n_rows: int = 6) -> pandas.DataFrame:
    rows = numpy.arange(n_rows)
    return pandas.DataFrame(
        {
            "island": [ISLANDS[row % 3] for row in rows],
            "bill_length_mm": numpy.where(rows % 4 == 3, numpy.nan, 40.0 + rows % 10),
            "bill_depth_mm": 17.5,
            "flipper_length_mm": 190.0 + rows % 30,
            "body_mass_g": 3500.0 + rows,
            "sex": ["male" if row % 2 else None for row in rows],
            "year": 2007 + rows % 3,
        },
        index=[f"penguin {row}" for row in rows],
    )


@pytest.fixture(scope="module")
def penguins(tmp_path_factory: pytest.TempPathFactory, penguins_dir: Path) -> Iterator[Gateway]:
    """A gateway that gives few rows in one response of JSON."""
    with running_stack(tmp_path_factory.mktemp("penguins"), penguins_dir, max_rows=MAX_ROWS) as (_, gateway):
        yield gateway


@pytest.fixture
def penguin_client(connect: Connect, penguins: Gateway) -> Iterator[Any]:
    with connect(f"http://127.0.0.1:{penguins.port}") as client:
        yield client


@pytest.fixture
def client(connect: Connect, gated: GatedStack) -> Iterator[Any]:
    with connect(f"http://127.0.0.1:{gated.gateway.port}") as client:
        yield client


def test_model_says_what_a_row_is(penguin_client: Any, penguins: Gateway) -> None:
    model = penguin_client.model()
    assert (model.name, model.kind) == ("penguins", "table")
    assert [column.name for column in model.columns] == list(penguins_frame().columns)
    assert model.columns[1].nullable
    assert model.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert model.raw == penguins.client.get("/model").json()
    assert penguin_client.predict(model.example).prediction


def test_status_tells_workers_and_queues(penguin_client: Any, penguins: Gateway) -> None:
    def at_rest() -> Any:
        found = penguin_client.status()
        return found if found.ready and not found.queues["interactive"].backlog_rows else None

    status = wait_for(at_rest, "a ready service without a backlog")
    assert status.reasons == ()
    assert status.model.name == "penguins"
    assert status.queues["bulk"].pool_processes >= 1
    assert status.queues["interactive"].backlog_rows == 0
    assert status.raw.keys() == penguins.client.get("/status").json().keys()


def test_rows_of_every_form_have_the_same_result(penguin_client: Any) -> None:
    frame = penguins_frame()
    records = json.loads(frame.to_json(orient="records"))
    expected = penguin_client.predict(records)
    for rows in (
        [list(record.values()) for record in records],
        frame,
        polars.from_pandas(frame),
        pyarrow.Table.from_pandas(frame, preserve_index=False),
        frame.to_numpy(),
    ):
        found = penguin_client.predict(rows)
        assert found.prediction == expected.prediction
        assert found.log_proba == expected.log_proba
    assert expected.queue_ms is not None


def test_outputs_are_those_that_are_asked_for(penguin_client: Any) -> None:
    result = penguin_client.predict(penguins_frame(), outputs=["proba", "prediction"])
    assert set(result.outputs) == {"proba", "prediction"}
    assert numpy.allclose(result.array("proba").sum(axis=1), 1)


def test_invalid_rows_are_refused_with_their_faults(penguin_client: Any) -> None:
    with pytest.raises(RequestRefused, match="invalid-rows") as raised:
        penguin_client.predict(penguins_frame().assign(year="this year"))
    assert [fault.pointer for fault in raised.value.faults] == ["/data/0/year"]


@pytest.mark.parametrize("convert", [polars.from_pandas, pyarrow.Table.from_pandas])
def test_data_frame_gives_one_of_its_library(penguin_client: Any, convert: Callable[[Any], Any]) -> None:
    frame = penguins_frame(MAX_ROWS * 20).reset_index(drop=True)
    source = convert(frame)
    scored = penguin_client.score(source)
    assert type(scored) is type(source)
    expected = penguin_client.score(frame)
    assert scored.to_pandas().equals(expected)
    assert set(expected["prediction"]) > {"Adelie"}


def test_pandas_frame_keeps_its_index_and_carried_columns(penguin_client: Any) -> None:
    frame = penguins_frame().assign(number=range(6))
    scored = penguin_client.score(frame, carry=["number"], outputs=["prediction", "proba"])
    assert list(scored.index) == list(frame.index)
    assert list(scored.columns) == ["number", "prediction", "proba_Adelie", "proba_Chinstrap", "proba_Gentoo"]
    assert list(scored["number"]) == list(range(6))


def test_result_beyond_one_response_is_whole(penguin_client: Any) -> None:
    frame = penguins_frame(MAX_ROWS * 10 + 7).assign(number=[str(row) for row in range(MAX_ROWS * 10 + 7)])
    result = penguin_client.submit(frame, carry=["number"]).result()
    assert len(result) == len(frame)
    assert result.carried["number"] == list(frame["number"])
    assert result.prediction[:6] == penguin_client.predict(penguins_frame()).prediction


WRITERS: dict[str, Callable[[pandas.DataFrame, Path], object]] = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "csv.zst": lambda frame, path: path.write_bytes(
        pyarrow.compress(frame.to_csv(index=False).encode(), "zstd", asbytes=True)
    ),
    "ndjson": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "json": lambda frame, path: path.write_text(json.dumps({"data": json.loads(frame.to_json(orient="records"))})),
    "feather": lambda frame, path: frame.reset_index(drop=True).to_feather(path),
    "parquet": lambda frame, path: frame.to_parquet(path, index=False),
}
READERS: dict[str, Callable[[Path], list[str]]] = {
    "csv": lambda path: list(pandas.read_csv(path)["prediction"]),
    "csv.gz": lambda path: list(pandas.read_csv(io.BytesIO(gzip.decompress(path.read_bytes())))["prediction"]),
    "ndjson": lambda path: [json.loads(line)["prediction"] for line in path.read_text().splitlines()],
    "json": lambda path: list(json.loads(path.read_text())["prediction"]),
    "arrow": lambda path: list(polars.read_ipc_stream(path)["prediction"]),
    "parquet": lambda path: list(pyarrow.parquet.read_table(path)["prediction"].to_pylist()),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_file_of_each_format_is_scored(penguin_client: Any, tmp_path: Path, suffix: str) -> None:
    frame = penguins_frame(30)
    source, target = tmp_path / f"rows.{suffix}", tmp_path / "scored.parquet"
    WRITERS[suffix](frame, source)
    assert penguin_client.score(source, target) == target
    assert READERS["parquet"](target) == penguin_client.predict(frame).prediction


@pytest.mark.parametrize("suffix", READERS)
def test_result_is_written_in_each_format(penguin_client: Any, tmp_path: Path, suffix: str) -> None:
    frame = penguins_frame(30)
    target = tmp_path / f"scored.{suffix}"
    penguin_client.submit(frame).download(target)
    assert READERS[suffix](target) == penguin_client.predict(frame).prediction
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_rows_that_cannot_be_scored_are_reported(penguin_client: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "rows.csv", tmp_path / "scored.csv"
    frame = penguins_frame(3).astype({"body_mass_g": object})
    frame.iloc[1, 4] = "heavy"
    frame.to_csv(source, index=False, sep=";", na_rep="NA")
    options: dict[str, Any] = {"delimiter": ";", "null": ["NA"]}
    with pytest.raises(RequestRefused, match=r"Line 3.*heavy") as raised:
        penguin_client.submit(source, **options)
    assert [fault.pointer for fault in raised.value.faults] == ["/data/1/body_mass_g"]
    penguin_client.score(source, target, on_error="report", **options)
    assert "heavy" in pandas.read_csv(target)["error"][1]


def test_large_file_that_is_refused_at_once_says_why(penguin_client: Any, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    with source.open("w") as file:
        file.write("island,weight\n")
        for _ in range(500):
            file.write("Dream,1\n" * 10_000)
    sent: list[int] = []
    with pytest.raises(RequestRefused, match="weight"):
        penguin_client.submit(source, on_sent=lambda n_bytes, _: sent.append(n_bytes))
    assert sent[-1] < source.stat().st_size


def test_pipe_is_scored(penguin_client: Any, tmp_path: Path) -> None:
    frame = penguins_frame(30)
    source = tmp_path / "rows.csv"
    frame.to_csv(source, index=False)
    with subprocess.Popen(["cat", str(source)], stdout=subprocess.PIPE) as process:
        result = penguin_client.submit(process.stdout, format="csv").result()
    assert result.prediction == penguin_client.predict(frame).prediction


def test_same_key_leads_to_the_same_prediction(penguin_client: Any) -> None:
    frame = penguins_frame()
    first = penguin_client.submit(frame, idempotency_key="the first").id
    assert penguin_client.submit(frame, idempotency_key="the first").id == first
    assert penguin_client.submit(frame).id != first
    small = penguin_client.predict(frame, idempotency_key="a small one").id
    assert penguin_client.predict(frame, idempotency_key="a small one").id == small


def test_prediction_that_waits_is_followed_and_found_in_the_list(client: Any, gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        prediction = client.submit([[1, GATE], [-1, 0]])
        changes = prediction.progress()
        first = next(changes)
        assert (first.id, first.rows_total, first.is_final) == (prediction.id, 2, False)
        with pytest.raises(WaitTimeout):
            prediction.wait(timeout=0.2)
        listed = {each.id: each.state for each in client.predictions(states=["queued", State.RUNNING])}
        assert prediction.id in listed
    assert list(changes)[-1].state is State.SUCCEEDED
    assert prediction.result().prediction == [1, 0]


def test_small_prediction_goes_on_when_the_wait_is_over(client: Any, gated: GatedStack) -> None:
    with gated.gates.closed(GATE), pytest.raises(WaitTimeout) as raised:
        client.predict([[1, GATE]], wait=0.3)
    prediction = client.prediction(raised.value.prediction_id)
    assert prediction.wait().state is State.SUCCEEDED
    assert prediction.result().prediction == [1]


def test_canceled_prediction_has_no_result(client: Any, gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        prediction = client.submit([[1, GATE]])
        assert prediction.cancel().state is State.CANCELED
    for method in (prediction.wait, prediction.result):
        with pytest.raises(PredictionCanceled):
            method()
    with pytest.raises(PredictionAlreadyFinal):
        prediction.cancel()


def test_prediction_that_is_late_expires(client: Any, gated: GatedStack) -> None:
    with gated.gates.closed(GATE):
        occupant = client.submit([[1, GATE]])
        wait_for(lambda: occupant.status().state is State.RUNNING, "a running prediction")
        prediction = client.submit([[1, 0]], deadline=0.5)
        with pytest.raises(PredictionExpired):
            prediction.wait()
    occupant.wait()  # else its process may not see that the gate was open before the next test closes it


def test_rows_that_the_pipeline_rejects_fail(client: Any, tmp_path: Path) -> None:
    prediction = client.submit([[1, 0], [SEVEN, 0]])
    with pytest.raises(PredictionFailed, match="a row starts with 7") as raised:
        prediction.download(tmp_path / "scored.csv")
    assert raised.value.problem.code == "rows-rejected"
    assert [fault.pointer for fault in raised.value.problem.faults] == ["/data/1"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PredictionFailed, match="a row starts with 7"):
        client.predict([[SEVEN, 0]])


def test_rows_that_are_done_can_be_read_before_the_end(client: Any, gated: GatedStack, tmp_path: Path) -> None:
    gated.stack.redis.delete(Key.RATES)  # while the rate of the model is unknown, the first slice is small
    with gated.gates.closed(GATE):
        prediction = client.submit([[1, 0]] * 2999 + [[1, GATE]])
        wait_for(lambda: prediction.status().rows_done, "some rows")
        prediction.download(tmp_path / "scored.csv", partial=True)
        n_done = len((tmp_path / "scored.csv").read_text().splitlines()) - 1
        assert 0 < n_done < 3000
    prediction.download(tmp_path / "rest.csv", offset=n_done)
    assert len((tmp_path / "rest.csv").read_text().splitlines()) - 1 == 3000 - n_done
