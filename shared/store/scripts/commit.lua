-- Record a batch's outcome and publish it to the gateway that waits for it.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the token of the claim
-- ARGV[3]  the outcome
-- ARGV[4]  seconds to keep a final record
-- ARGV[5]  1 if the outcome contains a failure, else 0
-- ARGV[6]  microseconds in the pipeline
-- ARGV[7]  1 if the published reply contains the outcome, else 0
-- ARGV[8]  the worker
-- ARGV[9]  the pool process
--
-- Reply: -1 refused: another attempt has the batch, or it is final. Else committed: how many predictions of the batch
--        this commit did not make final, because they were canceled, or wait for other batches.
-- Keeps: an outcome is recorded once, by the current token; rows leave the backlog once.

local id, worker = ARGV[1], ARGV[8]
local state, token, n_rows, reply, queue, idempotency, canceled =
  read(id, f_state, f_token, f_n_rows, f_reply, f_queue, f_idempotency, f_canceled)
local parent = parent_and_index(id)
if parent then
  read(parent, f_state) -- raises an error for another schema, before anything has changed
end
-- If the token is later, the lease belongs to the later attempt.
if (not token or token == ARGV[2]) and redis.call('HGET', k_leases .. worker, id) == ARGV[9] then
  redis.call('HDEL', k_leases .. worker, id)
end
if state ~= s_running or token ~= ARGV[2] then
  return -1
end
return finish(
  id,
  {n_rows = n_rows, reply = reply, queue = queue, idempotency = idempotency, canceled = canceled},
  {outcome = ARGV[3], ttl = ARGV[4], fails = ARGV[5] == '1', predict_us = ARGV[6], is_published = ARGV[7] == '1'}
) or -1
