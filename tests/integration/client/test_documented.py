"""The client uses only what the gateway's OpenAPI schema describes: every method works with nothing else."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import pandas as pd
import pytest
from pyarrow import parquet

from sepal_client import (
    DeadLetters,
    GatewayFault,
    PredictionAlreadyFinal,
    PredictionFailed,
    PredictionNotFound,
    RequestRefused,
    Sepal,
    State,
    WaitTimeout,
)
from sepal_client import Prediction as ClientPrediction
from shared.ids import PredictionId, new_batch_id
from tests import pipelines
from tests.clients import KINDS, connector
from tests.documented import AsyncDocumentedTransport, DocumentedTransport
from tests.gates import Gates
from tests.integration.client.cutting import AsyncCutting, Cutting
from tests.stack import Gateway, running_stack, wait_for

PIPELINE = pipelines.Lethal
GATE = 100
ROW = [1.0, 0.0]
COLUMNS = ["column 0", "column 1"]
TOKEN = "let me in"


class Site(NamedTuple):
    """What a test of a method has: the client, the gates of the pipeline and an empty folder."""

    client: Any
    gates: Gates
    folder: Path
    cuts: list[str]
    """The paths of the responses that were cut."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("lethal")
    with running_stack(folder, model_dir, operator_token=TOKEN, max_attempts=1) as (_, gateway):
        yield gateway


@pytest.fixture(scope="module")
def schema(gateway: Gateway) -> Any:
    return gateway.client.get("/openapi.json").json()


@contextmanager
def held_client(kind: str, gateway: Gateway, schema: Any, cuts: list[str]) -> Iterator[Any]:
    """Open a client whose connections are held to the schema, and lose the first response with a file."""
    connect, connect_async = httpx.HTTPTransport, httpx.AsyncHTTPTransport

    def held(**options: Any) -> DocumentedTransport:
        return DocumentedTransport(Cutting(connect(**options), cuts), schema)

    def held_async(**options: Any) -> AsyncDocumentedTransport:
        return AsyncDocumentedTransport(AsyncCutting(connect_async(**options), cuts), schema)

    with (
        patch.object(httpx, "HTTPTransport", held),
        patch.object(httpx, "AsyncHTTPTransport", held_async),
        connector(kind)(f"http://127.0.0.1:{gateway.port}", operator_token=TOKEN) as client,
    ):
        yield client


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, gateway: Gateway, schema: Any, gates: Gates, tmp_path: Path) -> Iterator[Site]:
    """A client of each kind."""
    cuts: list[str] = []
    with held_client(request.param, gateway, schema, cuts) as client:
        yield Site(client, gates, tmp_path, cuts)


def flowers(site: Site, *rows: str, header: str = "id,column 0,column 1") -> Path:
    path = site.folder / "rows.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def poisoned(site: Site) -> Any:
    """Make a dead letter; return its entry."""
    with pytest.raises(PredictionFailed) as raised:
        site.client.predict([[2, PIPELINE.KILL]])
    assert raised.value.problem.code == "poison"
    return next(iter(site.client.dead_letters.entries()))


def predict(site: Site) -> None:
    result = site.client.predict([ROW, [-1, 0]], outputs=["prediction"], deadline=60, idempotency_key="a key")
    assert result.prediction == [1, 0]
    assert result.model.version == "1"
    assert result.predict_ms > 0
    with site.gates.closed(GATE), pytest.raises(WaitTimeout):
        site.client.predict([[1, GATE]], wait=0.1)
    with pytest.raises(RequestRefused) as refused:
        site.client.predict([[1, "x"]])
    assert refused.value.faults[0].pointer == "/data/0/1"


def submit(site: Site) -> None:
    sent: list[int] = []
    plain = site.client.submit(flowers(site, "0007,1,0"), carry=["id"], on_sent=lambda n_bytes, _: sent.append(n_bytes))
    assert plain.wait().rows_done == 1
    assert sent[-1] > 0
    path = flowers(site, "-1;-", "1;0", header="1;0")
    options = {"delimiter": ";", "header": False, "null": ["-"], "on_error": "report", "deadline": 60}
    result = site.client.submit(path, outputs=["prediction"], **options).result()
    assert result.prediction == [1, None, 1]
    assert list(result.errors) == [1]
    assert site.client.submit([ROW] * 3).result().prediction == [1, 1, 1]


def score(site: Site) -> None:
    frame = pd.DataFrame([ROW, [-1, 0]], columns=COLUMNS, index=["a", "b"])
    assert site.client.score(frame)["prediction"].to_dict() == {"a": 1, "b": 0}
    seen: list[State] = []
    target = site.folder / "scored.parquet"
    site.client.score(
        flowers(site, "0007,1,0"), target, carry=["id"], on_progress=lambda progress: seen.append(progress.state)
    )
    assert parquet.read_table(target).column("id").to_pylist() == ["0007"]
    assert seen[-1] is State.SUCCEEDED


def prediction(site: Site) -> None:
    assert site.client.prediction(site.client.predict([ROW]).id).status().state is State.SUCCEEDED
    with pytest.raises(PredictionNotFound):
        site.client.prediction(str(PredictionId.new(new_batch_id(), 0))).status()


def predictions(site: Site) -> None:
    accepted = site.client.submit([ROW])
    accepted.wait()
    listed = list(site.client.predictions(states=[State.SUCCEEDED]))
    assert accepted.id in [progress.id for progress in listed]


def model(site: Site) -> None:
    card = site.client.model()
    assert [column.name for column in card.columns] == COLUMNS
    assert card.name == "lethal"
    assert "prediction" in card.outputs
    assert card.example


def status(site: Site) -> None:
    service = site.client.status()
    assert service.workers == 1
    assert service.queues["bulk"].pool_processes == 1
    # The gateway reads the store once in a while: it may still count what has just ended.
    wait_for(lambda: site.client.status().queues["interactive"].backlog_rows == 0, "an empty interactive queue")
    wait_for(lambda: site.client.status().bulk_predictions.open == 0, "no open bulk prediction")


def status_of_a_prediction(site: Site) -> None:
    with site.gates.closed(GATE):
        first = site.client.submit([[1, GATE]])
        second = site.client.submit([ROW])
        assert second.status().position == 1
        assert first.status().rows_total == 1
    second.wait()
    assert second.status().rows_done == 1


def progress(site: Site) -> None:
    for submitted in (site.client.submit([ROW] * 5), site.client.prediction(site.client.predict([ROW]).id)):
        last = list(submitted.progress())[-1]
        assert (last.state, last.rows_done) == (State.SUCCEEDED, last.rows_total)


def wait(site: Site) -> None:
    assert site.client.submit([ROW]).wait().state is State.SUCCEEDED
    with pytest.raises(PredictionFailed) as failed:
        site.client.submit([ROW, [7, PIPELINE.ALLOCATE]]).wait()
    assert failed.value.problem.code
    with site.gates.closed(GATE), pytest.raises(WaitTimeout):
        site.client.submit([[1, GATE]]).wait(timeout=0.1)


def result(site: Site) -> None:
    found = site.client.submit(flowers(site, "0007,1,0"), carry=["id"], outputs=["prediction", "proba"]).result()
    assert found.carried["id"] == ["0007"]
    assert found.array("proba").shape == (1, 2)


def download(site: Site) -> None:
    submitted = site.client.submit(flowers(site, "0007,1,0", "0008,-1,0"), carry=["id"])
    submitted.wait()
    for suffix in ("csv", "csv.gz", "ndjson", "json", "arrow", "parquet"):
        target = site.folder / f"scored.{suffix}"
        received: list[int] = []
        submitted.download(target, on_received=lambda n_bytes, _, received=received: received.append(n_bytes))
        assert received[-1] == target.stat().st_size
    assert site.cuts == [f"/results/{submitted.id}"] * 2  # Arrow and Parquet
    assert parquet.read_table(site.folder / "scored.parquet").column("prediction").to_pylist() == [1, 0]
    submitted.download(site.folder / "last.csv", offset=1, limit=1)
    assert (site.folder / "last.csv").read_text().splitlines()[1].startswith("0008,")


def cancel(site: Site) -> None:
    with site.gates.closed(GATE):
        blocking = site.client.submit([[1, GATE]])
        assert site.client.submit([ROW]).cancel().state is State.CANCELED
    blocking.wait()
    with pytest.raises(PredictionAlreadyFinal):
        blocking.cancel()


def entries(site: Site) -> None:
    letter = poisoned(site)
    assert letter.dead_since
    site.client.dead_letters.discard(letter.id)


def show(site: Site) -> None:
    letter = poisoned(site)
    assert site.client.dead_letters.show(letter.id)["rows"] == [[2, PIPELINE.KILL]]
    site.client.dead_letters.discard(letter.id)


def replay(site: Site) -> None:
    replayed = site.client.dead_letters.replay(poisoned(site).id)
    with pytest.raises(PredictionFailed):
        replayed.wait()
    discard(site)


def discard(site: Site) -> None:
    poisoned(site)
    for letter in list(site.client.dead_letters.entries()):
        site.client.dead_letters.discard(letter.id)
    assert list(site.client.dead_letters.entries()) == []


METHODS: dict[tuple[type, str], Callable[[Site], None]] = {
    **{(Sepal, each.__name__): each for each in (predict, submit, score, prediction, predictions, model, status)},
    (ClientPrediction, "status"): status_of_a_prediction,
    **{(ClientPrediction, each.__name__): each for each in (progress, wait, result, download, cancel)},
    **{(DeadLetters, each.__name__): each for each in (entries, show, replay, discard)},
}


@pytest.mark.parametrize(
    "method", [pytest.param(use, id=f"{of.__name__}.{name}") for (of, name), use in METHODS.items()]
)
def test_method_needs_only_what_is_documented(site: Site, method: Callable[[Site], None]) -> None:
    method(site)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("member", ["id", "model"])
def test_client_fails_without_what_it_needs(gateway: Gateway, schema: Any, kind: str, member: str) -> None:
    described = deepcopy(schema)
    result = described["components"]["schemas"]["PredictionResult"]
    del result["properties"][member]
    result["required"].remove(member)
    with held_client(kind, gateway, described, []) as client, pytest.raises(GatewayFault):
        client.predict([ROW])


def test_every_method_is_tested() -> None:
    public = {
        (of, name)
        for of in (Sepal, ClientPrediction, DeadLetters)
        for name, _ in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - {(Sepal, "close")} == METHODS.keys()
