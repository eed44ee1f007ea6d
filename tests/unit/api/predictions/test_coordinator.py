"""When batches leave the gateway, which predictions they contain, and which results the waiters get."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from api.predictions.coordinator import Coordinator
from api.predictions.open_batches import OpenBatch
from api.predictions.pending_batches import Waiter
from api.telemetry.metrics import GatewayMetrics
from shared.errors import BrokerUnavailable, PredictionNotFound
from shared.ids import BatchId, PredictionId
from shared.names import State
from shared.rows import EncodedRows
from shared.store.lookups import Prediction
from shared.store.records import Answer, Outcome
from shared.store.submissions import Submission
from tests.patience import longest_test, patience

MODEL = b"model"
NOW_US = 1_000_000


def rows(n_rows: int = 1) -> EncodedRows:
    return EncodedRows(b"", n_rows)


def outcome(n_members: int, predict_us: int = 1) -> Outcome:
    return Outcome(1, predict_us, members=[Answer({"prediction": str(index).encode()}) for index in range(n_members)])


def announcement(batch_id: BatchId, encoded: bytes) -> bytes:
    """As `commit.lua` publishes it."""
    return f"{batch_id} {NOW_US} ".encode() + encoded


class FakeStore:
    """Accepts submissions and answers look-ups when the test allows it."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.error: Exception | None = None
        self.states: dict[PredictionId, State] = {}
        self.accepts_submissions = asyncio.Event()
        self.accepts_submissions.set()
        self.answers_look_ups = asyncio.Event()

    async def submit(self, submission: Submission) -> None:
        self.submissions.append(submission)
        await self.accepts_submissions.wait()
        if self.error:
            raise self.error

    async def read_all(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        await self.answers_look_ups.wait()
        if not self.states.keys() >= set(prediction_ids):
            raise PredictionNotFound
        return [Prediction(self.states[prediction_id], 0, 1, b"") for prediction_id in prediction_ids]

    @property
    def sizes(self) -> list[int]:
        return [submission.n_rows for submission in self.submissions]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch counts as under way for as long as a test takes."""
    monkeypatch.setattr("api.predictions.batches_under_way._UNDER_WAY_SECONDS", longest_test())


@pytest.fixture
async def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def coordinator_with(store: FakeStore, registry: CollectorRegistry) -> Callable[[int], Coordinator]:
    metrics = GatewayMetrics(registry)
    return lambda allowed: Coordinator(store.submit, store.read_all, lambda: allowed, metrics, "channel")


@pytest.fixture
async def coordinator(coordinator_with: Callable[[int], Coordinator]) -> Coordinator:
    """A coordinator that may have one batch under way."""
    return coordinator_with(1)


async def loop_iterations(count: int = 5) -> None:
    """Let the event loop run for some iterations."""
    for _ in range(count):
        await asyncio.sleep(0)


def answer(coordinator: Coordinator, batch: OpenBatch, predict_us: int = 1) -> None:
    """Deliver the outcome of a batch, as a worker would."""
    coordinator.receive(announcement(batch.id, outcome(len(batch.members), predict_us).encode()))


async def sent(coordinator: Coordinator, *deadlines_us: int) -> tuple[OpenBatch, list[Waiter]]:
    """Send one batch with one waiter for each deadline; 0 for none."""
    joined = [coordinator.join(rows(), MODEL, deadline_us) for deadline_us in deadlines_us]
    await loop_iterations()
    return joined[0][0], [waiter for _, waiter in joined]


async def test_prediction_leaves_alone_while_no_batch_is_under_way(coordinator: Coordinator, store: FakeStore) -> None:
    coordinator.join(rows(), MODEL)
    await loop_iterations()
    assert store.sizes == [1]


async def test_predictions_that_arrive_while_a_batch_is_under_way_share_the_next_one(
    coordinator: Coordinator, store: FakeStore
) -> None:
    first, _ = await sent(coordinator, 0)
    for _ in range(7):
        coordinator.join(rows(), MODEL)
        await loop_iterations()
    assert store.sizes == [1]
    answer(coordinator, first)
    await loop_iterations()
    assert store.sizes == [1, 7]


async def test_no_more_batches_leave_than_the_allowance(
    coordinator_with: Callable[[int], Coordinator], store: FakeStore
) -> None:
    coordinator = coordinator_with(3)
    for _ in range(5):
        coordinator.join(rows(), MODEL)
        await loop_iterations()
    assert store.sizes == [1, 1, 1]


async def test_next_batch_leaves_after_a_refused_one(coordinator: Coordinator, store: FakeStore) -> None:
    store.error = BrokerUnavailable()
    _, (refused,) = await sent(coordinator, 0)
    with pytest.raises(BrokerUnavailable):
        await refused.answer
    store.error = None
    coordinator.join(rows(), MODEL)
    await loop_iterations()
    assert store.sizes == [1, 1]


async def test_flushed_batch_leaves_without_a_free_worker_and_with_all_gathered_predictions(
    coordinator: Coordinator, store: FakeStore
) -> None:
    await sent(coordinator, 0)
    coordinator.join(rows(), MODEL)
    batch, _ = coordinator.join(rows(), MODEL)
    await asyncio.wait_for(coordinator.flush_now(batch), patience())
    assert store.sizes == [1, 2]


async def test_concurrent_flushes_share_round_trips(coordinator: Coordinator, store: FakeStore) -> None:
    store.accepts_submissions.clear()

    async def flush() -> None:
        batch, _ = coordinator.join(rows(), MODEL)
        await coordinator.flush_now(batch)

    requests = [asyncio.create_task(flush())]
    await loop_iterations()
    requests += [asyncio.create_task(flush()) for _ in range(9)]
    await loop_iterations()
    assert store.sizes == [1]
    store.accepts_submissions.set()
    await asyncio.wait_for(asyncio.gather(*requests), patience())
    assert store.sizes == [1, 9]


async def test_flushed_batches_do_not_delay_other_batches(coordinator: Coordinator, store: FakeStore) -> None:
    first, _ = await sent(coordinator, 0)
    for _ in range(5):
        urgent, _ = coordinator.join(rows(), MODEL)
        await coordinator.flush_now(urgent)
    coordinator.join(rows(500), MODEL)
    answer(coordinator, first)
    await loop_iterations()
    assert store.sizes == [1, 1, 1, 1, 1, 1, 500]


async def test_batch_that_is_under_way_for_too_long_does_not_delay_others(
    coordinator: Coordinator, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.predictions.batches_under_way._UNDER_WAY_SECONDS", 0.05)
    await sent(coordinator, 0)
    batch, _ = coordinator.join(rows(), MODEL)
    await asyncio.wait_for(batch.wait_until_recorded(), patience())
    assert store.sizes == [1, 1]


async def test_clients_of_a_slow_batch_share_the_next_one_with_the_predictions_that_wait(
    coordinator: Coordinator, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.predictions.batches_under_way._QUIET_SECONDS", 100 * patience())
    slow, _ = await sent(coordinator, 0, 0)
    coordinator.join(rows(), MODEL)
    answer(coordinator, slow, predict_us=20_000)
    coordinator.join(rows(), MODEL)
    await loop_iterations()
    assert store.sizes == [2]
    coordinator.join(rows(), MODEL)
    await loop_iterations()
    assert store.sizes == [2, 3]


async def test_open_batches_are_refused_when_the_broker_is_lost(coordinator: Coordinator) -> None:
    _, (under_way,) = await sent(coordinator, 0)
    _, gathered = coordinator.join(rows(), MODEL)
    coordinator.fail_open_batches(BrokerUnavailable())
    with pytest.raises(BrokerUnavailable):
        await gathered.answer
    assert not under_way.answer.done()


async def test_open_batches_fail_together_with_a_batch_that_cannot_be_submitted(
    coordinator: Coordinator, store: FakeStore
) -> None:
    store.accepts_submissions.clear()
    _, (sent_waiter,) = await sent(coordinator, 0)
    _, gathered = coordinator.join(rows(), MODEL)
    store.error = BrokerUnavailable()
    store.accepts_submissions.set()
    for waiter in (sent_waiter, gathered):
        with pytest.raises(BrokerUnavailable):
            await asyncio.wait_for(waiter.answer, patience())
    assert store.sizes == [1]


async def test_published_outcome_answers_every_waiter(coordinator: Coordinator) -> None:
    batch, waiters = await sent(coordinator, 0, 0)
    answer(coordinator, batch)
    assert [waiter.answer.result().answers for waiter in waiters] == [  # type: ignore[union-attr]
        (Answer({"prediction": b"0"}),),
        (Answer({"prediction": b"1"}),),
    ]


async def test_canceled_prediction_stays_canceled_if_the_outcome_arrives_before_the_look_up(
    coordinator: Coordinator, store: FakeStore
) -> None:
    batch, (first, second) = await sent(coordinator, 0, 0)
    store.states = {first.prediction_id: State.CANCELED, second.prediction_id: State.RUNNING}
    coordinator.receive(announcement(batch.id, b""))
    await loop_iterations()
    coordinator.join(rows(), MODEL)
    await loop_iterations()
    assert store.sizes == [2]
    store.states[second.prediction_id] = State.SUCCEEDED
    answer(coordinator, batch)
    store.answers_look_ups.set()
    assert (await asyncio.wait_for(first.answer, patience())).state is State.CANCELED  # type: ignore[union-attr]
    assert (await asyncio.wait_for(second.answer, patience())).state is State.SUCCEEDED  # type: ignore[union-attr]
    await loop_iterations()
    assert store.sizes == [2, 1]


async def test_prediction_is_expired_if_its_outcome_was_committed_after_the_deadline(coordinator: Coordinator) -> None:
    batch, (late, punctual) = await sent(coordinator, NOW_US - 1, NOW_US)
    answer(coordinator, batch)
    assert late.answer.result().state is State.EXPIRED  # type: ignore[union-attr]
    assert punctual.answer.result().state is State.SUCCEEDED  # type: ignore[union-attr]


async def test_stopped_waiter_gets_no_answer(coordinator: Coordinator) -> None:
    batch, (first, second) = await sent(coordinator, 0, 0)
    first.stop()
    answer(coordinator, batch)
    assert first.answer.result() is None
    assert second.answer.result() is not None


async def test_waiters_are_looked_up_if_the_outcome_has_too_few_members(
    coordinator: Coordinator, store: FakeStore
) -> None:
    batch, waiters = await sent(coordinator, 0, 0)
    store.states = {waiter.prediction_id: State.SUCCEEDED for waiter in waiters}
    store.answers_look_ups.set()
    coordinator.receive(announcement(batch.id, outcome(1).encode()))
    for waiter in waiters:
        assert await asyncio.wait_for(waiter.answer, patience()) is not None


async def test_lost_reply_is_found_after_a_new_subscription(coordinator: Coordinator, store: FakeStore) -> None:
    _, (waiter,) = await sent(coordinator, 0)
    store.states = {waiter.prediction_id: State.SUCCEEDED}
    store.answers_look_ups.set()
    await coordinator.recheck_all()
    assert waiter.answer.result() is not None


@pytest.mark.parametrize(
    "message",
    [b"", b"garbage", b"a b c", b"\xff\xff 1 ", b"id now ", b"id 1 \x93\x01\x01", b"id 1 not-messagepack"],
)
async def test_alien_message_is_counted_and_ignored(
    coordinator: Coordinator, registry: CollectorRegistry, message: bytes
) -> None:
    batch, (waiter,) = await sent(coordinator, 0)
    coordinator.receive(message)
    assert registry.get_sample_value("sepal_alien_messages_total") == 1
    answer(coordinator, batch)
    assert waiter.answer.result() is not None
