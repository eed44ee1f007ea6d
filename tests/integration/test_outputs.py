"""Clients choose outputs: each gets those it asked for, equal to what the pipeline's own methods give."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
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

from shared.card import read_card
from shared.ids import PredictionId
from shared.names import Output
from tests.patience import patience
from tests.stack import Gateway, running_stack
from training.artifact import save
from training.outputs import call

IRIS = load_iris()
TEXTS = ["red apples", "green pears", "red pears and apples", "grapes"] * 40
N_CLIENTS = 60

PIPELINES: dict[str, tuple[Pipeline, Any]] = {
    "a classifier that transforms": (
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(IRIS.data, IRIS.target),
        IRIS.data,
    ),
    "several targets": (
        RandomForestClassifier(5, random_state=0).fit(
            IRIS.data, np.column_stack([IRIS.target_names[IRIS.target], IRIS.target % 2 == 0])
        ),
        IRIS.data,
    ),
    "an outlier detector": (IsolationForest(n_estimators=20, random_state=0).fit(IRIS.data), IRIS.data),
    "a mixture": (GaussianMixture(3, random_state=0).fit(IRIS.data), IRIS.data),
    "a transformer of texts": (make_pipeline(TfidfVectorizer()).fit(TEXTS), TEXTS),
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
    """A gateway, the outputs of its model, and what they hold for each row."""

    gateway: Gateway
    name: str
    rows: list[Any]
    expected: dict[str, list[Any]]


@pytest.fixture(scope="module", params=PIPELINES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("outputs")
    pipeline, X = PIPELINES[request.param]
    model_dir = save(pipeline, folder, name="any", version="1", X=X, source="the tests")
    outputs = read_card(model_dir).outputs
    with threadpool_limits(limits=1), parallel_config(backend="sequential"), np.errstate(divide="ignore"):
        expected = {output.value: as_json(call(pipeline, output, X)) for output in outputs}
    rows = X if isinstance(X, list) else X.tolist()
    with running_stack(folder, model_dir) as (_, gateway):
        yield Served(gateway, request.param, rows, expected)


def as_json(values: Any) -> list[Any]:
    """Return the items of an output as JSON holds them."""
    if isinstance(values, list):
        return [list(item) for item in zip(*map(as_json, values), strict=True)]
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values.astype(object), "-Infinity")
    items: list[Any] = values.tolist()
    return items


def is_close(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    if isinstance(expected, float):
        return bool(np.isclose(float(found), expected, rtol=1e-9, atol=1e-12))
    return type(found) is type(expected) and found == expected


def test_card_lists_the_outputs_of_the_pipeline(served: Served) -> None:
    assert served.gateway.client.get("/model").json()["outputs"] == OFFERED[served.name]


def test_default_outputs_are_returned_if_none_are_asked_for(served: Served) -> None:
    answer = served.gateway.predict(served.rows[:3]).json()
    found = [name for name in answer if name in list(Output)]
    assert found == DEFAULT[served.name]
    assert all(is_close(answer[name], served.expected[name][:3]) for name in found)


def test_all_outputs_of_one_request_equal_the_methods_to_the_bit(served: Served) -> None:
    body = {"data": served.rows, "outputs": [*reversed(served.expected)]}
    response = served.gateway.client.post("/predict", json=body)
    assert response.status_code == 200
    answer = response.json()
    assert [name for name in answer if name in served.expected] == body["outputs"]
    assert json.dumps({name: answer[name] for name in served.expected}) == json.dumps(served.expected)


async def test_clients_that_share_batches_get_what_each_asked_for(served: Served) -> None:
    names = list(served.expected)
    choices = [[], *([name] for name in names), names]

    async def ask(client: httpx.AsyncClient, index: int) -> str:
        chosen = choices[index % len(choices)]
        body = {"data": served.rows[index : index + 2], **({"outputs": chosen} if chosen else {})}
        answer = (await client.post("/predict", json=body)).json()
        wanted = chosen or DEFAULT[served.name]
        assert [name for name in answer if name in list(Output)] == wanted
        assert all(is_close(answer[name], served.expected[name][index : index + 2]) for name in wanted)
        return PredictionId.parse(answer["id"]).batch_id

    async with httpx.AsyncClient(base_url=served.gateway.client.base_url, timeout=patience()) as client:
        batches = await asyncio.gather(*(ask(client, index) for index in range(N_CLIENTS)))
    assert len(set(batches)) < N_CLIENTS


def test_outputs_of_a_prediction_that_spans_batches_are_joined(served: Served) -> None:
    copies = 2000 // len(served.rows)
    last = list(served.expected)[-1]
    response = served.gateway.client.post(
        "/predict", json={"data": served.rows * copies, "outputs": [last]}, headers={"Prefer": "respond-async"}
    )
    answer = served.gateway.poll(response.headers["Location"] + "?meta=true").json()
    assert is_close(answer[last], served.expected[last] * copies)
    assert not {name for name in answer if name in list(Output)} - {last}
    assert sum(batch["rows"] for batch in answer["meta"]["batches"]) == len(served.rows) * copies


def test_unknown_output_is_refused_with_those_there_are(served: Served) -> None:
    response = served.gateway.client.post("/predict", json={"data": served.rows[:1], "outputs": ["shap"]})
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["pointer"] == "/outputs/0"
    assert ", ".join(OFFERED[served.name]) in error["detail"]


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
