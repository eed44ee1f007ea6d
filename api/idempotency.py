"""`Idempotency-Key`: the same request sent twice is one prediction (draft-ietf-httpapi-idempotency-key-header).

A key is reserved in the store before its rows are accepted, and the script that records them writes the prediction's
id under it, in the same step; from then on it is kept as long as the prediction.
"""

import re
from collections.abc import Awaitable
from hashlib import sha256
from typing import Final, NamedTuple, cast

from redis.asyncio import Redis

from api.store import broker_errors
from shared.errors import IdempotencyKeyInUse, IdempotencyKeyReused, InvalidIdempotencyKey
from shared.ids import PredictionId
from shared.record import IDEMPOTENCY_PREFIX

# A structured field's string (RFC 9651, section 3.3.3); many clients leave the quotes out.
_QUOTED: Final = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE: Final = re.compile(rb"[!#-~]{1,255}")
PATTERN: Final = f"^({_QUOTED.pattern.decode()}|{_BARE.pattern.decode()})$"
"""Either of them, for the schema."""
RESERVED_SECONDS: Final = 10
"""For which a key is reserved: should its gateway die before the rows are accepted."""


class IdempotencyKey(NamedTuple):
    """One client's key for one request."""

    name: str
    """In the store."""
    fingerprint: str
    """Of the request."""

    @classmethod
    def read(cls, header: bytes, client: bytes, body: bytes) -> "IdempotencyKey":
        """Read the header's value.

        Args:
            header: its value.
            client: what tells one client from another: their keys have nothing to do with one another.
            body: of the request.

        Raises:
            InvalidIdempotencyKey: it is not a string.
        """
        value = header.strip()
        quoted = _QUOTED.fullmatch(value)
        key = quoted[1] if quoted else value
        if not quoted and not _BARE.fullmatch(value):
            raise InvalidIdempotencyKey
        name = sha256(b"%d:%b%b" % (len(client), client, key)).hexdigest()
        return cls(IDEMPOTENCY_PREFIX + name, sha256(body).hexdigest())

    def value(self, prediction_id: PredictionId) -> str:
        """What the store holds under it once the rows are accepted."""
        return f"{self.fingerprint} {prediction_id}"


class IdempotencyKeys:
    """The store's."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def reserve(self, key: IdempotencyKey) -> PredictionId | None:
        """Take a key for a new prediction, or find the one that it led to before.

        Raises:
            IdempotencyKeyReused: that was for another body.
            IdempotencyKeyInUse: that is being accepted at this moment.
            BrokerUnavailable: Redis did not answer in time.
        """
        async with broker_errors():
            held = await cast(
                Awaitable[bytes | None],
                self._client.set(key.name, f"{key.fingerprint} ", nx=True, get=True, ex=RESERVED_SECONDS),
            )
        if held is None:
            return None
        fingerprint, _, prediction_id = held.decode().partition(" ")
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
        async with broker_errors():
            await self._client.delete(key.name)
