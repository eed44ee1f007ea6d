"""What waiters are told, by what is published and by what the store says."""

import asyncio
from collections.abc import Sequence

import pytest

from api.replies import Expected, Replies, Waiter
from shared.ids import BatchId, PredictionId, new_batch_id
from shared.names import State
from shared.store.lookups import Prediction
from shared.store.records import Answer, Outcome
from tests.patience import patience

OUTCOME = Outcome(queue_us=1, predict_us=1, members=[Answer(b"0", None), Answer(b"1", None)])


NOW_US = 1_000_000


class FakeStore:
    """Knows states, and answers when it is told to."""

    def __init__(self) -> None:
        self.states: dict[PredictionId, State] = {}
        self.may_answer = asyncio.Event()

    async def read_all(self, prediction_ids: Sequence[PredictionId]) -> list[Prediction]:
        await self.may_answer.wait()
        return [Prediction(self.states[prediction_id], 0, 1, b"") for prediction_id in prediction_ids]


@pytest.fixture
async def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def released() -> list[BatchId]:
    return []


@pytest.fixture
def aliens() -> list[int]:
    return []


@pytest.fixture
async def replies(store: FakeStore, released: list[BatchId], aliens: list[int]) -> Replies:
    return Replies(store.read_all, released.append, lambda: aliens.append(1))


def announcement(expected: Expected, outcome: bytes) -> bytes:
    """As `commit.lua` publishes it."""
    return f"{expected.id} {NOW_US} ".encode() + outcome


def two_waiters(replies: Replies) -> tuple[Expected, Waiter, Waiter]:
    expected = Expected(new_batch_id(), b"")
    first, second = (expected.add(PredictionId.new(expected.id, place), 1) for place in range(2))
    replies.expect(expected)
    return expected, first, second


async def test_published_outcome_answers_everybody_and_frees_the_slot(
    replies: Replies, released: list[BatchId]
) -> None:
    expected, first, second = two_waiters(replies)
    replies.receive(announcement(expected, OUTCOME.encode()))
    assert [waiter.answer.result().answers for waiter in (first, second)] == [  # type: ignore[union-attr]
        (Answer(b"0", None),),
        (Answer(b"1", None),),
    ]
    assert released == [expected.id]


async def test_canceled_waiter_is_never_given_the_outcome_that_overtook_its_look_up(
    replies: Replies, store: FakeStore, released: list[BatchId]
) -> None:
    expected, first, second = two_waiters(replies)
    store.states = {first.prediction_id: State.CANCELED, second.prediction_id: State.RUNNING}
    replies.receive(announcement(expected, b""))
    await asyncio.sleep(0)
    assert released == []
    store.states[second.prediction_id] = State.SUCCEEDED
    replies.receive(announcement(expected, OUTCOME.encode()))
    store.may_answer.set()
    assert (await asyncio.wait_for(first.answer, patience())).state is State.CANCELED  # type: ignore[union-attr]
    assert (await asyncio.wait_for(second.answer, patience())).state is State.SUCCEEDED  # type: ignore[union-attr]
    assert expected.id in released


async def test_outcome_that_was_committed_after_a_deadline_is_not_given(replies: Replies) -> None:
    expected = Expected(new_batch_id(), b"")
    late, punctual = (expected.add(PredictionId.new(expected.id, place), 1, NOW_US + place - 1) for place in range(2))
    replies.expect(expected)
    replies.receive(announcement(expected, OUTCOME.encode()))
    assert late.answer.result().state is State.EXPIRED  # type: ignore[union-attr]
    assert punctual.answer.result().state is State.SUCCEEDED  # type: ignore[union-attr]


async def test_waiter_that_gave_up_is_left_alone(replies: Replies) -> None:
    expected, first, second = two_waiters(replies)
    first.stop()
    replies.receive(announcement(expected, OUTCOME.encode()))
    assert first.answer.result() is None
    assert second.answer.result() is not None


@pytest.mark.parametrize(
    "message",
    [b"", b"garbage", b"a b c", b"\xff\xff 1 ", b"id now ", b"id 1 \x93\x01\x01", b"id 1 not-messagepack"],
)
async def test_alien_message_is_counted_and_disturbs_nobody(
    replies: Replies, aliens: list[int], message: bytes
) -> None:
    expected, first, _ = two_waiters(replies)
    replies.receive(message)
    assert len(aliens) == 1
    replies.receive(announcement(expected, OUTCOME.encode()))
    assert first.answer.result() is not None


async def test_outcome_that_does_not_fit_its_waiters_is_looked_up(replies: Replies, store: FakeStore) -> None:
    expected, first, second = two_waiters(replies)
    store.states = dict.fromkeys((first.prediction_id, second.prediction_id), State.SUCCEEDED)
    store.may_answer.set()
    short = Outcome(queue_us=1, predict_us=1, members=[Answer(b"0", None)])
    replies.receive(announcement(expected, short.encode()))
    for waiter in (first, second):
        assert await asyncio.wait_for(waiter.answer, patience()) is not None
