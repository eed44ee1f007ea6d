"""A result equals what the pipeline returns when it is called directly, whichever way the rows went.

To the bit for irises. A linear model's own last bits depend on how many rows it is given at once (BLAS multiplies a
vector and a matrix in different orders), so there the comparison allows for that and for nothing more.
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
    """A recipe, served; and its own pipeline, to compare with."""

    gateway: Gateway
    rows: NDArray[np.float64]
    labels: list[Any]
    log_proba: NDArray[np.float64]
    relative_error: float

    def expect(self, response: httpx.Response, which: slice) -> None:
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["prediction"] == self.labels[which]
        received = np.array([[float(value) for value in row] for row in answer["log_proba"]])
        self.compare(received, self.log_proba[which])

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
    rows = RECIPES[name].load().data
    pipeline = joblib.load(model_dir / "pipeline.joblib")
    with np.errstate(divide="ignore"):
        log_proba = pipeline.predict_log_proba(rows)
    return Served(gateway, rows, pipeline.predict(rows).tolist(), log_proba, relative_error)


@pytest.mark.parametrize("share", [1, 2, 1000], ids=["one by one", "in pairs", "all together"])
def test_every_row_equals_the_pipelines_own_answer(served: Served, share: int) -> None:
    parts = [slice(start, start + share) for start in range(0, len(served.rows), share)]
    with ThreadPoolExecutor(8) as threads:
        responses = threads.map(lambda part: served.gateway.predict(served.rows[part].tolist()), parts)
        for part, response in zip(parts, responses, strict=True):
            served.expect(response, part)


def test_rows_split_over_several_batches_come_back_in_order(served: Served) -> None:
    copies = 4000 // len(served.rows)
    submitted = served.gateway.predict(np.tile(served.rows, (copies, 1)).tolist(), prefer="respond-async")
    assert submitted.status_code == 202
    answer = served.gateway.poll(submitted.headers["Location"]).json()
    assert answer["prediction"] == served.labels * copies
    received = np.array(answer["log_proba"], dtype=np.float64)
    served.compare(received, np.tile(served.log_proba, (copies, 1)))


def test_answer_names_the_model_that_gave_it(served: Served) -> None:
    card = served.gateway.client.get("/model").json()
    answer = served.gateway.predict(served.rows[:1].tolist()).json()
    assert answer["model"] == {name: card[name] for name in ("name", "version", "digest")}
    assert answer["status"] == "succeeded"
