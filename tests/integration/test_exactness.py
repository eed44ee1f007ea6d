"""A result equals what the pipeline returns when it is called directly, for every size of a prediction.

For iris, to the bit. The last bits of a linear model's results depend on the number of rows (BLAS multiplies a vector
and a matrix in different orders), so breast-cancer is compared with a tolerance.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.stack import Gateway
from training.recipes import RECIPES


@dataclass(frozen=True)
class Served:
    """A gateway that serves a recipe, and the expected results of its pipeline."""

    gateway: Gateway
    rows: NDArray[np.float64]
    labels: list[Any]
    log_proba: NDArray[np.float64]
    relative_error: float

    def expect(self, response: httpx.Response, part: slice) -> None:
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["prediction"] == self.labels[part]
        received = np.array([[float(value) for value in row] for row in answer["log_proba"]])
        self.compare(received, self.log_proba[part])

    def compare(self, received: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
        if self.relative_error:
            np.testing.assert_allclose(received, expected, rtol=self.relative_error)
        else:
            assert received.tobytes() == expected.tobytes()


@pytest.fixture(scope="module", params=["iris", "breast_cancer"])
def served(request: pytest.FixtureRequest) -> Served:
    name = request.param
    gateway = request.getfixturevalue(name)
    model_dir = request.getfixturevalue(f"{name}_dir")
    return _served(gateway, model_dir, name.replace("_", "-"), 0 if name == "iris" else 1e-9)


def _served(gateway: Gateway, model_dir: Path, name: str, relative_error: float) -> Served:
    rows = RECIPES[name].load().X
    pipeline = joblib.load(model_dir / "pipeline.joblib")
    with np.errstate(divide="ignore"):
        log_proba = pipeline.predict_log_proba(rows)
    return Served(gateway, rows, pipeline.predict(rows).tolist(), log_proba, relative_error)


@pytest.mark.parametrize("n_rows", [1, 2, 1000], ids=["one by one", "in pairs", "all together"])
def test_results_equal_those_of_a_direct_call(served: Served, n_rows: int) -> None:
    parts = [slice(start, start + n_rows) for start in range(0, len(served.rows), n_rows)]
    with ThreadPoolExecutor(8) as threads:
        responses = threads.map(lambda part: served.gateway.predict(served.rows[part].tolist()), parts)
        for part, response in zip(parts, responses, strict=True):
            served.expect(response, part)


def test_results_of_a_spanning_prediction_are_in_order(served: Served) -> None:
    copies = 4000 // len(served.rows)
    submitted = served.gateway.predict(np.tile(served.rows, (copies, 1)).tolist(), prefer="respond-async")
    assert submitted.status_code == 202
    answer = served.gateway.poll(submitted.headers["Location"]).json()
    assert answer["prediction"] == served.labels * copies
    received = np.array(answer["log_proba"], dtype=np.float64)
    served.compare(received, np.tile(served.log_proba, (copies, 1)))


def test_answer_names_its_model(served: Served) -> None:
    card = served.gateway.client.get("/model").json()
    answer = served.gateway.predict(served.rows[:1].tolist()).json()
    assert answer["model"] == {name: card[name] for name in ("name", "version", "digest")}
    assert answer["status"] == "succeeded"
