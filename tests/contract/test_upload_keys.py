"""Idempotency keys of uploads, which are reserved before their fingerprint is known."""

import asyncio

import pytest
import redis

from shared.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from shared.ids import STORED, PredictionId, new_batch_id
from shared.store.idempotency import IdempotencyKey, IdempotencyKeys
from shared.store.schema import Key
from tests.submissions import GatewayStore

DIGEST = "digest"
NAME = Key.IDEMPOTENCY + DIGEST


@pytest.fixture
def keys(store: GatewayStore, monkeypatch: pytest.MonkeyPatch) -> IdempotencyKeys:
    monkeypatch.setattr("shared.store.idempotency.RESERVED_SECONDS", 3600)
    return IdempotencyKeys(store.pooled)


async def test_key_of_an_upload_is_reserved_for_it_alone(keys: IdempotencyKeys) -> None:
    upload, other = new_batch_id(), new_batch_id()
    assert await keys.reserve_upload(DIGEST, upload) is None
    assert await keys.reserve_upload(DIGEST, upload) is None  # its reply was lost
    with pytest.raises(IdempotencyKeyInUse):
        await keys.reserve_upload(DIGEST, other)
    with pytest.raises(IdempotencyKeyInUse):
        await keys.reserve(IdempotencyKey(DIGEST, "fingerprint"))


async def test_released_key_is_free_and_only_its_upload_releases_it(keys: IdempotencyKeys) -> None:
    upload, other = new_batch_id(), new_batch_id()
    await keys.reserve_upload(DIGEST, upload)
    await keys.release_upload(DIGEST, other)
    with pytest.raises(IdempotencyKeyInUse):
        await keys.reserve_upload(DIGEST, other)
    await keys.release_upload(DIGEST, upload)
    assert await keys.reserve_upload(DIGEST, other) is None


async def test_renewed_key_stays_reserved(keys: IdempotencyKeys, server: redis.Redis) -> None:
    upload = new_batch_id()
    await keys.reserve_upload(DIGEST, upload)
    server.expire(NAME, 600)
    await keys.renew_upload(DIGEST, upload)
    assert server.ttl(NAME) > 3000


async def test_key_that_was_lost_is_reserved_again_unless_another_request_has_it(
    keys: IdempotencyKeys, server: redis.Redis
) -> None:
    upload, other = new_batch_id(), new_batch_id()
    await keys.reserve_upload(DIGEST, upload)
    server.delete(NAME)
    await keys.renew_upload(DIGEST, upload)
    with pytest.raises(IdempotencyKeyInUse):
        await keys.reserve_upload(DIGEST, other)
    server.delete(NAME)
    await keys.reserve_upload(DIGEST, other)
    with pytest.raises(IdempotencyKeyInUse):
        await keys.renew_upload(DIGEST, upload)


async def test_key_of_an_accepted_upload_leads_to_its_prediction(keys: IdempotencyKeys, server: redis.Redis) -> None:
    key, prediction_id = IdempotencyKey(DIGEST, "fingerprint"), PredictionId.new(new_batch_id(), STORED)
    server.set(NAME, key.stored_value(prediction_id))
    earlier = await keys.reserve_upload(DIGEST, new_batch_id())
    assert earlier == ("fingerprint", prediction_id)
    assert await keys.reserve(key) == prediction_id
    with pytest.raises(IdempotencyKeyReused):
        await keys.reserve(IdempotencyKey(DIGEST, "other"))
    with pytest.raises(IdempotencyKeyInUse):
        await keys.renew_upload(DIGEST, new_batch_id())


async def test_one_of_many_uploads_gets_the_key(keys: IdempotencyKeys) -> None:
    reserved = await asyncio.gather(
        *(keys.reserve_upload(DIGEST, new_batch_id()) for _ in range(20)), return_exceptions=True
    )
    assert reserved.count(None) == 1
    assert sum(isinstance(each, IdempotencyKeyInUse) for each in reserved) == 19
