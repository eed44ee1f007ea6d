"""Clients request outputs: each gets those, equal to the results of the pipeline's own methods."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import joblib
import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from shared.card import ModelCard, read_card
from shared.ids import PredictionId
from shared.names import Output
from tests import families
from tests.comparison import compare, items
from tests.patience import patience
from tests.stack import Gateway, running_stack
from training.artifact import save
from training.outputs import compute_output
from training.sample import to_client_rows

IRIS = load_iris()
TEXTS = ["red apples", "green pears", "red pears and apples", "grapes"] * 40
N_CLIENTS = 60

PIPELINES: dict[str, Callable[[], tuple[Pipeline, Any]]] = {
    "a classifier that transforms": lambda: (
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(IRIS.data, IRIS.target),
        IRIS.data,
    ),
    "several targets": lambda: (
        RandomForestClassifier(5, random_state=0).fit(
            IRIS.data, np.column_stack([IRIS.target_names[IRIS.target], IRIS.target % 2 == 0])
        ),
        IRIS.data,
    ),
    "an outlier detector": lambda: (IsolationForest(n_estimators=20, random_state=0).fit(IRIS.data), IRIS.data),
    "a mixture": lambda: (GaussianMixture(3, random_state=0).fit(IRIS.data), IRIS.data),
    "a transformer of texts": lambda: (make_pipeline(TfidfVectorizer()).fit(TEXTS), TEXTS),
}
DEFAULT = {
    "a classifier that transforms": ["prediction", "log_proba"],
    "several targets": ["prediction", "log_proba"],
    "an outlier detector": ["prediction"],
    "a mixture": ["prediction"],
    "a transformer of texts": ["transform"],
}
OFFERED = {
    "a classifier that transforms": ["prediction", "log_proba", "proba", "decision", "transform"],
    "several targets": ["prediction", "log_proba", "proba", "leaves"],
    "an outlier detector": ["prediction", "decision", "scores"],
    "a mixture": ["prediction", "proba", "scores"],
    "a transformer of texts": ["transform"],
}


class Served(NamedTuple):
    """A gateway, its model's card, and what the outputs hold for each row."""

    gateway: Gateway
    name: str
    card: ModelCard
    rows: list[Any]
    expected: dict[str, list[Any]]

    @property
    def default(self) -> list[str]:
        return [output.value for output in self.card.default_outputs]

    def check(self, answer: dict[str, Any], wanted: list[str], first: int, n_rows: int) -> None:
        """Check that an answer has these outputs, and what they hold, but for rounding errors."""
        assert [name for name in answer if name in list(Output)] == wanted
        for name in wanted:
            compare(answer[name], self.expected[name][first : first + n_rows], to_the_bit=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With `--exact-rows`, take every pipeline of `tests.families` too."""
    if "served" in metafunc.fixturenames:
        others = families.PIPELINES if metafunc.config.getoption("--exact-rows") else ()
        metafunc.parametrize("served", [*PIPELINES, *others], indirect=True, scope="module")


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("outputs")
    if request.param in PIPELINES:
        pipeline, X = PIPELINES[request.param]()
    else:
        pipeline, X = vars(families.PIPELINES[request.param]()).values()
    model_dir = save(pipeline, folder, name="any", version="1", X=X, source="the tests", nullable=True)
    card = read_card(model_dir)
    loaded = joblib.load(model_dir / "pipeline.joblib")  # unpickling changes the layout of arrays, and so last bits
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        expected = {output.value: items(compute_output(loaded, output, X)) for output in card.outputs}
    with running_stack(folder, model_dir) as (_, gateway):
        yield Served(gateway, request.param, card, to_client_rows(card.input, X), expected)


def test_card_lists_the_outputs_of_the_pipeline(served: Served) -> None:
    listed = served.gateway.client.get("/model").json()["outputs"]
    assert listed == OFFERED.get(served.name, listed) == list(served.expected)


def test_default_outputs_are_returned_if_none_are_asked_for(served: Served) -> None:
    assert served.default == DEFAULT.get(served.name, served.default)
    served.check(served.gateway.predict(served.rows[:3]).json(), served.default, 0, 3)


def test_all_outputs_of_one_request_equal_the_methods_to_the_bit(served: Served) -> None:
    body = {"data": served.rows, "outputs": [*reversed(served.expected)]}
    response = served.gateway.client.post("/predict", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert [name for name in answer if name in served.expected] == body["outputs"]
    for name, expected in served.expected.items():
        compare(answer[name], expected, to_the_bit=True)


async def test_clients_that_share_batches_get_what_each_asked_for(served: Served) -> None:
    names = list(served.expected)
    choices = [[], *([name] for name in names), names]

    async def ask(client: httpx.AsyncClient, index: int) -> str:
        chosen = choices[index % len(choices)]
        body = {"data": served.rows[index : index + 2], **({"outputs": chosen} if chosen else {})}
        answer = (await client.post("/predict", json=body)).json()
        served.check(answer, chosen or served.default, index, 2)
        return PredictionId.parse(answer["id"]).batch_id

    async with httpx.AsyncClient(base_url=served.gateway.client.base_url, timeout=patience(), verify=False) as client:
        batches = await asyncio.gather(*(ask(client, index) for index in range(N_CLIENTS)))
    assert len(set(batches)) < N_CLIENTS


def test_outputs_of_a_prediction_that_spans_batches_are_joined(served: Served) -> None:
    copies = 2000 // len(served.rows) + 1
    last = list(served.expected)[-1]
    response = served.gateway.client.post(
        "/predict", json={"data": served.rows * copies, "outputs": [last]}, headers={"Prefer": "respond-async"}
    )
    answer = served.gateway.poll(response.headers["Location"] + "?meta=true").json()
    assert [name for name in answer if name in list(Output)] == [last]
    compare(answer[last], served.expected[last] * copies, to_the_bit=False)
    assert sum(batch["rows"] for batch in answer["meta"]["batches"]) == len(served.rows) * copies


def test_unknown_output_is_refused_with_those_there_are(served: Served) -> None:
    response = served.gateway.client.post("/predict", json={"data": served.rows[:1], "outputs": ["shap"]})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/outputs/0"
    assert ", ".join(served.expected) in error["detail"]


def test_meta_says_what_ran_a_prediction(served: Served) -> None:
    plain = served.gateway.client.post("/predict", json={"data": served.rows[:2]}).json()
    assert "meta" not in plain
    answer = served.gateway.client.post("/predict?meta=true", json={"data": served.rows[:2]}).json()
    card = served.gateway.client.get("/model").json()
    assert answer["meta"]["digest"] == card["digest"]
    assert answer["meta"]["attempt"] == 1
    assert answer["meta"]["rows"] == 2
    assert answer["meta"]["versions"] == card["versions"]
    assert "@" in answer["meta"]["worker"]
    looked_up = served.gateway.client.get(f"/results/{answer['id']}", params={"meta": "true"}).json()
    assert looked_up == answer
    assert "meta" not in served.gateway.client.get(f"/results/{answer['id']}").json()


def test_meta_that_is_no_flag_is_refused(served: Served) -> None:
    for method, path in (("POST", "/predict"), ("GET", "/results/" + "A" * 40)):
        response = served.gateway.client.request(method, path, params={"meta": "much"}, json={"data": served.rows[:1]})
        assert (response.status_code, response.json()["code"]) == (422, "invalid-parameter")
        assert "`meta`" in response.json()["detail"]
