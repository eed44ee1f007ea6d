-- Record the outcome of a batch, and publish it on the reply channel of its gateway.
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
-- Reply: -1 if refused, because another attempt has the batch, or it is final; else the number of predictions of the
--        batch that this commit does not make final, because they were canceled, or wait for other batches.
-- Keeps: an outcome is recorded once, by the current token; rows leave the backlog once.

local id, worker = ARGV[1], ARGV[8]
local state, token, n_rows, reply, queue, idempotency, canceled =
  read(id, f_state, f_token, f_n_rows, f_reply, f_queue, f_idempotency, f_canceled)
local parent = parent_and_index(id)
if parent then
  read(parent, f_state) -- raises an error for another schema, before anything is changed
end
-- If the recorded token is higher, the lease is that of a later attempt.
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
