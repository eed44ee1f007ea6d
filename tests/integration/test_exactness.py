"""A result equals the output of a direct call of the pipeline, for every size of a prediction.

For iris, to the bit. The last bits of a linear model's results depend on the number of rows (BLAS multiplies a vector
and a matrix in different orders), so the others are compared with a tolerance; `test_families` compares to the bit.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.card import read_card
from tests.families import PIPELINES
from tests.request_path import with_names
from tests.stack import Gateway, running_stack
from training.artifact import save
from training.recipes import RECIPES
from training.sample import to_client_rows

RELATIVE_ERROR = 1e-9
MAX_ROWS = 200
"""Rows that are predicted; `test_families --exact-rows` takes more."""


@dataclass(frozen=True)
class Served:
    """A gateway that serves a model, rows as clients send them, and the expected results of its pipeline."""

    gateway: Gateway
    rows: list[Any]
    objects: list[dict[str, Any]]
    """The rows as objects; none of texts."""
    labels: list[Any]
    log_proba: NDArray[np.float64]
    is_exact: bool

    def expect(self, response: httpx.Response, part: slice) -> None:
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["prediction"] == self.labels[part]
        received = np.array([[float(value) for value in row] for row in answer["log_proba"]])
        self.compare(received, self.log_proba[part])

    def compare(self, received: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
        if self.is_exact:
            assert received.tobytes() == expected.tobytes()
        else:
            np.testing.assert_allclose(received, expected, rtol=RELATIVE_ERROR)

    def predict_in_parallel(self, rows: list[Any], n_rows: int) -> None:
        parts = [slice(start, start + n_rows) for start in range(0, len(rows), n_rows)]
        with ThreadPoolExecutor(8) as threads:
            responses = threads.map(lambda part: self.gateway.predict(rows[part]), parts)
            for part, response in zip(parts, responses, strict=True):
                self.expect(response, part)


@pytest.fixture(scope="module", params=["iris", "breast_cancer", "penguins", "texts", "a table in polars"])
def served(
    request: pytest.FixtureRequest, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    name = request.param
    if name in PIPELINES:
        case = PIPELINES[name]()
        model_dir = save(
            case.pipeline, models_dir, name=name.replace(" ", "-"), version="1", X=case.X, source="the tests"
        )
        with running_stack(tmp_path_factory.mktemp("served"), model_dir) as (_, gateway):
            yield _served(gateway, model_dir, case.X)
    else:
        model_dir = request.getfixturevalue(f"{name}_dir")
        X = RECIPES[name.replace("_", "-")].load().X
        yield _served(request.getfixturevalue(name), model_dir, X, is_exact=name == "iris")


def _served(gateway: Gateway, model_dir: Path, X: Any, *, is_exact: bool = False) -> Served:
    described, X = read_card(model_dir).input, X[:MAX_ROWS]
    pipeline = joblib.load(model_dir / "pipeline.joblib")
    rows = to_client_rows(described, X)
    objects = [] if described.kind == "text" else with_names(described, rows)
    with np.errstate(divide="ignore"):
        log_proba = pipeline.predict_log_proba(X)
    return Served(gateway, rows, objects, pipeline.predict(X).tolist(), log_proba, is_exact)


@pytest.mark.parametrize("n_rows", [1, 2, 1000], ids=["one by one", "in pairs", "all together"])
def test_results_equal_those_of_a_direct_call(served: Served, n_rows: int) -> None:
    served.predict_in_parallel(served.rows, n_rows)


@pytest.mark.parametrize("n_rows", [1, 1000], ids=["one by one", "all together"])
def test_rows_as_objects_have_the_same_results(served: Served, n_rows: int) -> None:
    served.predict_in_parallel(served.objects or served.rows, n_rows)  # texts have no names


def test_results_of_a_spanning_prediction_are_in_order(served: Served) -> None:
    copies = 4000 // len(served.rows)
    submitted = served.gateway.predict(served.rows * copies, prefer="respond-async")
    assert submitted.status_code == 202
    answer = served.gateway.poll(submitted.headers["Location"]).json()
    assert answer["prediction"] == served.labels * copies
    received = np.array(answer["log_proba"], dtype=np.float64)
    served.compare(received, np.tile(served.log_proba, (copies, 1)))


def test_answer_names_its_model(served: Served) -> None:
    card = served.gateway.client.get("/model").json()
    answer = served.gateway.predict(served.rows[:1]).json()
    assert answer["model"] == {name: card[name] for name in ("name", "version", "digest")}
    assert answer["status"] == "succeeded"
