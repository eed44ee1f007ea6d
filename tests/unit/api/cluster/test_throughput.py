"""The number of rows of each queue that become final per second."""

from collections.abc import Callable

import pytest

from api.cluster.throughput import Throughput, waiting_rows
from shared.names import Queue
from shared.store.status import BulkOverview
from tests.unit.api.cluster.test_status import overview

Measure = Callable[..., Throughput]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Return a function: the throughput after overviews of final rows, one second apart."""

    def measure(*final: int) -> Throughput:
        throughput = Throughput()
        for second, rows in enumerate(final):
            monkeypatch.setattr("api.cluster.throughput.time.monotonic", lambda second=second: float(second))
            throughput.measure(overview(final=rows, bulk_final=10 * rows))
        return throughput

    return measure


@pytest.mark.parametrize(
    ("final", "rate"),
    [
        pytest.param([7], None, id="one overview"),
        pytest.param([7, 7], 0, id="nothing becomes final"),
        pytest.param([0, 100], 100, id="the first second"),
        pytest.param([0, 100, 100, 300], 100, id="the mean of some seconds"),
        pytest.param([0, 9000, *[9000] * 6], 0, id="what was final six seconds ago is forgotten"),
        pytest.param([9000, *range(0, 600, 100)], 100, id="a broker that has lost its data"),
    ],
)
def test_rate_is_of_the_last_five_seconds(measured: Measure, final: list[int], rate: float | None) -> None:
    assert measured(*final).rows_per_second(Queue.INTERACTIVE) == rate


def test_queues_are_measured_one_by_one(measured: Measure) -> None:
    assert measured(0, 10).rows_per_second(Queue.BULK) == 100


def test_rows_of_bulk_predictions_count_as_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    throughput = Throughput()
    for second in range(2):
        monkeypatch.setattr("api.cluster.throughput.time.monotonic", lambda second=second: float(second))
        read = overview(bulk=5, stored=BulkOverview(accepted_rows=1000, final_rows=400 * second))
        throughput.measure(read)
    assert throughput.rows_per_second(Queue.BULK) == 400
    assert throughput.rows_per_second(Queue.INTERACTIVE) == 0
    assert waiting_rows(read, Queue.BULK) == 605
    assert waiting_rows(read, Queue.INTERACTIVE) == 0


def test_rate_is_measured_anew_after_the_broker_was_away(measured: Measure) -> None:
    throughput = measured(0, 100)
    throughput.clear()
    assert throughput.rows_per_second(Queue.INTERACTIVE) is None
