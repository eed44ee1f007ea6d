"""When batches leave the gateway, and with whom."""

import asyncio
from collections.abc import Callable

import pytest

from api.batcher import Batcher
from api.lanes import MAX_BATCH_ROWS, Batch, Lanes
from shared.errors import BrokerUnavailable
from shared.rows import EncodedRows
from tests.patience import patience

MODEL = b"model"


def rows(n_rows: int) -> EncodedRows:
    return EncodedRows(b"", n_rows)


class Broker:
    """Takes batches as the real one does, and says when it has them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.is_held = False
        self.error: Exception | None = None
        self._free = asyncio.Event()

    async def send(self, batch: Batch) -> None:
        self.batches.append(batch)
        if self.is_held:
            await self._free.wait()
        if self.error:
            raise self.error

    def let_go(self) -> None:
        self._free.set()

    @property
    def sizes(self) -> list[int]:
        return [batch.n_rows for batch in self.batches]


@pytest.fixture
async def broker() -> Broker:
    return Broker()


@pytest.fixture
def batcher_with(broker: Broker) -> Callable[[int], Batcher]:
    return lambda allowed: Batcher(broker.send, lambda: allowed)


async def turns(count: int = 5) -> None:
    """Let the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_at_rest_a_prediction_leaves_alone(batcher_with: Callable[[int], Batcher], broker: Broker) -> None:
    batcher_with(1).join(rows(1), MODEL)
    await turns()
    assert broker.sizes == [1]


async def test_what_arrives_while_a_batch_is_under_way_leaves_together(
    batcher_with: Callable[[int], Batcher], broker: Broker
) -> None:
    batcher = batcher_with(1)
    first, _ = batcher.join(rows(1), MODEL)
    await turns()
    for _ in range(7):
        batcher.join(rows(1), MODEL)
        await turns()
    assert broker.sizes == [1]
    batcher.release(first.id)
    await turns()
    assert broker.sizes == [1, 7]


async def test_as_many_batches_leave_as_are_allowed(batcher_with: Callable[[int], Batcher], broker: Broker) -> None:
    batcher = batcher_with(3)
    for _ in range(5):
        batcher.join(rows(1), MODEL)
        await turns()
    assert broker.sizes == [1, 1, 1]


async def test_refused_batch_makes_room_for_the_next(batcher_with: Callable[[int], Batcher], broker: Broker) -> None:
    batcher = batcher_with(1)
    broker.error = BrokerUnavailable()
    _, refused = batcher.join(rows(1), MODEL)
    await turns()
    with pytest.raises(BrokerUnavailable):
        await refused.answer
    broker.error = None
    batcher.join(rows(1), MODEL)
    await turns()
    assert broker.sizes == [1, 1]


async def test_client_in_a_hurry_waits_for_no_worker_and_takes_along_who_is_there(
    batcher_with: Callable[[int], Batcher], broker: Broker
) -> None:
    batcher = batcher_with(1)
    batcher.join(rows(1), MODEL)
    await turns()
    batcher.join(rows(1), MODEL)
    batch, _ = batcher.join(rows(1), MODEL)
    await asyncio.wait_for(batcher.hurry(batch), patience())
    assert broker.sizes == [1, 2]


async def test_clients_in_a_hurry_share_round_trips(batcher_with: Callable[[int], Batcher], broker: Broker) -> None:
    batcher, broker.is_held = batcher_with(1), True

    async def hurry() -> None:
        batch, _ = batcher.join(rows(1), MODEL)
        await batcher.hurry(batch)

    requests = [asyncio.create_task(hurry())]
    await turns()
    requests += [asyncio.create_task(hurry()) for _ in range(9)]
    await turns()
    assert broker.sizes == [1]
    broker.let_go()
    await asyncio.wait_for(asyncio.gather(*requests), patience())
    assert broker.sizes == [1, 9]


async def test_batch_that_stays_away_for_long_holds_nobody_back(
    batcher_with: Callable[[int], Batcher], broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.batcher._PATIENCE_SECONDS", 0.05)
    batcher = batcher_with(1)
    batcher.join(rows(1), MODEL)
    await turns()
    batch, _ = batcher.join(rows(1), MODEL)
    await asyncio.wait_for(batch.recorded(), patience())
    assert broker.sizes == [1, 1]


async def test_what_has_not_left_is_refused_when_the_broker_is_lost(batcher_with: Callable[[int], Batcher]) -> None:
    batcher = batcher_with(1)
    _, under_way = batcher.join(rows(1), MODEL)
    await turns()
    _, gathered = batcher.join(rows(1), MODEL)
    batcher.refuse_all(BrokerUnavailable())
    with pytest.raises(BrokerUnavailable):
        await gathered.answer
    assert not under_way.answer.done()


async def test_lost_broker_refuses_who_waits_for_a_turn_with_who_was_sent(
    batcher_with: Callable[[int], Batcher], broker: Broker
) -> None:
    batcher, broker.is_held = batcher_with(1), True
    _, sent = batcher.join(rows(1), MODEL)
    await turns()
    _, gathered = batcher.join(rows(1), MODEL)
    broker.error = BrokerUnavailable()
    broker.let_go()
    for waiter in (sent, gathered):
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(waiter.answer, patience())
    assert broker.sizes == [1]


async def test_clients_in_a_hurry_take_nobodys_turn(batcher_with: Callable[[int], Batcher], broker: Broker) -> None:
    batcher = batcher_with(1)
    first, _ = batcher.join(rows(1), MODEL)
    await turns()
    for _ in range(5):
        urgent, _ = batcher.join(rows(1), MODEL)
        await batcher.hurry(urgent)
    batcher.join(rows(500), MODEL)
    batcher.release(first.id)
    await turns()
    assert broker.sizes == [1, 1, 1, 1, 1, 1, 500]


def joined(lanes: Lanes, *row_counts: int, model: bytes = MODEL) -> None:
    for n_rows in row_counts:
        lanes.open_batch(rows(n_rows), model).join(rows(n_rows))


def taken(lanes: Lanes) -> list[list[int]]:
    batches = []
    while lanes:
        batches.append([member.n_rows for member in lanes.next_batch().members])
    return batches


async def test_large_and_small_predictions_take_turns() -> None:
    lanes = Lanes()
    joined(lanes, 1000, 1, 1000, 1, 1000, 1)
    assert taken(lanes) == [[1, 1, 1], [1000], [1000], [1000]]
    joined(lanes, 1000)
    lanes.next_batch()
    joined(lanes, 1000, 1000, *[1] * (MAX_BATCH_ROWS + 1))
    assert [len(batch) for batch in taken(lanes)] in ([MAX_BATCH_ROWS, 1, 1, 1], [1, MAX_BATCH_ROWS, 1, 1])


async def test_no_batch_is_larger_than_the_limit_and_order_is_kept() -> None:
    lanes = Lanes()
    joined(lanes, 500, 500, 500, 24, 600, 424)
    assert taken(lanes) == [[24], [500, 500], [500], [600, 424]]


async def test_rows_for_different_models_share_no_batch() -> None:
    lanes = Lanes()
    joined(lanes, 1)
    joined(lanes, 2, 3, model=b"another")
    assert taken(lanes) == [[1], [2, 3]]


async def test_every_prediction_of_a_batch_has_a_place_and_a_secret_of_its_own() -> None:
    lanes = Lanes()
    ids = [lanes.open_batch(rows(1), MODEL).join(rows(1)).prediction_id for _ in range(100)]
    assert [prediction_id.place for prediction_id in ids] == list(range(100))
    assert len({prediction_id.secret for prediction_id in ids}) == 100
    assert {len(str(prediction_id)) for prediction_id in ids} == {40}
