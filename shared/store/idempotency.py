"""Idempotency keys in the store: a key is reserved before its rows are accepted.

The script that records the rows also sets the value of the key to the prediction's id. The key is then kept as long as
the prediction.

An upload may take long, and its fingerprint is known only at its end. So the reservation of its key contains the id of
the upload instead, and is renewed.
"""

from typing import Final, NamedTuple

from shared.errors import IdempotencyKeyInUse, IdempotencyKeyReused, RecordIncompatible
from shared.ids import BatchId, PredictionId
from shared.store.schema import SCHEMA, Key
from shared.store.scripts import Script
from shared.store.transport import Argument, AsyncTransport

_RESERVE: Final = Script.load("reserve")
_RELEASE: Final = Script.load("release")
_RENEW: Final = Script.load("renew")
_UPLOAD_PREFIX: Final = "upload:"  # followed by the upload's id, instead of a fingerprint

RESERVED_SECONDS: Final = 10
"""How long a reservation lasts if the gateway dies before the rows are accepted."""


class IdempotencyKey(NamedTuple):
    """A client's key for one request."""

    digest: str
    """SHA-256 of the client's identity and the key."""
    fingerprint: str
    """SHA-256 of the request's body."""

    @property
    def stored_name(self) -> str:
        """The key's name in the store."""
        return Key.IDEMPOTENCY + self.digest

    def stored_value(self, prediction_id: PredictionId) -> str:
        """The key's value in the store once the rows are accepted."""
        return f"{SCHEMA} {self.fingerprint} {prediction_id}"


class EarlierPrediction(NamedTuple):
    """The prediction that was accepted with a key."""

    fingerprint: str
    id: PredictionId


class IdempotencyKeys:
    """Reserves and releases keys."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def reserve(self, key: IdempotencyKey) -> PredictionId | None:
        """Reserve a key for a new prediction, or return the prediction that was accepted with it.

        Raises:
            IdempotencyKeyReused: the key was used with a different body.
            IdempotencyKeyInUse: the first request with this key is still being accepted.
            BrokerUnavailable: Redis timed out.
            RecordIncompatible: another version of Sepal wrote it.
        """
        held = await self._reserve_or_read(key.stored_name, key.fingerprint)
        if held is None:
            return None
        fingerprint, prediction_id = held
        if fingerprint != key.fingerprint and not fingerprint.startswith(_UPLOAD_PREFIX):
            raise IdempotencyKeyReused
        if not prediction_id:
            raise IdempotencyKeyInUse
        return PredictionId.parse(prediction_id)

    async def release(self, key: IdempotencyKey) -> None:
        """Release a key whose rows were refused.

        Raises:
            BrokerUnavailable: Redis timed out; the reservation expires.
        """
        await self._transport.run(_RELEASE, [key.stored_name])

    async def reserve_upload(self, key_digest: str, upload_id: BatchId) -> EarlierPrediction | None:
        """Reserve a key, given by its digest, for an upload, or return the prediction that was accepted with it.

        Raises:
            IdempotencyKeyInUse, BrokerUnavailable, RecordIncompatible: as `reserve`.
        """
        held = await self._reserve_or_read(Key.IDEMPOTENCY + key_digest, _UPLOAD_PREFIX + upload_id)
        own_reservation = (_UPLOAD_PREFIX + upload_id, "")  # made by this call, whose first reply was lost
        if held is None or held == own_reservation:
            return None
        fingerprint, prediction_id = held
        if not prediction_id:
            raise IdempotencyKeyInUse
        return EarlierPrediction(fingerprint, PredictionId.parse(prediction_id))

    async def renew_upload(self, key_digest: str, upload_id: BatchId) -> None:
        """Renew the reservation of an upload's key.

        Raises:
            IdempotencyKeyInUse: the reservation has expired, and another request has the key.
            BrokerUnavailable, RecordIncompatible: as `reserve`.
        """
        args: list[Argument] = [Key.IDEMPOTENCY + key_digest, _UPLOAD_PREFIX + upload_id, RESERVED_SECONDS]
        if not await self._transport.run(_RENEW, args) and await self.reserve_upload(key_digest, upload_id) is not None:
            raise IdempotencyKeyInUse

    async def release_upload(self, key_digest: str, upload_id: BatchId) -> None:
        """Release the key of an upload that was refused.

        Raises:
            BrokerUnavailable: Redis timed out; the reservation expires.
        """
        await self._transport.run(_RENEW, [Key.IDEMPOTENCY + key_digest, _UPLOAD_PREFIX + upload_id, 0])

    async def _reserve_or_read(self, name: str, fingerprint: str) -> tuple[str, str] | None:
        """Reserve a key; if it is taken, return its fingerprint and prediction id, which is '' before acceptance."""
        held = await self._transport.run(_RESERVE, [name, fingerprint, RESERVED_SECONDS])
        if held is None:
            return None
        schema, _, rest = held.decode().partition(" ")
        if schema != str(SCHEMA):
            raise RecordIncompatible(schema[:10], SCHEMA)
        found, _, prediction_id = rest.partition(" ")
        return found, prediction_id
