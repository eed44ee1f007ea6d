-- Write a batch's outcome and tell the gateway that waits for it.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the token of the claim
-- ARGV[3]  the outcome
-- ARGV[4]  seconds to keep a final record
-- ARGV[5]  1 if the outcome holds a failure, else 0
-- ARGV[6]  microseconds inside the pipeline
-- ARGV[7]  1 if the outcome is published with the announcement, else 0
-- ARGV[8]  the worker
-- ARGV[9]  its pool process
--
-- Reply: -1 refused: another attempt has the batch, or it is final. Else committed: how many predictions of the batch
--        this has not made final, as they were canceled, or wait for other batches.
-- Keeps: an outcome is written once, by the current token; rows leave the backlog once.

local id, worker = ARGV[1], ARGV[8]
local state, token, n_rows, reply, queue, idempotency, canceled =
  read(id, f_state, f_token, f_n_rows, f_reply, f_queue, f_idempotency, f_canceled)
local parent = lineage(id)
if parent then
  read(parent, f_state) -- what cannot be read is left as it is
end
-- With a later token, the lease is a later attempt's.
if (not token or token == ARGV[2]) and redis.call('HGET', k_leases .. worker, id) == ARGV[9] then
  redis.call('HDEL', k_leases .. worker, id)
end
if state ~= s_running or token ~= ARGV[2] then
  return -1
end
return conclude(
  id,
  {n_rows = n_rows, reply = reply, queue = queue, idempotency = idempotency, canceled = canceled},
  {outcome = ARGV[3], ttl = ARGV[4], fails = ARGV[5] == '1', predict_us = ARGV[6], travels = ARGV[7] == '1'}
) or -1
