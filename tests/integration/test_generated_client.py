"""A client that openapi-python-client generates from the schema of a running gateway works."""

import importlib
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.run import TOKEN
from tests.generated_client import generate
from tests.stack import Gateway, Stack, wait_for

PACKAGE = "generated_client_of_iris"
ROW = [4.8, 3, 1.4, 0.3]
NAMES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
HEADER = ",".join(NAMES)


class Generated:
    """The modules of a generated client."""

    def __init__(self, port: int) -> None:
        self._package = importlib.import_module(PACKAGE)
        self.models = importlib.import_module(f"{PACKAGE}.models")
        self.types = importlib.import_module(f"{PACKAGE}.types")
        self.url = f"http://127.0.0.1:{port}"

    def client(self) -> Any:
        return self._package.Client(self.url, raise_on_unexpected_status=True)

    def operator(self, token: str) -> Any:
        return self._package.AuthenticatedClient(self.url, token=token, raise_on_unexpected_status=True)

    def __getattr__(self, operation: str) -> Any:
        """Return the module of an operation."""
        for tag in ("predictions", "status", "operators"):
            try:
                return importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")
            except ModuleNotFoundError:
                continue
        raise AttributeError(operation)

    def body(self, *rows: Any, **more: Any) -> Any:
        return self.models.PredictBody(data=list(rows), **more)

    def final(self, client: Any, prediction_id: str) -> Any:
        """Look up a prediction until it is final."""

        def look_up() -> Any:
            response = self.get_result.sync_detailed(prediction_id, client=client)
            return response.parsed if response.status_code == 200 else None

        return wait_for(look_up, "the end of a prediction")


@pytest.fixture(scope="module")
def gateway(iris_stack: tuple[Stack, Gateway]) -> Gateway:
    return iris_stack[0].start_gateway(operator_token=TOKEN).wait_until_ready()


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, gateway: Gateway) -> Iterator[Generated]:
    folder: Path = tmp_path_factory.mktemp("generated")
    generate(gateway.client.get("/openapi.json").json(), folder / PACKAGE)
    sys.path.insert(0, str(folder))
    try:
        yield Generated(gateway.port)
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


@pytest.fixture
def client(generated: Generated) -> Iterator[Any]:
    with generated.client() as client:
        yield client


def test_rows_are_predicted_as_arrays_and_as_objects(generated: Generated, client: Any) -> None:
    by_name = generated.models.RowAsObject.from_dict(dict(zip(NAMES, ROW, strict=True)))
    for row in (ROW, by_name):
        result = generated.predict.sync(client=client, body=generated.body(row))
        assert (result.prediction, result.log_proba) == ([0], [[0.0, "-Infinity", "-Infinity"]])
        assert result.model.name == "iris"


def test_outputs_and_preferences_are_arguments(generated: Generated, client: Any) -> None:
    body = generated.body(ROW, outputs=[generated.models.Output.PROBA])
    result = generated.predict.sync(client=client, body=body, prefer="wait=20", meta=True)
    assert result.proba == [[1.0, 0.0, 0.0]]
    assert result.meta.attempt == 1
    assert not result.prediction


async def test_asynchronous_functions_do_the_same(generated: Generated) -> None:
    async with generated.client() as client:
        result = await generated.predict.asyncio(client=client, body=generated.body(ROW))
    assert result.prediction == [0]


def test_refusal_is_a_problem_that_says_what_to_change(generated: Generated, client: Any) -> None:
    problem = generated.predict.sync(client=client, body=generated.body(ROW[:3]))
    assert isinstance(problem, generated.models.Problem)
    assert (problem.status, problem.code) == (422, "invalid-rows")
    assert problem.errors[0].pointer == "/data/0"


def test_prediction_is_submitted_and_looked_up(generated: Generated, client: Any) -> None:
    response = generated.predict.sync_detailed(client=client, body=generated.body(ROW), prefer="respond-async")
    assert response.status_code == 202
    assert isinstance(response.parsed, generated.models.UnfinishedPrediction)
    assert response.headers["Location"] == f"/results/{response.parsed.id}"
    result = generated.final(client, response.parsed.id)
    assert isinstance(result, generated.models.PredictionResult)
    assert result.prediction == [0]


def test_file_is_uploaded_followed_and_listed(generated: Generated, client: Any) -> None:
    content = f"id,{HEADER}\n0007,4.8,3,1.4,0.3\n0008,2,1,3.2,1.1\n".encode()
    file = generated.types.File(BytesIO(content))
    accepted = generated.upload_rows.sync(client=client, body=file, carry="id", outputs="prediction")
    assert accepted.rows.total == 2
    events = generated.follow_prediction.sync_detailed(accepted.id, client=client).content
    assert b"event: end" in events
    result = generated.final(client, accepted.id)
    assert isinstance(result, generated.models.BulkResult)
    assert (result.prediction, result.carried["id"]) == ([0, 1], ["0007", "0008"])
    listed = generated.list_predictions.sync(client=client, state=[generated.models.State.SUCCEEDED])
    assert accepted.id in [each.id for each in listed.predictions]


def test_rows_of_any_number_are_uploaded_as_json(generated: Generated, client: Any) -> None:
    accepted = generated.upload_rows.sync(client=client, body=generated.models.UploadBody(data=[ROW] * 20_000))
    assert accepted.rows.total == 20_000
    assert generated.final(client, accepted.id).rows.done == 20_000


def test_final_prediction_cannot_be_canceled(generated: Generated, client: Any) -> None:
    result = generated.predict.sync(client=client, body=generated.body(ROW))
    problem = generated.cancel_prediction.sync(result.id, client=client)
    assert (problem.status, problem.code) == (409, "prediction-already-final")


def test_model_and_service_are_described(generated: Generated, client: Any) -> None:
    model = generated.get_model.sync(client=client)
    assert [column.name for column in model.input_.columns] == NAMES
    assert model.classes == [0, 1, 2]
    status = generated.get_status.sync(client=client)
    assert status.ready
    assert status.queues["bulk"].pool_processes == 1
    assert status.model.digest == model.digest


def test_dead_letters_need_the_operators_token(generated: Generated) -> None:
    with generated.operator(TOKEN) as operator:
        assert generated.list_dead_letters.sync(client=operator).dead_letters == []
    with generated.operator("another") as stranger:
        assert generated.list_dead_letters.sync(client=stranger).code == "operators-only"
