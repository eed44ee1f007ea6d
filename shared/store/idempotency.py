"""`Idempotency-Key` in the store: a key is reserved before its rows are accepted.

The script that records the rows writes the prediction's id under it, in the same step; from then on it is kept as long
as the prediction.
"""

from typing import Final, NamedTuple

from shared.errors import IdempotencyKeyInUse, IdempotencyKeyReused, RecordIncompatible
from shared.ids import PredictionId
from shared.store.schema import SCHEMA, Key
from shared.store.scripts import Script
from shared.store.transport import AsyncTransport

_RESERVE: Final = Script.load("reserve")
_RELEASE: Final = Script.load("release")

RESERVED_SECONDS: Final = 10
"""For which a key is reserved: should its gateway die before the rows are accepted."""


class IdempotencyKey(NamedTuple):
    """One client's key for one request."""

    digest: str
    """Of the client and its key."""
    fingerprint: str
    """Of the request."""

    @property
    def name(self) -> str:
        """In the store."""
        return Key.IDEMPOTENCY + self.digest

    def value(self, prediction_id: PredictionId) -> str:
        """What the store holds under it once the rows are accepted."""
        return f"{SCHEMA} {self.fingerprint} {prediction_id}"


class IdempotencyKeys:
    """Reserves and releases keys."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def reserve(self, key: IdempotencyKey) -> PredictionId | None:
        """Take a key for a new prediction, or find the one that it led to before.

        Raises:
            IdempotencyKeyReused: that was for another body.
            IdempotencyKeyInUse: that is being accepted at this moment.
            BrokerUnavailable: Redis did not answer in time.
            RecordIncompatible: another version of Sepal wrote it.
        """
        held = await self._transport.run(_RESERVE, [key.name, key.fingerprint, RESERVED_SECONDS])
        if held is None:
            return None
        schema, _, rest = held.decode().partition(" ")
        if schema != str(SCHEMA):
            raise RecordIncompatible(schema[:10], SCHEMA)
        fingerprint, _, prediction_id = rest.partition(" ")
        if fingerprint != key.fingerprint:
            raise IdempotencyKeyReused
        if not prediction_id:
            raise IdempotencyKeyInUse
        return PredictionId.parse(prediction_id)

    async def release(self, key: IdempotencyKey) -> None:
        """Let go of a key whose rows were refused.

        Raises:
            BrokerUnavailable: Redis did not answer in time; it is free in a few seconds.
        """
        await self._transport.run(_RELEASE, [key.name])
