"""Idempotency keys in the store: a key is reserved before its rows are accepted.

The script that records the rows stores the prediction's id under the key, in the same step. The key is then kept as
long as the prediction.
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
"""How long a key stays reserved if its gateway dies before the rows are accepted."""


class IdempotencyKey(NamedTuple):
    """A client's key for one request."""

    digest: str
    """SHA-256 of the client and its key."""
    fingerprint: str
    """SHA-256 of the request's body."""

    @property
    def name(self) -> str:
        """The key's name in the store."""
        return Key.IDEMPOTENCY + self.digest

    def value(self, prediction_id: PredictionId) -> str:
        """The key's value in the store once the rows are accepted."""
        return f"{SCHEMA} {self.fingerprint} {prediction_id}"


class IdempotencyKeys:
    """Reserves and releases keys."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def reserve(self, key: IdempotencyKey) -> PredictionId | None:
        """Reserve a key for a new prediction, or return the prediction that it already leads to.

        Raises:
            IdempotencyKeyReused: the key was used with a different body.
            IdempotencyKeyInUse: the first request with this key is still being accepted.
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
        """Release a key whose rows were refused.

        Raises:
            BrokerUnavailable: Redis did not answer in time; the reservation ends by itself.
        """
        await self._transport.run(_RELEASE, [key.name])
