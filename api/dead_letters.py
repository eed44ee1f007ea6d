"""Dead letters: batches whose attempts are used up, kept with their evidence until an operator decides."""

from array import array
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter
from redis.asyncio import Redis

from api.store import broker_errors
from shared.card import ModelRef
from shared.errors import DeadLetterNotFound
from shared.record import DEAD_LETTER_PREFIX, DEAD_LETTERS_KEY


class LostAttempt(BaseModel):
    """One attempt that had no outcome."""

    worker: str
    pid: int = Field(description="Of its pool process.")
    claimed_us: int = Field(description="By the store's clock, in microseconds since 1970.")
    lost_us: int
    reason: str


class Entry(BaseModel):
    """One dead letter in a list."""

    id: str = Field(description="Of the batch, which held one prediction or a part of a large one.")
    buried: int = Field(description="When, in seconds since 1970.")


class DeadLetter(Entry):
    """One dead letter, with its evidence."""

    prediction: str = Field(description="The prediction's id.")
    model: ModelRef = Field(description="That the rows were accepted for.")
    created_us: int = Field(description="When they were, by the store's clock, in microseconds since 1970.")
    attempts: list[LostAttempt]
    rows: list[list[float]]


_ATTEMPTS: TypeAdapter[list[LostAttempt]] = TypeAdapter(list[LostAttempt])


class DeadLetters:
    """The store's."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def entries(self, offset: int, limit: int) -> Sequence[Entry]:
        """List some, the latest first.

        Raises:
            BrokerUnavailable: Redis did not answer in time.
        """
        async with broker_errors():
            entries: Any = await self._client.zrevrange(DEAD_LETTERS_KEY, offset, offset + limit - 1, withscores=True)
        return [Entry(id=batch_id, buried=buried) for batch_id, buried in entries]

    async def get(self, batch_id: str) -> DeadLetter:
        """Find one.

        Raises:
            DeadLetterNotFound: there is none, or no longer.
            BrokerUnavailable: Redis did not answer in time.
        """
        async with broker_errors():
            record: Any = await self._client.hgetall(DEAD_LETTER_PREFIX + batch_id)
        if not record:
            raise DeadLetterNotFound
        values = array("d", record[b"rows"]).tolist()
        n_columns = len(values) // int(record[b"n_rows"])
        return DeadLetter(
            id=batch_id,
            buried=record[b"buried"],
            prediction=record[b"prediction"],
            model=ModelRef.model_validate_json(record[b"model"]),
            created_us=record[b"created_us"],
            attempts=_ATTEMPTS.validate_json(b"[" + record[b"lost"] + b"]"),
            rows=[values[start : start + n_columns] for start in range(0, len(values), n_columns)],
        )

    async def discard(self, batch_id: str) -> None:
        """Forget one.

        Raises:
            DeadLetterNotFound: there is none, or no longer.
            BrokerUnavailable: Redis did not answer in time.
        """
        pipeline = self._client.pipeline()
        pipeline.delete(DEAD_LETTER_PREFIX + batch_id)
        pipeline.zrem(DEAD_LETTERS_KEY, batch_id)
        async with broker_errors():
            n_deleted, _ = await pipeline.execute()
        if not n_deleted:
            raise DeadLetterNotFound
