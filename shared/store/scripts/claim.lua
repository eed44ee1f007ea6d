-- Start an attempt at a batch.
--
-- ARGV[1]  the batch's id
-- ARGV[2]  the attempt's own name: asking again by the same name is the same attempt
-- ARGV[3]  the worker
-- ARGV[4]  its pool process
-- ARGV[5]  seconds to keep a final record
--
-- Reply: nil when there is nothing to do, else
--        {token, created, now, encoding, rows, members, model, queue, origins}, the times in microseconds since 1970.
-- Keeps: every attempt has a token of its own, its number; only the latest one can commit. A batch that is running is
--        left to its worker, whose lease lasts as long as the worker lives. A client that lost the reply and asks
--        again gets the same token: a broker that hangs must not use the attempts up.

local id, name, worker, pid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local state, token, claimant, created, encoding, rows, members, model, queue, origins =
  read(id, f_state, f_token, f_claimant, f_created, f_encoding, f_rows, f_members, f_model, f_queue, f_origins)
local is_again = state == s_running and claimant == name
if state ~= s_queued and not is_again then
  return false
end
local key, now = k_batch .. id, time_us()
local parent, index = lineage(id)
local parents_state, is_canceled
if parent then
  parents_state, is_canceled = read(parent, f_state, f_canceled_member .. index)
end
redis.call('ZREM', k_queued .. queue, id) -- only now: what cannot be read is left as it is
if parent then
  if not is_open(parents_state) then
    redis.call('DEL', key)
    return false
  end
  if parents_state == s_split and is_canceled then
    local n_rows, reply = read(id, f_n_rows, f_reply)
    conclude(id, {n_rows = n_rows, reply = reply, queue = queue}, {outcome = '', predict_us = 0, ttl = ARGV[5]})
    return false
  end
  if parents_state ~= s_split then
    redis.call('HSET', k_batch .. parent, f_state, s_running)
    redis.call('HSETNX', k_batch .. parent, f_started, now)
  end
end

token = tonumber(token) or 0
if not is_again then
  token = token + 1
  redis.call('HSET', key, f_token, token, f_state, s_running, f_claimant, name, f_worker, worker, f_pid, pid,
    f_claimed, now)
  redis.call('HSET', k_leases .. worker, id, pid)
  redis.call('HSETNX', k_workers, worker, '0 0') -- one that was thought dead: so that its leases are found
end
return {token, created, now, encoding, rows, members, model, queue, origins}
