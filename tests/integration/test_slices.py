"""Bulk predictions on a real broker and worker: slices, bad rows, poison, outages, and the queues of workers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest

from api.messages import CeleryMessages
from shared.bulk import MARKER_KEY, MAX_LISTED_ERRORS, Slice, SliceResult, Source, new_rows_key
from shared.card import ModelCard, read_card
from shared.ids import STORED, PredictionId, new_batch_id
from shared.names import FailureCode, Queue, State
from shared.objects import ObjectStore
from shared.store.bulk import BulkPrediction, BulkStore, NewBulkPrediction
from shared.store.clock import StoreClock
from shared.store.pooled import PooledTransport
from tests import pipelines
from tests.metrics import Metrics
from tests.models import save_misbehaving, train_once
from tests.patience import patience
from tests.s3 import S3Server, s3_server
from tests.stack import Gateway, Stack, free_port, running_stack, wait_for
from tests.stored_rows import stored_table, write_rows
from training.sample import to_client_rows
from worker.pool.rows import make_decoder

T = TypeVar("T")

PIPELINE = pipelines.Lethal


class Site:
    """A running stack, and the gateway's part of its bulk predictions."""

    def __init__(self, stack: Stack, gateway: Gateway, store: ObjectStore) -> None:
        self.stack = stack
        self.gateway = gateway
        self.store = store
        self._template = CeleryMessages().template(Queue.BULK)

    def submit(
        self, card: ModelCard, table: pa.Table, meanwhile: Callable[[Source], None] = lambda _: None, **fields: Any
    ) -> PredictionId:
        """Write rows and accept them; `meanwhile` is called in between."""
        prediction_id = PredictionId.new(new_batch_id(), STORED)
        source = write_rows(self.store, new_rows_key(prediction_id.batch_id), table, batch_rows=1024, **fields)
        meanwhile(source)
        model = card.ref.model_dump_json().encode()
        made = NewBulkPrediction(prediction_id, source, model, "reply", reserved_bytes=source.n_bytes)

        async def accept(bulk: BulkStore) -> None:
            await bulk.reserve(prediction_id.batch_id, made.reserved_bytes)
            await bulk.accept(made)

        self._call(accept)
        return prediction_id

    def read(self, prediction_id: PredictionId) -> BulkPrediction:
        return self._call(lambda bulk: bulk.read(prediction_id))

    def wait(self, prediction_id: PredictionId, state: State = State.SUCCEEDED) -> BulkPrediction:
        """Wait until a prediction is final."""

        def final() -> BulkPrediction | None:
            found = self.read(prediction_id)
            return found if found.state not in (State.QUEUED, State.RUNNING) else None

        found = wait_for(final, "the end of a bulk prediction")
        assert found.state is state, found
        return found

    def results(self, prediction_id: PredictionId) -> list[tuple[SliceResult, pa.Table | None]]:
        """Return the results of all slices and their tables, in order."""
        results = self._call(lambda bulk: bulk.read_results(prediction_id))
        return [(result, self._table(result) if result.key else None) for result in results]

    def _table(self, result: SliceResult) -> pa.Table:
        return pa.ipc.open_file(pa.BufferReader(self.store.read(result.key, 0, result.n_bytes))).read_all()

    def _call(self, call: Callable[[BulkStore], Awaitable[T]]) -> T:
        async def run() -> T:
            transport = PooledTransport(str(self.stack.settings["redis_url"]), patience())
            bulk = BulkStore(
                transport, StoreClock(), max_bytes=2**30, result_ttl_seconds=600, message_template=self._template
            )
            try:
                return await call(bulk)
            finally:
                await transport.close()

        return asyncio.run(run())


@contextmanager
def running_site(folder: Path, model_dir: Path, **settings: Any) -> Iterator[Site]:
    url = str(settings.setdefault("object_store_url", folder / "objects"))
    with running_stack(folder, model_dir, **settings) as (stack, gateway):
        yield Site(stack, gateway, ObjectStore.open(url))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_settings(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return {"object_store_url": s3.url}


@pytest.fixture(scope="module")
def lethal(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("lethal"), model_dir, max_attempts=2) as site:
        yield site


def two_columns(firsts: Any, seconds: Any = 0.0) -> pa.Table:
    return pa.table({"f0": np.asarray(firsts, dtype=float), "f1": np.broadcast_to(float(seconds), len(firsts))})


@pytest.mark.parametrize("name", ["iris", "penguins"])
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_each_slice_equals_what_the_pipeline_gives_for_its_rows(
    name: str, kind: str, tmp_path: Path, models_dir: Path, request: pytest.FixtureRequest
) -> None:
    settings = request.getfixturevalue("s3_settings") if kind == "s3" else {}
    model_dir = train_once(models_dir, name)
    card = read_card(model_dir)
    pipeline, X = joblib.load(model_dir / "pipeline.joblib"), rows_like(card, 20_000)
    port = free_port()
    with running_site(tmp_path, model_dir, worker_http_port=port, **settings) as site:
        prediction_id = site.submit(card, stored_table(card.input, to_client_rows(card.input, X)))
        final = site.wait(prediction_id)
        results = site.results(prediction_id)
        wait_for(lambda: Metrics(port).value("slice_rows_total") == len(X), "the metrics of all slices")
    assert (final.rows_done, final.rows_bad) == (len(X), 0)
    assert len(results) > 1
    row = 0
    for result, table in results:
        part = Slice(row, result.n_rows)
        assert (result.first_row, result.n_bad, table and table.num_rows) == (row, 0, part.n_rows)
        assert table is not None
        rows = X[row : row + part.n_rows]
        rows = rows.reset_index(drop=True) if isinstance(rows, pd.DataFrame) else rows
        assert table["prediction"].to_pylist() == pipeline.predict(rows).tolist()
        with np.errstate(divide="ignore"):
            expected = pipeline.predict_log_proba(rows)
        for label, column in zip(pipeline.classes_, expected.T, strict=True):
            assert table[f"log_proba_{label}"].to_numpy().tobytes() == np.ascontiguousarray(column).tobytes()
        row += part.n_rows
    assert row == len(X)


def rows_like(card: ModelCard, n_rows: int) -> Any:
    generator = np.random.default_rng(4)
    if card.input.library == "numpy":
        return generator.uniform(0, 8, (n_rows, 4))
    decode: Any = make_decoder(card)
    example = decode.build_frame(zip(*card.example, strict=True), len(card.example))
    rows = example.iloc[generator.integers(len(example), size=n_rows)].reset_index(drop=True)
    for column in rows.select_dtypes("float64"):
        rows[column] = (rows[column] + generator.normal(size=n_rows)).where(generator.random(n_rows) > 0.1)
    return rows


def test_poison_in_a_slice_costs_no_other_row(lethal: Site, model_dir: Path) -> None:
    seconds = np.zeros(50)
    seconds[[7, 30]] = PIPELINE.KILL
    table = pa.table({"f0": np.ones(50), "f1": seconds})
    prediction_id = lethal.submit(read_card(model_dir), table, errors=[None] * 50)
    assert lethal.wait(prediction_id).rows_bad == 2
    lost = [result for result, table in lethal.results(prediction_id) if table is None]
    assert [(result.first_row, result.n_rows, result.n_bad) for result in lost] == [(7, 1, 1), (30, 1, 1)]
    found = [table["prediction"].to_pylist() for _, table in lethal.results(prediction_id) if table is not None]
    assert list(chain.from_iterable(found)) == [1] * 48


def test_prediction_without_its_rows_fails(lethal: Site, model_dir: Path) -> None:
    def lose(source: Source) -> None:
        lethal.store.delete([source.key])
        lethal.store.put(MARKER_KEY, b"a marker")

    prediction_id = lethal.submit(read_card(model_dir), two_columns([1, 2]), meanwhile=lose)
    failure = lethal.wait(prediction_id, State.FAILED).failure
    assert failure is not None
    assert failure.code == FailureCode.ROWS_LOST


def test_prediction_whose_rows_the_pipeline_refuses_fails_or_reports_them(tmp_path: Path, models_dir: Path) -> None:
    model_dir = save_misbehaving(models_dir, pipelines.RejectsSevens())
    table = two_columns([7 if row % 10 == 3 else 1 for row in range(3000)])
    with running_site(tmp_path, model_dir) as site:
        failed = site.wait(site.submit(read_card(model_dir), table), State.FAILED)
        assert failed.failure is not None
        assert failed.failure.code == FailureCode.ROWS_REJECTED
        rows = [int(fault.pointer.removeprefix("/data/")) for fault in failed.errors]
        assert len(rows) == MAX_LISTED_ERRORS
        assert rows == list(range(rows[0], rows[0] + 1000, 10))
        assert rows[0] % 10 == 3

        reported = site.submit(read_card(model_dir), table, errors=[None] * 3000)
        assert site.wait(reported).rows_bad == 300
        tables = pa.concat_tables([table for _, table in site.results(reported) if table is not None])
        assert tables["prediction"].to_pylist() == [None if row % 10 == 3 else 1 for row in range(3000)]


def test_outage_of_the_object_store_costs_no_attempt(tmp_path: Path, model_dir: Path) -> None:
    with running_site(tmp_path, model_dir, max_attempts=1, batch_soft_seconds=10) as site:
        aside = tmp_path / "aside"

        def remove(source: Source) -> None:
            path = site.store.local_path(source.key)
            assert path is not None
            path.rename(aside)
            path.mkdir()  # which cannot be read

        prediction_id = site.submit(read_card(model_dir), two_columns([1, -1]), meanwhile=remove)
        log = site.stack.part("worker").log
        wait_for(lambda: log.read_text().count("gave a slice back") > 1, "two attempts")
        path = site.store.local_path(site.read(prediction_id).source.key)
        assert path is not None
        path.rmdir()
        aside.rename(path)
        site.wait(prediction_id)
        ((_, table),) = site.results(prediction_id)
        assert table is not None
        assert table["prediction"].to_pylist() == [1, 0]


def test_worker_waits_for_an_s3_server_that_is_gone(
    s3: S3Server, s3_settings: dict[str, Any], tmp_path: Path, model_dir: Path
) -> None:
    with running_site(tmp_path, model_dir, max_attempts=1, **s3_settings) as site:
        prediction_id = site.submit(read_card(model_dir), two_columns([1, -1]), meanwhile=lambda _: s3.stop())
        log = site.stack.part("worker").log
        wait_for(lambda: "object store unavailable or full, retrying" in log.read_text(), "an outage")
        s3.restart()
        site.wait(prediction_id)
        ((_, table),) = site.results(prediction_id)
        assert table is not None
        assert table["prediction"].to_pylist() == [1, 0]


def test_worker_serves_its_queues_at_its_priority(tmp_path: Path, model_dir: Path) -> None:
    with running_site(tmp_path, model_dir, worker_queues="interactive") as site:
        prediction_id = site.submit(read_card(model_dir), two_columns([1, 2]))
        assert site.gateway.predict([[1, 0]]).json()["prediction"] == [1]
        assert site.read(prediction_id).state is State.QUEUED
        worker = site.stack.start_worker(worker_queues="bulk", worker_nice=7)
        site.wait(prediction_id)
        assert {process.nice() for process in [worker.process, *worker.process.children()]} == {7}
