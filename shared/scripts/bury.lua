-- Fail the one prediction of a batch whose attempts are used up, and keep it as a dead letter.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
-- ARGV[1]  the batch's id
-- ARGV[2]  the outcome: a failure
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  the id that its gateway waits for: the batch's, or its head's
-- ARGV[5]  the batch's number under its head
-- ARGV[6]  seconds to keep the dead letter
-- ARGV[7]  the prediction's id
--
-- Reply: 1, or 0 when somebody else has done it, or nobody wants the batch any more.
-- Keeps: what is failed is kept with its rows and how each of its attempts ended.

redis.call('SREM', EXHAUSTED, ARGV[1])
local batch = redis.call('HMGET', KEYS[1], 'n_rows', 'reply', 'queue', 'idempotency', 'state', 'rows', 'model', 'lost',
  'created')
if batch[5] ~= 'exhausted' then
  return 0
end
local buried = settle(KEYS[1], KEYS[2], batch, {
  outcome = ARGV[2], ttl = ARGV[3], stem = ARGV[4], number = ARGV[5], fails = true, predict_us = 0, travels = true,
})
if not buried then
  return 0
end
local key, now = DEAD_LETTER .. ARGV[1], redis.call('TIME')[1]
redis.call('HSET', key, 'prediction', ARGV[7], 'rows', batch[6], 'n_rows', batch[1], 'model', batch[7], 'lost', batch[8],
  'created_us', batch[9], 'buried', now)
redis.call('EXPIRE', key, ARGV[6])
redis.call('ZADD', DEAD_LETTERS, now, ARGV[1])
return 1
