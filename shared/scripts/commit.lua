-- Write a batch's outcome and tell the gateway that waits for it.
--
-- KEYS[1]  the batch record
-- KEYS[2]  the head record over it, or the batch record itself
-- ARGV[1]  the token of the claim
-- ARGV[2]  the outcome
-- ARGV[3]  seconds to keep a final record
-- ARGV[4]  the id that its gateway waits for: the batch's, or its head's
-- ARGV[5]  the batch's number under its head
-- ARGV[6]  1 if the outcome holds a failure, else 0
-- ARGV[7]  microseconds inside the pipeline
-- ARGV[8]  1 if the outcome is published with the announcement, else 0
-- ARGV[9]  the batch's id
-- ARGV[10] the worker
-- ARGV[11] its pool process
--
-- Reply: -1 refused: another attempt has the batch, or it is final. Else committed: how many predictions of the batch
--        this has not made final, as they were canceled, or wait for other batches.
-- Keeps: an outcome is written once, by the current token; rows leave the backlog once.

if redis.call('HGET', LEASES .. ARGV[10], ARGV[9]) == ARGV[11] then
  redis.call('HDEL', LEASES .. ARGV[10], ARGV[9])
end
local batch = redis.call('HMGET', KEYS[1], 'n_rows', 'reply', 'queue', 'idempotency', 'state', 'token', 'canceled')
if batch[5] ~= 'running' or batch[6] ~= ARGV[1] then
  return -1
end
return settle(KEYS[1], KEYS[2], batch, {
  outcome = ARGV[2], ttl = ARGV[3], stem = ARGV[4], number = ARGV[5], fails = ARGV[6] == '1', predict_us = ARGV[7],
  travels = ARGV[8] == '1', canceled = batch[7],
}) or -1
