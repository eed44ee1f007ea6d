-- Make a dead letter of an exhausted batch, and fail its prediction.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the outcome: a failure
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  seconds to keep the dead letter
-- ARGV[5]  the prediction's id
--
-- Reply: 1, or 0 if another gateway has done it, or all clients have canceled.
-- Keeps: the dead letter contains the rows, their origin, and how each attempt ended.

local id = ARGV[1]
local state, n_rows, reply, queue, idempotency, encoding, rows, model, lost, created, origins =
  read(id, f_state, f_n_rows, f_reply, f_queue, f_idempotency, f_encoding, f_rows, f_model, f_lost, f_created, f_origins)
redis.call('SREM', k_exhausted, id)
if state ~= s_exhausted then
  return 0
end
if not finish(
  id,
  {n_rows = n_rows, reply = reply, queue = queue, idempotency = idempotency},
  {outcome = ARGV[2], ttl = ARGV[3], fails = true, predict_us = 0, is_published = true}
) then
  return 0
end
local key, now = k_dead_letter .. id, redis.call('TIME')[1]
redis.call('HSET', key, f_schema, SCHEMA_NUMBER, f_prediction, ARGV[5], f_encoding, encoding, f_rows, rows, f_n_rows, n_rows,
  f_model, model, f_lost, lost, f_created, created, f_dead_lettered, now)
if origins then
  redis.call('HSET', key, f_origins, origins)
end
redis.call('EXPIRE', key, ARGV[4])
redis.call('ZADD', k_dead_letters, now, id)
return 1
