"""When a batch stops counting as under way, and which answered batches are followed by a pause."""

import asyncio

import pytest

from api.predictions.batches_under_way import BatchesUnderWay
from shared.ids import BatchId, new_batch_id
from tests.patience import patience

SLOW_US = 20_000
FAST_US = 500
LONG = 100 * patience()


class Places:
    """Batches of which one may be under way, and how often a place became free."""

    def __init__(self) -> None:
        self.n_freed = 0
        self.freed = asyncio.Event()
        self.batches = BatchesUnderWay(lambda: 1, self._count)

    def _count(self) -> None:
        self.n_freed += 1
        self.freed.set()

    def sent(self) -> BatchId:
        """Return the id of a batch that has left."""
        batch_id = new_batch_id()
        self.batches.add(batch_id)
        return batch_id


@pytest.fixture
async def places() -> Places:
    return Places()


@pytest.fixture
def only_requests_end_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the times after which a pause ends too long for a test."""
    monkeypatch.setattr("api.predictions.batches_under_way._QUIET_SECONDS", LONG)
    monkeypatch.setattr("api.predictions.batches_under_way._PAUSE_SHARE", 1e6)


async def test_a_batch_takes_a_place_until_it_is_removed(places: Places) -> None:
    batch_id = places.sent()
    assert not places.batches.has_place()
    places.batches.remove(batch_id)
    places.batches.remove(batch_id)
    assert places.batches.has_place()
    assert places.n_freed == 1


async def test_a_batch_without_an_answer_loses_its_place(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.predictions.batches_under_way._UNDER_WAY_SECONDS", 0.01)
    places.sent()
    await asyncio.wait_for(places.freed.wait(), patience())
    assert places.batches.has_place()


@pytest.mark.usefixtures("only_requests_end_pauses")
async def test_a_pause_ends_with_the_last_of_the_expected_requests(places: Places) -> None:
    places.batches.remove_answered(places.sent(), SLOW_US, n_clients=3, n_gathered_predictions=2)
    for _ in range(2):
        places.batches.count_request()
        assert not places.batches.has_place()
    places.batches.count_request()
    assert places.batches.has_place()
    assert places.n_freed == 1


@pytest.mark.parametrize("n_requests", [0, 1])
async def test_a_pause_ends_when_no_further_request_comes(places: Places, n_requests: int) -> None:
    places.batches.remove_answered(places.sent(), SLOW_US, n_clients=3, n_gathered_predictions=2)
    assert not places.batches.has_place()
    for _ in range(n_requests):
        places.batches.count_request()
    await asyncio.wait_for(places.freed.wait(), patience())
    assert places.batches.has_place()


async def test_a_pause_is_limited_although_requests_keep_coming(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.predictions.batches_under_way._REQUEST_SECONDS", 0)
    monkeypatch.setattr("api.predictions.batches_under_way._PAUSE_SHARE", 0.1)
    places.batches.remove_answered(places.sent(), SLOW_US, n_clients=1_000_000, n_gathered_predictions=0)

    async def send_requests() -> None:
        while not places.batches.has_place():
            places.batches.count_request()
            await asyncio.sleep(0)

    await asyncio.wait_for(send_requests(), patience())
    assert places.n_freed == 1


@pytest.mark.usefixtures("only_requests_end_pauses")
@pytest.mark.parametrize(
    ("predict_us", "n_clients", "n_gathered"),
    [
        pytest.param(FAST_US, 3, 2, id="fast"),
        pytest.param(SLOW_US, 1, 0, id="one client"),
        pytest.param(SLOW_US, 0, 5, id="no client waits any longer"),
        pytest.param(SLOW_US, 50, 78, id="requests cost more than the pipeline"),
    ],
)
async def test_no_pause_follows(places: Places, predict_us: int, n_clients: int, n_gathered: int) -> None:
    places.batches.remove_answered(places.sent(), predict_us, n_clients, n_gathered)
    assert places.batches.has_place()


@pytest.mark.usefixtures("only_requests_end_pauses")
async def test_a_batch_that_lost_its_place_is_followed_by_no_pause(places: Places) -> None:
    batch_id = places.sent()
    places.batches.remove(batch_id)
    places.batches.remove_answered(batch_id, SLOW_US, n_clients=3, n_gathered_predictions=2)
    assert places.batches.has_place()
    places.batches.count_request()
    assert places.n_freed == 1
